"""The Whisper engine: windows of all callers decoded in flight."""

from __future__ import annotations

import contextlib
import logging
from collections import deque
from collections.abc import Sequence

import numpy as np
import torch

from asr.capabilities import EngineInfo
from asr.config import Config
from asr.engines.engine import Window, WindowResult
from asr.engines.whisper import checkpoint as checkpoints
from asr.engines.whisper.batch import Row, RunningBatch
from asr.engines.whisper.capacity import CapacityPlan, lacks_memory, plan
from asr.engines.whisper.checkpoint import Checkpoint
from asr.engines.whisper.decoding.sampling import seed_of
from asr.engines.whisper.model.alignment import AlignmentInputs, frames_of
from asr.engines.whisper.model.features import log_mel
from asr.engines.whisper.model.forward import encode
from asr.engines.whisper.result import Attempt, PendingResult, answer, detection, next_attempt
from asr.engines.whisper.runner import ModelRunner
from asr.errors import AsrError, TranscriptionFailed

log = logging.getLogger(__name__)


def load(
    config: Config, device: str, dtype: torch.dtype, device_name: str, reason: str
) -> WhisperEngine:
    """Load the model of `config`, and plan for the memory that is left.

    Args:
        device: as torch names it.
        device_name: for `EngineInfo`, the GPU's name.
        reason: for `EngineInfo`, why this device and dtype.
    """
    checkpoint = checkpoints.read(config, torch.device(device), dtype)
    planned = plan(checkpoint.weights)
    log.info("planned: %s", planned)
    vocabulary = checkpoint.vocabulary
    info = EngineInfo(
        model_id=config.model_id,
        engine="whisper",
        device_name=device_name,
        hardware=reason,
        languages=vocabulary.language_names,
        can_translate=bool(vocabulary.tasks),
        can_prompt=True,
        has_words=True,
        has_pieces=True,
        longest_window=checkpoint.window_seconds,
    )
    return WhisperEngine(checkpoint, planned, info, config.max_new_tokens)


