"""Load sherpa-onnx's diarization for `benchmark.speakers.worker`, with our networks' weights."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from asr.diarization.diarizer import Diarization, Voice, VoiceTurn
from asr.options import SpeakerOptions
from asr.pcm import SAMPLE_RATE, Samples
from benchmark.paths import CACHE

if TYPE_CHECKING:
    import sherpa_onnx

FOLDER = CACHE / "diarization" / "sherpa-onnx"  # `benchmark.speakers.onnx_models` writes here.
# Clusters are merged up to this distance: at 0.7, and at its own 0.5, it counts more people in
# recordings of the tuning half than speak there.
THRESHOLD = 0.8


def load() -> SherpaDiarizer:
    """Return the diarizer; its library is counted in the time and memory to load."""
    import sherpa_onnx

    pyannote = sherpa_onnx.OfflineSpeakerSegmentationPyannoteModelConfig(
        model=str(FOLDER / "segmentation.onnx")
    )
    config = sherpa_onnx.OfflineSpeakerDiarizationConfig(
        segmentation=sherpa_onnx.OfflineSpeakerSegmentationModelConfig(pyannote=pyannote),
        embedding=sherpa_onnx.SpeakerEmbeddingExtractorConfig(model=str(FOLDER / "voices.onnx")),
        clustering=sherpa_onnx.FastClusteringConfig(threshold=THRESHOLD),
    )
    return SherpaDiarizer(config)


class SherpaDiarizer:
    """Tells speakers apart by sherpa-onnx, on one thread."""

    name = "sherpa-onnx"

    def __init__(self, config: sherpa_onnx.OfflineSpeakerDiarizationConfig) -> None:
        import sherpa_onnx

        self._config = config
        self._clustering = sherpa_onnx.FastClusteringConfig
        self._diarization = sherpa_onnx.OfflineSpeakerDiarization(config)

    def begin(self, speakers: SpeakerOptions) -> SherpaSession:
        self._config.clustering = self._clustering(
            num_clusters=speakers.count or -1, threshold=THRESHOLD
        )
        self._diarization.set_config(self._config)
        return SherpaSession(self._diarization)

    def voice(self, samples: Samples) -> Voice | None:
        raise NotImplementedError("known speakers are not measured")


class SherpaSession:
    """Collects a recording, because sherpa-onnx works on whole ones."""

    def __init__(self, diarization: sherpa_onnx.OfflineSpeakerDiarization) -> None:
        self._diarization = diarization
        self._blocks: list[Samples] = []

    @property
    def waiting(self) -> float:
        return sum(map(len, self._blocks)) / SAMPLE_RATE

    def push(self, samples: Samples) -> None:
        self._blocks.append(samples)

    def complete(self) -> None:
        pass

    def advance(self) -> bool:
        return False

    def finish(self) -> Diarization:
        found = self._diarization.process(np.concatenate(self._blocks)).sort_by_start_time()
        return Diarization(tuple(VoiceTurn(one.start, one.end, one.speaker) for one in found))
