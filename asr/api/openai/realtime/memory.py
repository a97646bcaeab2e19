"""What one live session holds, counted among the bodies of all requests."""

from __future__ import annotations

from asr.errors import Overloaded
from asr.live.session import LiveSession
from asr.resources.memory_budget import MIB, Reservation

# Every session takes so many bytes: its connection, the detector's state and its track of an hour
# (1 MiB), events that are not read (1 MiB). Audio and messages come on top.
SESSION_BYTES = 3 * MIB
NO_ROOM = "sessions and requests hold as much memory as MAX_MEMORY_MB allows: try again later"


class SessionMemory:
    """Lets a session hold what there is room for.

    Args:
        reservation: of SESSION_BYTES.
    """

    def __init__(self, reservation: Reservation, session: LiveSession) -> None:
        self._reservation = reservation
        self._session = session
        self.arriving = 0  # bytes of a message that is not complete

    @property
    def has_room(self) -> bool:
        """Count what the session holds now; return whether there is room for it."""
        size = SESSION_BYTES + self._session.held + self.arriving
        return self._reservation.has_changed(size)

    def check(self) -> None:
        """Count what the session holds now.

        Raises:
            Overloaded: there is no room for it.
        """
        if not self.has_room:
            raise Overloaded(NO_ROOM)
