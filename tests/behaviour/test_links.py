"""Every link of a Markdown file leads somewhere: to a file, and to a heading of it."""

import re
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest
from markdown_it import MarkdownIt
from markdown_it.token import Token

from tests.conftest import ROOT

PARSER = MarkdownIt("commonmark").enable("table")
ELSEWHERE = re.compile(r"[a-z]+:")  # https:, mailto: and the like


def pages() -> list[str]:
    """Markdown files of this repository; folders such as `.venv` are none of it."""
    folders = [path for path in ROOT.iterdir() if path.is_dir() and path.name[0] != "."]
    found = [*ROOT.glob("*.md"), *(page for folder in folders for page in folder.rglob("*.md"))]
    return sorted(str(page.relative_to(ROOT)) for page in found)


def tokens(page: Path) -> Iterator[Token]:
    for token in PARSER.parse(page.read_text()):
        yield token
        yield from token.children or ()


def anchors(page: Path) -> set[str]:
    """Ids that GitHub gives to a page's headings: https://github.com/Flet/github-slugger."""
    slugs: list[str] = []
    blocks = PARSER.parse(page.read_text())
    for opening, inline in pairwise(blocks):
        if opening.type == "heading_open":
            text = "".join(part.content for part in inline.children or ())
            slugs.append(re.sub(r"[^\w\- ]", "", text.lower()).replace(" ", "-"))
    return {
        slug if not (before := slugs[:index].count(slug)) else f"{slug}-{before}"
        for index, slug in enumerate(slugs)
    }


def broken_links(page: Path) -> Iterator[str]:
    for token in tokens(page):
        link = str(token.attrs.get("href") or token.attrs.get("src") or "")
        if not link or ELSEWHERE.match(link):
            continue
        name, _, anchor = link.partition("#")
        target = (page.parent / name).resolve() if name else page
        leads_out = link.startswith("/") or not target.is_relative_to(ROOT)
        if leads_out or not target.exists() or (anchor and anchor not in anchors(target)):
            yield link


@pytest.mark.parametrize("name", pages())
def test_every_link_of_a_page_leads_to_a_file_and_to_a_heading(name):
    assert list(broken_links(ROOT / name)) == []


def test_broken_links_are_noticed(tmp_path, monkeypatch):
    monkeypatch.setattr("tests.behaviour.test_links.ROOT", tmp_path)
    (tmp_path / "other.md").write_text("# Who's *first*?\n# Who's first?\n")
    page = tmp_path / "page.md"
    page.write_text(
        "[a](other.md#whos-first-1) [b](https://example.com/#x) [c](#here) [d](none.md) "
        "![e](e.png)\n\n"
        "| [f](other.md#second) |\n|---|\n| [g](/other.md) [h](other.md#whos-first) |\n\n"
        "```sh\n[not](a-link)\n```\n"
    )
    assert list(broken_links(page)) == ["#here", "none.md", "e.png", "other.md#second", "/other.md"]
