"""Write the built-in diarizer's networks as ONNX models with the metadata that sherpa-onnx reads.

The weights are the same, so that whatever else differs is what both packages make of them.
"""

from __future__ import annotations

import io
import sys
import warnings
from collections.abc import Mapping
from pathlib import Path

import torch
import torch.nn.functional as F  # noqa: N812

from asr.diarization.campplus import GROWTH, POOLED_FRAMES, SIZE, CamPlusPlus, Gated
from asr.diarization.filter_bank import BANDS
from asr.diarization.segmentation import (
    CLASSES,
    FRAME_SAMPLES,
    FRAME_STEP,
    LOCAL_SPEAKERS,
    WINDOW_SAMPLES,
    Segmentation,
)
from asr.pcm import SAMPLE_RATE
from benchmark.paths import ROOT
from benchmark.speakers.sherpa_onnx import FOLDER

WEIGHTS = ROOT / "models" / "speakers" / "weights"

OPSET = 17
SEGMENTATION = {
    "model_type": "pyannote-segmentation-3.0",
    "sample_rate": SAMPLE_RATE,
    "window_size": WINDOW_SAMPLES,
    "receptive_field_size": FRAME_SAMPLES,
    "receptive_field_shift": FRAME_STEP,
    "num_speakers": LOCAL_SPEAKERS,
    "powerset_max_classes": 2,  # speakers at once
    "num_classes": len(CLASSES),
}
VOICES = {
    "framework": "3d-speaker",
    "language": "Chinese,English",
    "sample_rate": SAMPLE_RATE,
    "output_dim": SIZE,
    "normalize_samples": 1,  # they are between -1 and 1
    "feature_normalize_type": "global-mean",
}


def write(folder: Path) -> None:
    """Write segmentation.onnx and voices.onnx, unless they are there."""
    import onnx  # only the environment of sherpa-onnx has it

    folder.mkdir(parents=True, exist_ok=True)
    cpu = torch.device("cpu")
    for name, metadata, made in (
        ("segmentation.onnx", SEGMENTATION, segmentation),
        ("voices.onnx", VOICES, voices),
    ):
        if not (folder / name).exists():
            model = onnx.load_from_string(made(cpu))
            onnx.helper.set_model_props(model, {key: str(metadata[key]) for key in metadata})
            onnx.save(model, folder / name)


def segmentation(device: torch.device) -> bytes:
    """The model of segmentation-3.0: [windows, 1, samples] to [windows, frames, classes]."""
    network = Segmentation.load(WEIGHTS / "segmentation.safetensors", device)
    return _exported(Scores(network), torch.zeros(2, 1, WINDOW_SAMPLES), {0: "windows"})


def voices(device: torch.device) -> bytes:
    """The model of CAM++: [1, frames, bands] to [1, size]."""
    network = CamPlusPlus.load(WEIGHTS / "campplus.safetensors", device)
    tensors = Traceable(network.weights, network.bank, device)
    return _exported(Voice(tensors), torch.randn(1, 250, BANDS), {1: "frames"})


class Scores(torch.nn.Module):
    def __init__(self, network: Segmentation) -> None:
        super().__init__()
        self.network = network

    def forward(self, windows: torch.Tensor) -> torch.Tensor:
        network = self.network
        hidden, _ = network.lstm(network._features(windows[:, 0]).transpose(1, 2))
        for layer in ("linear.0", "linear.1"):
            hidden = F.leaky_relu(network._linear(layer, hidden))
        return network._linear("classifier", hidden).log_softmax(-1)


class Voice(torch.nn.Module):
    def __init__(self, network: CamPlusPlus) -> None:
        super().__init__()
        self.network = network

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        return self.network.embedding(features[0])[None]


class Traceable(CamPlusPlus):
    """The same layers without writing into tensors and without counting frames in Python."""

    def _unfolded(self, hidden: torch.Tensor) -> torch.Tensor:
        return hidden

    def _linear(self, name: str, hidden: torch.Tensor) -> torch.Tensor:
        if name != "tdnn":
            return super()._linear(name, hidden)
        weight = self.weights["tdnn.weight"].reshape(-1, 320, 5)
        return F.conv1d(hidden[None], weight, self.weights["tdnn.bias"], 2, 2)[0].t()

    def _block(
        self, name: str, hidden: torch.Tensor, layers: int, dilation: int, gated: Gated
    ) -> torch.Tensor:
        for number in range(1, layers + 1):
            made = self._layer(f"{name}.{number}", hidden, dilation, gated)
            hidden = torch.cat([hidden, made], 1)
        return hidden

    def _layer(
        self,
        name: str,
        known: torch.Tensor,
        dilation: int,
        gated: Gated,  # noqa: ARG002
    ) -> torch.Tensor:
        inner = self._linear(name + ".inner", self._before(name + ".before", known)).relu()
        taps = F.linear(inner, self.weights[name + ".local.weight"])
        padded = F.pad(taps, (0, 0, dilation, dilation))
        frames = taps.shape[0]
        local = sum(
            padded[shift : shift + frames, tap * GROWTH : (tap + 1) * GROWTH]
            for tap, shift in enumerate((0, dilation, 2 * dilation))
        )
        numbers = torch.arange(frames) // POOLED_FRAMES
        inside = (numbers == torch.arange(frames)[:, None]).float()  # more parts than there are
        means = inside @ inner / inside.sum(1, keepdim=True).clamp_min(1) + inner.mean(0)
        gates = self._linear(name + ".gate", self._linear(name + ".squeeze", means).relu())
        return local * gates.sigmoid()[numbers]


def _exported(module: torch.nn.Module, example: torch.Tensor, free: Mapping[int, str]) -> bytes:
    written = io.BytesIO()
    with warnings.catch_warnings(), torch.inference_mode():
        warnings.simplefilter("ignore")  # what is traced is right for each length: a test says so
        torch.onnx.export(
            module.eval(),
            (example,),
            written,
            input_names=["x"],
            output_names=["y"],
            dynamic_axes={"x": dict(free), "y": {0: "windows"}},
            opset_version=OPSET,
            dynamo=False,
        )
    return written.getvalue()


if __name__ == "__main__":
    write(Path(sys.argv[1]) if len(sys.argv) > 1 else FOLDER)
