"""Write a transcript as text, srt, vtt, lrc or tsv, one segment after the other.

A stream and a whole answer use the same writers and cannot differ. All formats carry the same
words. Subtitles name the speakers or channels of segments that have one; text and tsv do not.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Literal, Protocol

from asr.formats.captions import Captioner, Cue, Layout
from asr.formats.channel_captions import ChannelCaptioner
from asr.transcript import Segment

TextFormat = Literal["text", "srt", "vtt", "lrc", "tsv"]


class Writer(Protocol):
    """Writes a text format segment by segment; the parts joined are the whole."""

    has_times: bool  # It writes times, of words too where segments have words.

    @property
    def holds_back(self) -> int: ...  # last segments, at most, whose text is not all written

    def push(self, segment: Segment) -> str: ...

    def finish(self) -> str: ...


def writer(text_format: TextFormat, layout: Layout) -> Writer:
    """Return a new writer of `text_format`."""
    if text_format == "srt":
        return Subtitles(_captioner(layout, True), "", _srt_cue)
    if text_format == "vtt":
        return Subtitles(_captioner(layout, False), "WEBVTT\n\n", _vtt_cue)
    if text_format == "lrc":
        line = replace(layout, line_count=1)
        return Subtitles(_captioner(line, True), "", _lrc_line)
    return Table() if text_format == "tsv" else PlainText()


def _captioner(layout: Layout, names_speakers: bool) -> ChannelCaptioner:
    return ChannelCaptioner(lambda: Captioner(layout, names_speakers))


def written(segments: Iterable[Segment], text_format: TextFormat, layout: Layout) -> str:
    """Write all of `segments` in `text_format`."""
    chosen = writer(text_format, layout)
    return "".join([*map(chosen.push, segments), chosen.finish()])


class Verbatim:
    """Writes the text as the model wrote it."""

    holds_back = 0
    has_times = False

    def push(self, segment: Segment) -> str:
        return segment.text

    def finish(self) -> str:
        return ""


class PlainText:
    """Writes the text without white space at its ends."""

    holds_back = 0
    has_times = False

    def __init__(self) -> None:
        self._has_begun = False
        self._space = ""  # written only if text follows

    def push(self, segment: Segment) -> str:
        text = self._space + segment.text
        text = text if self._has_begun else text.lstrip()
        kept = text.rstrip()
        self._has_begun = self._has_begun or bool(kept)
        self._space = text[len(kept) :]
        return kept

    def finish(self) -> str:
        return ""


class Subtitles:
    """Writes cues under a heading, numbered from 1."""

    has_times = True

    def __init__(
        self, captioner: ChannelCaptioner, heading: str, write: Callable[[int, Cue], str]
    ) -> None:
        self._captioner = captioner
        self._heading = heading
        self._write = write
        self._count = 0

    @property
    def holds_back(self) -> int:
        return self._captioner.holds_back

    def push(self, segment: Segment) -> str:
        return self._cues(self._captioner.push(segment))

    def finish(self) -> str:
        return self._cues(self._captioner.finish())

    def _cues(self, cues: list[Cue]) -> str:
        text, self._heading = self._heading, ""
        for cue in cues:
            self._count += 1
            text += self._write(self._count, cue)
        return text


def _srt_cue(number: int, cue: Cue) -> str:
    times = f"{_clock(cue.start, ',')} --> {_clock(cue.end, ',')}"
    return "\n".join([str(number), times, *cue.lines]) + "\n\n"


def _vtt_cue(_: int, cue: Cue) -> str:
    """Write a cue of WebVTT, with its speaker as a voice span: w3.org/TR/webvtt1."""
    times = f"{_clock(cue.start, '.')} --> {_clock(cue.end, '.')}"
    voice = "" if cue.speaker is None else f"<v {_escaped(cue.speaker)}>"
    text = _escaped("\n".join(cue.lines))
    return f"{times}\n{voice}{text}\n\n"


def _lrc_line(_: int, cue: Cue) -> str:
    """Write a line of LRC, which has minutes, seconds and hundredths, and no end."""
    seconds, hundredths = divmod(cue.start // 10, 100)
    minutes, seconds = divmod(seconds, 60)
    return f"[{minutes:02}:{seconds:02}.{hundredths:02}]{' '.join(cue.lines)}\n"


def _escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _clock(milliseconds: int, point: str) -> str:
    seconds, milliseconds = divmod(milliseconds, 1000)
    minutes, seconds = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours:02}:{minutes:02}:{seconds:02}{point}{milliseconds:03}"


class Table:
    """Writes start and end in milliseconds and text, with tabs, as openai/whisper does."""

    holds_back = 0
    has_times = True

    def __init__(self) -> None:
        self._heading = "start\tend\ttext\n"

    def push(self, segment: Segment) -> str:
        line, self._heading = self._heading, ""
        text = " ".join(segment.text.split())
        if text:
            line += f"{round(segment.start * 1000)}\t{round(segment.end * 1000)}\t{text}\n"
        return line

    def finish(self) -> str:
        heading, self._heading = self._heading, ""
        return heading
