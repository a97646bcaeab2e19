"""Builds the CPU image and its demo child, runs it as a careful platform would, prints figures.

No network but loopback, read-only root, no privileges, an ordinary user, 2 GB. It is asked by
bytes, by path and by URL from a container beside it, and ended by SIGTERM amid a request, which is
answered. Then models are baked in from a stand-in for a hub, a gated one with its token, and the
benchmark's image is run. Ends with 0 when all of that holds.
"""

from __future__ import annotations

import argparse
import json
import platform
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

import numpy as np
import soundfile

from benchmark.demo import SAMPLES, Sample, read_samples
from tests.images import baking, bases, engine, heavy, layers
from tests.images.engine import ROOT, run

TAG = "proof"
SERVER = f"asr-api:{TAG}-cpu"
DEMO = f"{SERVER}-demo"
MEMORY = "2g"
START_S = 300
LONG_S = 120  # of speech, for the request that SIGTERM interrupts
DRAIN_S = 300  # on cores that others keep busy
STAGE = re.compile(r"(\S+) ([\d.]+) s")  # in the server's log
OFFLINE = (  # build arguments
    f"--build-arg=PYTHON={bases.BASE}",
    f"--build-arg=BUILDER={bases.BUILDER}",
    f"--build-arg=COMPILER={bases.C_COMPILER}",
    "--build-arg=TORCH_INDEX=",
)
HEAVY = {
    "cuda": heavy.prove_cuda,
    "fa2": heavy.prove_flash_attention,
    "arm64": heavy.prove_arm64,
}
HARDENED = (
    *("--network=none", "--read-only", "--tmpfs=/tmp:size=512m"),
    *("--cap-drop=ALL", "--security-opt=no-new-privileges"),
    *(f"--memory={MEMORY}", f"--memory-swap={MEMORY}"),
)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--if-possible", action="store_true", help="start and install nothing: else end with 0"
    )
    for name, trial in HEAVY.items():
        parser.add_argument(f"--{name}", action="store_true", help=f"instead: {trial.__doc__}")
    asked = parser.parse_args()
    trials = [trial for name, trial in HEAVY.items() if getattr(asked, name)]
    try:
        if asked.if_possible:
            engine.check_as_it_is()
        engine.install("shellcheck")
        run("shellcheck", "build.sh")
        sample = read_samples(SAMPLES)[0]
        with engine.docker():
            for trial in trials or (prove,):
                trial(sample)
    except engine.NoEngine as error:
        print(f"the images are not tested: {error}")
        return 0 if asked.if_possible else 1
    print("\nall of it holds")
    return 0


def prove(sample: Sample) -> None:
    try:
        bases.make()
    except SystemExit as error:
        raise engine.NoEngine(f"without base images: {error}") from error
    build(TAG)
    layers.print_sizes(SERVER, DEMO)
    print_change()
    print_imports()
    with container(sample.audio.parent) as name:
        print_start(name)
        check_confinement(name)
        check_kernels(name)
        ask_by_every_door(name, sample)
        stop_amid_a_request(name, sample)
    baking.prove(TAG, OFFLINE, sample)


def build(tag: str, directory: Path = ROOT) -> None:
    started = time.monotonic()
    script = [str(directory / "build.sh"), "--cpu", "--model", "demo", "--tag", tag]
    run(*script, "--", "--network=none", *OFFLINE)
    print(f"built {tag} in {time.monotonic() - started:.0f} s", flush=True)


def print_change() -> None:
    """What is pulled again after a change of the code: layers with a new digest."""
    copy = engine.CACHE / "changed"
    layers.copy_sources(copy)
    (copy / "server.py").write_text((ROOT / "server.py").read_text() + "\n# changed\n")
    build(f"{TAG}-changed", copy)
    for image in (SERVER, DEMO):
        layers.print_what_changed(image, image.replace(TAG, f"{TAG}-changed"))


def print_imports() -> None:
    """Where the interpreter's time goes, by package; slower than the real start, being measured."""
    command = "import server, asr.engines.whisper.engine"
    ended = subprocess.run(
        [
            *("docker", "run", "--rm", "--network=none", SERVER),
            *("python", "-X", "importtime", "-c", command),
        ],
        capture_output=True,
        text=True,
    )
    spent: dict[str, int] = {}
    for line in ended.stderr.splitlines():
        fields = line.removeprefix("import time:").split("|")
        if len(fields) == 3 and fields[0].strip().isdigit():
            package = fields[2].strip().partition(".")[0]
            spent[package] = spent.get(package, 0) + int(fields[0])
    most = sorted(spent.items(), key=lambda item: -item[1])[:8]
    print(f"\nimports: {sum(spent.values()) / 1e6:.1f} s in all, of which")
    print("  " + ", ".join(f"{name} {microseconds / 1e6:.2f}" for name, microseconds in most))


@contextmanager
def container(audio: Path) -> Iterator[str]:
    name = "asr-api-proof"
    subprocess.run(["docker", "rm", "--force", name], capture_output=True)
    settings = ["AUDIO_ROOT=/audio", "ALLOW_PRIVATE_URLS=1", f"DRAIN_TIMEOUT_S={DRAIN_S}"]
    run(
        *("docker", "run", "--detach", "--name", name, *HARDENED),
        *(f"--env={setting}" for setting in settings),
        *("--volume", f"{audio}:/audio:ro", DEMO),
    )
    try:
        yield name
    except BaseException:
        print(run("docker", "logs", name))
        raise
    finally:
        run("docker", "rm", "--force", name)


