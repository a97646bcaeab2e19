"""The languages of a session so far: in a short utterance they are likelier than others."""

from __future__ import annotations

from asr.transcript import LanguageDetection

UNSPOKEN = 0.05  # A language that nobody has spoken yet has this weight; all others share 1.
KEPT_SHARE = 0.8  # Each utterance leaves this share of the weight to those before it.


class SessionLanguages:
    """Weighs what is detected in an utterance by what was spoken in those before it.

    Some words are not enough to tell Spanish from Portuguese; who spoke Spanish goes on with it.
    """

    def __init__(self) -> None:
        self._seconds: dict[str, float] = {}  # of each language; older utterances count for less

    def judge(self, detection: LanguageDetection) -> LanguageDetection:
        """Weigh a detection; return the likeliest language, with the weighed probabilities."""
        total = sum(self._seconds.values())
        if not detection.probabilities or not total:
            return detection
        weighed = {
            code: probability * (UNSPOKEN + self._seconds.get(code, 0.0) / total)
            for code, probability in detection.probabilities.items()
        }
        together = sum(weighed.values()) or 1.0
        probabilities = {code: weight / together for code, weight in weighed.items()}
        language = max(probabilities, key=lambda code: probabilities[code])
        return LanguageDetection(language, probabilities)

    def add(self, language: str | None, seconds: float) -> None:
        """Count an utterance of so many seconds."""
        if language is not None:
            kept = {code: KEPT_SHARE * length for code, length in self._seconds.items()}
            self._seconds = {**kept, language: kept.get(language, 0.0) + seconds}
