"""sherpa-onnx gets whole recordings, and its turns are those of a diarizer of ours."""

from __future__ import annotations

import sys
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from asr.diarization.diarizer import VoiceTurn
from asr.options import SpeakerOptions
from benchmark.speakers import sherpa_onnx
from benchmark.speakers.worker import measure
from tests.conftest import RATE, tone, wav

FOUND = [
    SimpleNamespace(start=0.5, end=1.5, speaker=0),
    SimpleNamespace(start=1.0, end=2.0, speaker=1),
]


class Library:
    """Stands in for the package: notes how it is asked."""

    def __init__(self) -> None:
        self.clusters: list[dict[str, Any]] = []
        self.samples: list[np.ndarray] = []

    def OfflineSpeakerDiarization(self, config: Any) -> Library:  # noqa: ARG002, N802
        return self

    def FastClusteringConfig(self, **asked: Any) -> dict[str, Any]:  # noqa: N802
        return asked

    def set_config(self, config: Any) -> None:
        self.clusters.append(config.clustering)

    def process(self, samples: np.ndarray) -> Any:
        self.samples.append(samples)
        return SimpleNamespace(sort_by_start_time=lambda: FOUND)


@pytest.fixture
def library(monkeypatch: pytest.MonkeyPatch) -> Library:
    made = Library()
    monkeypatch.setitem(sys.modules, "sherpa_onnx", made)  # type: ignore[arg-type]
    return made


def test_a_whole_recording_is_handed_over_and_its_turns_are_counted(library, tmp_path):
    audio = tmp_path / "tone.wav"
    audio.write_bytes(wav(tone(40.0)))  # two blocks
    diarizer = sherpa_onnx.SherpaDiarizer(SimpleNamespace())
    measured = measure(diarizer, str(audio), SpeakerOptions())
    assert [len(samples) for samples in library.samples] == [40 * RATE]
    assert measured["turns"] == [(0.5, 1.5, 0), (1.0, 2.0, 1)]
    assert (measured["voices"], measured["seconds"]) == (2, 40.0)


@pytest.mark.parametrize(("count", "clusters"), [(None, -1), (3, 3)])
def test_the_number_of_speakers_is_told_where_that_is_asked(library, count, clusters):
    session = sherpa_onnx.SherpaDiarizer(SimpleNamespace()).begin(SpeakerOptions(count=count))
    assert [asked["num_clusters"] for asked in library.clusters] == [clusters]
    session.push(np.zeros(RATE, np.float32))
    assert session.waiting == 1.0
    assert session.finish().turns[0] == VoiceTurn(0.5, 1.5, 0)
