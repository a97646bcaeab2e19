"""The Whisper engine: windows of all callers are decoded together, in one running batch."""

from __future__ import annotations

import contextlib
import logging
from collections import abc

import numpy as np
import torch

from asr.capabilities import EngineInfo
from asr.engines.engine import Window, WindowResult
from asr.engines.memory import lacks_memory
from asr.engines.whisper.batch import RunningBatch
from asr.engines.whisper.capacity import CapacityPlan
from asr.engines.whisper.checkpoint import Checkpoint
from asr.engines.whisper.decoding.attempt import Attempt, fallback_temperature
from asr.engines.whisper.decoding.sampling import seed_of
from asr.engines.whisper.encoding.encoder import WindowEncoder
from asr.engines.whisper.encoding.queue import EncoderQueue
from asr.engines.whisper.model.alignment import frames_of
from asr.engines.whisper.result import PendingResult, early_result, final_result
from asr.engines.whisper.runner import ModelRunner
from asr.engines.whisper.sequence import Sequence, SequenceStatus
from asr.errors import AsrError, TranscriptionFailed
from asr.resources.freed_memory import trim_function

log = logging.getLogger(__name__)

TRIM_EVERY = 64  # Freed memory is given back after so many tokens of each sequence.


class WhisperEngine:
    """Decodes as many windows together as memory allows, and takes new ones as they end.

    A step encodes at most one batch of windows and then decodes a few tokens of every sequence,
    so that a short clip waits for at most one encoder batch of a long file.
    """

    def __init__(
        self,
        checkpoint: Checkpoint,
        plan: CapacityPlan,
        info: EngineInfo,
        max_new_tokens: int | None = None,
    ) -> None:
        self.info = info
        self._checkpoint = checkpoint
        self._max_new_tokens = max_new_tokens or checkpoint.longest
        self._plan = plan
        self._queue = EncoderQueue()
        self._encoder = WindowEncoder(checkpoint)
        self._sequences: list[Sequence] = []  # DECODING in the order of prefill, or TIMING
        self._batch = self._allocate()
        self._trim_function = trim_function()
        self._until_trim = TRIM_EVERY  # tokens of each sequence

    @property
    def capacity(self) -> int:
        """Windows that can be decoded together."""
        return self._plan.slots

    def free(self, is_live: bool = False) -> int:
        """Return at most the next encoder batch, because callers' turns are kept outside.

        Where others wait for the encoder, live windows go before them.
        """
        if self._is_shrinking:
            return 0
        waiting = self._queue.live if is_live else len(self._queue)
        return max(0, min(self._batch.free, self._plan.encoder_batch) - waiting)

    def held(self) -> int:
        return len(self._queue) + len(self._sequences)

    def step(self, admitted: abc.Sequence[Window]) -> list[WindowResult]:
        was_idle = not self.held()
        self._queue.add(admitted)
        with torch.inference_mode():
            before = len(self._sequences)
            results = self._encode(was_idle)
            encoded = len(self._sequences) - before
            if self._queue.goes_on(encoded, self._batch.active, self._plan):
                return results
            if self._plan.side_by_side and encoded > 1:
                self._trim()  # before the tokens' memory is taken: a small model needs 50 MB less
            for _ in range(self._plan.launches):
                results += self._decode()
                if any(result.is_final for result in results):
                    break
        if not self.held():
            self._batch.give_back()
        return results

    def drop(self, window: Window) -> None:
        self._queue.remove(window)
        self._remove([each for each in self._sequences if each.window is window])

    def prepare(self) -> bool:
        """Capture one more shape of launch; return whether more are left."""
        return self._batch.prepare()

    def warm_up(self) -> None:
        """Run once what a single request needs, or raise why that fails."""
        for count in {1, self._plan.encoder_batch}:
            silence = np.zeros(self._checkpoint.log_mel.window_samples, np.float32)
            full = [Window(silence, start=0.0) for _ in range(count)]
            results = self.step(full)
            while self._queue:  # for want of memory
                results += self.step([])
            if errors := [result.error for result in results if result.error is not None]:
                raise errors[0]
            for window in full:
                self.drop(window)
        self._trim()

    def _encode(self, was_idle: bool) -> list[WindowResult]:
        """Encode and prefill the next batch of waiting windows, if it is due."""
        if self._is_shrinking and not self._batch.active:
            del self._batch  # its memory is wanted
            self._batch = self._allocate()
        if self._is_shrinking or not self._batch.free:
            return []
        if not self._queue.is_due(len(self._batch.active), self._plan):
            return []
        most = min(self._plan.encoder_batch, self._batch.free)
        taken = self._queue.take(most, was_idle, self._plan)
        sequences, refused = self._sequences_of(taken)
        if not sequences:
            return refused
        try:
            self._fill(sequences)
        except RuntimeError as error:
            if not lacks_memory(error):
                raise
            return refused + self._retreat([each.window for each in sequences])
        self._sequences += sequences
        self._until_trim = self._plan.encoder_spacing
        if not all(each.window.options.is_live for each in sequences):
            is_first = was_idle and sequences[0].window.options.is_streamed
            self._queue.note_encoded(sequences[0] if is_first else None)
        return refused

    def _sequences_of(
        self, windows: abc.Sequence[Window]
    ) -> tuple[list[Sequence], list[WindowResult]]:
        """Return sequences of windows, and results of those that cannot be transcribed."""
        sequences: list[Sequence] = []
        refused = []
        for window in windows:
            try:
                sequences.append(Sequence.of(window, self._checkpoint, self._max_new_tokens))
            except AsrError as error:
                refused.append(WindowResult(window, error=error))
        return sequences, refused

    def _fill(self, sequences: abc.Sequence[Sequence]) -> None:
        """Encode and prefill sequences in free slots."""
        windows, start = [each.window for each in sequences], self._batch.make_room(len(sequences))
        self._encoder.encode(windows, self._batch.windows, start, self._plan.side_by_side)
        self._batch.prefill(sequences, start)

    def _decode(self) -> list[WindowResult]:
        """Decode the next tokens of every sequence; return what is new by then.

        Times of words are waited for only after the launch that follows the end of their
        sequence, because it runs meanwhile.
        """
        try:
            self._batch.decode()
        except RuntimeError as error:
            if not lacks_memory(error):
                raise
            return self._retreat(self._evict())
        self._queue.note_decoded(self._plan.steps)
        self._trim_at_rest()
        results = self._timed()
        results += [result for each in self._batch.collect() for result in self._news(each)]
        return results if self._batch.active else results + self._timed()

    def _trim_at_rest(self) -> None:
        """Give back what was freed, if the encoder will not soon want that again."""
        self._until_trim -= self._plan.steps
        is_wanted = self._queue or not self._batch.free
        if self._until_trim <= 0 and not is_wanted:
            self._trim()

    def _trim(self) -> None:
        """Give back what was freed: of a small model's encoder 70 MB, of its decoder 30."""
        self._until_trim = TRIM_EVERY
        if self._checkpoint.weights.device.type == "cpu":
            self._trim_function(0)

    def _timed(self) -> list[WindowResult]:
        """Return the results whose words were being timed."""
        timed = [each for each in self._sequences if each.status is SequenceStatus.TIMING]
        self._remove(timed)
        return [each.finish() for each in timed]

    def _news(self, sequence: Sequence) -> list[WindowResult]:
        """Return what is new of a sequence: its language, first segments, or its result."""
        window = sequence.window
        if sequence.status is SequenceStatus.ENDED:
            return self._ended(sequence)
        has_language = window.options.language is None and not sequence.is_language_reported
        has_text = window.options.is_streamed and sequence.has_more_to_give(self._checkpoint)
        if not has_language and not has_text:
            return []
        sequence.is_language_reported = True
        detection = sequence.detection(self._checkpoint.vocabulary)
        return [early_result(sequence.attempt(None), window, detection, self._checkpoint)]

    def _ended(self, sequence: Sequence) -> list[WindowResult]:
        """Return the sequence's result, or none yet where its window is decoded again."""
        window, parts = sequence.window, self._checkpoint
        self._remove([sequence])
        sequence.find_lasting(parts)
        try:
            sequence.attempts.append(self._attempt(sequence))
            known = parts.vocabulary, parts.tokenizer
            temperature = fallback_temperature(sequence.attempts, window, *known)
            if temperature is None:
                return self._answer(sequence, self._final(sequence))
            seed = seed_of(window.options, temperature)
            self._sequences.append(self._batch.retry(sequence, temperature, seed))
        except RuntimeError as error:
            if not lacks_memory(error):
                raise
            return self._retreat([window])
        return []

    def _attempt(self, sequence: Sequence) -> Attempt:
        window = sequence.window
        if window.options.timestamps != "word":
            return sequence.attempt(None)
        frames = frames_of(window.seconds)
        return sequence.attempt(self._batch.alignment_inputs(sequence, frames))

    def _final(self, sequence: Sequence) -> PendingResult:
        detection = sequence.detection(self._checkpoint.vocabulary)
        return final_result(sequence.attempts, sequence.window, detection, self._checkpoint)

    def _answer(self, sequence: Sequence, pending: PendingResult) -> list[WindowResult]:
        if pending.timing is None or not self._plan.lookahead:  # no launch is under way
            return [pending.finish()]
        sequence.status, sequence.pending = SequenceStatus.TIMING, pending
        sequence.attempts = []  # their tensors are not needed any more
        self._sequences.append(sequence)
        return []

    def _remove(self, sequences: abc.Iterable[Sequence]) -> None:
        for each in sequences:
            if each.status is SequenceStatus.DECODING:
                self._batch.release(each)
            self._sequences.remove(each)

    def _retreat(self, windows: abc.Sequence[Window]) -> list[WindowResult]:
        """Let windows that lack memory wait for a smaller plan; fail them if there is none."""
        smaller = self._plan.halved()
        if smaller == self._plan:
            error = TranscriptionFailed(
                "out of memory with a single window: the device needs more free memory"
            )
            return [WindowResult(window, error=error) for window in windows]
        log.warning("out of memory: the engine goes on with %s", smaller)
        self._plan = smaller
        self._queue.put_back(windows)
        if self._checkpoint.weights.device.type == "cuda":
            with contextlib.suppress(RuntimeError):  # torch 2.11, where a capture has failed
                torch.cuda.empty_cache()
        return []

    def _evict(self) -> list[Window]:
        """Take the later half of the sequences out of the batch; return their windows."""
        running = [each for each in self._sequences if each.status is SequenceStatus.DECODING]
        evicted = running[len(running) // 2 :]
        self._remove(evicted)
        return [each.window for each in evicted]

    @property
    def _is_shrinking(self) -> bool:
        """Whether the batch is to be allocated anew, smaller, once nothing is decoded."""
        return self._plan.memory != self._batch.plan.memory

    def _allocate(self) -> RunningBatch:
        """Allocate a batch as planned, or a smaller one if memory is lacking."""
        parts = self._checkpoint
        given = parts.weights, parts.rules, parts.vocabulary
        while True:
            try:
                return RunningBatch(ModelRunner.assemble(*given, *self._plan.memory), self._plan)
            except RuntimeError as error:
                if not lacks_memory(error) or self._plan.slots == 1:
                    raise
                self._plan = self._plan.halved()
