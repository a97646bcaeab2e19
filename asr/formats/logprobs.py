"""Tokens with their probabilities, beside the text that they make up."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from asr.transcript import Segment, TokenLogprob

LEAST_LOGPROB = -9999.0  # OpenAI's word for: impossible; JSON has no infinity

Json = dict[str, Any]


class Logprobs:
    """Hands out the tokens of segments for one piece of their text after the other."""

    def __init__(self) -> None:
        self._held: list[TokenLogprob] = []

    def push(self, segment: Segment) -> None:
        self._held += segment.pieces

    def take(self, text: str) -> list[Json]:
        """The tokens whose bytes joined are `text`, the next there is; white space before it goes.

        Where the model wrote bytes that are no letters, its tokens are not its text: then all.
        """
        if not text:
            return []
        wanted = text.encode()
        start = b"".join(piece.data for piece in self._held).find(wanted)
        if start < 0:
            taken, self._held = self._held, []
        else:
            end = start + len(wanted)
            taken = between(self._held, start, end)
            self._held = between(self._held, end, None)
        return [_shown(piece) for piece in taken]


def between(pieces: Sequence[TokenLogprob], start: int, end: int | None) -> list[TokenLogprob]:
    """The tokens between the bytes `start` and `end` of all; a token there may be parted."""
    found, place = [], 0
    for piece in pieces:
        length = len(piece.data)
        last = length if end is None else min(length, end - place)
        if data := piece.data[max(0, start - place) : max(0, last)]:
            found.append(TokenLogprob(data, piece.logprob))
        place += length
    return found


def _shown(piece: TokenLogprob) -> Json:
    return {
        "token": piece.data.decode("utf-8", "replace"),
        "logprob": max(piece.logprob, LEAST_LOGPROB),
        "bytes": list(piece.data),
    }
