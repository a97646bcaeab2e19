"""Completes utterances in order, where somebody asks who speaks behind the diarizer's work."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from asr.errors import AsrError, EngineDead
from asr.live.events import Completed, SpeakersUnknown, SpokenSegment
from asr.live.outbox import Outbox
from asr.live.speakers.people import SessionPeople
from asr.live.utterance import LiveUtterance, Take
from asr.options import SpeakerOptions
from asr.pcm import SAMPLE_RATE, Samples
from asr.transcript import Segment, SpeakerTurn, Transcript, Word
from asr.transcription.diarizing.means import DiarizationMeans
from asr.transcription.scheduled_request import ScheduledRequest, Timings
from asr.transcription.speakers import with_speakers

log = logging.getLogger(__name__)

LAG_SECONDS = 60.0  # While so much audio, in seconds, waits for the diarizer, no more is read.
UNGROUPED = SpeakerOptions(are_grouped=False)
DIARIZER_BYTES = 10 * 2**20  # A diarizer takes so many bytes for a session that it works on.


@dataclass(eq=False)
class SpokenWindow:
    """A window that has its text."""

    utterance: LiveUtterance
    samples: Samples  # [samples]; none where nobody asks who speaks, or no word is said
    start: float  # seconds from the session's start
    words: Sequence[Word] = ()  # of the whole utterance, behind its last window
    completed: Completed | None = None  # likewise

    @property
    def seconds(self) -> float:
        return len(self.samples) / SAMPLE_RATE


class Completions:
    """The windows of one session between their text and the end of their utterances.

    Args:
        means: None: no diarizer is there, and nobody asks for one.
        request: opens a place in the scheduler's live lane.
        outbox: takes the events.
    """

    def __init__(
        self,
        means: DiarizationMeans | None,
        request: Callable[[], ScheduledRequest],
        outbox: Outbox,
    ) -> None:
        self._means = means
        self._request = request
        self._outbox = outbox
        self._windows: deque[SpokenWindow] = deque()
        self._changed = asyncio.Event()
        self._people = SessionPeople()
        self._segments = 0  # that were told so far

    @property
    def held(self) -> int:
        """Bytes that the waiting windows take, and the diarizer while it works on one."""
        samples = sum(each.samples.nbytes + each.utterance.held for each in self._windows)
        is_working = any(len(each.samples) for each in self._windows)
        return samples + is_working * DIARIZER_BYTES

    def put(
        self, take: Take, has_words: bool, words: Sequence[Word], completed: Completed | None
    ) -> None:
        """Add a window with its text.

        Args:
            has_words: whether some of the text is new.
            words: of its whole utterance.
            completed: tells the utterance's end, where this is its last window.
        """
        is_asked = take.utterance.options.options.speakers is not None
        if completed is not None and not is_asked and not self._windows:
            self._outbox.put(completed)
        elif is_asked or completed is not None:
            samples = take.samples if is_asked and has_words else take.samples[:0]
            start = take.start / SAMPLE_RATE
            window = SpokenWindow(take.utterance, samples.copy(), start, words, completed)
            self._windows.append(window)
            self._changed.set()

    async def room(self) -> None:
        """Wait until the diarizer is less than LAG_SECONDS behind."""
        while sum(window.seconds for window in self._windows) > LAG_SECONDS:
            await self._change()

    async def drained(self) -> None:
        """Wait until all utterances are complete."""
        while self._windows:
            await self._change()

    async def run(self) -> None:
        """Complete utterances for as long as the session lasts.

        Raises:
            EngineDead: the engine has ended.
        """
        while True:
            while not self._windows:
                await self._change()
            await self._outbox.room()
            window = self._windows[0]
            await self._tell_apart(window)
            if window.completed is not None:
                await self._complete(window, window.completed)
            self._windows.popleft()
            self._changed.set()

    async def _change(self) -> None:
        self._changed.clear()
        await self._changed.wait()

    async def _tell_apart(self, window: SpokenWindow) -> None:
        """Find out who speaks in a window; a failure is kept with its utterance."""
        utterance = window.utterance
        if not len(window.samples) or utterance.speakers_failure is not None:
            return
        try:
            utterance.turns += await self._turns(window)
        except EngineDead:
            raise
        except AsrError as error:
            log.warning("the speakers of a live utterance are not told apart: %s", error)
            utterance.speakers_failure = error

    async def _turns(self, window: SpokenWindow) -> list[SpeakerTurn]:
        assert self._means is not None
        with self._request() as request:
            async with self._means.recording(UNGROUPED, request, Timings()) as recording:
                recording.push(window.samples)
                recording.complete()
                found = await recording.finish()
        return self._people.turns(found, window.start)

    async def _complete(self, window: SpokenWindow, completed: Completed) -> None:
        utterance = window.utterance
        if utterance.speakers_failure is not None:
            self._outbox.put(SpeakersUnknown(completed.item_id, utterance.speakers_failure))
        elif utterance.options.options.speakers is not None and window.words:
            segments = await asyncio.to_thread(
                _spoken, completed.text, window.words, utterance.turns
            )
            for segment in segments:
                self._outbox.put(self._told(completed.item_id, segment))
        self._outbox.put(completed)

    def _told(self, item_id: str, segment: Segment) -> SpokenSegment:
        self._segments += 1
        return SpokenSegment(
            item_id,
            self._segments - 1,
            segment.start,
            segment.end,
            segment.text,
            segment.speaker,
        )


def _spoken(text: str, words: Sequence[Word], turns: Sequence[SpeakerTurn]) -> tuple[Segment, ...]:
    """A text as segments of one speaker each; without turns nobody is known to speak."""
    whole = Segment(words[0].start, words[-1].end, text, tuple(words))
    ordered = tuple(sorted(turns, key=lambda turn: (turn.start, turn.end)))
    return with_speakers(Transcript((whole,), None, words[-1].end, turns=ordered)).segments
