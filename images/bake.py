"""Put a model into an image: weights no wider than they will run, with fixed times.

Equal weights make an equal layer, which nobody has to pull twice.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import tempfile
from fnmatch import fnmatch
from pathlib import Path

import torch
from huggingface_hub import HfApi, snapshot_download
from huggingface_hub.errors import HfHubHTTPError
from safetensors import safe_open
from safetensors.torch import save_file

DEMO = Path(__file__).resolve().parent / "demo"
TOKEN = Path("/run/secrets/hf_token")
WEIGHTS = "model.safetensors"
INDEX = "model.safetensors.index.json"  # of weights in several files
SHARDS = "model-*-of-*.safetensors"
DESCRIPTIONS = ("*.json", "*.txt", "*.jinja", "*.model", "*.tiktoken")  # besides the weights
CTRANSLATE2 = "model.bin"  # the weights of such a model
SINGLE = (".pt", ".bin")  # of files that hold a whole model: openai/whisper's, whisper.cpp's


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model_id", help="hub id, or demo")
    parser.add_argument("--revision", default="main")
    parser.add_argument("--dtype", choices=("float16", "bfloat16", "float32"), default="float16")
    parser.add_argument("--into", type=Path, required=True, help="the image's CACHE_DIR")
    asked = parser.parse_args()
    dtype = getattr(torch, asked.dtype)
    if asked.model_id == "demo":
        bake(DEMO, asked.into / "demo", dtype)
    else:
        with tempfile.TemporaryDirectory() as directory:
            snapshot = fetch(asked.model_id, asked.revision, Path(directory))
            bake(snapshot, place(asked.into, asked.model_id, snapshot.name), dtype)
    settle(asked.into)


def fetch(model_id: str, revision: str, directory: Path) -> Path:
    """Download what is needed of a model; the directory's name is the commit."""
    token = TOKEN.read_text().strip() if TOKEN.is_file() else None
    try:
        names = HfApi(token=token).list_repo_files(model_id, revision=revision)
        wanted = needed(names)
        path = snapshot_download(
            model_id, revision=revision, allow_patterns=wanted, cache_dir=directory, token=token
        )
    except HfHubHTTPError as error:
        sys.exit(f"{model_id}: {error}\nFor a gated model: build.sh --token FILE")
    except ValueError as error:
        sys.exit(f"{model_id}: {error}")
    return Path(path)


def needed(names: list[str]) -> list[str]:
    """The files to download, of those that a repository has.

    Raises:
        ValueError: there are no weights that can be baked.
    """
    single = [name for name in names if name.endswith(SINGLE) and "/" not in name]
    if WEIGHTS in names:
        weights = [WEIGHTS]
    elif INDEX in names:
        weights = [INDEX, *(name for name in names if fnmatch(name, SHARDS))]
    elif CTRANSLATE2 in names:
        weights = [CTRANSLATE2]
    elif len(single) == 1 and "config.json" not in names:
        weights = single
    else:
        raise ValueError(
            f"has neither {WEIGHTS} nor {INDEX} nor one file of another layout; "
            "have its owner convert it"
        )
    descriptions = [
        name
        for name in names
        if "/" not in name
        and ".index." not in name
        and any(fnmatch(name, pattern) for pattern in DESCRIPTIONS)
    ]
    return weights + descriptions


def place(cache: Path, model_id: str, commit: str) -> Path:
    """The directory in which Transformers looks for a commit of a model in a cache."""
    repository = cache / ("models--" + model_id.replace("/", "--"))
    (repository / "refs").mkdir(parents=True)
    (repository / "refs" / "main").write_text(commit)
    return repository / "snapshots" / commit


def bake(source: Path, target: Path, dtype: torch.dtype) -> None:
    """Copy a checkpoint; weights wider than `dtype` are narrowed, none is widened.

    Of other layouts than safetensors the weights are copied as they are.
    """
    target.mkdir(parents=True)
    narrowed = False
    is_safe = any(source.glob("*.safetensors"))
    for path in sorted(source.iterdir()):
        if path.suffix == ".safetensors":
            narrowed |= narrow(path, target / path.name, dtype)
        elif any(path.match(pattern) for pattern in DESCRIPTIONS) or (
            path.suffix in SINGLE and not is_safe
        ):
            shutil.copyfile(path, target / path.name)
    if narrowed:
        config = json.loads((target / "config.json").read_text())
        config["dtype"] = str(dtype).removeprefix("torch.")
        config.pop("torch_dtype", None)
        (target / "config.json").write_text(json.dumps(config, indent=2) + "\n")


def narrow(source: Path, target: Path, dtype: torch.dtype) -> bool:
    """Write one file of weights; whether any had to be narrowed."""
    with safe_open(source, "pt") as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        metadata = file.metadata()
    wide = {
        name
        for name, tensor in tensors.items()
        if tensor.is_floating_point() and tensor.itemsize > dtype.itemsize
    }
    if not wide:
        shutil.copyfile(source, target)
        return False
    for name in wide:
        tensors[name] = tensors[name].to(dtype)
    save_file(tensors, target, metadata)
    return True


def settle(directory: Path) -> None:
    """Readable by every user, and with the same times in every build."""
    for path in sorted(directory.rglob("*"), reverse=True):
        path.chmod(0o755 if path.is_dir() else 0o644)
        os.utime(path, (0, 0))
    directory.chmod(0o755)
    os.utime(directory, (0, 0))


if __name__ == "__main__":
    main()
