"""What an image consists of: its layers, their sizes, and which of them change."""

from __future__ import annotations

import json
import re
import shutil
from dataclasses import dataclass
from pathlib import Path

from tests.images.engine import ROOT, run

MAKES_NO_LAYER = re.compile("ARG|CMD|ENTRYPOINT|ENV|EXPOSE|HEALTHCHECK|LABEL|USER")


@dataclass(frozen=True)
class Layer:
    bytes: int
    made_by: str


def print_sizes(*images: str) -> None:
    for image in images:
        size = int(run("docker", "image", "inspect", "--format={{.Size}}", image))
        print(f"\n{image}: {mebibytes(size)} unpacked")
        for layer in layers(image):
            if layer.bytes:
                print(f"  {mebibytes(layer.bytes):>11}  {said(layer.made_by)}")


def copy_sources(directory: Path) -> None:
    """All that is sent to the builder, and build.sh: to be built with something changed."""
    shutil.rmtree(directory, ignore_errors=True)
    for name in ("asr", "benchmark", "images", "models"):
        shutil.copytree(ROOT / name, directory / name)
    for name in (".dockerignore", "build.sh", "requirements.txt", "server.py"):
        shutil.copy(ROOT / name, directory)


def print_what_changed(before: str, after: str) -> None:
    """What is pulled again: layers of `after` with a digest that `before` has not."""
    known, new = digests(before), digests(after)
    sizes = [one.bytes for one in layers(after) if not MAKES_NO_LAYER.match(said(one.made_by))]
    changed = [number for number, digest in enumerate(new) if digest not in known]
    weight = mebibytes(sum(sizes[number] for number in changed))
    print(f"{before}: a change of the code is {len(changed)} of {len(new)} layers, {weight}")


def layers(image: str) -> list[Layer]:
    lines = run("docker", "history", "--human=false", "--no-trunc", image, "--format={{json .}}")
    told = [json.loads(line) for line in lines.splitlines()]
    return [Layer(int(one["Size"]), one["CreatedBy"]) for one in reversed(told)]


def digests(image: str) -> list[str]:
    found: list[str] = json.loads(
        run("docker", "image", "inspect", "--format={{json .RootFS.Layers}}", image)
    )
    return found


def said(made_by: str) -> str:
    """The instruction that made a layer, in one short line."""
    text = " ".join(made_by.replace("/bin/sh -c", "").replace("#(nop)", "").split())
    return text[:70] or "the base image"


def mebibytes(size: int) -> str:
    return f"{size / 2**20:.1f} MiB" if size >= 2**20 else f"{size / 2**10:.1f} KiB"
