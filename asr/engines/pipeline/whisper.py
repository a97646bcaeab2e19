"""Whisper through Transformers' own `generate`, and what it thinks of its text."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from functools import partial
from typing import Any

import torch
from transformers import WhisperForConditionalGeneration, WhisperProcessor

from asr.capabilities import EngineInfo
from asr.config import Config
from asr.engines.engine import Window, WindowResult
from asr.engines.hardware import Hardware
from asr.engines.whisper.decoding.fallback import LOOK_EVERY, loops
from asr.engines.whisper.decoding.logits import choose
from asr.engines.whisper.decoding.sampling import SamplingState, seed_of
from asr.engines.whisper.decoding.tokens import Vocabulary
from asr.engines.whisper.model.alignment import AlignmentInputs, frames_of, heads_of
from asr.engines.whisper.result import Attempt, chosen, next_attempt
from asr.options import Options
from asr.pcm import SAMPLE_RATE
from asr.transcript import LanguageDetection


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
            has_words=True,
            has_pieces=True,
        )

    def detect(self, windows: Sequence[Window]) -> list[LanguageDetection]:
        known = self._vocabulary.languages
        if not known:
            return [LanguageDetection("en", {"en": 1.0})] * len(windows)
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
            found.append(LanguageDetection(max(chances, key=chances.__getitem__), chances))
        return found

    def hear(self, windows: Sequence[Window], options: Options) -> list[WindowResult]:
        """The windows' text; those whose text cannot be trusted are written again, they alone."""
        known = self._vocabulary, self._tokenizer
        drafts: dict[Window, list[Attempt]] = {window: [] for window in windows}
        left = dict.fromkeys(windows, options.temperature)
        while left:
            [temperature] = set(left.values())
            asked = list(left)
            for window, draft in zip(asked, self._drafts(asked, options, temperature), strict=True):
                drafts[window].append(draft)
            again = {window: next_attempt(drafts[window], window, *known) for window in asked}
            left = {window: heat for window, heat in again.items() if heat is not None}
        language = options.language
        return [chosen(drafts[window], window, language, *known).finish() for window in windows]

    def _drafts(
        self, windows: Sequence[Window], options: Options, temperature: float
    ) -> list[Attempt]:
        prompt = self._prompt(options)
        opening = self._vocabulary.opening(options, options.language)
        start = 0 if prompt is None else len(prompt)
        length = start + len(opening)
        room = self._model.config.max_target_positions - length
        limits = room, self._max_new_tokens, options.max_new_tokens
        multilingual = bool(self._vocabulary.languages)
        seeds = [seed_of(options, temperature) for _ in windows]
        scribe = TokenChooser(temperature, torch.tensor(seeds, device=self._device))
        watch = None
        if options.thresholds.compression_ratio is not None:
            watch = RepetitionStop(self._vocabulary, length, [window.seconds for window in windows])
        attention = Attention(self._model)
        follow = attention.followed() if options.timestamps == "word" else nullcontext()
        with torch.inference_mode(), self._listening(start) as silences, follow:
            written = self._model.generate(
                self._features(windows),
                language=options.language if multilingual else None,
                task=options.task if multilingual else None,
                return_timestamps=options.timestamps != "none",
                prompt_ids=prompt,
                num_beams=1,
                do_sample=False,  # the scribe draws
                logits_processor=[scribe],
                stopping_criteria=[watch] if watch else None,
                max_new_tokens=min(limit for limit in limits if limit),
                force_unique_generate_call=True,
            )
        likelihoods = torch.stack(scribe.likelihoods, dim=1).tolist()  # [windows, tokens]
        drafts = []
        for row, tokens in enumerate(written[:, length:].tolist()):
            end = self._vocabulary.end_of_text  # what follows pads to the longest row's length
            count = tokens.index(end) + 1 if end in tokens else len(tokens)
            found = tokens[:count], likelihoods[row][:count], silences[row]
            is_loop = bool(watch and watch.loops(row, tokens))
            frames = frames_of(windows[row].seconds)
            heard = attention.of(row, range(length - 1, length - 1 + count), frames)
            drafts.append(Attempt(*found, temperature, is_loop, heard))
        return drafts

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


class Attention:
    """What the heads that follow the speech ask for and hear while `generate` runs.

    Taken before the attention itself: that may be any kernel, and no other head's is kept.
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
    def followed(self) -> Iterator[None]:
        hooks = []
        for layer, attention in self._layers.items():
            ask = partial(self._ask, layer)
            hear = partial(self._hear, layer)
            hooks.append(attention.q_proj.register_forward_hook(ask))
            hooks.append(attention.k_proj.register_forward_hook(hear))
        try:
            yield
        finally:
            for hook in hooks:
                hook.remove()

    def of(self, row: int, positions: range, frames: int) -> AlignmentInputs | None:
        """What was asked at `positions` of a row, if it was followed."""
        if not self.queries:
            return None
        queries, keys = [], []
        for layer, head in self._heads:
            part = slice(head * self._size, (head + 1) * self._size)
            queries.append([asked[row, :, part] for asked in self.queries[layer]])
            keys.append(self.keys[layer][row, :frames, part])
        asked = torch.stack([torch.cat(each) for each in queries])
        asked = asked[:, positions.start : positions.stop]
        return AlignmentInputs(asked * self._size**-0.5, torch.stack(keys))

    def _ask(self, layer: int, *hooked: Any) -> None:
        self.queries.setdefault(layer, []).append(hooked[2])

    def _hear(self, layer: int, *hooked: Any) -> None:
        self.keys.setdefault(layer, hooked[2])


class TokenChooser:
    """The last of `generate`'s processors: chooses each token and keeps how likely it was.

    What `generate` itself keeps for that is the scores of all tokens: gigabytes in a batch.
    """

    def __init__(self, temperature: float, seeds: torch.Tensor) -> None:
        self._temperature = temperature
        self._seeds = seeds  # [rows]
        self.likelihoods: list[torch.Tensor] = []  # [rows] of each token

    def __call__(self, written: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        """Leave of the scores, [rows, vocabulary], the token that was chosen."""
        chance = None
        if self._temperature:
            temperatures = torch.full(scores.shape[:1], self._temperature, device=scores.device)
            positions = torch.full_like(self._seeds, written.shape[1])
            chance = SamplingState(temperatures, self._seeds, positions)
        chosen, likelihood = choose(scores.float(), chance)
        self.likelihoods.append(likelihood)
        return torch.full_like(scores, -torch.inf).scatter_(1, chosen[:, None], 0.0)


class RepetitionStop:
    """A criterion for `generate` to stop the rows that repeat themselves."""

    def __init__(self, vocabulary: Vocabulary, opening: int, seconds: Sequence[float]) -> None:
        self._vocabulary = vocabulary
        self._opening = opening  # tokens
        self._seconds = seconds  # of each row's window

    def __call__(self, written: torch.Tensor, _: object, **__: object) -> torch.Tensor:
        """Which of the rows, [rows, tokens], are to stop."""
        stops = [False] * len(written)
        if (written.shape[1] - self._opening) % LOOK_EVERY == 0:
            rows = enumerate(written[:, self._opening :].tolist())
            stops = [self.loops(row, tokens) for row, tokens in rows]
        return torch.tensor(stops, device=written.device)

    def loops(self, row: int, tokens: Sequence[int]) -> bool:
        return loops(tokens, self._vocabulary, self._seconds[row])
