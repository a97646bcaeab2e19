"""Sentences to 16 kHz samples, with the time of every word and phoneme."""

import random
from dataclasses import dataclass
from functools import cache

import numpy as np
import numpy.typing as npt

from models.demo.espeak import ESPEAK_RATE, Espeak, Speech
from models.demo.lexicon import listed

SAMPLE_RATE = 16_000  # samples per second
BLOCK_IN, BLOCK_OUT, BLOCK_EDGE = 441, 320, 40  # samples: 20 ms in, 20 ms out, filter half
TRIM_LEVEL = 0.015  # of the peak; quieter edges are cut off
BASES = {
    "en": ("gmw/en-US", "gmw/en", "gmw/en-GB-x-rp", "gmw/en-US-nyc"),
    "es": ("roa/es", "roa/es-419"),
}
HELD_OUT_VARIANTS = listed("m3 f4 Andrea paul steph Hugo Michael linda ed gustave")
VARIANTS = listed(
    "Alex Alicia Andy Annie Denis Diogo Gene Gene2 Henrique Jacky Lee Marco Mario Mike Reed Storm "
    "adam anika announcer antonio aunty belinda benjamin boris caleb david edward edward2 f1 f2 f3 "
    "f5 grandma grandpa ian iven iven2 iven3 john kaukovalta klatt klatt2 klatt3 klatt4 m1 m2 m4 "
    "m5 m6 m7 m8 marcelo max michel miguel mike2 norbert pablo pedro quincy rob robert sandro "
    "shelby steph2 steph3 travis victor zac"
)


@dataclass(frozen=True)
class Manner:
    """How something is said."""

    voice: str  # an espeak-ng voice file with its variant: gmw/en-US+f3
    words_per_minute: int = 160
    pitch: int = 50  # 0 to 99
    pitch_range: int = 50  # 0 to 99


@dataclass(frozen=True)
class Utterance:
    """A sentence as it sounds; times in seconds from the first sample."""

    samples: npt.NDArray[np.float32]  # [samples] at 16 kHz, about -1 to 1
    words: tuple[tuple[str, float, float], ...]  # (word, start, end)
    phonemes: tuple[tuple[str, float, float], ...]  # (name, start, end), pauses left out
    text: str
    language: str


def draw_manner(rng: random.Random, language: str, held_out: bool) -> Manner:
    """A voice and a way of speaking, from one side of the split."""
    base = rng.choice(BASES[language])
    if held_out:
        voice = f"{base}+{rng.choice(HELD_OUT_VARIANTS)}"
    else:
        variant = rng.choice(["", *VARIANTS])
        voice = f"{base}+{variant}" if variant else base
    return Manner(voice, rng.randrange(125, 206), rng.randrange(30, 71), rng.randrange(30, 71))


def utter(espeak: Espeak, text: str, language: str, manner: Manner) -> Utterance:
    """Say a text; silence at both ends is cut off."""
    speech = espeak.say(
        text, manner.voice, manner.words_per_minute, manner.pitch, manner.pitch_range
    )
    samples = resample(speech.samples.astype(np.float32) / np.float32(32_768))
    loud = np.flatnonzero(np.abs(samples) > TRIM_LEVEL * np.abs(samples).max())
    first, last = int(loud[0]), int(loud[-1]) + 1
    length = (last - first) / SAMPLE_RATE

    def seconds(sample: int) -> float:
        return min(max(sample / ESPEAK_RATE - first / SAMPLE_RATE, 0.0), length)

    phonemes = _phonemes(speech)
    spans = [(name, seconds(start), seconds(end)) for name, start, end in phonemes]
    words = [(word, seconds(start), seconds(end)) for word, start, end in _words(text, speech)]
    return Utterance(
        samples[first:last].astype(np.float32), tuple(words), tuple(spans), text, language
    )


def resample(samples: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """22.05 kHz to 16 kHz: every block of 441 samples becomes 320, by one matrix."""
    blocks = -(-len(samples) // BLOCK_IN)
    padded = np.zeros(blocks * BLOCK_IN + 2 * BLOCK_EDGE, np.float32)
    padded[BLOCK_EDGE : BLOCK_EDGE + len(samples)] = samples
    width = BLOCK_IN + 2 * BLOCK_EDGE
    rows = np.lib.stride_tricks.sliding_window_view(padded, width)[::BLOCK_IN]
    return (np.ascontiguousarray(rows) @ _polyphase()).reshape(-1)


@cache
def _polyphase() -> npt.NDArray[np.float32]:
    """Windowed sinc with its cut at 7.6 kHz: [samples in, samples out] of one block."""
    out = np.arange(BLOCK_OUT)[None, :] * (BLOCK_IN / BLOCK_OUT) + BLOCK_EDGE
    distance = np.arange(BLOCK_IN + 2 * BLOCK_EDGE)[:, None] - out  # samples in
    cut = 7_600 / (ESPEAK_RATE / 2)
    window = np.where(abs(distance) < BLOCK_EDGE, np.cos(np.pi * distance / 2 / BLOCK_EDGE) ** 2, 0)
    return (cut * np.sinc(cut * distance) * window).astype(np.float32)


def _phonemes(speech: Speech) -> list[tuple[str, int, int]]:
    """Phonemes without stress marks; a name that starts with _ is a pause."""
    ends = [sample for _, sample in speech.phonemes[1:]] + [len(speech.samples)]
    spans = zip(speech.phonemes, ends, strict=True)
    return [
        (name.strip("',"), start, end) for (name, start), end in spans if not name.startswith("_")
    ]


def _words(text: str, speech: Speech) -> list[tuple[str, int, int]]:
    """Every word of the text; a word without an event shares the time of the one before."""
    events = dict(reversed(speech.words))
    pauses = [sample for name, sample in speech.phonemes if name.startswith("_")]
    pauses.append(len(speech.samples))
    groups: list[tuple[int, list[str]]] = []
    position = 0
    for word in text.split(" "):
        start = _event_within(events, position, len(word))
        if start is None and groups:
            groups[-1][1].append(word)
        else:
            groups.append((start or 0, [word]))
        position += len(word) + 1
    spans = []
    for index, (start, members) in enumerate(groups):
        following = groups[index + 1][0] if index + 1 < len(groups) else pauses[-1]
        end = min([following, *(pause for pause in pauses if pause > start)])
        spans.extend(_share(members, start, max(end, start)))
    return spans


def _event_within(events: dict[int, int], position: int, length: int) -> int | None:
    for character in range(position, position + length):
        if character in events:
            return events[character]
    return None


def _share(members: list[str], start: int, end: int) -> list[tuple[str, int, int]]:
    """Split a span by the number of letters."""
    bounds = np.cumsum([0, *(len(member) + 1 for member in members)])
    marks = [int(start + (end - start) * bound / bounds[-1]) for bound in bounds]
    return list(zip(members, marks, marks[1:], strict=False))
