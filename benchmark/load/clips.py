"""Collect the audio to send: files, read once, and URLs that the server fetches."""

from __future__ import annotations

import io
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp

TRANSCRIPTIONS = "/v1/audio/transcriptions"
ROUTES = ("/asr", TRANSCRIPTIONS)  # Audio can be sent to these routes.
# Files with these names are audio.
AUDIO_FILE = re.compile(
    r".+\.(aac|aiff|amr|avi|flac|m4a|mka|mkv|mov|mp3|mp4|mpeg|mpga|oga|ogg|opus|wav|webm|wma)",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Clip:
    """Holds one recording; without bytes, its name is a URL."""

    name: str
    data: bytes | None = None

    def payload(self, route: str) -> dict[str, Any]:
        """Return the arguments of one POST to `route`, made anew for each request."""
        if route == TRANSCRIPTIONS:
            return {"data": self._form()}
        if self.data is None:
            return {"json": {"url": self.name}}
        return {"data": io.BytesIO(self.data)}  # a stream: large bytes would hold up the loop

    def _form(self) -> aiohttp.FormData:
        form = aiohttp.FormData(default_to_multipart=True)
        form.add_field("model", "whisper-1")  # the field is required; a server has one model
        if self.data is None:
            form.add_field("url", self.name)
        else:
            form.add_field("file", io.BytesIO(self.data), filename=self.name)
        return form


def collect(places: Iterable[str], lists: Iterable[Path] = ()) -> list[Clip]:
    """Return the clips at `places` and at the places that files in `lists` name.

    A place is a directory, a file or a URL.

    Raises:
        OSError: a place cannot be read.
        ValueError: there is no audio in any of them.
    """
    everywhere = [*places, *(place for path in lists for place in _lines(path))]
    clips = [clip for place in everywhere for clip in _at(place)]
    if not clips:
        raise ValueError(f"there is no audio in {', '.join(everywhere) or 'an empty list'}")
    return clips


def _lines(path: Path) -> list[str]:
    lines = (line.strip() for line in path.read_text().splitlines())
    return [line for line in lines if line and not line.startswith("#")]


def _at(place: str) -> Iterator[Clip]:
    if "://" in place or place.startswith("data:"):
        yield Clip(place)
        return
    path = Path(place)
    if not path.is_dir():
        yield Clip(path.name, path.read_bytes())
        return
    for file in sorted(path.rglob("*")):
        if AUDIO_FILE.fullmatch(file.name):
            yield Clip(file.name, file.read_bytes())