class WhisperEngine:
    """Keeps as many windows in flight as memory allows, and refills them as they end.

    A step encodes at most one batch of windows and then writes a few tokens of every window in
    flight, so that a short clip waits for at most one encoder batch of a long file.
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
        self._must_shrink = False  # to the plan's memory, as soon as nothing is in flight
        self._waiting: deque[Window] = deque()
        self._windows: dict[Row, Window] = {}  # in flight
        self._told: set[Row] = set()  # rows whose language was reported ahead of the text
        self._drafts: dict[Row, list[Attempt]] = {}  # what was written before and not trusted
        self._unfinished: list[PendingResult] = []  # ended; their words are being timed
        self._since_encoding = 0  # tokens that each row has written
        self._leader: Row | None = None  # a stream's row, the first after idleness
        self._was_idle = True  # before the step in hand: nothing in flight, nothing waiting
        self._flight = self._fitted()

    @property
    def capacity(self) -> int:
        """Windows that can be in flight at once."""
        return self._plan.slots

    def free(self) -> int:
        """No more than the next encoder batch, so that callers' turns are kept outside."""
        if self._must_shrink:
            return 0
        return max(0, min(self._flight.free, self._plan.encoder_batch) - len(self._waiting))

    def held(self) -> int:
        return len(self._waiting) + len(self._windows) + len(self._unfinished)

    def step(self, admitted: Sequence[Window]) -> list[WindowResult]:
        self._was_idle = not self.held()
        self._waiting.extend(admitted)
        with torch.inference_mode():
            results = self._encode()
            for _ in range(self._plan.launches):
                results += self._write()
                if any(result.is_final for result in results):
                    break
        return results

    def drop(self, window: Window) -> None:
        if window in self._waiting:
            self._waiting.remove(window)
        for row in [row for row, held in self._windows.items() if held is window]:
            self._flight.release(row)
            self._forget(row)
        self._unfinished = [one for one in self._unfinished if one.result.window is not window]

    def prepare(self) -> bool:
        """Capture one more shape of launch; whether more are left."""
        return self._flight.prepare()

    def warm_up(self) -> None:
        """Run once what a single request will ask for, or raise why that cannot be heard."""
        for count in {1, self._plan.encoder_batch}:
            quiet = [Window(np.zeros(0, np.float32), start=0.0) for _ in range(count)]
            results = self.step(quiet)
            while self._waiting:  # for want of memory
                results += self.step([])
            if errors := [result.error for result in results if result.error is not None]:
                raise errors[0]
            for window in quiet:
                self.drop(window)

    def _encode(self) -> list[WindowResult]:
        """Take the next batch of waiting windows in flight, where it is time to."""
        if self._must_shrink and not self._windows:
            self._shrink()
        if not self._may_encode():
            return []
        rows, results = self._next_rows()
        if not rows:
            return results
        windows = list(rows.values())
        try:
            encoded = self._encoded(windows)
            self._flight.board(list(rows), encoded)
        except RuntimeError as error:
            if not lacks_memory(error):
                raise
            return results + self._retreat(windows)
        if self._was_idle and windows[0].options.is_streamed:
            self._leader = next(iter(rows))
        self._windows |= rows
        self._since_encoding = 0
        return results

    def _may_encode(self) -> bool:
        if self._must_shrink or not self._waiting or not self._flight.free:
            return False
        if self._leader in self._windows and self._since_encoding < self._plan.head_start:
            return False
        self._leader = None
        has_few = len(self._windows) < self._plan.few_rows
        return has_few or self._since_encoding >= self._plan.encoder_spacing

    def _next_rows(self) -> tuple[dict[Row, Window], list[WindowResult]]:
        """The next encoder batch, and answers for the windows that cannot be heard at all."""
        rows: dict[Row, Window] = {}
        refused = []
        room = min(self._plan.encoder_batch, self._flight.free)
        while self._waiting and len(rows) < room:
            window = self._waiting.popleft()
            try:
                rows[Row.of(window, self._checkpoint, self._max_new_tokens)] = window
            except AsrError as error:
                refused.append(WindowResult(window, error=error))
        return rows, refused

    def _encoded(self, windows: Sequence[Window]) -> torch.Tensor:
        """Encoder output, [windows, frames, width]."""
        weights, settings = self._checkpoint.weights, self._checkpoint.log_mel
        features = log_mel(settings.pad([window.samples for window in windows]), settings)
        return encode(weights.encoder, features.to(weights.dtype))

    def _write(self) -> list[WindowResult]:
        """The next tokens of every row, and what is new by then.

        Words are waited for behind the launch that follows the end of their row: meanwhile it runs.
        """
        try:
            self._flight.launch()
        except RuntimeError as error:
            if not lacks_memory(error):
                raise
            return self._retreat(self._evicted())
        self._since_encoding += self._plan.steps
        results = self._finished()
        results += [result for row in self._flight.land() for result in self._news(row)]
        return results if self._flight.active else results + self._finished()

    def _finished(self) -> list[WindowResult]:
        """The answers whose words were being timed."""
        unfinished, self._unfinished = self._unfinished, []
        return [one.finish() for one in unfinished]

    def _news(self, row: Row) -> list[WindowResult]:
        window = self._windows[row]
        if row.is_done:
            return self._ended(row, window)
        if window.options.language is not None or row in self._told:
            return []
        self._told.add(row)
        heard = detection(row, window, self._checkpoint.vocabulary)
        return [WindowResult(window, (), heard.language, heard.probabilities, is_final=False)]

    def _ended(self, row: Row, window: Window) -> list[WindowResult]:
        """The row's answer, or none yet where its window is written again."""
        drafts, parts = [*self._drafts.get(row, ())], self._checkpoint
        was_told = row in self._told
        self._forget(row)
        try:
            drafts.append(Attempt.of(row, self._heard(row, window)))
            temperature = next_attempt(drafts, window, parts.vocabulary, parts.tokenizer)
            if temperature is None:
                return self._answered(self._final(row, drafts, window))
            fresh = self._flight.again(row, temperature, seed_of(window.options, temperature))
        except RuntimeError as error:
            if not lacks_memory(error):
                raise
            return self._retreat([window])
        self._windows[fresh], self._drafts[fresh] = window, drafts
        if was_told:
            self._told.add(fresh)
        return []

    def _heard(self, row: Row, window: Window) -> AlignmentInputs | None:
        if window.options.timestamps != "word":
            return None
        return self._flight.heard(row, frames_of(window.seconds))

    def _final(self, row: Row, drafts: Sequence[Attempt], window: Window) -> PendingResult:
        found = detection(row, window, self._checkpoint.vocabulary)
        return answer(drafts, found, window, self._checkpoint)

    def _answered(self, found: PendingResult) -> list[WindowResult]:
        if found.timing is None or not self._plan.lookahead:  # no launch is under way
            return [found.finish()]
        self._unfinished.append(found)
        return []

    def _forget(self, row: Row) -> None:
        del self._windows[row]
        self._told.discard(row)
        self._drafts.pop(row, None)

    def _retreat(self, windows: Sequence[Window]) -> list[WindowResult]:
        """Out of memory: try `windows` again with half as many, or give up on the only one."""
        smaller = self._plan.halved()
        if smaller == self._plan:
            error = TranscriptionFailed("out of memory with one window in flight")
            return [WindowResult(window, error=error) for window in windows]
        log.warning("out of memory: %s", smaller)
        self._must_shrink |= smaller.memory != self._plan.memory
        self._plan = smaller
        self._waiting.extendleft(reversed(windows))
        if self._checkpoint.weights.device.type == "cuda":
            with contextlib.suppress(RuntimeError):  # torch 2.11, where a capture has failed
                torch.cuda.empty_cache()
        return []

    def _evicted(self) -> list[Window]:
        """The later half of the rows in flight, which are in flight no more."""
        rows = list(self._windows)[len(self._windows) // 2 :]
        windows = [self._windows[row] for row in rows]
        for row in rows:
            self._flight.release(row)
            self._forget(row)
        return windows

    def _shrink(self) -> None:
        del self._flight  # its memory is wanted
        self._flight = self._fitted()
        self._must_shrink = False

    def _fitted(self) -> RunningBatch:
        """As many slots as planned, or as many as there is memory for."""
        parts = self._checkpoint
        given = parts.weights, parts.rules, parts.vocabulary
        while True:
            try:
                return RunningBatch(ModelRunner.assemble(*given, *self._plan.memory), self._plan)
            except RuntimeError as error:
                if not lacks_memory(error) or self._plan.slots == 1:
                    raise
                self._plan = self._plan.halved()
