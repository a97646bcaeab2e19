"""A folder of speech is scored right, and faster-whisper beside us on the same files."""

from __future__ import annotations

import json
import shutil
import textwrap
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from benchmark.accuracy import comparison, contenders, evaluation, speech_folder
from benchmark.accuracy.comparison import OURS, Comparison
from benchmark.accuracy.contenders import RIVALS, Rival, Written, faster_whisper
from benchmark.accuracy.speech_folder import CLIPS, RECORDINGS, SOUNDS, TRIALS, Sample
from benchmark.accuracy.speech_scores import (
    character_error_rate,
    edge_words,
    lost_places,
    repeated_words,
    score_sounds,
    score_speech,
)
from tests.conftest import Server


@dataclass
class Scripted:
    """Writes what it is told for each file's name, and nothing for others."""

    name: str
    texts: dict[str, Written] = field(default_factory=dict)
    at_once: int = 1
    trials: tuple[str, ...] = TRIALS

    def transcribe(self, sample: Sample) -> Written:
        return self.texts.get(sample.audio.name, Written(""))


def sample(name: str, text: str, language: str = "es", trial: str = RECORDINGS) -> Sample:
    return Sample(trial, Path(name), 10.0, language, text)


def compared(samples: list[Sample], *entries: Scripted) -> Comparison:
    made = Comparison()
    for entry in entries:
        comparison.run(made, entry, samples)
    return made


def test_a_folder_is_read_by_trial_and_language(folder: Path) -> None:
    assert speech_folder.trials_of(folder) == [RECORDINGS, CLIPS, SOUNDS]
    found = speech_folder.read(folder, TRIALS)
    assert [one.name for one in found] == [
        "recordings/en/00.flac",
        "recordings/es/00.flac",
        "recordings/es/01.flac",
        "clips/en/000.flac",
        "sounds/hum.wav",
    ]
    assert found[3].text == "We travel from Lima to Lisbon in September."
    assert found[4].seconds == 1
    assert len(speech_folder.read(folder, [RECORDINGS], most=1)) == 2


def test_a_folder_without_samples_or_with_no_audio_is_refused_by_name(folder: Path) -> None:
    (folder / "sounds" / "hum.wav").write_bytes(b"no audio")
    with pytest.raises(ValueError, match=r"hum\.wav cannot be read"):
        speech_folder.read(folder, TRIALS)
    shutil.rmtree(folder / "clips" / "en")
    with pytest.raises(ValueError, match="clips has no audio in folders of languages"):
        speech_folder.read(folder, [CLIPS])


def test_words_lost_at_the_ends_are_those_of_two_seconds() -> None:
    assert edge_words(words=20, seconds=10) == 4
    assert edge_words(words=1, seconds=1) == 1
    assert edge_words(words=1, seconds=60) == 1
    assert lost_places("a b c d e", "b c e") == [0, 3]
    said = "one two three four five six seven eight nine ten"  # in 10 s: two at each end
    lost = score_speech([(sample("a", said), Written("three four five seven eight nine"))])
    assert (lost.edges.words, lost.edges.lost_first, lost.edges.lost_last) == (2, 2, 1)


@pytest.mark.parametrize(
    ("said", "written", "count"),
    [
        ("a b c d", "a b c d", 0),
        ("a b c d", "a b c b c d", 2),
        ("a b c d", "a b c d d", 1),
        ("a b a b", "a b a b", 0),
        ("a b c d", "a b x c d", 0),
        ("", "a a", 0),
    ],
)
def test_words_written_twice_are_those_that_nobody_said_twice(
    said: str, written: str, count: int
) -> None:
    assert repeated_words(said, written) == count


