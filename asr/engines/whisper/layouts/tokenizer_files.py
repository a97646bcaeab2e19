"""Make a Whisper tokenizer of the tokens that a checkpoint has inside, or of a file beside it."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from transformers import WhisperTokenizer

from asr.config.parsers import has_file
from asr.engines.model_files import TOKENIZER_FILE, UnusableFile
from asr.engines.whisper.decoding.tokens import BYTES
from asr.engines.whisper.generation_settings import token_id
from asr.engines.whisper.layouts.published import END_OF_TEXT, TEXT_TOKENS, TIMESTAMPS, specials

LETTERS = {byte: letter for letter, [byte] in BYTES.items()}  # of GPT-2's byte-level alphabet
LISTS = ("vocabulary.json", "vocabulary.txt")  # CTranslate2 lists all tokens in one of these.
RANKS = "*.tiktoken"  # openai/whisper has the tokens of text in files of such names.
OLD_FILES = ("vocab.json", "merges.txt")  # Older models have both, and no tokenizer.json.
FIRST_TIME = "<|0.00|>"  # The times begin with this.


def name_in(directory: Path, vocabulary: int) -> str | None:
    """Return the name of a directory's file with the tokenizer, or None where it has none."""
    if has_file(directory, TOKENIZER_FILE):
        return TOKENIZER_FILE
    if all(has_file(directory, name) for name in OLD_FILES):
        return OLD_FILES[0]
    for name in LISTS:
        if has_file(directory, name):
            return name
    for path in sorted(directory.glob(RANKS)):
        count = len(path.read_bytes().splitlines())
        if specials(vocabulary, count) is not None:
            return path.name
    return None


def read(path: Path, vocabulary: int) -> Any:
    """Read the tokenizer of a model with so many tokens from one of the files of `name_in`.

    Raises:
        UnusableFile: it is damaged, or another model's.
    """
    if path.name in LISTS:
        return of_spellings(_listed(path), vocabulary)
    if path.match(RANKS):
        return of_bytes(_ranked(path), vocabulary)
    tokenizer = WhisperTokenizer.from_pretrained(str(path.parent))
    check(tokenizer, vocabulary)
    return tokenizer


def check(tokenizer: Any, vocabulary: int) -> None:
    """Check that a tokenizer numbers the tokens as OpenAI's models of this size do.

    Raises:
        UnusableFile: it is another model's.
    """
    expected = vocabulary - TIMESTAMPS - 1
    found = token_id(tokenizer, "<|notimestamps|>")
    if vocabulary in TEXT_TOKENS and found != expected:
        raise UnusableFile(
            f"is not this model's: <|notimestamps|> is token {found}, and {expected} is needed",
            "put the tokenizer of the same model there",
        )


def of_bytes(tokens: Sequence[bytes], vocabulary: int) -> Any:
    """Make a tokenizer of the bytes of each token, in order; special ones may follow the text.

    Raises:
        UnusableFile: they are not the tokens of a model with so many.
    """
    return of_spellings(
        ["".join(LETTERS[byte] for byte in token) for token in tokens],
        vocabulary,
    )


def of_spellings(tokens: Sequence[str], vocabulary: int) -> Any:
    """Make a tokenizer of tokens in the byte-level alphabet, as `of_bytes`."""
    count = tokens.index(END_OF_TEXT) if END_OF_TEXT in tokens else len(tokens)
    text, named = tokens[:count], list(tokens[count:])
    marks = named[: named.index(FIRST_TIME)] if FIRST_TIME in named else named
    published = specials(vocabulary, count)
    if len(marks) < 2:  # the special tokens have no names here, or the end of text alone
        if published is None:
            raise UnusableFile(
                f"has {count} tokens of text, which does not fit a vocabulary of {vocabulary}",
                "put the tokenizer of the same model there",
            )
        marks = published
    if len({*text, *marks}) != count + len(marks):
        raise UnusableFile("has the same token twice")
    return _made(text, marks)


def _made(text: Sequence[str], marks: Sequence[str]) -> Any:
    """Make a byte-level BPE tokenizer; the first mark is the end of text."""
    numbers = {token: number for number, token in enumerate([*text, marks[0]])}
    tokenizer = WhisperTokenizer(vocab=numbers, merges=merges(text, numbers), pad_token=END_OF_TEXT)
    tokenizer.add_special_tokens({"additional_special_tokens": list(marks[1:])})
    tokenizer.set_prefix_tokens()  # again, now that its tokens exist
    return tokenizer


def merges(text: Iterable[str], numbers: dict[str, int]) -> list[tuple[str, str]]:
    """Derive what byte-pair encoding merges, the earliest first, from the order of the tokens.

    Every token that two others make is merged of them, as tiktoken does, which has no list either.
    """
    return [
        (token[:middle], token[middle:])
        for token in text
        for middle in range(1, len(token))
        if token[:middle] in numbers and token[middle:] in numbers
    ]


def _listed(path: Path) -> list[str]:
    """Read a list of tokens, as JSON or one in each line."""
    content = path.read_text(encoding="utf-8")
    tokens = json.loads(content) if path.suffix == ".json" else content.split("\n")
    if not isinstance(tokens, list) or not all(isinstance(token, str) for token in tokens):
        raise UnusableFile("is not a list of tokens")
    return tokens[:-1] if path.suffix == ".txt" and tokens[-1:] == [""] else tokens


def _ranked(path: Path) -> list[bytes]:
    """Read a file of lines with a token in base64 and its number."""
    try:
        lines = [line.split() for line in path.read_text(encoding="ascii").splitlines() if line]
        ranks = {int(rank): base64.b64decode(token) for token, rank in lines}
    except (ValueError, binascii.Error) as error:
        raise UnusableFile("is not a list of tokens with their ranks") from error
    if sorted(ranks) != list(range(len(ranks))):
        raise UnusableFile("has ranks that do not follow each other")
    return [ranks[number] for number in range(len(ranks))]
