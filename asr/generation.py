"""Whisper through Transformers' own `generate`, and what it thinks of its text."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from transformers import WhisperForConditionalGeneration, WhisperProcessor

from asr.audio import SAMPLE_RATE
from asr.config import Config
from asr.hardware import Hardware
from asr.transcript import Detection, EngineInfo, Options
from asr.whisper.answer import Draft
from asr.whisper.rules import choose
from asr.whisper.tokens import Vocabulary
from asr.windows import Window, WindowResult


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
            has_pieces=True,
        )

    def detect(self, windows: Sequence[Window]) -> list[Detection]:
        known = self._vocabulary.languages
        if not known:
            return [Detection("en", {"en": 1.0})] * len(windows)
        opening = torch.full((len(windows), 1), self._vocabulary.start_of_transcript)
        with torch.inference_mode():
            logits = self._model(
                self._features(windows), decoder_input_ids=opening.to(self._device)
            ).logits[:, 0]  # [windows, vocabulary]
        found = []
        for row, window in zip(logits.float(), windows, strict=True):
            codes = [code for code in window.options.languages if code in known] or list(known)
            odds = row[[known[code] for code in codes]].softmax(dim=0).tolist()
            chances = dict(zip(codes, odds, strict=True))
            found.append(Detection(max(chances, key=chances.__getitem__), chances))
        return found

    def hear(self, windows: Sequence[Window], options: Options) -> list[WindowResult]:
        return [
            WindowResult(window, draft.segments(window, self._vocabulary, self._tokenizer))
            for window, draft in zip(windows, self._drafts(windows, options), strict=True)
        ]

    def _drafts(self, windows: Sequence[Window], options: Options) -> list[Draft]:
        prompt = self._prompt(options)
        opening = self._vocabulary.opening(options, options.language)
        start = 0 if prompt is None else len(prompt)
        length = start + len(opening)
        limit = self._model.config.max_target_positions - length
        multilingual = bool(self._vocabulary.languages)
        scribe = Scribe(options.temperature)
        with torch.inference_mode(), self._listening(start) as silences:
            written = self._model.generate(
                self._features(windows),
                language=options.language if multilingual else None,
                task=options.task if multilingual else None,
                return_timestamps=options.timestamps != "none",
                prompt_ids=prompt,
                num_beams=1,
                do_sample=False,  # the scribe draws
                logits_processor=[scribe],
                max_new_tokens=min(limit, self._max_new_tokens or limit),
                force_unique_generate_call=True,
            )
        likelihoods = torch.stack(scribe.likelihoods, dim=1).tolist()  # [windows, tokens]
        return [
            self._draft(row, likelihood, silence, options.temperature)
            for row, likelihood, silence in zip(
                written[:, length:].tolist(), likelihoods, silences, strict=True
            )
        ]

    def _draft(
        self, tokens: list[int], likelihoods: list[float], silence: float, temperature: float
    ) -> Draft:
        """One row of a batch, without what pads it to the length of the longest."""
        end = self._vocabulary.end_of_text
        count = tokens.index(end) + 1 if end in tokens else len(tokens)
        return Draft(tokens[:count], likelihoods[:count], silence, temperature)

    @contextmanager
    def _listening(self, start: int) -> Iterator[list[float]]:
        """Takes the probability that nobody speaks from what `generate` computes and drops.

        Args:
            start: where the start of transcript stands in the opening.
        """
        silences: list[float] = []

        def listen(*hooked: Any) -> None:
            if not silences:  # the opening, [windows, tokens, vocabulary]; single tokens follow
                odds = hooked[2][:, start].float().softmax(dim=1)
                silences.extend(odds[:, self._vocabulary.no_speech].tolist())

        hook = self._model.proj_out.register_forward_hook(listen)
        try:
            yield silences
        finally:
            hook.remove()

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


class Scribe:
    """The last of `generate`'s processors: chooses each token and keeps how likely it was.

    What `generate` itself keeps for that is the scores of all tokens: gigabytes in a batch.
    """

    def __init__(self, temperature: float) -> None:
        self._temperature = temperature
        self.likelihoods: list[torch.Tensor] = []  # [rows] of each token

    def __call__(self, _: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        """Leave of the scores, [rows, vocabulary], the token that was chosen."""
        temperatures = None
        if self._temperature:
            temperatures = torch.full(scores.shape[:1], self._temperature, device=scores.device)
        chosen, likelihood = choose(scores.float(), temperatures)
        self.likelihoods.append(likelihood)
        return torch.full_like(scores, -torch.inf).scatter_(1, chosen[:, None], 0.0)
