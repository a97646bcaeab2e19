"""Divides a session's audio into utterances; what is between them is forgotten."""

from __future__ import annotations

from collections import deque

import numpy as np

from asr.errors import BadRequest
from asr.live.endpointing import Boundary, Edge, Endpointer
from asr.live.events import (
    Cleared,
    CommandRefused,
    Committed,
    SpeechStarted,
    SpeechStopped,
)
from asr.live.options import LiveOptions
from asr.live.outbox import Outbox
from asr.live.utterance import LiveUtterance, Take
from asr.live.voice import JudgedAudio
from asr.pcm import SAMPLE_RATE, Samples

SHORTEST_SECONDS = 0.1  # An utterance with fewer seconds of audio cannot be committed.
SPARE_SECONDS = 2  # A window has room for so many seconds more, before they are cut off.


class LiveTurns:
    """The utterances of one session, in order; its methods belong to the event loop.

    Args:
        longest: seconds that a window has at most.
        outbox: takes the events.
    """

    def __init__(self, options: LiveOptions, longest: float, outbox: Outbox) -> None:
        self._options = options
        self._longest = round(longest * SAMPLE_RATE)
        self._outbox = outbox
        self._endpointer = Endpointer(options.turns, self._longest)
        self._take: Take | None = None  # the open window
        self._before: Samples = np.zeros(0, np.float32)  # the last samples while none is open
        self._previous: str | None = None  # id of the last utterance that was committed
        self.takes: deque[Take] = deque()  # windows whose text is not complete, in order
        self.samples = 0  # of the session so far

    def push(self, audio: JudgedAudio) -> None:
        """Take the next samples and what is known of them."""
        self.samples += len(audio.samples)
        if self._take is None:
            self._before = np.concatenate([self._before, audio.samples])
        else:
            self._take.extend(audio.samples)
            self._endpointer.floor = max(self._endpointer.floor, self._take.given_until)
        for boundary in self._endpointer.push(audio.frames):
            self._apply(boundary)
        if self._take is None:
            unneeded = self.samples - self._endpointer.needed_from
            self._before = self._before[-unneeded:].copy() if unneeded else self._before[:0]

    def commit(self, tag: str | None) -> None:
        """End the utterance here."""
        take = self._take
        since = self.samples if take is None else take.utterance.start
        if take is None or self.samples - since < SHORTEST_SECONDS * SAMPLE_RATE:
            milliseconds = 1000 * (self.samples - since) / SAMPLE_RATE
            self._outbox.put(CommandRefused(_too_short(milliseconds), tag))
            return
        self._end_here(take)

    def finish(self) -> None:
        """End the utterance here, if there is one: no audio follows."""
        take = self._take
        if take is not None:
            if self.samples - take.utterance.start >= SHORTEST_SECONDS * SAMPLE_RATE:
                self._end_here(take)
            else:
                self._drop(take)

    def clear(self) -> None:
        """Forget the audio of the open utterance."""
        if self._take is not None:
            self._drop(self._take)
        self._endpointer.close(self.samples)
        self._before = self._before[:0]
        self._outbox.put(Cleared())

    def configure(self, options: LiveOptions) -> None:
        """Divide what follows by other options; the open utterance ends if another mode begins."""
        is_other_mode = (options.turns is None) != (self._options.turns is None)
        self._options = options
        if is_other_mode:
            self.finish()
            self._before = self._before[:0]
            self._endpointer = Endpointer(options.turns, self._longest, self.samples)
        else:
            self._endpointer.turns = options.turns

    def _apply(self, boundary: Boundary) -> None:
        if boundary.edge is Edge.START:
            utterance = LiveUtterance(self._options, boundary.at)
            before = self.samples - len(self._before)
            self._open(utterance, boundary.at, self._before[boundary.at - before :])
            if self._options.turns is not None:
                self._outbox.put(SpeechStarted(utterance.id, boundary.at / SAMPLE_RATE))
            return
        assert self._take is not None
        utterance = self._take.utterance
        rest = self._take.complete(boundary.at, is_last=boundary.edge is Edge.END)
        if boundary.edge is Edge.CUT:
            self._open(utterance, boundary.at, rest)
            return
        self._take, self._before = None, rest
        self._commit(utterance, boundary.at)

    def _open(self, utterance: LiveUtterance, at: int, samples: Samples) -> None:
        most = self._longest + SPARE_SECONDS * SAMPLE_RATE
        self._take = Take(utterance, at, most)
        self._take.extend(samples)
        self._before = self._before[:0]
        self.takes.append(self._take)

    def _end_here(self, take: Take) -> None:
        take.complete(self.samples, is_last=True)
        self._take = None
        self._endpointer.close(self.samples)
        self._commit(take.utterance, self.samples)

    def _commit(self, utterance: LiveUtterance, at: int) -> None:
        utterance.commit(at)
        if utterance.options.turns is not None:
            self._outbox.put(SpeechStopped(utterance.id, at / SAMPLE_RATE))
        self._outbox.put(Committed(utterance.id, self._previous))
        self._previous = utterance.id

    def _drop(self, take: Take) -> None:
        take.utterance.is_dropped = True
        take.complete(self.samples, is_last=True)
        self._take = None
        self._endpointer.close(self.samples)


def _too_short(milliseconds: float) -> BadRequest:
    return BadRequest(
        f"the buffer has {milliseconds:.0f} ms of audio in no complete utterance, and at least "
        f"{1000 * SHORTEST_SECONDS:.0f} ms are needed: send more audio before you commit it"
    )
