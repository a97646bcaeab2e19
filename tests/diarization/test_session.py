"""One recording: windows, voices, and what is kept of it."""

import numpy as np
import pytest
import torch

from asr.diarization.campplus import SIZE, CamPlusPlus
from asr.diarization.diarizer import Diarization
from asr.options import SpeakerOptions
from tests.conftest import RATE
from tests.diarization.conftest import diarize


@pytest.fixture(scope="module")
def whole(diarizer, dialogue):
    return diarize(diarizer, dialogue)


def test_two_voices_are_told_apart(whole):
    assert [turn.voice for turn in whole.turns] == [0, 1, 0]
    for turn, start in zip(whole.turns, (0.0, 4.33, 8.67), strict=True):
        assert turn.start == pytest.approx(start, abs=0.3)
        assert turn.end == pytest.approx(start + 4, abs=0.5)
    assert np.linalg.norm(whole.voices, axis=1) == pytest.approx([1, 1])


@pytest.mark.parametrize("blocks", [[1, 7, 100_000, 165_000], list(range(8_000, 200_000, 8_000))])
def test_blocks_do_not_matter(diarizer, dialogue, whole, blocks):
    assert diarize(diarizer, dialogue, blocks=blocks) == whole


@pytest.mark.parametrize(
    ("asked", "expected"),
    [(SpeakerOptions(count=1), 1), (SpeakerOptions(most=1), 1), (SpeakerOptions(least=9), 3)],
)
def test_as_many_speak_as_are_asked_for(diarizer, dialogue, asked, expected):
    found = diarize(diarizer, dialogue[: 9 * RATE], asked)
    assert len(found.voices) == expected
    assert {turn.voice for turn in found.turns} == set(range(expected))


def test_stretches_may_keep_their_own_voices(diarizer, dialogue, whole):
    apart = diarize(diarizer, dialogue, SpeakerOptions(are_grouped=False))
    assert len(apart.voices) > len(whole.voices)
    assert np.linalg.norm(apart.voices, axis=1) == pytest.approx(1)
    alike = np.array(apart.voices) @ np.array(whole.voices).T
    for turn in apart.turns:
        middle = (turn.start + turn.end) / 2
        whose = {t.voice for t in whole.turns if t.start <= middle < t.end}
        assert alike[turn.voice].argmax() in whose


@pytest.mark.parametrize("samples", [0, 1, 100, 1_000, 160_000])
def test_in_silence_nobody_speaks(diarizer, samples):
    assert diarize(diarizer, np.zeros(samples, np.float32)) == Diarization()


def test_a_short_recording_has_its_speaker(diarizer, voices):
    [turn] = diarize(diarizer, voices[0][: 2 * RATE]).turns
    assert turn.voice == 0
    assert turn.start < 0.2
    assert 1.5 < turn.end <= 2


def test_work_waits_for_four_whole_windows_or_the_end(diarizer, dialogue):
    session, samples = diarizer.begin(SpeakerOptions()), np.concatenate([dialogue, dialogue])
    session.push(samples[: 35 * RATE // 2])
    assert not session.advance()  # It may be the last window, which is cut otherwise.
    assert session.waiting == 17.5
    session.push(samples[35 * RATE // 2 : 37 * RATE // 2])
    while session.advance():
        pass
    assert session.waiting == 1
    assert not session.advance()
    session.complete()
    assert session.advance()
    while session.advance():
        pass
    assert session.waiting == 0


def test_voices_are_taken_from_few_lengths(diarizer, monkeypatch):
    lengths = []

    def embedding(_: CamPlusPlus, features: torch.Tensor) -> torch.Tensor:
        lengths.append(len(features))
        return torch.ones(SIZE)

    monkeypatch.setattr(CamPlusPlus, "embedding", embedding)
    asked = range(20, 301)
    for frames in asked:
        diarizer._networks.voice(np.zeros(10 * RATE, np.float32), np.arange(frames))
    assert len(set(lengths)) <= 29  # each costs memory for as long as the process lives
    assert all(0 <= frames - taken < 10 for frames, taken in zip(asked, lengths, strict=True))


def test_old_audio_is_dropped_and_the_callers_array_may_change(diarizer):
    session = diarizer.begin(SpeakerOptions())
    block = np.zeros(RATE, np.float32)
    for _ in range(20):
        session.push(block)
        while session.advance():
            pass
    block[:] = np.nan
    assert sum(len(kept) for kept in session._audio._blocks) <= 18 * RATE
    session.complete()
    while session.advance():
        pass
    assert session.finish() == Diarization()