def test_errors_are_counted_by_language_and_the_mean_is_that_of_languages() -> None:
    score = score_speech(
        [
            (sample("a", "uno dos"), Written("uno dos", "es", first_s=1.0)),
            (sample("b", "tres cuatro"), Written("tres", "pt", first_s=3.0)),
            (sample("c", "The colour", "en"), Written("the color", "en")),
            (sample("d", "gone", "en"), Written("", failure="500: no")),
        ]
    )
    assert score.languages["es"].errors.rate == 25
    assert score.languages["es"].detected == 1
    assert score.languages["en"].errors.rate == pytest.approx(100 / 3)  # of three words
    assert score.mean_wer == pytest.approx((25 + 100 / 3) / 2)
    assert score.failed == 1
    assert score.first_s == 2
    assert character_error_rate([("abcd", "abxd"), ("", "more")]) == 25


def test_every_word_for_a_sound_is_invented() -> None:
    sounds = [Sample(SOUNDS, Path(f"{n}.ogg"), 1.0) for n in range(3)]
    score = score_sounds([*zip(sounds, map(Written, ["", " Thank you. ", " "]), strict=True)])
    assert (score.sounds, score.with_text, score.words) == (3, 1, 2)
    assert score.texts == {"sounds/1.ogg": "Thank you."}


def test_goals_are_met_or_missed_against_the_first_rival() -> None:
    samples = [sample("a", "uno dos"), sample("b", "one two", "en"), sample("c", "un deux", "fr")]
    samples.append(Sample(SOUNDS, Path("d"), 1.0))
    ours = {"a": Written("uno dos"), "b": Written("one two"), "d": Written("Thank you.")}
    theirs = {"a": Written("uno"), "c": Written("un deux")}
    rival = Scripted(RIVALS[0].name, theirs)
    made = compared(samples, Scripted(OURS, ours), rival)
    mean, languages, sounds = comparison.goals(made)
    assert (mean.value, mean.limit, mean.holds) == (pytest.approx(100 / 3), 50, True)
    assert (languages.value, languages.limit, languages.sample) == (2, 2, "es en")
    assert (sounds.value, sounds.limit, sounds.holds) == (1, 0, False)
    assert comparison.worst(made)[0].startswith("recordings/fr/c: 2 words wrong, ")
    alone = comparison.goals(compared(samples, Scripted(OURS, ours)))
    assert [one.name for one in alone] == ["sounds with text"]


def test_the_table_has_a_column_for_each_contender_and_a_dash_where_it_did_not_run() -> None:
    samples = [sample("a", "uno dos"), Sample(SOUNDS, Path("d"), 1.0)]
    rival = Scripted("theirs", trials=(SOUNDS,))
    made = compared(samples, Scripted(OURS, {"a": Written("uno")}), rival)
    lines = comparison.table(made).splitlines()
    rows = {line.split("|")[1].strip(): line.split("|")[2:4] for line in lines}
    assert [cell.strip() for cell in rows[""]] == ["ours", "theirs"]
    assert [cell.strip() for cell in rows["recordings: WER es, %"]] == ["50.0", "-"]
    assert [cell.strip() for cell in rows["sounds with text, of 1"]] == ["0", "0"]


FAKE = {
    "ctranslate2.py": "__version__ = '4'\nget_cuda_device_count = lambda: 0\n",
    "faster_whisper/audio.py": "from pathlib import Path\ndecode_audio = Path\n",
    "faster_whisper/__init__.py": """
        from types import SimpleNamespace
        __version__ = "1"
        class WhisperModel:
            def __init__(self, model, **how):
                print("loaded", model)  # must not be taken for an answer
            def detect_language(self, audio):
                return "es", 0.9, []
            def transcribe(self, audio, language, **how):
                if "bad" in audio.name:
                    raise ValueError("no such audio")
                with (audio.parent / "asked").open("a") as asked:
                    asked.write(f"{audio.name} {sorted(how.items())}\\n")
                spoken = [SimpleNamespace(text=" Uno"), SimpleNamespace(text=" dos.")]
                return iter(spoken), SimpleNamespace(language="en")
        class BatchedInferencePipeline(WhisperModel): ...
    """,
}


