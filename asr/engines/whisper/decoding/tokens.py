"""Whisper's special tokens, and how a window's tokens become timed segments."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from transformers.models.whisper.tokenization_whisper import LANGUAGES

from asr.errors import BadRequest
from asr.options import Options
from asr.text import quoted
from asr.transcript import LanguageDetection, Segment, TokenLogprob

ENGLISH_ONLY = LanguageDetection("en", {"en": 1.0})  # Models without languages detect this.
TIME_PRECISION = 0.02  # Neighbouring timestamp tokens are so many seconds apart.
PLAIN = [*range(33, 127), *range(161, 173), *range(174, 256)]  # These bytes stay as they are.
OTHERS = [byte for byte in range(256) if byte not in PLAIN]  # These become chr(256) and on.
BYTES = {  # A letter of GPT-2's byte-level alphabet stands for this byte.
    **{chr(byte): bytes([byte]) for byte in PLAIN},
    **{chr(256 + place): bytes([byte]) for place, byte in enumerate(OTHERS)},
}


@dataclass(frozen=True)
class Vocabulary:
    """Ids of the special tokens of one checkpoint."""

    start_of_transcript: int
    end_of_text: int
    start_of_previous: int  # comes before a prompt
    no_speech: int
    no_timestamps: int
    tasks: Mapping[str, int]  # empty where the model knows English only
    languages: Mapping[str, int]  # code → id; empty where the model knows English only
    lengths: Sequence[int] = ()  # bytes of each text token, by id; empty where they are not known

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
            lengths=_lengths(tokenizer),
        )

    @property
    def language_names(self) -> dict[str, str]:
        """Return code → English name in lower case, of every language that may be asked."""
        codes = self.languages or {"en": 0}
        return {code: LANGUAGES.get(code, code) for code in codes}

    def language(self, code: str | None) -> int:
        """Return the token of a language.

        Raises:
            BadRequest: the model does not know it.
        """
        if code is None or code not in self.languages:
            raise BadRequest(f"the model does not know the language {quoted(str(code))}")
        return self.languages[code]

    def bytes_of(self, text: Sequence[int]) -> int:
        """Return how many bytes of UTF-8 the text tokens have, 0 where that is not known."""
        return sum(self.lengths[token] for token in text) if self.lengths else 0

    def opening(self, options: Options, language: str | None) -> list[int]:
        """Return the tokens that set the language, the task, and timestamps or none."""
        tokens = [self.start_of_transcript]
        if self.languages:
            tokens += [self.language(language), self.tasks[options.task]]
        if options.timestamps == "none" or options.prefix is not None:
            tokens.append(self.no_timestamps)
        return tokens


def _lengths(tokenizer: Any) -> tuple[int, ...]:
    """Return the bytes of each text token: a letter of its spelling stands for a byte."""
    spellings = tokenizer.convert_ids_to_tokens(list(range(tokenizer.eos_token_id)))
    return tuple(len(spelling or "") for spelling in spellings)


def token_bytes(token: int, tokenizer: Any) -> bytes:
    """Return the bytes of a text token: UTF-8, not always whole letters."""
    spelling = str(tokenizer.convert_ids_to_tokens(token))
    return b"".join(BYTES.get(letter) or letter.encode() for letter in spelling)


def spelled(text: Sequence[int], tokenizer: Any) -> str:
    """Return the text of tokens, with its spaces."""
    spelling = tokenizer.decode(text, skip_special_tokens=True, clean_up_tokenization_spaces=False)
    return str(spelling)


def prefix_tokens(prefix: str, tokenizer: Any, end_of_text: int, longest: int) -> list[int]:
    """Return the tokens of a prefix, as the model wrote them: its spaces stay.

    Raises:
        BadRequest: the prefix has more than `longest`, or holds special tokens.
    """
    given = tokenizer(prefix, add_special_tokens=False, split_special_tokens=True).input_ids
    tokens = [int(token) for token in given]
    if any(token >= end_of_text for token in tokens):
        raise BadRequest("the prefix cannot be used: it holds special tokens, such as <|0.00|>")
    if len(tokens) > longest:
        raise BadRequest(
            f"the prefix has {len(tokens)} tokens, and the model has room for {longest} before "
            "what follows: send a shorter prefix, or audio that begins later"
        )
    return tokens


def segments(
    tokens: Sequence[int],
    vocabulary: Vocabulary,
    tokenizer: Any,
    seconds: float,
    logprobs: Sequence[float] | None = None,
    spells_tokens: bool = True,
) -> tuple[Segment, ...]:
    """Split one window's tokens into segments at its timestamps; no text is lost.

    Args:
        tokens: what is decoded after the opening, end of text included or not.
        seconds: length of the window; text that no timestamp closes ends there.
        logprobs: of `tokens`; without them no segment has any.
        spells_tokens: whether each token of a segment is wanted with its logprob.

    Text before the first timestamp begins at 0, text after a closed segment where that ended.
    A segment's tokens are its text's and the timestamps that open and close it.
    """
    timed = []
    for part, start, end in _split(tokens, vocabulary, seconds):
        own = tokens[part]  # of the segment
        text = [token for token in own if token < vocabulary.first_timestamp]
        words = spelled(text, tokenizer)
        if not words.strip():
            continue
        rated = [
            (token, logprob)
            for token, logprob in zip(own, (logprobs or ())[part], strict=logprobs is not None)
            if token < vocabulary.end_of_text
        ]
        own_logprob = fmean(logprob for _, logprob in rated) if rated else None
        spelling = tuple(
            TokenLogprob(token_bytes(token, tokenizer), logprob)
            for token, logprob in (rated if spells_tokens else ())
        )
        timed.append(
            Segment(
                start,
                end,
                words,
                tokens=tuple(own),
                own_logprob=own_logprob,
                token_logprobs=spelling,
            )
        )
    return tuple(timed)


def unwritten(tokens: Sequence[int], vocabulary: Vocabulary) -> float | None:
    """Return the start of speech, in seconds, whose text the model leaves out.

    Of a sentence that the window's end cuts off, Whisper was trained to write the start alone.
    """
    tokens = [token for token in tokens if token != vocabulary.end_of_text]
    times = [token - vocabulary.first_timestamp for token in tokens[-2:]]
    is_open = bool(times) and min(times) >= 0 and (len(times) == 2 or times[0] > 0)
    return round(times[-1] * TIME_PRECISION, 2) if is_open else None


def _split(
    tokens: Sequence[int], vocabulary: Vocabulary, seconds: float
) -> Iterator[tuple[slice, float, float]]:
    """Yield each segment's tokens, its start and its end in seconds."""
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
