"""Speech for tests and benchmarks: python -m models.demo.synthesise --minutes 20 --out a.flac."""

import argparse
import json
import random
from collections.abc import Iterator
from contextlib import closing
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path

import numpy as np
import numpy.typing as npt
import soundfile

from models.demo.espeak import Espeak
from models.demo.speech import SAMPLE_RATE, Manner, Utterance, draw_manner, utter
from models.demo.world import LANGUAGES, Sentence, draw_distinct

LEVEL = -23  # dBFS, root mean square of the speech
LONG_PAUSE = (2.0, 5.0)  # seconds; one pause in eight
DEFAULT_VOICES = {"en": "gmw/en-US+m3", "es": "roa/es+f4"}  # held out of training

Word = tuple[str, float, float]  # (word with its punctuation, start, end) in seconds


@dataclass(frozen=True)
class Spoken:
    """A sentence in a recording; times in seconds from the start of the recording."""

    text: str
    translation: str  # English
    start: float
    end: float
    words: tuple[Word, ...]


@dataclass(frozen=True)
class Recording:
    """Several sentences with pauses between them."""

    samples: npt.NDArray[np.float32]  # [samples] mono at 16 kHz
    sentences: tuple[Spoken, ...]
    language: str

    @property
    def text(self) -> str:
        """The whole reference."""
        return " ".join(sentence.text for sentence in self.sentences)

    @property
    def translation(self) -> str:
        """The whole reference in English."""
        return " ".join(sentence.translation for sentence in self.sentences)

    @property
    def words(self) -> tuple[Word, ...]:
        """Every word with its times."""
        return tuple(word for sentence in self.sentences for word in sentence.words)


def speak(
    text: str,
    language: str,
    voice: str | None = None,
    words_per_minute: int = 160,
    pitch: int = 50,
) -> Utterance:
    """Say any text: float32 samples at 16 kHz, without silence at the ends, and word times.

    `voice` is an espeak-ng voice file with a variant, `gmw/en-US+m3`; the default is held out of
    training. `pitch` goes from 0 to 99.
    """
    manner = Manner(voice or DEFAULT_VOICES[language], words_per_minute, pitch)
    with closing(Espeak()) as espeak:
        return utter(espeak, text, language, manner)


def sentences(language: str, count: int, seed: int = 0) -> list[Sentence]:
    """Sentences (text and English translation) on which the model was not trained."""
    rng = random.Random(f"sentences {language} {seed}")
    return list(islice(draw_distinct(rng, language, held_out=True), count))


def recording(
    seconds: float,
    language: str = "en",
    seed: int = 0,
    snr_db: float | None = None,
    pause: tuple[float, float] = (0.3, 1.2),
    voices: int = 1,
) -> Recording:
    """Held-out sentences and voices, with pauses drawn from `pause`, one in eight of 2 to 5 s.

    It is `seconds` long to the sample and ends in silence, not inside a sentence. `snr_db` adds
    white noise, measured against the speech alone. 20 minutes take about 3 s to make.
    """
    if seconds < 2:
        raise ValueError(f"a recording of {seconds} s is too short for a sentence: ask for 2 s")
    rng = random.Random(f"recording {language} {seed}")
    manners = [draw_manner(rng, language, held_out=True) for _ in range(voices)]
    samples = np.zeros(round(seconds * SAMPLE_RATE), np.float32)
    spoken: list[Spoken] = []
    with closing(Espeak()) as espeak:
        time = min(rng.uniform(*pause), 0.1 * seconds)
        for sentence, utterance in _utterances(espeak, rng, language, manners):
            length = len(utterance.samples) / SAMPLE_RATE
            if time + length > seconds - 0.05:
                if spoken or length < 0.6 * seconds:
                    break
                continue
            start = round(time * SAMPLE_RATE)
            samples[start : start + len(utterance.samples)] = _levelled(utterance.samples)
            spoken.append(_spoken(sentence, utterance, start / SAMPLE_RATE))
            time += length + rng.uniform(*(LONG_PAUSE if rng.random() < 1 / 8 else pause))
    if snr_db is not None:
        _add_noise(samples, spoken, snr_db, seed)
    return Recording(samples, tuple(spoken), language)


def write(made: Recording, audio: Path, reference: Path | None = None) -> None:
    """Write WAV or FLAC (16 bits, by the name's ending) and the reference as JSON."""
    soundfile.write(audio, made.samples, SAMPLE_RATE, subtype="PCM_16")
    if reference is not None:
        reference.write_text(json.dumps(describe(made), ensure_ascii=False, indent=1) + "\n")


def describe(made: Recording) -> dict[str, object]:
    """A recording without its samples, for JSON."""
    return {
        "language": made.language,
        "seconds": len(made.samples) / SAMPLE_RATE,
        "text": made.text,
        "translation": made.translation,
        "sentences": [asdict(sentence) for sentence in made.sentences],
    }


def main() -> None:
    """Make one recording."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=1)
    parser.add_argument("--language", choices=LANGUAGES, default="en")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--snr", type=float, help="dB of white noise below the speech")
    parser.add_argument("--voices", type=int, default=1)
    parser.add_argument("--out", type=Path, required=True, help="a .wav or .flac file")
    parser.add_argument("--reference", type=Path, help="a .json file for text and times")
    asked = parser.parse_args()
    made = recording(60 * asked.minutes, asked.language, asked.seed, asked.snr, voices=asked.voices)
    write(made, asked.out, asked.reference)


def _utterances(
    espeak: Espeak, rng: random.Random, language: str, manners: list[Manner]
) -> Iterator[tuple[Sentence, Utterance]]:
    for sentence in draw_distinct(rng, language, held_out=True):
        yield sentence, utter(espeak, sentence.text, language, rng.choice(manners))


def _levelled(samples: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    gain = 10 ** (LEVEL / 20) / float(samples.std())
    return np.asarray(np.clip(gain * samples, -1, 1), np.float32)


def _spoken(sentence: Sentence, utterance: Utterance, start: float) -> Spoken:
    end = start + len(utterance.samples) / SAMPLE_RATE
    words = tuple(
        (word, round(start + begin, 3), round(start + finish, 3))
        for word, begin, finish in utterance.words
    )
    return Spoken(sentence.text, sentence.translation, round(start, 3), round(end, 3), words)


def _add_noise(
    samples: npt.NDArray[np.float32], spoken: list[Spoken], snr_db: float, seed: int
) -> None:
    """White noise over everything, in place."""
    seconds = sum(sentence.end - sentence.start for sentence in spoken)
    power = float(np.square(samples, dtype=np.float64).sum()) / (seconds * SAMPLE_RATE)
    noise = np.random.default_rng(seed).standard_normal(len(samples)).astype(np.float32)
    samples += np.float32((power / 10 ** (snr_db / 10)) ** 0.5) * noise
    np.clip(samples, -1, 1, out=samples)


if __name__ == "__main__":
    main()
