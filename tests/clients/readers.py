"""The words in each format, as programs that others wrote read them."""

from __future__ import annotations

import html
import io
import subprocess
from collections.abc import Callable
from functools import cache

import imageio_ffmpeg
import srt
import webvtt


class Unreadable(Exception):
    """Text that is not of its format, in the eyes of a reader."""


def readings(text_format: str, text: str) -> dict[str, list[str]]:
    """The words of `text` by reader.

    Raises:
        Unreadable: one of them cannot make sense of it.
    """
    return {name: read(text) for name, read in READERS[text_format].items()}


def _plain(text: str) -> list[str]:
    return text.split()


def _srt(text: str) -> list[str]:
    try:
        cues = list(srt.parse(text, ignore_errors=False))
    except srt.SRTParseError as error:
        raise Unreadable(f"srt: {error}") from error
    if [cue.index for cue in cues] != list(range(1, len(cues) + 1)):
        raise Unreadable("srt: the cues are not numbered from 1")
    return " ".join(cue.content for cue in cues).split()


def _webvtt(text: str) -> list[str]:
    try:
        cues = webvtt.from_buffer(io.StringIO(text)).captions
    except webvtt.errors.MalformedFileError as error:
        raise Unreadable(f"webvtt-py: {error}") from error
    return " ".join(html.unescape(cue.raw_text) for cue in cues).split()


def _table(text: str) -> list[str]:
    heading, *lines = text.splitlines()
    rows = [line.split("\t") for line in lines]
    if heading != "start\tend\ttext" or any(len(row) != 3 for row in rows):
        raise Unreadable("tsv: not three columns under their names")
    if any(int(start) > int(end) for start, end, _ in rows):
        raise Unreadable("tsv: a segment ends before it starts")
    return " ".join(row[2] for row in rows).split()


def _ffmpeg(text_format: str) -> Callable[[str], list[str]]:
    @cache  # many answers are equal, and a process is dear
    def read(text: str) -> list[str]:
        command = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-f", text_format, "-i", "-"]
        done = subprocess.run(
            [*command, "-f", "srt", "-"], input=text, capture_output=True, text=True, timeout=60
        )
        if done.returncode or done.stderr:
            raise Unreadable(f"ffmpeg: {done.stderr}")
        return [html.unescape(word) for word in _srt(done.stdout)]

    return read


READERS: dict[str, dict[str, Callable[[str], list[str]]]] = {
    "text": {"text": _plain},
    "tsv": {"tsv": _table},
    "srt": {"srt": _srt, "ffmpeg": _ffmpeg("srt")},
    "vtt": {"webvtt-py": _webvtt, "ffmpeg": _ffmpeg("webvtt")},
}
