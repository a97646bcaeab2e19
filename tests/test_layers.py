"""A module imports from its own package or from layers below; outer libraries stay in theirs."""

import ast
import functools
import graphlib
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.support.house_size import measure

LAYERS = [  # "" holds the files directly in asr/
    {"cli"},
    {"server"},
    {"api"},
    {"http"},
    {"jobs", "live"},
    {"transcription"},
    {"engines", "diarization", "vad", "audio", "formats", "outbound"},
    {"resources"},
    {"config"},
    {""},
]
MODEL_LIBRARIES = {"torch", "transformers"}
MODEL_PACKAGES = {"engines", "diarization"}
HTTP_LIBRARIES = {"aiohttp"}
HTTP_PACKAGES = {"outbound", "http", "api", "server", "cli"}
HOUSE = ROOT / "asr"


def modules(house: Path) -> list[Path]:
    return sorted(house.rglob("*.py"))


def name_of(path: Path, house: Path) -> str:
    parts = ("asr", *path.relative_to(house).with_suffix("").parts)
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


@functools.cache
def statements(source: str) -> tuple[tuple[str | None, tuple[str, ...]], ...]:
    """The imports anywhere in a file: where from (None: `import names`), and the names.

    Most files of a copied house are those of the house itself, and are read once.
    """
    found: list[tuple[str | None, tuple[str, ...]]] = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import | ast.ImportFrom):
            module = str(node.module) if isinstance(node, ast.ImportFrom) else None
            found.append((module, tuple(alias.name for alias in node.names)))
    return tuple(found)


def imports(source: str, names: set[str]) -> list[str]:
    """The modules that are imported anywhere in a file; of others' their whole names."""
    found: list[str] = []
    for module, imported in statements(source):
        if module is None:
            found += imported
        else:
            whole = [f"{module}.{name}" for name in imported]
            found += [name if name in names else module for name in whole]
    return found


def package_of(name: str, names: set[str]) -> str:
    """The folder in asr/ that a module lies in, "" for the files beside the folders."""
    if name == "asr.__main__":
        return "cli"  # where `python -m asr` begins
    parts = name.split(".")
    is_folder = len(parts) > 2 or any(other.startswith(name + ".") for other in names)
    return parts[1] if len(parts) > 1 and is_folder else ""


def layer_of(package: str) -> int:
    [layer] = [number for number, packages in enumerate(LAYERS) if package in packages]
    return layer


def dialect_of(name: str) -> str | None:
    parts = name.split(".")
    return parts[2] if parts[1:2] == ["api"] and len(parts) > 3 else None


def faults(house: Path) -> list[str]:
    """What breaks the rule, a line each."""
    names = {name_of(path, house) for path in modules(house)}
    found: list[str] = []
    graph: dict[str, set[str]] = {}
    for path in modules(house):
        name = name_of(path, house)
        package = package_of(name, names)
        wanted = imports(path.read_text(), names)
        graph[name] = {other for other in wanted if other in names and other != "asr"}
        libraries = {other.split(".")[0] for other in wanted}
        if libraries & MODEL_LIBRARIES and package not in MODEL_PACKAGES:
            found.append(f"{name} imports {MODEL_LIBRARIES & libraries}")
        if libraries & HTTP_LIBRARIES and package not in HTTP_PACKAGES:
            found.append(f"{name} imports {HTTP_LIBRARIES & libraries}")
        for other in graph[name]:
            own = package_of(other, names)
            if own != package and layer_of(own) <= layer_of(package):
                found.append(f"{name} imports {other}")
            dialects = {dialect_of(name), dialect_of(other)} - {None}
            if own == package == "api" and dialect_of(other) and len(dialects) > 1:
                found.append(f"{name} imports {other}")
    return found + circles(graph)


def circles(graph: dict[str, set[str]]) -> list[str]:
    """The modules that import themselves by way of others, of one circle if there is any."""
    try:
        graphlib.TopologicalSorter(graph).prepare()
    except graphlib.CycleError as error:
        return [f"{name} imports itself by way of others" for name in error.args[1][:-1]]
    return []


def test_imports_point_down():
    assert faults(HOUSE) == []


@pytest.mark.parametrize(
    ("place", "line"),
    [
        ("config/config.py", "from asr.server.app import create_app"),
        ("http/sources.py", "from asr.api import health"),
        ("transcription/cutter.py", "from asr.http.sources import body"),
        ("vad/energy.py", "from asr.audio.decoder import Decoder"),
        ("engines/hub.py", "from asr.formats import writers"),
        ("api/native/routes.py", "from asr.api.openai.schemas import Model"),
        ("audio/wav.py", "import torch"),
        ("transcription/scheduler.py", "from transformers import pipeline"),
        ("transcription/scheduler.py", "def late():\n    import aiohttp"),
        ("engines/hub.py", "from aiohttp import web"),
        ("pcm.py", "from asr.resources.cpu import usable"),
        ("resources/spool.py", "from asr.audio.decoder import Decoder"),
        ("pcm.py", "from asr.text import split_words\nfrom asr.concurrency import Threads"),
        ("metrics.py", "from asr.text import split_words"),
        ("server/app.py", "from asr.cli import app"),
        ("startup.py", "from asr import __main__"),
    ],
)
def test_what_is_planted_is_found(tmp_path, place, line):
    house = tmp_path / "asr"
    for path in modules(HOUSE):
        copy = house / path.relative_to(HOUSE)
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_text(path.read_text())
    assert faults(house) == []
    planted = house / place
    planted.write_text(planted.read_text() + f"\n{line}\n")
    allowed = "asr.text" in line  # files beside each other, and no circle
    assert bool(faults(house)) != allowed


def test_a_circle_is_found(tmp_path):
    house = tmp_path / "asr"
    house.mkdir()
    (house / "one.py").write_text("from asr import two\n")
    (house / "two.py").write_text("def late():\n    from asr.one import name\n")
    assert len(faults(house)) == 2


def test_files_folders_and_functions_stay_small():
    assert measure(HOUSE).faults == []


def test_what_is_too_large_is_counted(tmp_path):
    long = "def far():\n" + "    far()\n" * 300
    (tmp_path / "long.py").write_text(long)
    for number in range(14):
        (tmp_path / f"short_{number}.py").write_text("")
    assert measure(tmp_path).faults == [
        "long.py: 301 lines",
        "./: 15 modules",
        "the median function has 301 lines",
        "long.py:1 far: a function of 301 lines",
    ]


def test_nothing_but_docstrings_stands_in_a_package_itself():
    for path in modules(HOUSE):
        if path.name == "__init__.py" and path.parent != HOUSE:
            assert len(ast.parse(path.read_text()).body) == 1, path


def test_a_class_name_is_defined_once():
    places: dict[str, list[str]] = {}
    for path in modules(HOUSE):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ClassDef):
                places.setdefault(node.name, []).append(str(path.relative_to(HOUSE)))
    assert {name: found for name, found in places.items() if len(found) > 1} == {}
