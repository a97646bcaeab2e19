"""From a recording to utterances, and from labels to how much of them is right."""

from pathlib import Path

import numpy as np
import pytest
import soundfile

from asr.diarization.diarizer import Diarization, VoiceTurn
from asr.pcm import SAMPLE_RATE
from benchmark.paths import SAMPLES
from benchmark.speakers import live_sessions
from benchmark.speakers.compose import Case
from benchmark.speakers.live_sessions import LiveRecording, Score, Window
from tests.benchmark.speakers.conftest import silence

ANA, BEN = (1.0, 0.0), (0.0, 1.0)
REFERENCE = [(0.0, 4.0, "ana"), (4.0, 6.0, "ben"), (7.0, 9.0, "ana")]


def test_a_recording_is_cut_where_it_is_silent():
    speech, rate = soundfile.read(SAMPLES / "en-short.flac", dtype="float32")
    assert rate == SAMPLE_RATE
    samples = np.concatenate([speech, silence(2.0), speech])
    first, second = live_sessions.utterances(samples)
    assert first[1] <= len(speech) + SAMPLE_RATE
    assert len(speech) + SAMPLE_RATE < second[0]
    assert len(samples) - SAMPLE_RATE < second[1] <= len(samples)


def test_a_moment_has_the_label_of_its_turn_or_of_the_nearest():
    turns = [(0.0, 4.0, 7), (4.0, 5.6, 3), (7.0, 9.0, 7)]
    assert live_sessions.score(REFERENCE, turns) == Score(160, 160, 2, 2)
    assert live_sessions.score(REFERENCE, turns[:2]) == Score(160, 120, 2, 2)


def test_each_person_has_one_label_at_most():
    spread = [(0.0, 4.0, 0), (4.0, 6.0, 1), (7.0, 9.0, 2)]
    assert live_sessions.score(REFERENCE, spread) == Score(160, 120, 3, 2)
    merged = [(0.0, 9.0, 0)]
    assert live_sessions.score(REFERENCE, merged) == Score(160, 120, 1, 2)
    swapped = [(0.0, 1.0, 1), (1.0, 4.0, 0), (4.0, 6.0, 1), (7.0, 9.0, 1)]
    assert live_sessions.score(REFERENCE, swapped) == Score(160, 100, 2, 2)
    assert live_sessions.score(REFERENCE, []) == Score(160, 0, 0, 2)


def test_voices_keep_their_labels_from_window_to_window():
    windows = [
        Window(0.0, Diarization((VoiceTurn(0.0, 4.0, 0), VoiceTurn(4.0, 9.0, 1)), (ANA, BEN))),
        Window(10.0, Diarization((VoiceTurn(0.5, 4.0, 0),), (BEN,))),
    ]
    assert live_sessions.live_turns(windows) == [(0.0, 4.0, 0), (4.0, 9.0, 1), (10.5, 14.0, 1)]


def test_a_row_sums_up_a_kind():
    whole = Diarization((VoiceTurn(0.0, 9.0, 0),), (ANA,))
    turns = tuple(VoiceTurn(start, end, number) for number, (start, end, _) in enumerate(REFERENCE))
    windows = [Window(0.0, Diarization(turns, (ANA, BEN, ANA)))]
    one = LiveRecording(Case("a", 2, 9.0, 0), REFERENCE, windows, whole)
    other = LiveRecording(Case("b", 2, 9.0, 0, kind="short turns"), REFERENCE, windows, whole)
    head, _, *rows = live_sessions.table([one, one, other]).splitlines()
    assert [cell.strip() for cell in rows[0].split("|")[1:-1]] == [
        "turns", "0", "100.0 %, 4/4", "75.0 %, 2/4",
    ]  # fmt: skip
    assert rows[1].startswith("| short turns")
    assert "live" in head


@pytest.mark.parametrize("tuning", [True, False])
def test_the_halves_have_equal_cases_of_other_seeds(tuning: bool):
    cases, others = (list(live_sessions.cases(half)) for half in (tuning, not tuning))
    assert [case.name for case in cases] == [case.name for case in others]
    assert not {case.seed for case in cases} & {case.seed for case in others}


def test_a_folder_without_voices_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    assert live_sessions.main(["--folder", str(tmp_path)]) == 1
    assert "clips/LANGUAGE/" in capsys.readouterr().err
