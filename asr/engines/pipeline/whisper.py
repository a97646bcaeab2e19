"""Whisper through Transformers' own `generate`, with logprobs, fallback and word times."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from functools import partial
from typing import Any

import torch
from transformers import WhisperForConditionalGeneration

from asr.capabilities import EngineInfo
from asr.config.config import Config
from asr.engines.engine import Window, WindowResult
from asr.engines.hardware import Hardware
from asr.engines.loudness import audible
from asr.engines.model_files import reading
from asr.engines.model_layout import TRANSFORMERS, CheckpointLayout, ModelSource
from asr.engines.pipeline.text_stop import TextStop
from asr.engines.pipeline.weights import filled, loaded
from asr.engines.whisper.compatibility import check_tokens
from asr.engines.whisper.decoding.attempt import Attempt, fallback_temperature
from asr.engines.whisper.decoding.logits import choose
from asr.engines.whisper.decoding.loops import most_tokens
from asr.engines.whisper.decoding.prompt import Prompt
from asr.engines.whisper.decoding.sampling import SamplingState, seed_of
from asr.engines.whisper.decoding.tokens import ENGLISH_ONLY, Vocabulary
from asr.engines.whisper.layouts.describe import describe
from asr.engines.whisper.layouts.description import Description
from asr.engines.whisper.model.alignment import AlignmentInputs, frames_of, heads_of
from asr.engines.whisper.result import best_result
from asr.options import Options
from asr.pcm import SAMPLE_RATE
from asr.transcript import LanguageDetection


class WhisperModel:
    """Transcribes batches of windows with `generate`, one pass for each attempt."""

    def __init__(
        self, config: Config, hardware: Hardware, source: ModelSource = TRANSFORMERS
    ) -> None:
        said = describe(config, source)
        self._extractor, self._tokenizer = said.extractor, said.tokenizer
        self._model = _model(config, hardware, source, said).to(hardware.device)
        self._model.generation_config = said.generation
        self._model.eval()
        self._device = hardware.device
        self._dtype = hardware.dtype
        self._max_new_tokens = config.max_new_tokens
        with reading(config, said.names.generation):
            self._vocabulary = Vocabulary.of(self._model.generation_config, self._tokenizer)
            check_tokens(config, said.settings, self._vocabulary, said.names.generation)
        self.info = EngineInfo(
            model_id=config.model_id,
            engine="pipeline",
            device_name=hardware.device_name,
            hardware=hardware.reason,
            checkpoint=said.written,
            languages=self._vocabulary.language_names,
            can_translate=bool(self._vocabulary.tasks),
            can_prompt=True,
            has_words=True,
            has_logprobs=True,
        )

    def detect(self, windows: Sequence[Window]) -> list[LanguageDetection]:
        known = self._vocabulary.languages
        if not known:
            return [ENGLISH_ONLY] * len(windows)
        opening = torch.full((len(windows), 1), self._vocabulary.start_of_transcript)
        with torch.inference_mode():
            logits = self._model(
                self._features(windows), decoder_input_ids=opening.to(self._device)
            ).logits[:, 0]  # [windows, vocabulary]
        detections = []
        for row, window in zip(logits.float(), windows, strict=True):
            codes = [code for code in window.options.languages if code in known] or list(known)
            softmax = row[[known[code] for code in codes]].softmax(dim=0).tolist()
            probabilities = dict(zip(codes, softmax, strict=True))
            language = max(probabilities, key=probabilities.__getitem__)
            detections.append(LanguageDetection(language, probabilities))
        return detections

    def transcribe(self, windows: Sequence[Window], options: Options) -> list[WindowResult]:
        """Transcribe windows; those with a poor text are decoded again, at a higher temperature."""
        known = self._vocabulary, self._tokenizer
        attempts: dict[Window, list[Attempt]] = {window: [] for window in windows}
        left = dict.fromkeys(windows, options.temperature)
        while left:
            [temperature] = set(left.values())
            batch = list(left)
            decoded = self._decode(batch, options, temperature)
            for window, attempt in zip(batch, decoded, strict=True):
                attempts[window].append(attempt)
            again = {w: fallback_temperature(attempts[w], w, *known) for w in batch}
            left = {window: higher for window, higher in again.items() if higher is not None}
        language, left_out = options.language, self._prompt(options).left_out
        results = (best_result(attempts[w], w, language, *known).finish() for w in windows)
        return [replace(result, left_out=left_out) for result in results]

    def _decode(
        self, windows: Sequence[Window], options: Options, temperature: float
    ) -> list[Attempt]:
        """Decode all windows once."""
        prompt = self._prompt(options).tokens
        opening = self._vocabulary.opening(options, options.language)
        start = len(prompt)
        length = start + len(opening)
        room = self._model.config.max_target_positions - length
        longest = most_tokens(max(window.seconds for window in windows))
        limits = room, self._max_new_tokens, options.max_new_tokens, longest
        multilingual = bool(self._vocabulary.languages)
        seeds = [seed_of(options, temperature) for _ in windows]
        chooser = TokenChooser(temperature, torch.tensor(seeds, device=self._device))
        watches = options.thresholds.compression_ratio is not None
        stop = TextStop(self._vocabulary, length, [window.seconds for window in windows], watches)
        recorder = AttentionRecorder(self._model)
        recording = recorder.recording() if options.timestamps == "word" else nullcontext()
        with torch.inference_mode(), self._no_speech_probs(start) as no_speech_probs, recording:
            output = self._model.generate(
                self._features(windows),
                language=options.language if multilingual else None,
                task=options.task if multilingual else None,
                return_timestamps=options.timestamps != "none",
                prompt_ids=torch.tensor(prompt, device=self._device) if prompt else None,
                num_beams=1,
                do_sample=False,  # the chooser samples
                logits_processor=[chooser],
                stopping_criteria=[stop],
                max_new_tokens=min(limit for limit in limits if limit),
                force_unique_generate_call=True,
            )
        logprobs = torch.stack(chooser.logprobs, dim=1).tolist()  # [windows, tokens]
        attempts = []
        for row, tokens in enumerate(output[:, length:].tolist()):
            end = self._vocabulary.end_of_text  # what follows pads to the longest row's length
            count = tokens.index(end) + 1 if end in tokens else len(tokens)
            count = min(count, most_tokens(windows[row].seconds))
            decoded = tokens[:count], logprobs[row][:count], no_speech_probs[row]
            is_loop = stop.loops(row, tokens[:count])
            frames = frames_of(windows[row].seconds)
            alignment = recorder.inputs(row, range(length - 1, length - 1 + count), frames)
            attempts.append(Attempt(*decoded, temperature, is_loop, alignment))
        return attempts

    @contextmanager
    def _no_speech_probs(self, start: int) -> Iterator[list[float]]:
        """Take each window's no_speech_prob from the logits, which `generate` drops.

        Args:
            start: where the start of transcript stands in the opening.
        """
        no_speech_probs: list[float] = []

        def take(*hooked: Any) -> None:
            if not no_speech_probs:  # [windows, tokens, vocabulary] of the opening come first
                softmax = hooked[2][:, start].float().softmax(dim=1)
                no_speech_probs.extend(softmax[:, self._vocabulary.no_speech].tolist())

        hook = self._model.proj_out.register_forward_hook(take)
        try:
            yield no_speech_probs
        finally:
            hook.remove()

    def _features(self, windows: Sequence[Window]) -> torch.Tensor:
        """Return log-mel features, [windows, mels, frames], of 30 s each."""
        features: torch.Tensor = self._extractor(
            [audible(window.samples) for window in windows],
            sampling_rate=SAMPLE_RATE,
            return_tensors="pt",
        ).input_features
        return features.to(self._device, self._dtype)

    def _prompt(self, options: Options) -> Prompt:
        return Prompt.of(options, self._tokenizer, self._model.config.max_target_positions)


def _model(config: Config, hardware: Hardware, source: ModelSource, said: Description) -> Any:
    """Load the weights; those of Transformers' layout are read by its own code."""
    how = {"dtype": hardware.dtype, "attn_implementation": hardware.attention}
    kind = WhisperForConditionalGeneration
    if getattr(said.settings, "quantization_config", None) is None:  # else the shapes are others
        tensors = said.open_weights(torch.device("cpu"), hardware.dtype)
        if source.layout is not CheckpointLayout.TRANSFORMERS:
            return filled(kind, config, said.settings, tensors, **how)
    return loaded(kind, config, **how)


