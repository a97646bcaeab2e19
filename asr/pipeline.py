"""Every speech recognition model, through Transformers' own generation and pipeline."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, Protocol, TypeVar

import numpy as np
import torch
from transformers import AutoConfig, WhisperForConditionalGeneration, WhisperProcessor
from transformers import pipeline as transformers_pipeline
from transformers.utils import logging as transformers_logging

from asr.audio import SAMPLE_RATE
from asr.config import Config
from asr.hardware import Hardware
from asr.transcript import EngineInfo, Options, Segment, Word
from asr.whisper.tokens import Vocabulary, segments
from asr.windows import Window, WindowResult

log = logging.getLogger(__name__)

Answer = TypeVar("Answer")

SHORTEST_SECONDS = 0.5  # models with strided convolutions refuse less
WARM_UP_SECONDS = 2


class Model(Protocol):
    """Hears a batch of windows that share their options, all in one pass."""

    @property
    def info(self) -> EngineInfo: ...

    def detect(self, windows: Sequence[Window]) -> list[str | None]:
        """The language of each window; None where the model does not say."""
        ...

    def hear(self, windows: Sequence[Window], options: Options) -> list[tuple[Segment, ...]]: ...


def load(config: Config, hardware: Hardware) -> PipelineEngine:
    """Load any model of the task `automatic-speech-recognition` and warm it up."""
    description = AutoConfig.from_pretrained(config.model_path, cache_dir=config.cache_dir)
    transformers_logging.set_verbosity_error()
    make = WhisperModel if description.model_type == "whisper" else OtherModel
    engine = PipelineEngine(make(config, hardware), config.batch_size)
    noise = np.random.default_rng(0).normal(0, 1e-3, WARM_UP_SECONDS * SAMPLE_RATE)
    [result] = engine.step([Window(noise.astype(np.float32), start=0.0)])
    if result.error is not None:
        raise result.error
    return engine


class PipelineEngine:
    """A static engine: a step finishes whatever it was given."""

    def __init__(self, model: Model, batch_size: int) -> None:
        self._model = model
        self._batch_size = batch_size

    @property
    def info(self) -> EngineInfo:
        return self._model.info

    @property
    def capacity(self) -> int:
        return self._batch_size

    def free(self) -> int:
        return self._batch_size

    def held(self) -> int:
        return 0

    def drop(self, window: Window) -> None:
        """Nothing is ever held between steps."""

    def step(self, admitted: Sequence[Window]) -> list[WindowResult]:
        languages = self._languages(admitted)
        batches: dict[tuple[Options, str | None], list[Window]] = {}
        for window, language in zip(admitted, languages, strict=True):
            batches.setdefault((window.options, language), []).append(window)
        results = []
        for (options, language), windows in batches.items():
            results += self._hear(windows, options, language)
        return results

    def _languages(self, windows: Sequence[Window]) -> list[str | None]:
        unknown = [window for window in windows if window.options.language is None]
        found = self._in_parts(unknown, self._model.detect) if unknown else []
        detected = iter(found)
        return [window.options.language or next(detected) for window in windows]

    def _hear(
        self, windows: list[Window], options: Options, language: str | None
    ) -> list[WindowResult]:
        asked = replace(options, language=language)
        try:
            heard = self._in_parts(windows, lambda part: self._model.hear(part, asked))
        except Exception as error:  # one batch's failure is not the engine's, unless CUDA's
            if is_fatal(error):
                raise
            log.exception("a batch of %d windows failed", len(windows))
            return [WindowResult(window, error=error) for window in windows]
        return [
            WindowResult(window, parts, language)
            for window, parts in zip(windows, heard, strict=True)
        ]

    def _in_parts(
        self, windows: Sequence[Window], hear: Callable[[Sequence[Window]], list[Answer]]
    ) -> list[Answer]:
        """Call `hear` with at most a batch at a time; out of memory halves the batch for good."""
        answers: list[Answer] = []
        while len(answers) < len(windows):
            part = windows[len(answers) : len(answers) + self._batch_size]
            try:
                answers += hear(part)
            except torch.OutOfMemoryError:
                if len(part) == 1:
                    raise
                torch.cuda.empty_cache()
                self._batch_size = max(1, len(part) // 2)
                log.warning("out of memory: batches are of %d windows now", self._batch_size)
        return answers


def is_fatal(error: BaseException) -> bool:
    """Whether the GPU cannot be used any more after `error`."""
    if isinstance(error, torch.OutOfMemoryError):
        return False
    return isinstance(error, torch.AcceleratorError) or "CUDA error" in str(error)


class WhisperModel:
    """Whisper through `generate`: greedy, one pass for each window, language given."""

    def __init__(self, config: Config, hardware: Hardware) -> None:
        where: dict[str, Any] = {"cache_dir": config.cache_dir}
        self._processor = WhisperProcessor.from_pretrained(config.model_path, **where)
        self._model = WhisperForConditionalGeneration.from_pretrained(
            config.model_path, dtype=hardware.dtype, attn_implementation=hardware.attention, **where
        ).to(hardware.device)
        self._model.eval()
        self._device = hardware.device
        self._dtype = hardware.dtype
        self._max_new_tokens = config.max_new_tokens
        self._tokenizer = self._processor.tokenizer
        self._vocabulary = Vocabulary.of(self._model.generation_config, self._tokenizer)
        self.info = EngineInfo(
            model_id=config.model_id,
            engine="pipeline",
            device_name=hardware.device_name,
            hardware=hardware.reason,
            languages=self._vocabulary.language_names,
            can_translate=bool(self._vocabulary.tasks),
            can_prompt=True,
        )

    def detect(self, windows: Sequence[Window]) -> list[str | None]:
        if not self._vocabulary.languages:
            return ["en"] * len(windows)
        codes = {number: code for code, number in self._vocabulary.languages.items()}
        with torch.inference_mode():
            found = self._model.detect_language(self._features(windows))
        return [codes[int(number)] for number in found]

    def hear(self, windows: Sequence[Window], options: Options) -> list[tuple[Segment, ...]]:
        prompt = self._prompt(options)
        opening = self._vocabulary.opening(options, options.language)
        length = len(opening) + (0 if prompt is None else len(prompt))
        limit = self._model.config.max_target_positions - length
        multilingual = bool(self._vocabulary.languages)
        with torch.inference_mode():
            written = self._model.generate(
                self._features(windows),
                language=options.language if multilingual else None,
                task=options.task if multilingual else None,
                return_timestamps=options.timestamps != "none",
                prompt_ids=prompt,
                num_beams=1,
                do_sample=options.temperature > 0,
                temperature=options.temperature or None,
                max_new_tokens=min(limit, self._max_new_tokens or limit),
                force_unique_generate_call=True,
            )
        return [
            segments(row[length:].tolist(), self._vocabulary, self._tokenizer, window.seconds)
            for row, window in zip(written, windows, strict=True)
        ]

    def _features(self, windows: Sequence[Window]) -> torch.Tensor:
        """Log-mel features, [windows, mels, frames], of 30 s each."""
        features = self._processor.feature_extractor(
            [window.samples for window in windows],
            sampling_rate=SAMPLE_RATE,
            return_tensors="pt",
        ).input_features
        found: torch.Tensor = features.to(self._device, self._dtype)
        return found

    def _prompt(self, options: Options) -> torch.Tensor | None:
        if not options.prompt:
            return None
        ids = self._tokenizer.get_prompt_ids(options.prompt, return_tensors="pt")
        longest = self._model.config.max_target_positions // 2 - 1
        return torch.cat([ids[:1], ids[1:][-(longest - 1) :]]).to(self._device)


class OtherModel:
    """CTC and other models through the Transformers pipeline."""

    def __init__(self, config: Config, hardware: Hardware) -> None:
        self._pipeline = transformers_pipeline(
            "automatic-speech-recognition",
            model=config.model_path,
            device=hardware.device,
            dtype=hardware.dtype,
            model_kwargs={"cache_dir": config.cache_dir},
        )
        self._is_ctc = self._pipeline.type in {"ctc", "ctc_with_lm"}
        self._max_new_tokens = config.max_new_tokens
        self.info = EngineInfo(
            model_id=config.model_id,
            engine="pipeline",
            device_name=hardware.device_name,
            hardware=hardware.reason,
            has_segments=False,
            has_words=self._is_ctc,
            longest_window=math.inf,
        )

    def detect(self, windows: Sequence[Window]) -> list[str | None]:
        return [None] * len(windows)

    def hear(self, windows: Sequence[Window], options: Options) -> list[tuple[Segment, ...]]:
        inputs = [{"raw": _padded(window), "sampling_rate": SAMPLE_RATE} for window in windows]
        with torch.inference_mode():
            answers = self._pipeline(inputs, batch_size=len(inputs), **self._arguments(options))
        return [_segments(answer, window) for answer, window in zip(answers, windows, strict=True)]

    def _arguments(self, options: Options) -> dict[str, Any]:
        if self._is_ctc:
            return {"return_timestamps": "word"}
        generation: dict[str, Any] = {"num_beams": 1, "do_sample": options.temperature > 0}
        if options.temperature > 0:
            generation["temperature"] = options.temperature
        if self._max_new_tokens is not None:
            generation["max_new_tokens"] = self._max_new_tokens
        return {"generate_kwargs": generation}


def _padded(window: Window) -> np.ndarray[Any, np.dtype[np.float32]]:
    missing = round(SHORTEST_SECONDS * SAMPLE_RATE) - len(window.samples)
    return np.pad(window.samples, (0, max(0, missing)))


def _segments(answer: dict[str, Any], window: Window) -> tuple[Segment, ...]:
    """One segment for the window, from its first word to its last where they are timed."""
    text = answer["text"].strip()
    if not text:
        return ()
    words = tuple(
        Word(
            " " + chunk["text"].strip(),
            min(chunk["timestamp"][0], window.seconds),
            min(chunk["timestamp"][1], window.seconds),
        )
        for chunk in answer.get("chunks", ())
    )
    start = words[0].start if words else 0.0
    end = words[-1].end if words else window.seconds
    return (Segment(start, end, " " + text, words),)
