"""Models baked in from a hub, an open one and a gated one, and the benchmark's image.

The hub is a stand-in on this machine, which the builds and the benchmark reach as the only network.
What was baked runs with none at all.
"""

from __future__ import annotations

import os
import shlex
import socket
import subprocess
from collections.abc import Sequence
from pathlib import Path

from benchmark.demo import GROSSLY_WRONG, Sample, words_wrong
from tests.images import client, engine, hub
from tests.images.engine import ROOT, run

BLOCK = 1 << 20
DOCKERS = ("docker", "/usr/bin/docker")  # a newer client has no BuildKit without its plugin
ASK = "import client; print(client.post(open('/audio', 'rb').read())['text'])"


def prove(tag: str, arguments: Sequence[str], sample: Sample) -> None:
    server = f"asr-api:{tag}-cpu"
    with hub.serving() as url:
        options = ("--", "--network=host", f"--build-arg=HF_ENDPOINT={url}", *arguments)
        script = (str(ROOT / "build.sh"), "--cpu", "--tag", tag)
        run(*script, "--model", hub.OPEN, "--bench", *options)
        print(f"\nbaked from a hub, no network: {heard(f'{server}-example-whisper', sample)!r}")
        print_benchmark(f"{server}-bench", url)
        bake_gated([*script, "--model", hub.GATED], options, sample)


def heard(image: str, sample: Sample, start_s: int = 300) -> str:
    """What a baked image makes of a sample with no network; it must be grossly what was said."""
    name = "asr-api-baked"
    subprocess.run(["docker", "rm", "--force", name], capture_output=True)
    run("docker", "run", "--detach", "--name", name, "--network=none", "--read-only",
        "--tmpfs=/tmp", "--volume", f"{sample.audio}:/audio:ro",
        "--volume", f"{Path(client.__file__)}:/client/client.py:ro", image)  # fmt: skip
    try:
        wait = "until python -IS healthcheck.py; do sleep 0.5; done 2>/dev/null"
        inside = ("docker", "exec", "--env", "PYTHONPATH=/client", name)
        run(*inside, "timeout", str(start_s), "sh", "-c", wait)
        told = run(*inside, "python", "-c", ASK)
    except SystemExit:
        print(run("docker", "logs", name))
        raise
    finally:
        run("docker", "rm", "--force", name)
    assert is_heard(sample, told), told
    return told


def is_heard(sample: Sample, text: str) -> bool:
    return words_wrong(sample.text, text) <= GROSSLY_WRONG * len(sample.text.split())


def print_benchmark(image: str, url: str) -> None:
    """The benchmark's image downloads its model, loads its own server, and ends with 0."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    settings = {"HOST": "127.0.0.1", "PORT": str(port), "HF_ENDPOINT": url, "MODEL_ID": hub.OPEN}
    environment = [f"--env={name}={value}" for name, value in settings.items()]
    load = ("--concurrency", "1,4", "--requests", "4")
    print(f"\n{image}, with a model that it downloads first:")
    print(run("docker", "run", "--rm", "--network=host", *environment, image, *load))


def bake_gated(script: Sequence[str], options: Sequence[str], sample: Sample) -> None:
    docker = with_buildkit()
    if docker is None:
        print("the gated image is not tested: there is no BuildKit")
        return
    refused = build_gated(docker, script, options, "")
    assert refused.returncode != 0
    assert "--token" in refused.stdout + refused.stderr, refused
    baked = build_gated(docker, script, options, hub.TOKEN)
    assert baked.returncode == 0, baked
    image = baked.args[-2]
    text = heard(image, sample)
    assert is_inside(image, hub.COMMIT)  # or nothing could be found
    assert not is_inside(image, hub.TOKEN)
    print(f"baked from a gated model, its token in no layer: {text!r}")


def build_gated(
    docker: str, script: Sequence[str], options: Sequence[str], token: str
) -> subprocess.CompletedProcess[str]:
    """With the last command of build.sh: BuildKit has the image before it, not its steps."""
    secret = engine.CACHE / "token"
    secret.write_text(token)
    told = run(*script, "--token", str(secret), "--dry-run", *options)
    _, *rest = shlex.split(told.splitlines()[-1])
    environment = os.environ | {"DOCKER_BUILDKIT": "1"}
    return subprocess.run(
        [docker, *rest], env=environment, cwd=ROOT, capture_output=True, text=True
    )


def with_buildkit() -> str | None:
    """The client of Docker that can build with secrets."""
    for docker in DOCKERS:
        command = [docker, "build", "--help"]
        try:
            asked = subprocess.run(
                command, env=os.environ | {"DOCKER_BUILDKIT": "1"}, capture_output=True, text=True
            )
        except FileNotFoundError:
            continue
        if "--secret" in asked.stdout:
            return docker
    return None


def is_inside(image: str, text: str) -> bool:
    """Whether a text is anywhere in an image: in a file of any layer or in its description."""
    wanted, seen = text.encode(), b""
    with subprocess.Popen(["docker", "save", image], stdout=subprocess.PIPE) as saved:
        assert saved.stdout is not None
        while block := saved.stdout.read(BLOCK):
            seen = seen[-len(wanted) :] + block
            if wanted in seen:
                saved.kill()
                return True
    assert saved.returncode == 0
    return False
