"""Whisper's special tokens, and the way from a window's tokens to timed segments."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from transformers.models.whisper.tokenization_whisper import LANGUAGES

from asr.errors import BadRequest
from asr.transcript import Options, Segment

TIME_PRECISION = 0.02  # seconds between neighbouring timestamp tokens


@dataclass(frozen=True)
class Vocabulary:
    """Ids of the special tokens of one checkpoint."""

    start_of_transcript: int
    end_of_text: int
    start_of_previous: int  # opens a prompt
    no_speech: int
    no_timestamps: int
    tasks: Mapping[str, int]  # empty where the model knows English only
    languages: Mapping[str, int]  # code → id; empty where the model knows English only

    @property
    def first_timestamp(self) -> int:
        """The id of `<|0.00|>`; every id from here on is a time."""
        return self.no_timestamps + 1

    @classmethod
    def of(cls, generation_config: Any, tokenizer: Any) -> Vocabulary:
        """Read from a Whisper checkpoint's `generation_config` and `tokenizer`."""
        no_timestamps = int(generation_config.no_timestamps_token_id)
        is_multilingual = bool(getattr(generation_config, "is_multilingual", False))
        languages = getattr(generation_config, "lang_to_id", None) or {}
        tasks = getattr(generation_config, "task_to_id", None) or {}
        return cls(
            start_of_transcript=int(generation_config.decoder_start_token_id),
            end_of_text=int(tokenizer.eos_token_id),
            start_of_previous=int(tokenizer.convert_tokens_to_ids("<|startofprev|>")),
            no_speech=no_timestamps - 1,
            no_timestamps=no_timestamps,
            tasks=dict(tasks) if is_multilingual else {},
            languages={token.strip("<|>"): int(number) for token, number in languages.items()}
            if is_multilingual
            else {},
        )

    @property
    def language_names(self) -> dict[str, str]:
        """Code → English name in lower case, for every language that may be asked."""
        codes = self.languages or {"en": 0}
        return {code: LANGUAGES.get(code, code) for code in codes}

    def opening(self, options: Options, language: str | None) -> list[int]:
        """The tokens that tell the model what to write: language, task, timestamps or none."""
        tokens = [self.start_of_transcript]
        if self.languages:
            if language is None or language not in self.languages:
                raise BadRequest(f"the model does not know the language {language!r}")
            tokens += [self.languages[language], self.tasks[options.task]]
        if options.timestamps == "none":
            tokens.append(self.no_timestamps)
        return tokens


def prompt_tokens(prompt: str, tokenizer: Any, longest: int) -> list[int]:
    """The tokens that tell the model what was said before: at most `longest`, the last ones.

    Raises:
        BadRequest: the prompt holds special tokens.
    """
    try:
        first, *rest = tokenizer.get_prompt_ids(prompt).tolist()
    except ValueError as error:
        raise BadRequest(f"the prompt cannot be used: {error}") from error
    return [first, *rest[-(longest - 1) :]]


def segments(
    tokens: Sequence[int], vocabulary: Vocabulary, tokenizer: Any, seconds: float
) -> tuple[Segment, ...]:
    """Part one window's tokens at its timestamps; no text is lost, times or not.

    Args:
        tokens: what the model wrote after the opening, end of text included or not.
        seconds: length of the window; text that no timestamp closes ends there.

    Text before the first timestamp begins at 0, text after a closed segment where that ended.
    """
    found: list[Segment] = []
    text: list[int] = []
    start = 0.0
    for token in tokens:
        if token == vocabulary.end_of_text:
            break
        if token < vocabulary.first_timestamp:
            text.append(token)
            continue
        time = min((token - vocabulary.first_timestamp) * TIME_PRECISION, seconds)
        if text:
            found.extend(_segment(text, start, time, tokenizer))
            text = []
        start = max(start, time)
    if text:
        found.extend(_segment(text, start, seconds, tokenizer))
    return tuple(found)


def _segment(text: list[int], start: float, end: float, tokenizer: Any) -> list[Segment]:
    words = tokenizer.decode(text, skip_special_tokens=True)
    if not words.strip():
        return []
    start = round(start, 2)
    return [Segment(start, max(start, round(end, 2)), words)]
