"""The README and the pages of docs agree with the code: sections, routes, commands, folders."""

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
    "Documentation",
    "Images",
    "How it works",
    "Limits",
    "Development",
]
MAX_LINES = 220  # A README that is longer than this is no longer read in ten minutes.
PAGES = {"/", "/docs", "/openapi.json"}


def section(page: str, title: str) -> str:
    return (ROOT / page).read_text().split(f"\n## {title}\n")[1].split("\n## ")[0]


def folders(place: Path) -> set[str]:
    return {path.parent.name for path in place.glob("*/__init__.py")}


def test_the_sections_come_in_the_order_of_a_readers_questions():
    assert re.findall(r"^## (.+)$", README, re.M) == SECTIONS


def test_the_readme_is_short_and_leads_to_every_page_of_the_documentation():
    assert len(README.splitlines()) <= MAX_LINES
    pages = {f"docs/{path.name}" for path in (ROOT / "docs").iterdir()}
    table = section("README.md", "Documentation")
    assert set(re.findall(r"\]\((docs/[^)]+)\)", table)) == pages


def test_every_route_is_in_the_table_and_every_row_is_a_route():
    first, every = set(), set(PAGES)
    for dialect in DIALECTS:
        for route in dialect.routes:
            paths = [path.replace(":.+", "") for path in dialect.paths(route)]
            first.add(paths[0])
            every.update(paths)
    rows = "".join(re.findall(r"^\|.+$", section("docs/api.md", "Routes"), re.M))
    named = set(re.findall(r"`(?:GET |POST |DELETE )?(/[^`? ]*)`", rows)) - {"/api/v1"}
    assert first <= named
    assert named <= every


def test_every_command_is_a_target_of_the_makefile():
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.M))
    pages = [README, *(path.read_text() for path in (ROOT / "docs").glob("*.md"))]
    commands = set(re.findall(r"(?:`|\n|turbo )make ([a-z-]+)", "\n".join(pages)))
    assert {"demo", "serve", "test", "bench", "kill-test"} <= commands
    assert commands <= targets


def test_the_map_names_every_folder_of_the_house_and_no_other():
    drawn = section("asr/README.md", "The folders")
    described = re.findall(r"^[├└]── (\w+)/ +(.+)$", drawn, re.M)
    assert {name for name, _ in described} == folders(ROOT / "asr")
    for name, line in described:
        inner = set(re.findall(r"\b(\w+)/ ", line))
        assert inner in (set(), folders(ROOT / "asr" / name)), name
