"""Which words of a growing window stay, whatever follows: those that two hypotheses agree on.

LocalAgreement-2 of Macháček, Dabre and Bojar (Turning Whisper into Real-Time Transcription System,
2023), on words. Where a later hypothesis contradicts the agreed words, these become the decoder's
prefix.
"""

from __future__ import annotations

from collections.abc import Sequence

from asr.text import plain_word
from asr.transcript import Word

LIKELY = 0.5  # A word that a hypothesis finds less probable than this may well change.
UNLIKELY_SECONDS = 1.5  # Such a word is held back until it ends so many seconds before the audio.


class Agreement:
    """The words of one window that are agreed on; its times count from the window's start.

    Args:
        hold_back: words that end so many seconds before the audio's end, or later, may change.
    """

    def __init__(self, hold_back: float) -> None:
        self._hold_back = hold_back
        self.words: list[Word] = []  # that are agreed on
        self.rest: list[Word] = []  # of the last hypothesis, behind those

    @property
    def text(self) -> str:
        return "".join(word.text for word in self.words)

    @property
    def end(self) -> float:
        """Where the last word that is agreed on ends; 0 without any."""
        return self.words[-1].end if self.words else 0.0

    def update(self, words: Sequence[Word], end: float) -> list[Word]:
        """Compare a new hypothesis with the one before; return the words that are now agreed on.

        Args:
            words: those that follow what is agreed on already.
            end: seconds from the start of the window to the end of its audio.
        """
        agreed: list[Word] = []
        for before, word in zip(self.rest, words, strict=False):
            if before.text != word.text or word.end > end - self._held_back(before, word):
                break
            agreed.append(word)
        self.words += agreed
        self.rest = list(words[len(agreed) :])
        return agreed

    def _held_back(self, before: Word, word: Word) -> float:
        """Seconds before the audio's end from which on a word of two hypotheses may change.

        Of a sentence that is cut off, two hypotheses in a row may invent the same end.
        """
        known = [each.probability for each in (before, word) if each.probability is not None]
        is_unlikely = bool(known) and min(known) < LIKELY
        return max(self._hold_back, UNLIKELY_SECONDS) if is_unlikely else self._hold_back

    def contradict(self) -> None:
        """Forget the last hypothesis: the next one has nothing to agree with."""
        self.rest = []


def following(words: Sequence[Word], known: str) -> list[Word] | None:
    """The words behind those of `known`; None where they do not begin with that.

    Only letters and digits count: a sentence goes on where it seemed to end, and what was two
    words may be one.
    """
    letters, place = plain_word(known), 0
    for number, word in enumerate(words):
        if place == len(letters):
            return list(words[number:])
        plain = plain_word(word.text)
        if not letters.startswith(plain, place):
            return None
        place += len(plain)
    return [] if place == len(letters) else None
