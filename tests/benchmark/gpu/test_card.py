"""What one GPU reaches: the parts in their order, the budget, and what is carried there."""

from __future__ import annotations

import json
import math
import re
import time
from collections.abc import Callable
from importlib.metadata import distribution
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement

from benchmark.engine_comparison import environments, plan
from benchmark.engine_comparison.comparison import Comparison
from benchmark.engine_comparison.goals import gpu_goals
from benchmark.gpu import card
from benchmark.gpu.budget import Budget
from benchmark.gpu.card import Card, Sizes
from benchmark.load import http_overhead
from benchmark.load.http_overhead import LONG, HttpFigures

SIZES = Sizes([128, 64], windows=256, few=32, long=LONG)
OFFLINE = environments.PINS.with_name("offline.txt")
# A machine that serves models has these; the rest of what the service needs is carried.
THERE = {"torch", "transformers", "numpy", "aiohttp", "prometheus-client", "threadpoolctl"}
THERE |= {"fsspec", "click", "tqdm"}  # as what those need
UNUSED = {"procrastinate", "wyoming"}  # For servers that share jobs, and for Home Assistant.
WITH_THEM = {"jinja2", "packaging", "pyyaml"}
SMALLER = "imageio-ffmpeg"  # an older one is carried: a ffmpeg of half the size


@pytest.fixture
def found(tmp_path: Path) -> Card:
    """Of two models, with all the time in the world."""
    models = []
    for weights in card.WEIGHTS.split(","):
        asked = plan.read(["--weights", weights, "--device", "cuda"])
        assert asked is not None
        models.append(Comparison(asked, tmp_path, {}))
    return Card(SIZES, Budget(math.inf), tmp_path / "card.json", models)


def test_a_part_that_no_longer_fits_is_skipped_and_listed(
    capsys: pytest.CaptureFixture[str],
) -> None:
    budget = Budget(time.monotonic() + 50)
    done: list[str] = []
    budget.attempt("long", 60, lambda: done.append("long"))
    budget.attempt("short", 5, lambda: done.append("short"))
    assert done == ["short"]
    assert budget.skipped[0].startswith("long: about 60 s")
    assert "skipped: long: about 60 s" in capsys.readouterr().out


def test_what_fails_costs_nothing_but_itself_and_what_is_known_is_written_each_time(
    found: Card, monkeypatch: pytest.MonkeyPatch, answered: Callable[..., HttpFigures]
) -> None:
    written: list[int] = []

    def over_http(card_: Card, model: Comparison) -> None:
        if model is found.models[0]:
            raise RuntimeError("the server ended with exit code 1")
        card._keep(card_, model.served, *[None] * 3)  # type: ignore[arg-type]
        document = json.loads((found.output or Path()).read_text())
        written.append(len(document["models"][1]["served"]))

    monkeypatch.setattr(card, "over_http", over_http)
    monkeypatch.setattr(card, "_answered", lambda *_: answered(30, 128, 2000.0))
    for part in ("alone", "outside"):
        monkeypatch.setattr(card, part, lambda *_: None)
    card.measure(found)
    assert found.budget.failed == [
        "random:large-v3 over HTTP: RuntimeError: the server ended with exit code 1"
    ]
    assert written == [1]
    said = "\n".join(found.judged())
    assert "random:large-v3: unmeasured  64 to 128 at once over HTTP: 1500 x" in said
    assert "random:large-v3-turbo: met         64 to 128 at once over HTTP: 1740 x" in said


def test_the_requests_answer_every_goal_over_http(answered: Callable[..., HttpFigures]) -> None:
    cases = card.http_cases(SIZES)
    multiples = http_overhead.multiples(
        [answered(case.seconds, case.callers, 1.0) for case in cases]
    )
    goals = [g for g in gpu_goals("random:large-v3", {}, multiples) if "HTTP" in g.text]
    assert len(goals) == 2
    assert all(goal.measured is not None for goal in goals)


def test_everything_that_a_machine_without_a_network_lacks_is_carried() -> None:
    pins = dict(re.findall(r"^([\w-]+)==(\S+)", OFFLINE.read_text(), re.MULTILINE))
    ours = Path(OFFLINE.parent.parent / "requirements.txt").read_text()
    needed = dict(re.findall(r"^([\w-]+)==(\S+)", ours, re.MULTILINE))
    assert pins.keys() > needed.keys() - THERE - UNUSED
    for name, version in pins.items():
        assert name == SMALLER or distribution(name).version == version
        for line in distribution(name).requires or ():
            wanted: Any = Requirement(line)
            if wanted.marker is None or wanted.marker.evaluate({"extra": ""}):
                assert wanted.name.lower() in pins.keys() | THERE | WITH_THEM, f"{name}: {line}"
