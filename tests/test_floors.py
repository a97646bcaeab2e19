"""A module imports only from the floors below it; the outer libraries stay where they belong."""

import ast
from pathlib import Path

import pytest

from tests.conftest import ROOT

FLOORS = [
    {"asr", "cores", "errors", "transcript", "metrics", "start", "values"},
    {"config", "mono", "mpeg", "threads"},
    {"decoders", "spool", "wave"},
    {"audio", "captions", "logprobs", "outbound"},
    {"formats", "seams", "speech"},
    {"loudness", "silero"},
    {"vad"},
    {"windows", "sources"},
    {"coverage", "rules"},
    {"hardware", "hub", "whisper"},
    {"generation"},
    {"pipeline"},
    {"engine"},
    {"ticket"},
    {"scheduler"},
    {"transcriber"},
    {"jobs", "live"},
    {"keys", "parameters"},
    {"schemas", "openai_schemas"},
    {"streaming", "replies", "uploads", "openai_plan", "openai_paths"},
    {"doors"},
    {"routes", "openai", "detection"},
    {"openapi"},
    {"app"},
    {"connection"},
    {"address"},
    {"serving"},
]
LATE_IMPORTS = {"engine"}  # loads what lies above nothing but itself
MODEL_LIBRARIES = {"torch", "transformers"}
HTTP_LIBRARIES = {"aiohttp"}
MODULES = sorted((ROOT / "asr").rglob("*.py"))


def floor_of(noun: str) -> int:
    [floor] = [number for number, nouns in enumerate(FLOORS) if noun in nouns]
    return floor


def noun_of(path: Path) -> str:
    parts = path.relative_to(ROOT / "asr").with_suffix("").parts
    return "asr" if parts == ("__init__",) else parts[0]


def imports(path: Path, late: bool) -> list[str]:
    tree = ast.parse(path.read_text())
    nodes = ast.walk(tree) if late else tree.body
    found = []
    for node in nodes:
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            found += [f"{node.module}.{alias.name}" for alias in node.names]
    return found


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_module_imports_only_from_floors_below(path):
    noun = noun_of(path)
    for name in imports(path, late=noun not in LATE_IMPORTS):
        parts = name.split(".")
        if parts[0] != "asr" or (len(parts) > 1 and parts[1] == noun):
            continue
        other = parts[1] if len(parts) > 1 and parts[1] != "__version__" else "asr"
        assert floor_of(other) < floor_of(noun), f"{noun} imports {name}"


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_only_the_model_floor_imports_torch_and_only_the_outer_floors_aiohttp(path):
    libraries = {name.split(".")[0] for name in imports(path, late=True)}
    noun = noun_of(path)
    if noun not in {"hardware", "whisper", "generation", "pipeline"}:
        assert not libraries & MODEL_LIBRARIES
    if noun not in {"outbound", "sources"} and floor_of(noun) < floor_of("keys"):
        assert not libraries & HTTP_LIBRARIES


def test_a_file_has_at_most_300_lines():
    long = {path.name: n for path in MODULES if (n := len(path.read_text().splitlines())) > 300}
    assert long == {}
