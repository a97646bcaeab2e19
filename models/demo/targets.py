"""What the model should answer for a window: tokens, guides and frame classes."""

import random
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from transformers import WhisperTokenizer

from models.demo.lexicon import listed
from models.demo.tokens import TIMESTAMP_STEP, TIMESTAMPS
from models.demo.windows import Placed, Window
from models.demo.world import draw, plain_words

IGNORED = -100
POSITION = 0.02  # seconds of an encoder position
SLACK = 0.15  # seconds around a timestamp where its attention may lie

Span = tuple[float, float] | None


@dataclass(frozen=True)
class Target:
    """Teacher forcing of one window; all lists have one entry per input token."""

    tokens: list[int]  # what the decoder is given
    labels: list[int]  # what it should say next, or IGNORED
    guides: list[Span]  # seconds of the window where the label is spoken
    words: npt.NDArray[np.int64]  # [positions] class of the word spoken, 0 for none
    phonemes: npt.NDArray[np.int64]  # [positions] class of the phoneme, 0 for none


@dataclass
class Writer:
    """Writes targets with the tokenizer's numbers."""

    tokenizer: WhisperTokenizer
    word_classes: dict[str, int]
    phoneme_classes: dict[str, int]
    rng: random.Random
    untimed: float = 0.4  # share of windows without timestamps

    def __post_init__(self) -> None:
        names = [f"<|{name}|>" for name in _NAMES]
        numbers = self.tokenizer.convert_tokens_to_ids(names)
        self._special = dict(zip(_NAMES, numbers, strict=True))
        self._pieces: dict[str, list[int]] = {}

    def write(self, window: Window, seconds: int, offset: int) -> Target:
        """Targets of a window whose first encoder position is `offset`."""
        special, rng = self._special, self.rng
        translates = rng.random() < (0.45 if window.language == "es" else 0.04)
        timed = rng.random() >= self.untimed
        placed = window.placed
        if any(item.cut_start for item in placed) or (not timed and any(p.cut_end for p in placed)):
            translates = False
        prompt = self._prompt(window.language) if rng.random() < 0.15 else []
        head = [special["startoftranscript"], special[window.language]]
        head.append(special["translate" if translates else "transcribe"])
        body: list[tuple[int, Span]] = []
        if timed and not placed:
            body.append((self._timestamp(0.0, offset), None))
        for item in placed:
            body.extend(self._segment(item, seconds, offset, timed, translates))
        body.append((special["endoftext"], None))
        labels = [IGNORED] * len(prompt)
        labels.append(head[1] if placed else special["nospeech"])
        labels.append(IGNORED if translates else head[2])
        if not timed:
            head.append(special["notimestamps"])
            labels.append(IGNORED)
        tokens = [*prompt, *head, *(token for token, _ in body[:-1])]
        labels.extend(token for token, _ in body)
        guides: list[Span] = [None for _ in range(len(tokens) - len(body))]
        guides.extend(span for _, span in body)
        return Target(tokens, labels, guides, *self._frames(placed, seconds))

    def _segment(
        self, item: Placed, seconds: int, offset: int, timed: bool, translates: bool
    ) -> list[tuple[int, Span]]:
        """Tokens of one sentence; cut at the end it is its start time alone."""
        if not item.words and not (timed and item.cut_end and not item.cut_start):
            return []
        start = max(item.start, 0.0)
        if item.cut_start and item.words[0][1] > 0.3:
            start = item.words[0][1]
        opening = (self._timestamp(start, offset), (start - SLACK, start + SLACK))
        if timed and item.cut_end:
            return [opening]
        end = min(item.end, float(seconds))
        closing = (self._timestamp(end, offset), (end - SLACK, end + SLACK))
        text: list[tuple[int, Span]] = []
        if translates:
            text.extend((token, None) for token in self._encode(item.translation))
        else:
            for word, begin, finish in item.words:
                text.extend((token, (begin, finish)) for token in self._encode(word))
        return [opening, *text, closing] if timed else text

    def _prompt(self, language: str) -> list[int]:
        """Text said before, with its times now and then, or a list of words."""
        rng = self.rng
        texts = [draw(rng, language, held_out=False).text for _ in range(rng.randrange(1, 7))]
        prompt = [self._special["startofprev"]]
        style = rng.random()
        if style < 0.2:
            words = [word for text in texts for word in plain_words(text)]
            return prompt + self._encode(", ".join(rng.sample(words, min(len(words), 8))))
        time = 0.0
        for text in texts:
            pieces = self._encode(text)
            if style < 0.45:
                end = min(time + rng.uniform(1.5, 4), 29.0)
                pieces = [self._timestamp(time, 0), *pieces, self._timestamp(end, 0)]
                time = end + rng.uniform(0.1, 0.6)
            prompt.extend(pieces)
        return prompt

    def _encode(self, text: str) -> list[int]:
        tokens = []
        for word in text.split():
            if word not in self._pieces:
                encoded = self.tokenizer(" " + word, add_special_tokens=False)
                self._pieces[word] = encoded.input_ids
            tokens.extend(self._pieces[word])
        return tokens

    def _timestamp(self, seconds: float, offset: int) -> int:
        step = round(seconds / TIMESTAMP_STEP) + offset
        return int(self._special["0.00"]) + min(max(step, 0), TIMESTAMPS - 1)

    def _frames(
        self, placed: tuple[Placed, ...], seconds: int
    ) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        positions = round(seconds / POSITION)
        words = np.zeros(positions, np.int64)
        phonemes = np.zeros(positions, np.int64)
        for item in placed:
            for word, begin, end in item.utterance.words:
                where = _between(item.start + begin, item.start + end)
                words[where] = self.word_classes[plain_words(word)[0]]
            for name, begin, end in item.utterance.phonemes:
                where = _between(item.start + begin, item.start + end)
                phonemes[where] = self.phoneme_classes.get(name, 0)
        return words, phonemes


_NAMES = listed(
    "endoftext startoftranscript en es translate transcribe startofprev nospeech notimestamps 0.00"
)


def _between(start: float, end: float) -> slice:
    return slice(max(round(start / POSITION), 0), max(round(end / POSITION), 0))
