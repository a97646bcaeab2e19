"""The README agrees with the code: its sections, routes, commands and map of folders."""

import re
from pathlib import Path

from asr.server.app import DIALECTS
from tests.conftest import ROOT

README = (ROOT / "README.md").read_text()
SECTIONS = [
    "Try it",
    "Speed",
    "Models",
    "API",
    "OpenAI's clients",
    "Live",
    "Who speaks",
    "Insanely Fast Whisper's and Truss's clients",
    "Deepgram's clients",
    "Command line",
    "Webhooks",
    "Errors",
    "Settings",
    "Images",
    "How it works",
    "Limits",
    "Development",
]
PAGES = {"/", "/docs", "/openapi.json"}


def section(title: str) -> str:
    return README.split(f"\n## {title}\n")[1].split("\n## ")[0]


def folders(place: Path) -> set[str]:
    return {path.parent.name for path in place.glob("*/__init__.py")}


def test_the_sections_come_in_the_order_of_a_readers_questions():
    assert re.findall(r"^## (.+)$", README, re.M) == SECTIONS


def test_every_route_is_in_the_table_and_every_row_is_a_route():
    first, every = set(), set(PAGES)
    for dialect in DIALECTS:
        for route in dialect.routes:
            paths = [path.replace(":.+", "") for path in dialect.paths(route)]
            first.add(paths[0])
            every.update(paths)
    rows = "".join(re.findall(r"^\|.+$", section("API").split("\n```")[0], re.M))
    named = set(re.findall(r"`(?:GET |POST |DELETE )?(/[^`? ]*)`", rows)) - {"/api/v1"}
    assert first <= named
    assert named <= every


def test_every_command_is_a_target_of_the_makefile():
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.M))
    commands = set(re.findall(r"(?:`|\n|turbo )make ([a-z-]+)", README))
    assert {"demo", "serve", "test", "bench"} <= commands
    assert commands <= targets


def test_the_map_names_every_folder_of_the_house_and_no_other():
    described = re.findall(r"^[├└]── (\w+)/ +(.+)$", section("How it works"), re.M)
    assert {name for name, _ in described} == folders(ROOT / "asr")
    for name, line in described:
        inner = set(re.findall(r"\b(\w+)/ ", line))
        assert inner in (set(), folders(ROOT / "asr" / name)), name
