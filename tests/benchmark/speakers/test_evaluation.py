"""From a recording to the table: turns by a process of its own, scores and marks."""

import sys
from dataclasses import replace

import numpy as np
import pytest
import soundfile

from benchmark.engine_comparison import environments
from benchmark.engine_comparison.contender import CannotRun
from benchmark.speakers import evaluation, figures, sample
from benchmark.speakers.evaluation import Recording
from benchmark.speakers.figures import Measured
from tests.benchmark.speakers import loudness
from tests.benchmark.speakers.conftest import silence
from tests.conftest import RATE, tone

TURNS = [(0.0, 2.0, "ana"), (3.0, 5.0, "ben")]


@pytest.fixture
def recording(tmp_path):
    """A quiet tone, silence, and a loud tone."""
    audio = tmp_path / "two.flac"
    parts = [0.1 * tone(2.0), silence(1.0), tone(2.0), silence(1.0)]
    soundfile.write(audio, np.concatenate(parts), RATE)
    return Recording("two", "turns", audio, TURNS)


def scores(total=100.0, confusion=0.0, missed=0.0, false_alarm=0.0):
    parts = {"total": total, "confusion": confusion, "missed": missed, "false_alarm": false_alarm}
    return {figures.COLLAR: parts, figures.STRICT: parts}


def measured(name="a", kind="turns", found=2, cpu_s=2.0, **parts):
    return Measured(name, kind, 2, found, 60.0, cpu_s, 0.1, 0.5, 30.0, scores(**parts))


def test_a_process_tells_turns_and_cost(recording):
    answer = evaluation.answer(sys.executable, loudness.__name__, recording.audio, {})
    first, second = answer["turns"]
    assert first == pytest.approx([0.0, 2.0, 0], abs=0.02)
    assert second == pytest.approx([3.0, 5.0, 1], abs=0.02)
    assert (answer["voices"], answer["seconds"]) == (2, 6.0)
    assert answer["grown_mib"] > 0


def test_the_number_of_speakers_is_told_where_that_is_asked(recording):
    answer = evaluation.answer(sys.executable, loudness.__name__, recording.audio, {"count": 1})
    assert answer["voices"] == 1


def test_a_process_that_fails_is_named(recording):
    with pytest.raises(CannotRun, match="worker"):
        evaluation.answer(sys.executable, "tests.benchmark.no_such", recording.audio, {})


def test_turns_are_scored_by_pyannote_metrics(recording):
    try:
        python = environments.program(evaluation.ENVIRONMENT, {})
    except CannotRun as error:
        pytest.skip(str(error))
    other = Recording("one", "turns", recording.audio, [(0.0, 5.0, "ana")])
    right, wrong = evaluation.measured(
        [recording, other], loudness.__name__, sys.executable, python
    )
    assert right.has_right_count
    assert figures.der([right], figures.COLLAR) == 0
    assert figures.der([right], figures.STRICT) < 1
    assert not wrong.has_right_count
    assert figures.share([wrong], figures.STRICT, "confusion") == pytest.approx(40, abs=1)
    assert figures.share([wrong], figures.STRICT, "missed") == pytest.approx(20, abs=1)


def test_errors_of_several_files_count_by_their_speech():
    files = [measured(total=10.0, missed=10.0), measured(total=90.0, confusion=9.0)]
    assert figures.der(files, figures.COLLAR) == pytest.approx(19.0)


def test_a_row_has_each_kind_all_composed_and_every_other_recording():
    files = [
        measured(),
        measured(kind="noise", found=3),
        measured(figures.SAMPLE, figures.SAMPLE),
        measured("1 hour", figures.LONG),
    ]
    assert list(figures.groups(files)) == [
        "turns",
        "noise",
        figures.ALL,
        figures.SAMPLE,
        "1 hour",
    ]
    [all_of] = [line for line in figures.table(files).splitlines() if line.startswith("| all")]
    assert "1/2" in all_of


def test_marks_are_met_missed_or_not_measured():
    good = figures.marks([measured(missed=5.0), measured(figures.SAMPLE, figures.SAMPLE)])
    verdicts = [one.judged().split(maxsplit=1) for one in good]
    assert [verdict for verdict, _ in verdicts] == ["met"] * 4 + ["unmeasured"] * 2
    bad = figures.marks([measured(missed=15.0, found=3, cpu_s=6.0)])
    assert [one.judged().split(maxsplit=1)[0] for one in bad[:3]] == ["missed"] * 3
    assert bad[0].judged().endswith("15.00 %, by 2.00 %")


def test_the_longest_meeting_is_judged_by_its_memory():
    files = [
        measured("0.3 hours", figures.LONG),
        replace(measured("10 hours", figures.LONG), seconds=36_000.0, grown_mib=501.0),
    ]
    judged = [one.judged() for one in figures.marks(files)]
    assert judged[-1].split(maxsplit=1) == ["missed", "10 hours: memory: 501.00 MiB, by 1.00 MiB"]
    judged = [one.judged() for one in figures.marks(files[:1])]
    assert judged[-1].split(maxsplit=1) == ["met", "0.3 hours: memory: 30.00 MiB"]


def test_the_turns_of_an_rttm_are_read():
    text = "SPEAKER f 1 6.690 0.430 <NA> <NA> anna <NA> <NA>\n\nSPEAKER f 1 7 1 <NA> <NA> b <NA>\n"
    assert sample.reference(text) == [(6.69, pytest.approx(7.12), "anna"), (7.0, 8.0, "b")]


@pytest.mark.parametrize(
    ("against", "modules"),
    [
        ([], [evaluation.SERVERS_OWN]),
        (["--against", "sherpa-onnx"], [evaluation.SERVERS_OWN, evaluation.SHERPAS]),
    ],
)
def test_another_package_is_measured_on_the_same_files_where_that_is_asked(
    against, modules, folder, monkeypatch, capsys
):
    asked = []

    def made(files, module, python, scorer, is_told):
        asked.append((module, python, scorer, is_told, [one.name for one in files]))
        return [measured(missed=1.0 if module == evaluation.SERVERS_OWN else 30.0)]

    monkeypatch.setattr(evaluation, "measured", made)
    monkeypatch.setattr(evaluation, "_run", lambda command: ran.append(command))
    monkeypatch.setattr(environments, "program", lambda entry, _: f"python of {entry.name}")
    monkeypatch.setattr(evaluation, "CACHE", folder / "cache")
    ran = []
    options = ["--folder", str(folder), "--only", "single speaker", "--every", "24", *against]
    assert evaluation.main(options) == 0  # the other's figures miss no mark
    assert [module for module, *_ in asked] == modules
    assert [python for _, python, *_ in asked[1:]] == ["python of sherpa-onnx"] * len(ran)
    assert len({(scorer, is_told, *names) for _, _, scorer, is_told, names in asked}) == 1
    assert ("sherpa-onnx\n\n|" in capsys.readouterr().out) == bool(against)
