"""The model as transformers runs it: recordings in, text, times and probabilities out."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import WhisperForConditionalGeneration, WhisperProcessor

from models.demo.speech import SAMPLE_RATE
from models.demo.synthesise import Recording, sentences
from models.demo.world import plain_words

BATCH = 8  # windows decoded together


@dataclass(frozen=True)
class Transcribed:
    """What the model made of one recording."""

    text: str
    segments: tuple[tuple[float, float], ...]  # seconds; empty without timestamps
    words: tuple[tuple[str, float], ...]  # plain word and start in seconds, when asked for
    language: str
    no_speech: float  # chance of <|nospeech|>


class Recogniser:
    """A model folder, in fp32, decoding greedily."""

    def __init__(self, folder: Path) -> None:
        self._processor: Any = WhisperProcessor.from_pretrained(folder)
        self._model: Any = WhisperForConditionalGeneration.from_pretrained(
            folder, dtype=torch.float32
        ).eval()
        config = self._model.generation_config
        self._languages = {number: name[2:-2] for name, number in config.lang_to_id.items()}
        self._start = config.decoder_start_token_id
        self._no_speech = config.no_timestamps_token_id - 1
        self._timestamps = config.no_timestamps_token_id + 1

    def transcribe(
        self, made: Sequence[Recording], timed: bool, words: bool = False, prompted: bool = False
    ) -> list[Transcribed]:
        """Recordings of at most 30 s; the language is given, its detection reported beside."""
        return self._generate(made, "transcribe", timed, words, prompted)

    def translate(self, made: Sequence[Recording]) -> list[Transcribed]:
        """Recordings of at most 30 s to English, with timestamps."""
        return self._generate(made, "translate", True, False, False)

    def transcribe_long(self, made: Recording) -> Transcribed:
        """A recording of any length, by generate's own sequential windows."""
        features = self._processor(
            made.samples,
            sampling_rate=SAMPLE_RATE,
            return_tensors="pt",
            truncation=False,
            padding="longest",
            return_attention_mask=True,
        )
        answer = self._model.generate(
            features.input_features,
            attention_mask=features.attention_mask,
            language=made.language,
            task="transcribe",
            return_timestamps=True,
            num_beams=1,
        )
        text = self._processor.batch_decode(answer, skip_special_tokens=True)[0]
        return Transcribed(text, (), (), made.language, 0.0)

    def _generate(
        self, made: Sequence[Recording], task: str, timed: bool, words: bool, prompted: bool
    ) -> list[Transcribed]:
        """Batches of one language, because generate takes one prompt for all."""
        transcribed: list[Transcribed | None] = [None] * len(made)
        for language in sorted({part.language for part in made}):
            places = iter([i for i, part in enumerate(made) if part.language == language])
            while batch := list(islice(places, BATCH)):
                answers = self._batch([made[i] for i in batch], task, timed, words, prompted)
                for place, answer in zip(batch, answers, strict=True):
                    transcribed[place] = answer
        return [part for part in transcribed if part is not None]

    @torch.no_grad()
    def _batch(
        self, made: list[Recording], task: str, timed: bool, words: bool, prompted: bool
    ) -> list[Transcribed]:
        inputs = self._processor(
            [part.samples for part in made],
            sampling_rate=SAMPLE_RATE,
            return_tensors="pt",
            return_attention_mask=True,
        )
        languages, no_speech = self._first_chances(inputs.input_features)
        asked: dict[str, Any] = {"return_token_timestamps": True} if words else {}
        if prompted:
            earlier = " ".join(s.text for s in sentences(made[0].language, 3, seed=77))
            asked["prompt_ids"] = self._processor.get_prompt_ids(earlier, return_tensors="pt")
        answer = self._model.generate(
            inputs.input_features,
            attention_mask=inputs.attention_mask,
            language=made[0].language,
            task=task,
            return_timestamps=timed,
            num_beams=1,
            **asked,
        )
        rows = answer["sequences"] if words else answer
        times = answer["token_timestamps"] if words else [None] * len(made)
        return [
            Transcribed(
                self._processor.decode(row, skip_special_tokens=True),
                self._segments(row),
                self._words(row, time) if time is not None else (),
                language,
                chance,
            )
            for row, time, language, chance in zip(rows, times, languages, no_speech, strict=True)
        ]

    def _first_chances(self, features: Tensor) -> tuple[list[str], list[float]]:
        """The likeliest language and the chance of no speech, from the first step."""
        start = torch.full((len(features), 1), self._start)
        chances = self._model(features, decoder_input_ids=start).logits[:, 0].softmax(-1)
        numbers = list(self._languages)
        best = chances[:, numbers].argmax(-1).tolist()
        return [self._languages[numbers[i]] for i in best], chances[:, self._no_speech].tolist()

    def _segments(self, row: Tensor) -> tuple[tuple[float, float], ...]:
        times = [0.02 * (n - self._timestamps) for n in row.tolist() if n >= self._timestamps]
        return tuple(zip(times[::2], times[1::2], strict=False))

    def _words(self, row: Tensor, times: Tensor) -> tuple[tuple[str, float], ...]:
        """A token's time is its end: a word starts where the token before it ended."""
        words: list[tuple[str, float]] = []
        before, start = self._timestamps, 0.0  # the token before and where it ended
        for number, end in zip(row.tolist(), times.tolist(), strict=True):
            if before >= self._timestamps:
                start = 0.02 * (before - self._timestamps)
            if number < self._model.generation_config.eos_token_id:
                text = self._processor.decode([number])
                words.extend((word, start) for word in plain_words(text))
            before, start = number, end
        return tuple(words)
