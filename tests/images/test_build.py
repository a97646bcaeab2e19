"""build.sh: its commands and tags, without a builder."""

import itertools
import re
import shlex
import subprocess
from pathlib import Path

import pytest

from asr import __version__
from tests.conftest import ROOT

TAGS = (Path(__file__).parent / "tags.txt").read_text().replace("VERSION", __version__).split()


def commands(*arguments: str) -> list[list[str]]:
    printed = subprocess.run(
        [ROOT / "build.sh", *arguments, "--dry-run"], capture_output=True, text=True, check=True
    )
    return [shlex.split(line) for line in printed.stdout.splitlines()]


def values(command: list[str], option: str) -> list[str]:
    return [value for name, value in itertools.pairwise(command) if name == option]


def arguments_of(command: list[str]) -> dict[str, str]:
    return dict(value.split("=", 1) for value in values(command, "--build-arg"))


def tags(*arguments: str) -> list[str]:
    return [tag for command in commands(*arguments) for tag in values(command, "--tag")]


def test_the_whole_matrix_has_the_listed_tags():
    assert tags("--all") == TAGS


def test_without_options_the_plain_image_is_built():
    assert tags() == ["asr-api:latest", f"asr-api:{__version__}"]


def test_options_may_come_twice_and_in_any_order():
    assert tags("--all", "--cpu", "--fa2") == TAGS
    assert tags("--cpu", "--fa2") == tags("--fa2", "--cpu", "--cpu")


def test_every_image_is_built_from_one_that_was_built_before():
    built: set[str] = set()
    for command in commands("--all"):
        base = arguments_of(command).get("BASE")
        assert base is None or base in built
        built.update(values(command, "--tag"))


def test_every_dockerfile_exists_and_takes_the_arguments_it_is_given():
    for command in commands("--all", "--token", str(ROOT / "build.sh")):
        [file] = values(command, "--file")
        declared = set(re.findall(r"^ARG (\w+)", (ROOT / file).read_text(), re.MULTILINE))
        assert arguments_of(command).keys() <= declared


def test_a_tag_takes_the_place_of_latest_and_the_version():
    assert tags("--cpu", "--model", "Org/Model", "--tag", "t") == [
        "asr-api:t-cpu",
        "asr-api:t-cpu-org-model",
    ]


def test_a_model_is_baked_in_as_it_is_spelt_and_as_wide_as_it_will_run():
    *_, command = commands("--model", "Org/Model")
    assert arguments_of(command)["MODEL_ID"] == "Org/Model"
    assert arguments_of(command)["DTYPE"] == "float16"
    *_, command = commands("--cpu", "--model", "Org/Model")
    assert arguments_of(command)["DTYPE"] == "float32"


def test_pyannote_comes_from_the_same_index_as_torch():
    assert tags("--cpu", "--pyannote", "--tag", "t") == ["asr-api:t-cpu", "asr-api:t-cpu-pyannote"]
    server, command = map(arguments_of, commands("--cpu", "--pyannote"))
    assert command["TORCH_INDEX"] == server["TORCH_INDEX"]
    assert command["BASE"] == "asr-api:latest-cpu"


def test_what_was_built_is_pushed_to_the_registry():
    build, *pushes = commands("--push", "--registry", "example.com/me/")
    assert pushes == [["docker", "push", tag] for tag in values(build, "--tag")]
    assert pushes[0][-1] == "example.com/me/asr-api:latest"


@pytest.mark.parametrize("builder", ["docker", "buildah"])
def test_the_image_for_cpus_is_pushed_for_both_architectures(builder):
    build, *_ = commands("--cpu", "--push", "--builder", builder)
    assert values(build, "--platform") == ["linux/amd64,linux/arm64"]


@pytest.mark.parametrize("push", [(), ("--push",)])
def test_buildah_keeps_the_health_check_and_the_layers(push):
    for command in commands("--all", "--builder", "buildah", *push):
        if command[1] == "build":
            assert values(command, "--format") == ["docker"]
            assert "--layers" in command


def test_a_token_is_a_secret_of_the_builds_that_download():
    server, baked = commands("--model", "org/gated", "--token", str(ROOT / "build.sh"))
    assert not values(server, "--secret")
    assert values(baked, "--secret") == [f"id=hf_token,src={ROOT / 'build.sh'}"]


def test_options_after_two_dashes_reach_every_build():
    printed = subprocess.run(
        [ROOT / "build.sh", "--cpu", "--model", "demo", "--dry-run", "--", "--network", "host"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert printed.stdout.count("--network host") == 2


@pytest.mark.parametrize(
    "wrong", [["--what"], ["--tag"], ["--builder", "kaniko"], ["--token", "/nowhere"]]
)
def test_a_wrong_option_is_named_and_nothing_is_done(wrong):
    ended = subprocess.run([ROOT / "build.sh", *wrong], capture_output=True, text=True)
    assert ended.returncode == 2
    assert wrong[-1] in ended.stderr
    assert not ended.stdout
