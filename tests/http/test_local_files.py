"""A path is opened inside AUDIO_ROOT, whatever is moved or linked meanwhile."""

from __future__ import annotations

import os
from pathlib import Path
from typing import BinaryIO

import pytest

from asr.errors import BadUrl, CallerError, Forbidden, NotFound, TooLarge
from asr.http.local_files import file_path, open_inside


def any_size(count: int) -> None:
    """Allow files of every size."""


def contents(root: Path, path: str) -> bytes:
    with open_inside(root, path, any_size) as file:
        return file.read()


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A directory to read from, and a like-named file beside it that no request may read."""
    for place, content in (("root/inner", b"inside"), ("beside", b"outside")):
        (tmp_path / place).mkdir(parents=True)
        (tmp_path / place / "a.wav").write_bytes(content)
    return tmp_path / "root"


def swapped_for_a_link(root: Path) -> None:
    """Put a link that leads outside in the place of a directory."""
    (root / "inner").rename(root.parent / "away")
    (root / "inner").symlink_to(root.parent / "beside")


def moved_outside(root: Path) -> None:
    (root / "inner").rename(root.parent / "away")


def file_swapped_for_a_link(root: Path) -> None:
    (root / "inner" / "a.wav").unlink()
    (root / "inner" / "a.wav").symlink_to(root.parent / "beside" / "a.wav")


@pytest.mark.parametrize("change", [swapped_for_a_link, moved_outside, file_swapped_for_a_link])
def test_what_changes_after_the_links_are_followed_is_not_read(
    root: Path, monkeypatch: pytest.MonkeyPatch, change: object
) -> None:
    follow = os.path.realpath

    def followed(path: Path) -> str:
        found = follow(path)
        if found.endswith("a.wav"):
            assert callable(change)
            change(root)
        return found

    monkeypatch.setattr("os.path.realpath", followed)
    with pytest.raises((Forbidden, NotFound), match=r"inner/a.wav"):
        contents(root, "inner/a.wav")


def test_a_directory_that_is_moved_while_it_is_walked_is_not_read(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    open_ = os.open

    def opened(path: str, flags: int, **how: int) -> int:
        if path == "a.wav":
            moved_outside(root)
        return open_(path, flags, **how)

    monkeypatch.setattr("os.open", opened)
    with pytest.raises(Forbidden, match="outside AUDIO_ROOT"):
        contents(root, "inner/a.wav")


@pytest.mark.parametrize("target", ["inner", "{root}/inner", "{alias}/inner", "../root/inner"])
def test_links_that_stay_inside_are_followed(root: Path, target: str) -> None:
    alias = root.parent / "alias"
    alias.symlink_to(root)
    (root / "link").symlink_to(target.format(root=root, alias=alias))
    assert contents(root, "link/a.wav") == b"inside"
    assert contents(alias, "link/a.wav") == b"inside"
    assert contents(root, str(alias / "link" / "a.wav")) == b"inside"


def test_a_directory_that_cannot_be_listed_can_be_walked(root: Path) -> None:
    (root / "inner").chmod(0o311)
    assert contents(root, "inner/a.wav") == b"inside"


def test_without_proc_the_walk_alone_has_to_do(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(path: Path) -> Path:
        raise FileNotFoundError(path)

    monkeypatch.setattr(Path, "readlink", absent)
    assert contents(root, "inner/a.wav") == b"inside"


@pytest.mark.parametrize("url", ["file://[/a.wav", "file://elsewhere/a.wav"])
def test_a_url_that_names_no_file_here_is_refused(url: str) -> None:
    with pytest.raises(BadUrl, match="write file:///path"):
        file_path(url)


@pytest.mark.parametrize("path", ["a\tb.wav", "caf\udce9.wav", "line\nbreak.wav", "it's.wav"])
def test_a_name_is_shown_as_a_caller_can_read_it(root: Path, path: str) -> None:
    with pytest.raises(CallerError) as caught:
        contents(root, path)
    assert caught.value.message.isprintable()
    assert "\\" not in caught.value.message


def count_open() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def test_nothing_stays_open_where_a_file_is_refused(root: Path) -> None:
    def too_large(count: int) -> None:
        raise TooLarge(f"{count} bytes")

    def attempts() -> list[type[BaseException]]:
        refused: list[type[BaseException]] = []
        for path in ("inner/a.wav", "inner", "inner/b.wav", "inner/a.wav/b", ".", "../beside"):
            try:
                file: BinaryIO = open_inside(root, path, too_large)
            except CallerError as error:
                refused.append(type(error))
            else:
                file.close()
        return refused

    attempts()
    before = count_open()
    assert attempts() == [TooLarge, Forbidden, NotFound, Forbidden, Forbidden, Forbidden]
    assert count_open() == before
