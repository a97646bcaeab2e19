"""CTC and other models, through the pipeline that Transformers chooses for them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from transformers import AutoConfig, AutoFeatureExtractor, AutoTokenizer
from transformers import pipeline as transformers_pipeline

from asr.capabilities import EngineInfo
from asr.config.config import Config
from asr.config.setting import MODEL_FILE
from asr.engines.engine import Window, WindowResult
from asr.engines.hardware import Hardware
from asr.engines.model_files import FEATURES_FILE, TOKENIZER_FILE, reading
from asr.engines.pipeline.weights import loaded, writer
from asr.options import Options
from asr.pcm import SAMPLE_RATE
from asr.transcript import LanguageDetection, Segment, Word

SHORTEST_SECONDS = 0.5  # Shorter windows are padded: models with strided convolutions refuse them.


class OtherModel:
    """CTC and other models through the Transformers pipeline."""

    def __init__(self, config: Config, hardware: Hardware) -> None:
        self._pipeline = _pipeline(config, hardware)
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

    def detect(self, windows: Sequence[Window]) -> list[LanguageDetection]:
        return [LanguageDetection()] * len(windows)

    def transcribe(self, windows: Sequence[Window], options: Options) -> list[WindowResult]:
        inputs = [{"raw": _padded(window), "sampling_rate": SAMPLE_RATE} for window in windows]
        with torch.inference_mode():
            answers = self._pipeline(inputs, batch_size=len(inputs), **self._arguments(options))
        return [
            WindowResult(window, _segments(answer, window))
            for answer, window in zip(answers, windows, strict=True)
        ]

    def _arguments(self, options: Options) -> dict[str, Any]:
        if self._is_ctc:
            return {"return_timestamps": "word"}
        generation: dict[str, Any] = {"num_beams": 1, "do_sample": options.temperature > 0}
        if options.temperature > 0:
            generation["temperature"] = options.temperature
        limits = [limit for limit in (self._max_new_tokens, options.max_new_tokens) if limit]
        if limits:
            generation["max_new_tokens"] = min(limits)
        return {"generate_kwargs": generation}


def _pipeline(config: Config, hardware: Hardware) -> Any:
    """Load each part of a pipeline by itself, so that an error can name the part's file."""
    place, where = config.model_path, {"cache_dir": config.cache_dir}
    with reading(config, MODEL_FILE):
        model_class = writer(config, AutoConfig.from_pretrained(place, **where))
    with reading(config, FEATURES_FILE):
        extractor = AutoFeatureExtractor.from_pretrained(place, **where)
    with reading(config, TOKENIZER_FILE):
        tokenizer = AutoTokenizer.from_pretrained(place, **where)
    return transformers_pipeline(
        "automatic-speech-recognition",
        model=loaded(model_class, config, dtype=hardware.dtype),
        tokenizer=tokenizer,
        feature_extractor=extractor,
        device=hardware.device,
    )


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
