"""A real process and the embedded model: no word lost, none invented, none twice."""

import asyncio

import numpy as np
import pytest

from benchmark.accuracy.client import Server
from benchmark.accuracy.noises import sounds
from benchmark.recordings import flac
from models.demo import synthesise
from tests.behaviour.test_speech import ask, errors
from tests.conftest import RATE


def placed(made, start, seconds):
    """A recording amid silence."""
    samples = np.zeros(round(seconds * RATE), np.float32)
    first = round(start * RATE)
    samples[first : first + len(made.samples)] = made.samples
    return samples


async def test_a_silence_of_40_s_moves_nothing(server):
    before = synthesise.recording(14, "en", seed=21)
    after = synthesise.recording(14, "en", seed=22)
    samples = placed(before, 0, 68) + placed(after, 54, 68)
    answer = await ask(server.url, flac(samples))
    assert errors(f"{before.text} {after.text}", answer["text"]) <= 0.03
    starts = np.array([chunk["timestamp"][0] for chunk in answer["chunks"]])
    said = [s.start for s in before.sentences] + [54 + s.start for s in after.sentences]
    assert np.median([np.abs(starts - start).min() for start in said]) <= 0.15
    assert not np.any((starts > 14) & (starts < 54))


async def test_ten_times_the_same_sentence_is_ten_times_there(server):
    [sentence] = synthesise.sentences("en", 1, seed=3)
    once = synthesise.speak(sentence.text, "en").samples * 0.5
    pause = np.zeros(round(0.6 * RATE), np.float32)
    answer = await ask(server.url, flac(np.tile(np.concatenate([pause, once]), 10)))
    assert errors(" ".join([sentence.text] * 10), answer["text"]) <= 0.03
    assert len(answer["text"].split()) == 10 * len(sentence.text.split())


@pytest.mark.parametrize("seconds", [29.0, 30.05, 31.0])
async def test_nothing_is_lost_at_the_end_of_a_window(server, seconds):
    made = synthesise.recording(seconds, "en", seed=31, pause=(0.2, 0.4))
    answer = await ask(server.url, flac(made.samples))
    assert errors(made.text, answer["text"]) <= 0.05
    last = made.sentences[-1]
    assert answer["chunks"][-1]["timestamp"][1] == pytest.approx(last.end, abs=0.4)


@pytest.mark.parametrize(
    ("language", "seed", "seconds", "last"),
    [
        ("en", 52, 29.0, "Good evening"),
        ("en", 62, 29.3, "Good afternoon"),
        ("es", 61, 30.0, "La flor"),
    ],
)
async def test_the_words_of_a_sentence_that_the_clips_end_cuts_off_are_there(
    server, language, seed, seconds, last
):
    """Of such a sentence the model writes the start time alone."""
    made = synthesise.recording(38, language, seed)
    said = [word for word, _, end in made.words if end < seconds - 0.05]
    client = Server(server.url, language=language)
    result = await asyncio.to_thread(client.transcribe, made.samples[: round(seconds * RATE)])
    assert " ".join(said).endswith(last)
    assert errors(" ".join(said), " ".join(result.text.split()[: len(said)])) <= 0.03
    assert result.coverage >= 0.99


async def test_where_nobody_speaks_no_word_is_written(server):
    """The same for a minute each: benchmark.accuracy."""
    clips = sounds(8.0)
    answers = await asyncio.gather(*(ask(server.url, flac(sound)) for sound in clips.values()))
    written = {name: a["text"] for name, a in zip(clips, answers, strict=True) if a["text"]}
    assert len(clips) == 20
    assert written == {}