def print_start(name: str) -> None:
    """Cold start to a health check that passes, with the server's own words about it."""
    ends = time.monotonic() + START_S
    check = ["docker", "exec", name, "python", "-IS", "/app/healthcheck.py"]
    while subprocess.run(check, capture_output=True).returncode:
        if time.monotonic() > ends:
            sys.exit(run("docker", "logs", name))
        time.sleep(0.2)
    ready = datetime.now().astimezone()
    created = moment(run("docker", "inspect", "--format={{.Created}}", name))
    started = moment(run("docker", "inspect", "--format={{.State.StartedAt}}", name))
    stages = {"container": (started - created).total_seconds(), **told_stages(name)}
    total = (ready - created).total_seconds()
    stages["the rest"] = max(0.0, total - sum(stages.values()))  # they are rounded
    print(f"\ncold start to /hc: {total:.1f} s")
    for stage, seconds in stages.items():
        print(f"  {seconds:6.1f} s  {stage}")


def told_stages(name: str) -> dict[str, float]:
    """The stages of its start that the server has logged, and their seconds."""
    command = ["docker", "logs", name]
    logs = subprocess.run(command, capture_output=True, text=True, check=True)
    told = re.search(r" start: (.+), ready after", logs.stdout + logs.stderr)
    assert told is not None, logs
    return {stage: float(seconds) for stage, seconds in re.findall(STAGE, told[1])}


def moment(text: str) -> datetime:
    """A time as Docker writes it, with nanoseconds."""
    return datetime.fromisoformat(text[:26].rstrip("Z") + "+00:00")


def check_confinement(name: str) -> None:
    assert run("docker", "exec", name, "id", "--user") == "10001"
    write = ["docker", "exec", name, "touch", "/app/x"]
    assert subprocess.run(write, capture_output=True).returncode != 0
    for tool in ("gcc", "cc", "make", "git", "curl"):
        found = ["docker", "exec", name, "sh", "-c", f"command -v {tool}"]
        assert subprocess.run(found, capture_output=True).returncode != 0, tool
    limit = run("docker", "inspect", "--format={{.HostConfig.Memory}}", name)
    memory = layers.mebibytes(int(limit))
    print(f"\nuser 10001, read-only root, no network, no compiler; {memory} of memory")


def check_kernels(name: str) -> None:
    """They are compiled when the image is built: it has no compiler itself."""
    command = "from asr.engines.whisper.kernels.build import compiled; print(compiled().is_file())"
    is_there = run("docker", "exec", name, "python", "-c", command)
    assert is_there == str(platform.machine() == "x86_64"), is_there


def beside(name: str, *arguments: str, audio: Path | None = None) -> list[str]:
    """The command that runs the client in a container that shares the server's loopback."""
    volumes = [f"{ROOT / 'tests' / 'images' / 'client.py'}:/client.py:ro"]
    volumes += [f"{audio.parent}:/audio:ro"] if audio else []
    command = ["docker", "run", "--rm", f"--network=container:{name}"]
    command += [f"--volume={volume}" for volume in volumes]
    return [*command, bases.BASE, "python", "/client.py", *arguments]


def ask_by_every_door(name: str, sample: Sample) -> None:
    path = f"/audio/{sample.audio.name}"
    heard = json.loads(run(*beside(name, "doors", path, audio=sample.audio)))
    first, *_ = heard
    print(
        f"first request, {sample.audio.stat().st_size / 2**10:.0f} KiB by {first}: "
        f"{heard[first]['seconds']} s"
    )
    for door, answer in heard.items():
        print(f"  by {door}: {answer['seconds']} s {answer['text']!r}")
        assert baking.is_heard(sample, answer["text"])


def stop_amid_a_request(name: str, sample: Sample) -> None:
    command = beside(name, "drain", "/audio/long.wav", audio=long(sample))
    client = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert client.stdout is not None
    assert client.stdout.readline() == "under way\n"
    started = time.monotonic()
    run("docker", "stop", "--time", str(DRAIN_S), name)
    stopped = time.monotonic() - started
    output, _ = client.communicate(timeout=60)
    answer = json.loads(output)
    code = run("docker", "inspect", "--format={{.State.ExitCode}}", name)
    killed = run("docker", "inspect", "--format={{.State.OOMKilled}}", name)
    assert client.returncode == 0
    assert answer["text"]
    assert (code, killed) == ("0", "false")
    print(f"  SIGTERM amid {LONG_S} s of speech: answered, and ended {stopped:.1f} s later with 0")


def long(sample: Sample) -> Path:
    """The sample over and over, as WAV."""
    samples, rate = soundfile.read(sample.audio, dtype="int16")
    path = engine.CACHE / "speech" / "long.wav"
    path.parent.mkdir(exist_ok=True)
    soundfile.write(path, np.tile(samples, LONG_S * rate // len(samples)), rate)
    return path


if __name__ == "__main__":
    sys.exit(main())
