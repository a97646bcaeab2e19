"""Word error rate, time errors and shares, from recordings and their transcriptions."""

from collections.abc import Sequence

import jiwer

from models.demo.recogniser import Transcribed
from models.demo.synthesise import Recording
from models.demo.world import plain_words

LOOP = 1.5  # a hypothesis this many times as long as its reference is a runaway loop


def word_error_rate(
    made: Sequence[Recording], transcribed: Sequence[Transcribed], translated: bool = False
) -> float:
    """Per cent, over all words, in lower case and without punctuation."""
    references = [_plain(part.translation if translated else part.text) for part in made]
    return 100 * float(jiwer.wer(references, [_plain(part.text) for part in transcribed]))


def loops(made: Sequence[Recording], transcribed: Sequence[Transcribed]) -> int:
    """How many answers are far longer than what was said."""
    pairs = zip(made, transcribed, strict=True)
    return sum(len(plain_words(answer.text)) > LOOP * len(part.words) + 3 for part, answer in pairs)


def boundary_errors(made: Sequence[Recording], transcribed: Sequence[Transcribed]) -> list[float]:
    """Seconds between the true and the nearest transcribed start and end of every sentence."""
    errors: list[float] = []
    for part, answer in zip(made, transcribed, strict=True):
        for index in (0, 1):
            times = [segment[index] for segment in answer.segments]
            for sentence in part.sentences:
                true = (sentence.start, sentence.end)[index]
                errors.append(min((abs(true - time) for time in times), default=30.0))
    return errors


def word_start_errors(made: Sequence[Recording], transcribed: Sequence[Transcribed]) -> list[float]:
    """Seconds between true and transcribed word starts, in answers with every word right."""
    errors: list[float] = []
    for part, answer in zip(made, transcribed, strict=True):
        if _plain(part.text) == " ".join(word for word, _ in answer.words):
            pairs = zip(part.words, answer.words, strict=True)
            errors.extend(abs(true[1] - start) for true, (_, start) in pairs)
    return errors


def language_share(made: Sequence[Recording], transcribed: Sequence[Transcribed]) -> float:
    """Per cent of the recordings whose language was detected."""
    right = sum(p.language == h.language for p, h in zip(made, transcribed, strict=True))
    return 100 * right / len(made)


def empty_share(transcribed: Sequence[Transcribed]) -> float:
    """Per cent of the answers without any text."""
    return 100 * sum(not part.text.strip() for part in transcribed) / len(transcribed)


def median(errors: Sequence[float], share: float = 0.5) -> float:
    """The value below which `share` of the errors lie; nan when there are none."""
    if not errors:
        return float("nan")
    return sorted(errors)[min(int(share * len(errors)), len(errors) - 1)]


def _plain(text: str) -> str:
    return " ".join(plain_words(text))
