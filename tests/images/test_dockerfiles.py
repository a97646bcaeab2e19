"""What the Dockerfiles, the pins and the sources must agree on."""

import re

from asr.config.config import DEMO_MODEL
from asr.diarization.builtin import WEIGHTS
from asr.engines.whisper.kernels import build
from images import pin
from tests.conftest import ROOT

IMAGES = ROOT / "images"


def instructions(name: str) -> list[str]:
    lines = (IMAGES / name).read_text().splitlines()
    return [line for line in lines if line and not line.startswith("#")]


def test_a_gated_model_is_baked_like_any_other_but_with_a_secret():
    mount = "--mount=type=secret,id=hf_token,uid=10001 "
    gated = instructions("gated.Dockerfile")
    assert sum(mount in line for line in gated) == 1
    assert [line.replace(mount, "") for line in gated] == instructions("baked.Dockerfile")


def test_what_a_dockerfile_copies_is_sent_to_the_builder():
    allowed = re.findall(r"^!(\S+)$", (ROOT / ".dockerignore").read_text(), re.MULTILINE)
    for path in IMAGES.glob("*.Dockerfile"):
        for sources in re.findall(r"^COPY (?!--from)(.+) \S+$", path.read_text(), re.MULTILINE):
            for source in sources.split():
                assert any(source == name or source.startswith(f"{name}/") for name in allowed)


def test_the_demo_model_lies_where_the_server_looks_for_it():
    place = DEMO_MODEL.relative_to(ROOT)
    assert f"ln -s /models/demo {place}" in (IMAGES / "server.Dockerfile").read_text()


def test_the_weights_of_the_diarizer_lie_where_it_looks_for_them():
    place = WEIGHTS.relative_to(ROOT)
    lines = instructions("server.Dockerfile")
    assert f"COPY {place} {place}" in lines
    assert "COPY --from=speakers /layers/speakers/ /" in lines


def test_the_kernels_are_compiled_where_they_are_looked_for():
    place = build.HERE.relative_to(ROOT)
    lines = instructions("server.Dockerfile")
    compiled = lines.index('RUN [ "$(uname -m)" != x86_64 ] || python build.py')
    assert lines[compiled - 1] == f"COPY {place} ./"
    assert f"COPY --from=kernels /build/kernels {place}" in lines[compiled:]
    assert "**/*.so" in (ROOT / ".dockerignore").read_text().splitlines()


def test_the_pins_are_of_what_is_brought_along_and_of_nothing_else():
    asked = pin.requirements((ROOT / "requirements.txt").read_text())
    pinned = pin.requirements(pin.CONSTRAINTS.read_text())
    assert [one.name for one in pinned] == [name for name, _ in pin.brought(asked)]
    assert all(re.fullmatch(r"==[\w.]+", str(one.specifier)) for one in pinned)


def test_what_pyannote_brings_along_is_pinned_and_is_nothing_that_the_server_pins():
    files = ("requirements.txt", "images/constraints.txt")
    server = {one.name for name in files for one in pin.requirements((ROOT / name).read_text())}
    own = pin.requirements((IMAGES / "pyannote.txt").read_text())
    assert all(re.fullmatch(r"==[\w.]+", str(one.specifier)) for one in own)
    assert not {one.name for one in own} & server


def test_python_has_one_version_everywhere():
    files = [ROOT / "build.sh", *IMAGES.glob("*.Dockerfile")]
    versions = {
        version for path in files for version in re.findall(r"python:([\d.]+)", path.read_text())
    }
    assert len(versions) == 1
