"""Training windows, mixed on the fly: speech, pauses, noise and every target."""

import math
import random
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from models.demo.espeak import Espeak
from models.demo.speech import SAMPLE_RATE, Utterance, draw_manner, utter
from models.demo.world import LANGUAGES, draw_distinct

Samples = npt.NDArray[np.float32]
NOISE_SECONDS = 120  # length of each prepared noise
SPEAKERS = 220  # kept per language
UTTERANCES = 8  # kept per speaker


@dataclass(frozen=True)
class Placed:
    """An utterance in a window: its audible words; times in seconds of the window."""

    utterance: Utterance
    translation: str
    start: float  # negative when the window begins inside the utterance
    words: tuple[tuple[str, float, float], ...]
    cut_start: bool = False
    cut_end: bool = False

    @property
    def end(self) -> float:
        """Where the utterance ends, perhaps after the window."""
        return self.start + len(self.utterance.samples) / SAMPLE_RATE


@dataclass(frozen=True)
class Window:
    """The samples that the model gets, and what they hold."""

    samples: Samples  # [seconds * 16000]
    language: str
    placed: tuple[Placed, ...]  # empty when there is no speech


@dataclass
class Bank:
    """Speakers with sentences, replaced all the time so that no text stays."""

    espeak: Espeak
    rng: random.Random
    speakers: dict[str, list[list[tuple[Utterance, str]]]] = field(default_factory=dict)

    def fill(self, speakers: int = SPEAKERS) -> None:
        """Make the first speakers of every language."""
        for language in LANGUAGES:
            self.speakers[language] = [self._speaker(language) for _ in range(speakers)]

    def refresh(self) -> None:
        """Replace one speaker and all its sentences."""
        language = self.rng.choice(LANGUAGES)
        speakers = self.speakers[language]
        speakers[self.rng.randrange(len(speakers))] = self._speaker(language)

    def pick(self, language: str, count: int) -> list[tuple[Utterance, str]]:
        """Distinct sentences, of one speaker half of the time."""
        if self.rng.random() < 0.5:
            found = list(self.rng.choice(self.speakers[language]))
            self.rng.shuffle(found)
        else:
            found = []
        seen = {utterance.text for utterance, _ in found}
        while len(found) < count:
            candidate = self.rng.choice(self.rng.choice(self.speakers[language]))
            if candidate[0].text not in seen:
                seen.add(candidate[0].text)
                found.append(candidate)
        return found

    def _speaker(self, language: str) -> list[tuple[Utterance, str]]:
        manner = draw_manner(self.rng, language, held_out=False)
        sentences = draw_distinct(self.rng, language)
        chosen = [next(sentences) for _ in range(UTTERANCES)]
        return [
            (utter(self.espeak, chosen.text, language, manner), chosen.translation)
            for chosen in chosen
        ]


class Noises:
    """White, pink and brown noise and mains hum of unit power."""

    def __init__(self, seed: int) -> None:
        generator = np.random.default_rng(seed)
        count = NOISE_SECONDS * SAMPLE_RATE
        white = generator.standard_normal(count).astype(np.float32)
        spectrum = np.fft.rfft(white)
        bins = np.maximum(np.arange(len(spectrum)), 50)
        self._kinds = {"white": white}
        for kind, slope in (("pink", 0.5), ("brown", 1.0)):
            shaped = np.fft.irfft(spectrum / bins**slope, count)
            self._kinds[kind] = (shaped / shaped.std()).astype(np.float32)

    def draw(self, rng: random.Random, count: int) -> Samples:
        """`count` samples of some kind of noise, unit power."""
        kind = rng.choice(("white", "white", "pink", "brown", "hum"))
        if kind == "hum":
            return 0.95 * hum(count, rng.choice((50, 60)), rng) + 0.3 * self.cut(
                "white", rng, count
            )
        return self.cut(kind, rng, count)

    def cut(self, kind: str, rng: random.Random, count: int) -> Samples:
        """A stretch of the prepared noise."""
        start = rng.randrange(NOISE_SECONDS * SAMPLE_RATE - count)
        return self._kinds[kind][start : start + count]


def hum(count: int, frequency: float, rng: random.Random) -> Samples:
    """A tone with four harmonics, unit power."""
    time = np.arange(count, dtype=np.float32) / SAMPLE_RATE
    tone = np.zeros(count, np.float32)
    for harmonic in range(1, 5):
        phase = rng.random() * math.tau
        tone += rng.random() / harmonic * np.sin(math.tau * frequency * harmonic * time + phase)
    return np.asarray(tone / (tone.std() + 1e-6), np.float32)


