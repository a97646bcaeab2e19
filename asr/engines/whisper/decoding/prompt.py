"""The prompt of a window: the names to be known, and the end of the text before it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from asr.options import Options
from asr.vocabulary import HEADING

VOCABULARY_SHARE = Fraction(3, 4)  # The text before a window keeps the rest of its prompt.


@dataclass(frozen=True)
class Prompt:
    """What stands before the start of the transcript."""

    tokens: tuple[int, ...] = ()  # none, or the start of the previous text and what follows it
    left_out: tuple[str, ...] = ()  # names that it has no room for

    @classmethod
    def of(cls, options: Options, tokenizer: Any, positions: int) -> Prompt:
        """Return the prompt of a window with these options: its vocabulary, and then its text.

        The names stand in each window's prompt, as far as they have room together; of the text
        the end stays. Without a heading and a full stop, the model goes on with the list, and
        with the letters of its last name. What looks like a special token is text.

        Args:
            positions: of the decoder; the prompt has less than half of them, as in openai/whisper.
        """
        if not options.prompt and not options.vocabulary:
            return cls()
        room = positions // 2 - 2  # beside the start of the previous text
        names, left_out = _names(options.vocabulary, tokenizer, int(room * VOCABULARY_SHARE))
        start, *text = _text(options.prompt or "", tokenizer)
        kept = text[max(0, len(text) - room + len(names)) :]
        return cls((start, *names, *kept), left_out)


def _text(prompt: str, tokenizer: Any) -> list[int]:
    """Return the start of the previous text and the tokens of a prompt."""
    tokens: list[int] = tokenizer.get_prompt_ids(_plain(prompt)).tolist()
    return tokens if prompt.strip() else tokens[:1]


def _names(
    vocabulary: Sequence[str], tokenizer: Any, room: int
) -> tuple[list[int], tuple[str, ...]]:
    """Return the tokens of as many names as have room, and the other names."""
    tokens: list[int] = []
    left_out, before = list[str](), f" {HEADING}: "
    for name in vocabulary:
        own = tokenizer(before + _plain(name), add_special_tokens=False).input_ids
        if len(tokens) + len(own) >= room:  # the full stop has room, too
            left_out.append(name)
            continue
        tokens += own
        before = ", "
    end = tokenizer(".", add_special_tokens=False).input_ids if tokens else []
    return tokens + end, tuple(left_out)


def _plain(text: str) -> str:
    """The text in which no token is a special one, such as `<|endoftext|>`."""
    return text.replace("<|", "< |")
