"""Accuracy is measured right: on servers that write all, nothing, or too much."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from asr.config.config import DEMO_MODEL
from asr.pcm import SAMPLE_RATE, Samples
from benchmark.accuracy import corpus, evaluation, trials
from benchmark.accuracy.client import Server, Timed, Transcription
from benchmark.accuracy.noises import sounds
from benchmark.accuracy.scoring import Errors, errors, same_words, share_covered
from benchmark.accuracy.trials import Ground
from models.demo import synthesise
from models.demo.figure import Figure
from tests.conftest import Server as Process

SHIPPED = DEMO_MODEL.parent / "samples"


@dataclass(frozen=True)
class Imagined(Server):
    """A server that writes what it is given."""

    answer: Callable[[Samples], Transcription] = lambda _: Transcription("", ())

    def transcribe(self, audio: Samples | Path, words: bool = False) -> Transcription:  # noqa: ARG002
        assert isinstance(audio, np.ndarray)
        return self.answer(audio)


def ground(answer: Callable[[Samples], Transcription]) -> Ground:
    server = Imagined("", answer=answer)
    return Ground(server, minutes=0.5, language="en", at_once=1, noise_seconds=2.0)


def deaf(_: Samples) -> Transcription:
    return Transcription("", ())


def by_name(figures: list[Figure]) -> dict[str, Figure]:
    return {figure.name: figure for figure in figures}


def test_words_are_counted_by_what_became_of_them() -> None:
    found = errors([("A b, c d. F g", "a x d f g e")])
    assert found == Errors(words=6, replaced=1, lost=1, invented=1)
    assert found.rate == 50
    assert errors([("", "three words here"), ("a b", "")]).rate == 250
    assert errors([]).rate == 0


def test_times_are_compared_of_words_that_are_written_right() -> None:
    said = [Timed("Good", 0.0, 0.4), Timed("morning.", 0.5, 1.0), Timed("Ana", 1.0, 1.5)]
    written = [Timed("good", 0.1, 0.4), Timed("evening", 0.5, 1.0), Timed("Ana!", 1.2, 1.5)]
    assert [(a.text, b.start) for a, b in same_words(said, written)] == [
        ("good", 0.1),
        ("ana", 1.2),
    ]
    assert same_words(said, []) == []


def test_coverage_is_the_share_of_the_words_seconds_under_a_segment() -> None:
    said = [Timed("a", 0.0, 1.0), Timed("b", 3.0, 4.0)]
    assert share_covered(said, [Timed("a", 0.5, 3.0)]) == 25
    assert share_covered(said, [Timed("a b", 0.0, 9.0)]) == 100


def test_twenty_sounds_differ_and_fit_in_their_range() -> None:
    made = sounds(2.0)
    assert len(made) == 20
    assert len({wave.tobytes() for wave in made.values()}) == 20
    for name, wave in made.items():
        assert (wave.dtype, len(wave)) == (np.float32, 2 * SAMPLE_RATE)
        assert np.max(np.abs(wave)) <= 1
        assert wave.any() == (name != "digital silence")


def test_window_by_window_nothing_is_lost_and_nothing_is_written_twice() -> None:
    """A second's sound for each word: the server reads the number of each from its loudness."""
    seconds = 95
    samples = np.repeat(np.arange(1, seconds + 1, dtype=np.float32) / 1000, SAMPLE_RATE)

    def count(window: Samples) -> Transcription:
        """Three seconds to a segment."""
        numbers = [round(1000 * float(v)) for v in window[SAMPLE_RATE // 2 :: SAMPLE_RATE]]
        found = [
            Timed(" ".join(map(str, numbers[n : n + 3])) + " ", n, min(n + 3, len(numbers)))
            for n in range(0, len(numbers), 3)
        ]
        return Transcription("", tuple(found))

    written = Imagined("", answer=count).transcribe_window_by_window(samples)
    assert written.text.split() == [str(n) for n in range(1, seconds + 1)]
    assert written.segments[-1].end == seconds


def test_a_server_that_writes_nothing_invents_nothing_and_loses_everything() -> None:
    quiet = by_name(trials.nobody_speaks(ground(deaf)))
    assert quiet["sounds without a word"].value == 20
    assert quiet["sounds without a word"].holds
    assert by_name(trials.repeats(ground(deaf)))["sentences written ten times"].value == 0
    lost = by_name(trials.borders(ground(deaf)))
    assert not lost["words lost before a cut"].holds
    assert lost["WER, clips of 29 to 31 s"].value == 100
    amid = by_name(trials.silence_amid(ground(deaf)))
    assert not amid["sentence start error, silence amid, largest"].holds
    served = by_name(trials.long_file(ground(deaf)))
    assert served["words' seconds under a segment"].value == 0
    assert not served["drift at the end, cut by the server's rule"].holds


def test_words_that_nobody_said_are_counted() -> None:
    noisy = by_name(trials.nobody_speaks(ground(lambda _: Transcription("thank you", ()))))
    assert noisy["words invented"].value == 40
    assert noisy["sounds without a word"].value == 0
    assert not noisy["sounds without a word"].holds


def test_a_server_that_writes_all_has_no_errors() -> None:
    made = ground(deaf).long_file
    words = tuple(Timed(word, start + 0.05, end) for word, start, end in made.words)
    segments = tuple(Timed(" " + s.text, s.start, s.end) for s in made.sentences)
    perfect = by_name(
        trials.long_file(ground(lambda _: Transcription(made.text, segments, words, 0.99)))
    )
    assert perfect["WER, cut by the server's rule"].value == 0
    assert perfect["drift at the end, cut by the server's rule"].value == 0
    assert perfect["word start error, median"].value == pytest.approx(0.05)
    assert perfect["X-Speech-Coverage"].value == 99


@pytest.mark.parametrize("count", [0, 9, 10, 11])
def test_repeats_are_counted_also_where_a_word_of_each_is_wrong(count: int) -> None:
    assert trials.repeats_in("One two three.", "One two five three. " * count) == count


def test_only_words_at_the_end_count_as_lost_there() -> None:
    said = ["one", "two", "three", "four", "five"]
    assert trials.lost_after(said, "one two three four five", 3) == 0
    assert trials.lost_after(said, "one two three", 3) == 2
    assert trials.lost_after(said, "two three four five", 3) == 0


@pytest.fixture
def library(tmp_path: Path) -> Path:
    """Two recordings in LibriSpeech's layout, one with a text beside it, and one without."""
    chapter = tmp_path / "84" / "121123"
    chapter.mkdir(parents=True)
    texts = {one["file"]: one["text"] for one in json.loads((SHIPPED / "samples.json").read_text())}
    for name in ("en-short", "en-several"):
        shutil.copy(SHIPPED / f"{name}.flac", chapter)
    lines = [f"{name} {texts[name + '.flac'].upper()}" for name in ("en-short", "en-several")]
    (chapter / "84-121123.trans.txt").write_text("\n".join(lines) + "\nabsent NOT THERE\n")
    shutil.copy(SHIPPED / "es-several.flac", tmp_path)
    (tmp_path / "es-several.txt").write_text(texts["es-several.flac"])
    shutil.copy(SHIPPED / "en-noisy.flac", tmp_path)
    return tmp_path


def test_recordings_are_found_with_their_texts(library: Path) -> None:
    found = {spoken.audio.name: spoken.text for spoken in corpus.collect(library)}
    assert found.keys() == {"en-short.flac", "en-several.flac", "es-several.flac"}
    assert found["en-short.flac"] == "WE TRAVEL FROM LIMA TO LISBON IN SEPTEMBER."
    (library / "es-several.txt").unlink()
    shutil.rmtree(library / "84")
    with pytest.raises(ValueError, match="no recording with its text"):
        corpus.collect(library)


@pytest.mark.parametrize(
    ("language", "said", "written", "same"),
    [
        ("en", "MISTER SMITH LIKES THE COLOUR", "Mr. Smith likes the color.", True),
        ("en", "TWENTY TWO", "22", True),
        ("en", "TWENTY TWO", "23", False),
        ("es", "¿Dónde está?", "dónde está", True),
    ],
)
def test_what_is_written_otherwise_is_the_same(
    language: str, said: str, written: str, same: bool
) -> None:
    assert (errors([(said, written)], corpus.normaliser(language)).rate == 0) == same


def test_a_folder_is_measured_on_a_running_server(
    server: Process, library: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = library / "found.json"
    asked = ["--server", server.url, "--folder", str(library), "--json", str(output)]
    assert evaluation.main(asked) == 0
    assert "3 files, 0 failed, 26 s of audio" in capsys.readouterr().out
    found = json.loads(output.read_text())
    assert found["summary"]["errors"]["words"] > 40
    assert found["summary"]["errors"]["lost"] < 10
    assert {one["name"] for one in found["files"]} == {
        "en-short.flac",
        "en-several.flac",
        "es-several.flac",
    }


def test_a_folder_with_a_file_that_cannot_be_heard_is_listed(
    server: Process, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "a.wav").write_bytes(b"no audio")
    (tmp_path / "a.txt").write_text("words")
    assert evaluation.main(["--server", server.url, "--folder", str(tmp_path)]) == 1
    assert "failed: a.wav: 400" in capsys.readouterr().out


def test_goals_that_are_missed_are_told(capsys: pytest.CaptureFixture[str]) -> None:
    print(
        evaluation.table([Figure("a", 0.5, "s", "b", 0.2), Figure("c", 19, "of 20", "d", 19, True)])
    )
    lines = capsys.readouterr().out.splitlines()
    assert "≤ 0.2 MISSED" in lines[2]
    assert "≥ 19 met" in lines[3]


def test_made_speech_is_sent_as_it_was_made(server: Process) -> None:
    made = synthesise.recording(5, "en", seed=3)
    written = Server(server.url).transcribe(made.samples)
    assert written.seconds == 5
    assert errors([(made.text, written.text)]).rate < 30