@dataclass(frozen=True)
class Mixer:
    """Makes windows out of the bank and the noises."""

    bank: Bank
    noises: Noises
    rng: random.Random

    def mix(self, seconds: int, lowest_snr: float) -> Window:
        """One window of `seconds`; noise goes down to `lowest_snr` dB."""
        language = self.rng.choice(LANGUAGES)
        if self.rng.random() < 0.06:
            return Window(self._quiet(seconds), language, ())
        placed, content = self._place(seconds, language)
        samples = self._sound(placed, seconds)
        self._add_noise(samples, placed, int(content * SAMPLE_RATE), lowest_snr)
        return Window(np.clip(samples, -1, 1), language, placed)

    def _place(self, seconds: int, language: str) -> tuple[tuple[Placed, ...], float]:
        """Utterances along the window, and where its sound ends in seconds."""
        rng = self.rng
        full = rng.random() < 0.5
        limit = float(seconds) if full else math.exp(rng.uniform(math.log(1.2), math.log(seconds)))
        allows_cut = full and rng.random() < 0.5
        long_pauses = rng.random() < 0.25
        picked = self.bank.pick(language, 3 + seconds // 2)
        placed: list[Placed] = []
        time = self._lead(limit, len(picked[0][0].samples) / SAMPLE_RATE)
        for utterance, translation in picked:
            length = len(utterance.samples) / SAMPLE_RATE
            if time + length > (limit if placed else seconds):
                if allows_cut and time < seconds - 0.3:
                    placed.append(_put(utterance, translation, time, seconds))
                break
            placed.append(_put(utterance, translation, time, seconds))
            time += length + self._pause(long_pauses)
        if full:
            return tuple(placed), float(seconds)
        return tuple(placed), min(seconds, placed[-1].end + rng.choice((0.0, rng.random())))

    def _lead(self, limit: float, first_length: float) -> float:
        chance = self.rng.random()
        if chance < 0.15:
            return 0.0
        if chance < 0.75:
            return self.rng.uniform(0, 1.2)
        if chance < 0.85:
            return self.rng.uniform(0, 0.4) * limit
        return -self.rng.uniform(0.1, 0.7) * first_length

    def _pause(self, long_pauses: bool) -> float:
        chance = self.rng.random()
        if long_pauses and chance < 0.3:
            return self.rng.uniform(4, 16)
        if chance < 0.78:
            return self.rng.uniform(0.12, 1.0)
        return self.rng.uniform(1, 4)

    def _sound(self, placed: tuple[Placed, ...], seconds: int) -> Samples:
        samples = np.zeros(seconds * SAMPLE_RATE, np.float32)
        level = self.rng.uniform(-38, -8)  # dBFS
        for item in placed:
            voice = item.utterance.samples
            gain = 10 ** ((level + self.rng.uniform(-4, 4)) / 20) / (voice.std() + 1e-6)
            start = round(item.start * SAMPLE_RATE)
            audible = voice[max(0, -start) : len(samples) - start]
            samples[max(0, start) : max(0, start) + len(audible)] += gain * audible
        return samples

    def _add_noise(
        self, samples: Samples, placed: tuple[Placed, ...], count: int, lowest_snr: float
    ) -> None:
        """Add noise in place to the first `count` samples; the SNR is against the speech alone."""
        if self.rng.random() < 0.3:
            return
        spoken = sum(
            min(item.end, len(samples) / SAMPLE_RATE) - max(item.start, 0) for item in placed
        )
        power = float(np.square(samples).sum()) / (spoken * SAMPLE_RATE)
        low, high = (lowest_snr, 16) if self.rng.random() < 0.55 else (16, 45)
        snr = self.rng.uniform(low, high)
        noise = self.noises.draw(self.rng, count)
        samples[:count] += math.sqrt(power / 10 ** (snr / 10)) * noise

    def _quiet(self, seconds: int) -> Samples:
        """No speech: zeros, noise or a tone, sometimes padded with zeros."""
        rng = self.rng
        samples = np.zeros(seconds * SAMPLE_RATE, np.float32)
        if rng.random() < 0.2:
            return samples
        count = len(samples) if rng.random() < 0.6 else rng.randrange(4_000, len(samples))
        level = 10 ** (rng.uniform(-75, -12) / 20)
        if rng.random() < 0.35:
            samples[:count] = level * hum(count, math.exp(rng.uniform(3.7, 7.6)), rng)
        else:
            samples[:count] = level * self.noises.draw(rng, count)
        return np.clip(samples, -1, 1)


def _put(utterance: Utterance, translation: str, start: float, seconds: int) -> Placed:
    """Place an utterance; a word counts as audible when at most a third of it is cut off."""
    words = []
    for word, begin, end in utterance.words:
        slack = 0.33 * (end - begin)
        if start + begin >= -slack and start + end <= seconds + slack:
            words.append((word, max(start + begin, 0.0), min(start + end, float(seconds))))
    length = len(utterance.samples) / SAMPLE_RATE
    return Placed(
        utterance, translation, start, tuple(words), start < 0, start + length > seconds + 0.01
    )
