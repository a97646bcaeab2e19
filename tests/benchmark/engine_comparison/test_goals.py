"""Tests of the goals: which figures they compare, and what they say."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmark.engine_comparison import goals
from benchmark.engine_comparison.formats import Choice
from benchmark.engine_comparison.rounds import Figures, Level, Results

AUTO = Choice("int8", "measured", ("float32", "int8"))


@pytest.fixture
def level(tmp_path: Path) -> Level:
    return Level.of("file 7", "file", np.zeros((3, 160), np.float32), [7] * 3, tmp_path)


def row(contender: str, seconds: float, **others: float) -> Figures:
    rest = {field.name: 0 for field in dataclasses.fields(Figures)}
    values: dict[str, Any] = {**rest, "contender": contender, "seconds": seconds, **others}
    return Figures(**values)


def said(levels: dict[str, Results], weights: str = "random:tiny") -> dict[str, str]:
    """Return what each goal of a CPU says, by its first words."""
    judged = [goal.judged() for goal in goals.cpu_goals(weights, levels, 1.25, AUTO)]
    return {line.partition(":")[0].partition("  ")[2].strip(): line for line in judged}


def test_goals_say_met_or_by_how_much_not(level: Level) -> None:
    rows = [row("ours x", 2.0), row("ours y", 1.0), row("faster-whisper batched int8", 2.4)]
    rows += [row("transformers greedy float32", 5.5)]
    levels = {"file 130": Results(level, rows)}
    lines = [goal.judged() for goal in goals.cpu_goals("random:tiny", levels, 1.25)]
    assert lines[0].startswith("missed")
    assert lines[0].endswith("2.40 x, by 0.10 x")
    assert lines[1].startswith("unmeasured")
    assert lines[2].startswith("met")
    assert lines[-1].startswith("met")


def test_the_pipeline_may_transcribe_the_first_windows_of_the_file_alone(level: Level) -> None:
    both = [row("ours x", 2.0), row("transformers greedy float16", 18.0)]
    levels = {
        "file 130": Results(level, [row("ours x", 12.0)]),
        "file 130, 32 windows": Results(level, both),
    }
    lines = [goal.judged() for goal in goals.gpu_goals("random:large-v3", levels, {})]
    assert lines[0].startswith("met")
    assert "9.00 x" in lines[0]


@pytest.mark.parametrize(
    ("float32", "int8", "bfloat16", "expected"),
    [
        (2.0, 1.0, 0.5, "met"),  # bfloat16 is none of the candidates
        (1.0, 1.04, 9.0, "met"),
        (1.0, 1.10, 9.0, "missed"),
    ],
)
def test_what_auto_chooses_is_compared_with_what_it_could_have_chosen(
    level: Level, float32: float, int8: float, bfloat16: float, expected: str
) -> None:
    rows = [row("ours float32", float32), row("ours int8", int8), row("ours bfloat16", bfloat16)]
    lines = said({"file 130": Results(level, rows), "clips 16": Results(level, rows[1:2])})
    assert lines["file 130"].startswith(expected)
    assert "DTYPE=auto chose int8" in lines["file 130"]
    assert lines["clips 16"].startswith("unmeasured")  # nothing to compare with


@pytest.mark.parametrize(("peak", "expected"), [(1100, "met"), (1300, "missed")])
def test_the_memory_of_small_and_base_has_goals(level: Level, peak: int, expected: str) -> None:
    rows = [row("ours int8", 1.0, peak_mib=peak), row("ours float32", 2.0, peak_mib=9000)]
    lines = said({"file 130": Results(level, rows)}, "random:small")
    assert lines["small in int8 within 1200 MB"].startswith(expected)