class AttentionRecorder:
    """Records queries and keys of the alignment heads while `generate` runs.

    They are taken before the attention itself, because that may be any kernel; only these heads'
    are copied into the result.
    """

    def __init__(self, model: Any) -> None:
        config = model.config
        self._size = config.d_model // config.decoder_attention_heads
        self._heads = heads_of(
            model.generation_config, config.decoder_layers, config.decoder_attention_heads
        )
        self._layers = {
            layer: model.model.decoder.layers[layer].encoder_attn for layer, _ in self._heads
        }
        self.queries: dict[int, list[torch.Tensor]] = {}  # by layer: [windows, tokens, width] each
        self.keys: dict[int, torch.Tensor] = {}  # by layer: [windows, frames, width]

    @contextmanager
    def recording(self) -> Iterator[None]:
        hooks = []
        for layer, attention in self._layers.items():
            query, key = partial(self._add_query, layer), partial(self._set_key, layer)
            hooks.append(attention.q_proj.register_forward_hook(query))
            hooks.append(attention.k_proj.register_forward_hook(key))
        try:
            yield
        finally:
            for hook in hooks:
                hook.remove()

    def inputs(self, row: int, positions: range, frames: int) -> AlignmentInputs | None:
        """Return the queries at `positions` of a row and the keys, if they were recorded."""
        if not self.queries:
            return None
        queries, keys = [], []
        for layer, head in self._heads:
            part = slice(head * self._size, (head + 1) * self._size)
            queries.append(torch.cat([query[row, :, part] for query in self.queries[layer]]))
            keys.append(self.keys[layer][row, :frames, part])
        wanted = torch.stack(queries)[:, positions.start : positions.stop]
        return AlignmentInputs(wanted * self._size**-0.5, torch.stack(keys))

    def _add_query(self, layer: int, *hooked: Any) -> None:
        self.queries.setdefault(layer, []).append(hooked[2])

    def _set_key(self, layer: int, *hooked: Any) -> None:
        self.keys.setdefault(layer, hooked[2])


class TokenChooser:
    """The last of `generate`'s processors: chooses each token and keeps its logprob.

    `generate` itself would keep the scores of all tokens for that: gigabytes in a batch.
    """

    def __init__(self, temperature: float, seeds: torch.Tensor) -> None:
        self._temperature = temperature
        self._seeds = seeds  # [rows]
        self.logprobs: list[torch.Tensor] = []  # [rows] of each token

    def __call__(self, written: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        """Choose a token of the scores, [rows, vocabulary], and forbid all others."""
        sampling = None
        if self._temperature:
            temperatures = torch.full(scores.shape[:1], self._temperature, device=scores.device)
            positions = torch.full_like(self._seeds, written.shape[1])
            sampling = SamplingState(temperatures, self._seeds, positions)
        chosen, logprobs = choose(scores.float(), sampling)
        self.logprobs.append(logprobs)
        return torch.full_like(scores, -torch.inf).scatter_(1, chosen[:, None], 0.0)