@pytest.fixture
def python(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A Python that has a stand-in for faster-whisper."""
    site = tmp_path / "site"
    for name, text in FAKE.items():
        (site / name).parent.mkdir(parents=True, exist_ok=True)
        (site / name).write_text(textwrap.dedent(text))
    monkeypatch.setenv("PYTHONPATH", str(site))
    monkeypatch.setattr(contenders, "CACHE", tmp_path / "cache")
    return contenders.faster_whisper_python({})


def test_faster_whisper_runs_in_a_process_and_its_texts_are_kept(
    python: str, tmp_path: Path
) -> None:
    for name in ("a.wav", "b.wav", "bad.wav"):
        (tmp_path / name).write_bytes(name.encode())
    speech = Sample(CLIPS, tmp_path / "a.wav", 1.0, "ca", "un dos")
    sound, bad = (Sample(SOUNDS, tmp_path / name, 1.0) for name in ("b.wav", "bad.wav"))
    for _ in range(2):
        with faster_whisper(Rival("5 beams", 5, vad=True), "model", python) as contender:
            spoken = contender.transcribe(speech)
            assert (spoken.text, spoken.detected) == (" Uno dos.", "es")
            assert contender.transcribe(sound).detected == "en"
            failed = contender.transcribe(bad)
            assert (failed.text, failed.failure) == ("", "ValueError: no such audio")
    how = "[('beam_size', 5), ('vad_filter', True)]"
    assert (tmp_path / "asked").read_text() == f"a.wav {how}\nb.wav {how}\n"
    with faster_whisper(Rival("batched", 1, batched=True), "model", python) as contender:
        contender.transcribe(sound)
    assert (
        (tmp_path / "asked").read_text().endswith("b.wav [('batch_size', 8), ('beam_size', 1)]\n")
    )


def test_a_speech_folder_is_compared_on_a_running_server(
    server: Server, folder: Path, python: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "found.json"
    asked = ["--server", server.url, "--folder", str(folder), "--json", str(output)]
    chosen = [
        "--against",
        "faster-whisper",
        "--ct2",
        "model",
        "--python",
        f"faster-whisper={python}",
    ]
    evaluation.main([*asked, *chosen, "--most", "1", "--trials", RECORDINGS, SOUNDS])
    printed = capsys.readouterr().out
    assert "| recordings: language detected, of 2 " in printed
    assert "WER of recordings" in printed
    found = json.loads(output.read_text())
    assert found["trials"].keys() == {RECORDINGS, SOUNDS}
    ours = found["trials"][RECORDINGS][OURS]
    assert ours["score"]["languages"]["es"]["errors"]["lost"] < 5
    assert ours["score"]["languages"]["es"]["detected"] == 1
    assert all(0 < one["first_s"] <= one["whole_s"] for one in ours["files"])
    assert found["trials"][SOUNDS][RIVALS[-1].name]["score"]["words"] == 2


def test_where_faster_whisper_is_not_installed_ours_is_scored_alone_and_the_reason_is_printed(
    server: Server, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = ["--server", server.url, "--folder", str(folder), "--trials", SOUNDS]
    nowhere = ["--against", "faster-whisper", "--python", "faster-whisper=/nowhere/python"]
    assert evaluation.main([*asked, *nowhere]) == 0
    printed = capsys.readouterr().out
    assert "faster-whisper is left out: /nowhere/python cannot be run" in printed
    assert "| sounds with text, of 1 " in printed


def test_a_trial_that_the_folder_does_not_have_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "sounds").mkdir()
    assert evaluation.main(["--folder", str(tmp_path), "--trials", CLIPS]) == 1
    assert "has only sounds" in capsys.readouterr().err
    (tmp_path / "sounds").rmdir()
    assert evaluation.main(["--folder", str(tmp_path), "--against", "faster-whisper"]) == 1
    assert "--against needs folders recordings, clips, sounds" in capsys.readouterr().err
