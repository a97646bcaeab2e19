"""Both detectors judge quiet speech like loud speech, and quiet noise as noise."""

import numpy as np
import pytest

from asr.vad.detector import FRAME_SAMPLES, FRAME_SECONDS
from asr.vad.energy import Energy
from asr.vad.loudness import FALL, MOST_GAIN, USUAL, RunningGain, amplified, levels
from benchmark.accuracy.noises import sounds
from models.demo import synthesise
from tests.conftest import RATE, tone

QUIET_DB = 55


@pytest.fixture(scope="module")
def made():
    return synthesise.recording(20, "en", seed=8, pause=(0.9, 1.5))


@pytest.fixture(params=["silero", "energy"])
def judge(request, silero):
    """Judges samples with one of the detectors; returns the track."""

    def judged(samples, block=RATE):
        track = silero.begin() if request.param == "silero" else Energy()
        for start in range(0, len(samples), block):
            track.push(samples[start : start + block])
        track.finish()
        return track

    return judged


def quieter(samples, decibels):
    return (samples * 10 ** (-decibels / 20)).astype(np.float32)


def in_16_bits(samples):
    return (np.round(samples * 32768) / 32768).astype(np.float32)


def assert_same_speech(spans, expected):
    assert len(spans) == len(expected)
    for one, other in zip(spans, expected, strict=True):
        assert one.start == pytest.approx(other.start, abs=0.1)
        assert one.end == pytest.approx(other.end, abs=0.25)


@pytest.mark.parametrize("stored", [np.asarray, in_16_bits], ids=["float", "16 bits"])
@pytest.mark.parametrize("decibels", [20, 40, QUIET_DB])
def test_a_quiet_recording_has_the_speech_of_a_loud_one(judge, made, decibels, stored):
    track = judge(stored(quieter(made.samples, decibels)))
    assert track.is_possible(0, 20)
    assert_same_speech(track.spans(0, 20), judge(made.samples).spans(0, 20))


@pytest.mark.parametrize("is_louder_first", [True, False])
def test_speech_is_found_where_the_loudness_changes_by_40_db(judge, made, is_louder_first):
    halves = [made.samples, quieter(made.samples, 40)]
    track = judge(np.concatenate(halves if is_louder_first else halves[::-1]))
    for half in (0, 20):
        for number, sentence in enumerate(made.sentences):
            start, end = half + sentence.start, half + sentence.end
            assert track.is_possible(start, end)
            found = sum(span.seconds for span in track.spans(start, end))
            if number:  # the level follows within the first sentence
                assert found > 0.8 * (end - start)


def test_quiet_noise_is_no_speech(judge):
    for name, samples in sounds(6.0).items():
        loud, quiet = (judge(each).spans(0, 6) for each in (samples, quieter(samples, 40)))
        assert sum(s.seconds for s in quiet) <= sum(s.seconds for s in loud) + 0.1, name


def test_noise_that_follows_digital_silence_is_no_speech(judge):
    rng = np.random.default_rng(0)
    count = 20 * RATE
    dither = in_16_bits((rng.random(count) - rng.random(count)).astype(np.float32) / 32768)
    samples = np.concatenate([np.zeros(count, np.float32), dither])
    assert judge(samples).spans(0, 40) == []


def gains(samples, block=64):
    running = RunningGain()
    frames = samples[: len(samples) // FRAME_SAMPLES * FRAME_SAMPLES].reshape(-1, FRAME_SAMPLES)
    measured = levels(frames)
    return np.concatenate(
        [running.push(measured[n : n + block]) for n in range(0, len(measured), block)]
    )


def test_a_recording_of_usual_loudness_is_judged_as_it_is():
    samples = tone(1.0)
    assert not gains(np.concatenate([samples, np.zeros(3 * RATE, np.float32), samples])).any()


def test_the_gain_is_bounded_and_rises_slowly():
    found = gains(np.concatenate([tone(1.0), np.zeros(60 * RATE, np.float32)]))
    assert found.max() == MOST_GAIN
    assert np.diff(found).max() <= FALL * FRAME_SECONDS + 1e-6
    assert (gains(np.zeros(RATE, np.float32)) == MOST_GAIN).all()


def test_a_click_does_not_change_the_gain_of_what_follows():
    quiet = quieter(tone(4.0), QUIET_DB)
    clicked = quiet.copy()
    clicked[RATE : RATE + 50] = 0.9
    after = round(1.1 / FRAME_SECONDS)
    assert gains(clicked)[after:] == pytest.approx(gains(quiet)[after:])


def test_the_size_of_the_blocks_changes_no_gain(made):
    samples = np.concatenate([made.samples, quieter(made.samples, 40)])
    whole = gains(samples, block=10_000)
    assert whole.any()
    for block in (1, 2, 7):
        assert np.array_equal(np.round(gains(samples, block), 6), np.round(whole, 6))


def test_frames_are_raised_to_the_usual_level_or_by_the_most():
    frame = tone(FRAME_SAMPLES / RATE, hertz=1000.0)[None]
    for decibels in (60, 100):
        quiet = quieter(frame, decibels)
        before = float(levels(quiet)[0])
        raised = float(levels(amplified(quiet, RunningGain().push(levels(quiet))))[0])
        assert raised == pytest.approx(min(max(before, USUAL), before + MOST_GAIN), abs=0.1)
