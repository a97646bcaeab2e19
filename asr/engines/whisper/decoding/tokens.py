"""Whisper's special tokens, and the way from a window's tokens to timed segments."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from transformers.models.whisper.tokenization_whisper import LANGUAGES

from asr.errors import BadRequest
from asr.options import Options
from asr.transcript import Segment, TokenLogprob

TIME_PRECISION = 0.02  # seconds between neighbouring timestamp tokens
PLAIN = [*range(33, 127), *range(161, 173), *range(174, 256)]  # bytes written as themselves
OTHERS = [byte for byte in range(256) if byte not in PLAIN]  # from chr(256) on, in order
BYTES = {  # letter of GPT-2's byte-level alphabet → byte
    **{chr(byte): bytes([byte]) for byte in PLAIN},
    **{chr(256 + place): bytes([byte]) for place, byte in enumerate(OTHERS)},
}


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

    def language(self, code: str | None) -> int:
        """The token of a language.

        Raises:
            BadRequest: the model does not know it.
        """
        if code is None or code not in self.languages:
            raise BadRequest(f"the model does not know the language {code!r}")
        return self.languages[code]

    def opening(self, options: Options, language: str | None) -> list[int]:
        """The tokens that tell the model what to write: language, task, timestamps or none."""
        tokens = [self.start_of_transcript]
        if self.languages:
            tokens += [self.language(language), self.tasks[options.task]]
        if options.timestamps == "none":
            tokens.append(self.no_timestamps)
        return tokens


def token_bytes(token: int, tokenizer: Any) -> bytes:
    """What a text token stands for: a piece of UTF-8, not always whole letters."""
    spelling = str(tokenizer.convert_ids_to_tokens(token))
    return b"".join(BYTES.get(letter) or letter.encode() for letter in spelling)


def spelled(text: Sequence[int], tokenizer: Any) -> str:
    """The text of tokens, as it stands."""
    found = tokenizer.decode(text, skip_special_tokens=True, clean_up_tokenization_spaces=False)
    return str(found)


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
    tokens: Sequence[int],
    vocabulary: Vocabulary,
    tokenizer: Any,
    seconds: float,
    likelihoods: Sequence[float] | None = None,
) -> tuple[Segment, ...]:
    """Part one window's tokens at its timestamps; no text is lost, times or not.

    Args:
        tokens: what the model wrote after the opening, end of text included or not.
        seconds: length of the window; text that no timestamp closes ends there.
        likelihoods: the tokens' log-probabilities, where pieces are wanted.

    Text before the first timestamp begins at 0, text after a closed segment where that ended.
    A segment's tokens are its text's and the timestamps that open and close it.
    """
    found = []
    for part, start, end in _parted(tokens, vocabulary, seconds):
        written = tokens[part]
        text = [token for token in written if token < vocabulary.first_timestamp]
        words = spelled(text, tokenizer)
        if not words.strip():
            continue
        pieces = (
            ()
            if likelihoods is None
            else tuple(
                TokenLogprob(token_bytes(token, tokenizer), likelihood)
                for token, likelihood in zip(written, likelihoods[part], strict=True)
                if token < vocabulary.end_of_text
            )
        )
        found.append(Segment(start, end, words, tokens=tuple(written), pieces=pieces))
    return tuple(found)


def unwritten(tokens: Sequence[int], vocabulary: Vocabulary) -> float | None:
    """Seconds, where the model says that somebody speaks whose words it does not write.

    Of a sentence that the window's end cuts off Whisper was taught to write the start alone.
    """
    written = [token for token in tokens if token != vocabulary.end_of_text]
    times = [token - vocabulary.first_timestamp for token in written[-2:]]
    is_open = bool(times) and min(times) >= 0 and (len(times) == 2 or times[0] > 0)
    return round(times[-1] * TIME_PRECISION, 2) if is_open else None


def _parted(
    tokens: Sequence[int], vocabulary: Vocabulary, seconds: float
) -> Iterator[tuple[slice, float, float]]:
    """Each segment's tokens, its start and its end in seconds."""
    first, has_text = 0, False  # of the segment in hand
    start, spoken = 0.0, len(tokens)
    for place, token in enumerate(tokens):
        if token == vocabulary.end_of_text:
            spoken = place
            break
        if token < vocabulary.first_timestamp:
            has_text = True
            continue
        time = min((token - vocabulary.first_timestamp) * TIME_PRECISION, seconds)
        if has_text:
            yield slice(first, place + 1), round(start, 2), max(round(start, 2), round(time, 2))
        first, has_text = (place + 1 if has_text else place), False
        start = max(start, time)
    if has_text:
        yield slice(first, spoken), round(start, 2), max(round(start, 2), round(seconds, 2))
