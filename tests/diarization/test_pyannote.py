"""DIARIZER=pyannote, against a module that stands in for pyannote.audio."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass, field
from types import ModuleType, SimpleNamespace
from typing import Any

import httpx2
import numpy as np
import pytest
import torch
from huggingface_hub.errors import GatedRepoError, LocalEntryNotFoundError, RepositoryNotFoundError

from asr.config.config import Config
from asr.diarization.diarizer import Diarization, VoiceTurn
from asr.diarization.pyannote import DEFAULT_PIPELINE, TELEMETRY, open_pipeline
from asr.errors import ConfigError
from asr.options import SpeakerOptions
from tests.conftest import tone


class Annotation:
    """Turns as pyannote.core keeps them: by time, with labels in alphabetical order."""

    def __init__(self, *turns: tuple[float, float, str]) -> None:
        self.turns = turns

    def itertracks(self, yield_label: bool):
        assert yield_label
        for number, (start, end, label) in enumerate(self.turns):
            yield SimpleNamespace(start=start, end=end), number, label

    def labels(self) -> list[str]:
        return sorted({label for _, _, label in self.turns})


WHOLE = Annotation((0.5, 3.0, "SPEAKER_01"), (2.0, 4.0, "SPEAKER_00"))
EXCLUSIVE = Annotation((0.5, 2.5, "SPEAKER_01"), (2.5, 4.0, "SPEAKER_00"))
EMBEDDINGS = np.array([[0.0, 5.0], [-2.0, 0.0]])  # of SPEAKER_00 and SPEAKER_01


def output(embeddings: np.ndarray = EMBEDDINGS) -> SimpleNamespace:
    return SimpleNamespace(
        speaker_diarization=WHOLE,
        exclusive_speaker_diarization=EXCLUSIVE,
        speaker_embeddings=embeddings,
    )


@dataclass
class StandIn:
    """What was asked of the pipeline, and what it answers."""

    output: Any = field(default_factory=output)
    failure: Exception | None = None
    opened: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    devices: list[torch.device] = field(default_factory=list)
    calls: list[tuple[np.ndarray, int, dict[str, int]]] = field(default_factory=list)
    telemetry: str | None = None

    def from_pretrained(self, name: str, **options: Any) -> StandIn | None:
        self.opened.append((name, options))
        if self.failure is not None:
            raise self.failure
        return None if name == "org/nothing" else self

    def to(self, device: torch.device) -> None:
        self.devices.append(device)

    def __call__(self, audio: dict[str, Any], **numbers: int) -> Any:
        torch.backends.cudnn.allow_tf32 = False  # as the package does on a GPU
        self.calls.append((audio["waveform"].numpy().copy(), audio["sample_rate"], numbers))
        return self.output


@pytest.fixture
def stand_in(monkeypatch: pytest.MonkeyPatch) -> StandIn:
    made = StandIn()
    monkeypatch.setenv(TELEMETRY, "1")

    class Package(ModuleType):
        @property
        def Pipeline(self) -> StandIn:  # noqa: N802
            made.telemetry = os.environ[TELEMETRY]
            return made

    monkeypatch.setitem(sys.modules, "pyannote", ModuleType("pyannote"))
    monkeypatch.setitem(sys.modules, "pyannote.audio", Package("pyannote.audio"))
    return made


def config(**settings: str) -> Config:
    return Config.from_environment({"DIARIZER": "pyannote", "DEVICE": "cpu", **settings})


def diarized(samples: np.ndarray, speakers: SpeakerOptions | None = None) -> Diarization:
    session = open_pipeline(config()).begin(speakers or SpeakerOptions())
    for start in range(0, len(samples), 5_000):
        session.push(samples[start : start + 5_000])
        assert not session.advance()
    session.complete()
    assert session.waiting == 0
    return session.finish()


def test_the_pipeline_is_that_of_the_setting_and_stays_in_the_cache(stand_in):
    open_pipeline(config(CACHE_DIR="/cache"))
    open_pipeline(config(DIARIZER_MODEL="pyannote/speaker-diarization-3.1", CACHE_DIR="/cache"))
    assert stand_in.opened == [
        (DEFAULT_PIPELINE, {"cache_dir": "/cache"}),
        ("pyannote/speaker-diarization-3.1", {"cache_dir": "/cache"}),
    ]
    assert stand_in.devices == [torch.device("cpu")] * 2


def test_telemetry_is_off_before_the_package_is_imported(stand_in):
    open_pipeline(config())
    assert stand_in.telemetry == "0"


def test_the_pipeline_has_all_samples_in_one_piece(stand_in):
    samples = tone(2.0)
    diarized(samples)
    [(waveform, rate, numbers)] = stand_in.calls
    assert np.array_equal(waveform, samples[None])
    assert (rate, numbers) == (16_000, {})


@pytest.mark.parametrize(
    ("speakers", "numbers"),
    [
        (SpeakerOptions(count=3), {"num_speakers": 3}),
        (SpeakerOptions(least=2, most=4), {"min_speakers": 2, "max_speakers": 4}),
    ],
)
def test_the_numbers_of_speakers_reach_the_pipeline(stand_in, speakers, numbers):
    diarized(tone(1.0), speakers)
    assert stand_in.calls[0][2] == numbers


@pytest.mark.usefixtures("stand_in")
def test_voices_come_in_the_order_of_their_turns_each_with_its_own_embedding():
    found = diarized(tone(4.0))
    assert found.turns == (VoiceTurn(0.5, 2.5, 0), VoiceTurn(2.5, 4.0, 1))
    assert found.voices == ((-1.0, 0.0), (0.0, 1.0))


def test_turns_of_a_pipeline_without_exclusive_ones_overlap(stand_in):
    stand_in.output = SimpleNamespace(speaker_diarization=WHOLE, speaker_embeddings=EMBEDDINGS)
    assert diarized(tone(4.0)).turns == (VoiceTurn(0.5, 3.0, 0), VoiceTurn(2.0, 4.0, 1))


def test_an_annotation_alone_has_voices_that_are_like_none(stand_in):
    stand_in.output = WHOLE
    found = diarized(tone(4.0))
    assert len(found.turns) == 2
    assert found.voices == ((0.0,), (0.0,))


def test_a_voice_that_the_pipeline_does_not_know_is_like_none(stand_in):
    stand_in.output = output(np.array([[0.0, 0.0], [np.nan, np.nan]]))
    assert diarized(tone(4.0)).voices == ((0.0, 0.0), (0.0, 0.0))


def test_silence_and_nothing_have_no_turns(stand_in):
    stand_in.output = SimpleNamespace(
        speaker_diarization=Annotation(),
        exclusive_speaker_diarization=Annotation(),
        speaker_embeddings=np.zeros((0, 2)),
    )
    assert diarized(np.zeros(16_000, np.float32)) == Diarization()
    assert diarized(np.zeros(0, np.float32)) == Diarization()
    assert len(stand_in.calls) == 1


def test_the_voice_of_a_reference_is_that_of_its_one_speaker(stand_in):
    diarizer = open_pipeline(config())
    assert diarizer.voice(tone(3.0)) == (-1.0, 0.0)
    assert stand_in.calls[0][2] == {"num_speakers": 1}
    stand_in.output = Annotation()
    assert diarizer.voice(tone(3.0)) is None


@pytest.mark.usefixtures("stand_in")
def test_the_precision_of_the_process_stays_as_it_was():
    assert torch.backends.cudnn.allow_tf32
    diarized(tone(1.0))
    assert torch.backends.cudnn.allow_tf32


@pytest.mark.usefixtures("stand_in")
def test_a_recording_that_nobody_waits_for_leaves_no_open_file():
    session = open_pipeline(config()).begin(SpeakerOptions())
    session.push(tone(1.0))
    descriptor = session._spool.file.fileno()
    del session
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(descriptor)


def test_without_the_package_the_error_says_how_to_get_it(monkeypatch):
    monkeypatch.setenv(TELEMETRY, "1")  # what is set in the process stays in this test
    monkeypatch.setitem(sys.modules, "pyannote.audio", None)
    with pytest.raises(ConfigError, match=r"cannot import pyannote\.audio .* images/pyannote\.txt"):
        open_pipeline(config())


def hub_error(kind: type[Exception]) -> Exception:
    request = httpx2.Request("GET", "https://huggingface.co")
    return kind("first line\nsecond", response=httpx2.Response(403, request=request))


@pytest.mark.parametrize(
    ("failure", "words"),
    [
        (hub_error(GatedRepoError), "it is gated: accept its terms at .* and set HF_TOKEN"),
        (hub_error(RepositoryNotFoundError), "has no such model, or it is private"),
        (LocalEntryNotFoundError("offline"), "cannot be reached .* DIARIZER=builtin"),
        (ValueError("first line\nsecond"), r"first line \(LOG_LEVEL=DEBUG"),
    ],
)
def test_a_pipeline_that_cannot_be_loaded_is_named_with_the_remedy(stand_in, failure, words):
    stand_in.failure = failure
    with pytest.raises(ConfigError, match=f"DIARIZER_MODEL='{DEFAULT_PIPELINE}': .*{words}"):
        open_pipeline(config())


@pytest.mark.usefixtures("stand_in")
def test_a_name_without_a_pipeline_is_refused():
    with pytest.raises(ConfigError, match="no pipeline of that name"):
        open_pipeline(config(DIARIZER_MODEL="org/nothing"))


def test_a_directory_without_a_pipeline_is_named(stand_in, tmp_path):
    stand_in.failure = FileNotFoundError(str(tmp_path / "config.yaml"))
    with pytest.raises(ConfigError, match=r"no config\.yaml of a pipeline"):
        open_pipeline(config(DIARIZER_MODEL=str(tmp_path)))
