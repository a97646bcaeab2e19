"""One recording on its way through the diarizer, beside its transcription."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from dataclasses import dataclass

from asr.diarization.diarizer import Diarization, DiarizationSession, Diarizer
from asr.errors import AsrError, DiarizationFailed
from asr.metrics import Metrics
from asr.options import SpeakerOptions
from asr.pcm import BLOCK_SECONDS, SAMPLE_RATE, Samples
from asr.resources.exhaustion import run_out
from asr.transcription.admission.turns import Rank
from asr.transcription.diarizing.worker import DiarizationWorker
from asr.transcription.scheduled_request import ScheduledRequest, Timings

log = logging.getLogger(__name__)

LAG_SECONDS = 60  # Decoding waits while the diarizer is so many seconds behind: two windows.
JOB_LAG_SECONDS = 30  # A job's decoding waits sooner: jobs share less memory.
BLOCK_SAMPLES = (BLOCK_SECONDS + 1) * SAMPLE_RATE  # A block has no more.


@dataclass(frozen=True)
class Piece:
    """What the worker tells after a piece of work."""

    taken: int  # samples that the session has got
    worked: int  # samples of them that are worked on
    has_more: bool  # whether there is more to do without further samples
    diarization: Diarization | None = None  # after the last piece


class DiarizedRecording:
    """Passes the samples of one request to a session of the diarizer, and waits for its result.

    `work` and what it calls belong to the worker's thread, all else to the event loop.

    Args:
        request: whose audio it is; what waits for the diarizer counts as its audio.
        timings: of the request; the seconds worked on are counted there.
    """

    def __init__(
        self,
        worker: DiarizationWorker,
        diarizer: Diarizer,
        speakers: SpeakerOptions,
        request: ScheduledRequest,
        timings: Timings,
        metrics: Metrics,
    ) -> None:
        self._worker = worker
        self._diarizer = diarizer
        self._speakers = speakers
        self._request = request
        self._timings = timings
        self._metrics = metrics
        self._loop = asyncio.get_running_loop()
        self._inbox: deque[Samples] = deque()  # from the loop to the worker
        self._pushed = 0  # samples
        self._piece = Piece(0, 0, has_more=False)
        self._changed = asyncio.Event()
        self._result: asyncio.Future[Diarization] = self._loop.create_future()
        self._is_complete = False
        self._is_closed = False
        self._session: DiarizationSession | None = None  # of the worker
        self._taken = 0  # samples, likewise
        self._has_ended = False  # likewise
        self.rank = _rank(request)
        timings.diarized = 0.0
        request.is_diarized = True

    @staticmethod
    def most_samples(is_job: bool) -> int:
        """Samples that may wait for the diarizer."""
        return (JOB_LAG_SECONDS if is_job else LAG_SECONDS) * SAMPLE_RATE + BLOCK_SAMPLES

    @property
    def gives_way(self) -> bool:
        """Whether the engine works for others; speech that goes on sets its own pace."""
        return not self._request.is_urgent and self._request.has_company

    @property
    def _behind(self) -> int:
        return self._pushed - self._piece.worked

    async def room(self) -> None:
        """Wait until one more block may be decoded.

        Raises:
            ServerError: the diarizer has failed.
        """
        most = self.most_samples(self._request.is_job) - BLOCK_SAMPLES
        while self._behind > most and not self._lacks_samples:
            self._changed.clear()
            await self._changed.wait()
        if self._result.done():
            self._result.result()

    def push(self, block: Samples) -> None:
        """Take the next samples, [n].

        Raises:
            QueueFull: others have filled the queue.
        """
        self._request.lag(self._behind + len(block))
        self._inbox.append(block)
        self._pushed += len(block)
        self._worker.wake(self)

    def complete(self) -> None:
        """Note that no samples follow."""
        self._is_complete = True
        self._worker.wake(self)

    async def finish(self) -> Diarization:
        """Wait for all of the work, after `complete`.

        Raises:
            ServerError: the diarizer has failed.
        """
        return await self._result

    def close(self) -> None:
        """Drop the session, whatever it has still to do."""
        self._is_closed = True
        self._worker.leave(self)
        self._session = None
        self._inbox.clear()
        if self._result.done() and not self._result.cancelled():
            self._result.exception()  # marked as seen: who was cancelled does not wait for it
        self._result.cancel()

    @property
    def _lacks_samples(self) -> bool:
        """Whether the diarizer can do nothing before more samples have come, or has ended."""
        piece = self._piece
        return self._result.done() or (piece.taken == self._pushed and not piece.has_more)

    def _note(self, piece: Piece) -> None:
        if self._is_closed:
            return
        more = max(0, piece.worked - self._piece.worked)
        self._metrics.diarized_seconds.inc(more / SAMPLE_RATE)
        self._piece = piece
        self._timings.diarized = piece.worked / SAMPLE_RATE
        if piece.diarization is not None and not self._result.done():
            self._result.set_result(piece.diarization)
        self._changed.set()
        self._request.lag(self._behind)

    def _fail(self, error: AsrError) -> None:
        if self._is_closed or self._result.done():
            return
        self._result.set_exception(error)
        self._changed.set()
        self._request.fail(error)

    # --- what the worker's thread does ---

    def work(self) -> bool:
        """Do one piece; return whether there is more."""
        if self._is_closed or self._has_ended:
            return False
        try:
            piece = self._work()
        except Exception as error:  # the boundary of the diarizer: its request is answered
            self._has_ended = True
            self._tell(self._fail, _as_ours(error))
            return False
        finally:
            if self._is_closed or self._has_ended:
                self._session = None
        self._tell(self._note, piece)
        return piece.has_more

    def _work(self) -> Piece:
        is_complete = self._is_complete  # if so, all blocks have come
        session = self._session = self._session or self._diarizer.begin(self._speakers)
        while (block := self._next_block()) is not None:
            session.push(block)
            self._taken += len(block)
        if is_complete:
            session.complete()
        has_more = session.advance()
        worked = max(0, self._taken - round(session.waiting * SAMPLE_RATE))
        if has_more or not is_complete:
            return Piece(self._taken, worked, has_more)
        self._has_ended = True
        return Piece(self._taken, worked, has_more, session.finish())

    def _next_block(self) -> Samples | None:
        try:
            return self._inbox.popleft()
        except IndexError:  # nothing was left, or it was closed in this moment
            return None

    def _tell(self, function: object, argument: object) -> None:
        try:
            self._loop.call_soon_threadsafe(function, argument)  # type: ignore[arg-type]
        except RuntimeError:  # the loop has closed: nobody waits any more
            log.debug("the event loop has closed")


def _rank(request: ScheduledRequest) -> Rank:
    if request.is_urgent:
        return Rank.LIVE
    return Rank.JOB if request.is_job else Rank.LATER_WORDS


def _as_ours(error: Exception) -> AsrError:
    if isinstance(error, AsrError):
        return error
    if (exhausted := run_out(error, "the speakers cannot be told apart")) is not None:
        failure: AsrError = exhausted
    else:
        log.error("the diarizer failed", exc_info=error)
        failure = DiarizationFailed(
            f"the diarizer failed on this audio: {type(error).__name__}; without speakers it can "
            "be transcribed"
        )
    failure.__cause__ = error
    return failure
