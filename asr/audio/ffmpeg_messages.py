"""What the program ffmpeg writes about its input and about what goes wrong."""

from __future__ import annotations

import asyncio
import re

from asr.audio.timeline import ClockMark
from asr.audio.tracks import AudioTrack, read_track

KEPT_BYTES = 4096  # Of the messages about errors the first bytes are kept, at most so many.
LINE_BYTES = 1000  # A longer line is cut to so many bytes.
READ_BYTES = 4096  # At most so many bytes are read at a time.
LEVEL = "repeat+level+info"  # Every line says how grave it is; ffmpeg's option -loglevel.
ERRORS = {b"error", b"fatal", b"panic"}
LINE = re.compile(rb"(?:\[[^\]]* @ [^\]]*\] )*\[(\w+)\] (.*)")
DURATION = re.compile(rb"  Duration: (\d+):(\d\d):(\d\d\.\d+)")
START = re.compile(rb"  Duration: [^,]+, start: (-?\d+\.\d+)")
FORMAT = re.compile(rb"Input #0, (.*), from '")
TITLE = re.compile(
    rb"      title +: (.*)"
)  # of a stream; the file's own has fewer spaces before it
OF_FILTERS = b"[Parsed_"  # Warnings that begin so are about our filters, not about the input.
NUMBER = re.compile(rb"-?\d+\.\d+")  # A line that is a number was printed by our own filter.
ESTIMATE = b"Estimating duration from bitrate"
INPUT, OUTPUT, MAPPING, STREAM = b"Input #0", b"Output #0", b"Stream mapping:", b"  Stream #0:"
PICTURE = b"(attached pic)"  # A cover has no duration of its own.


class Messages:
    """The messages of one process, line by line."""

    def __init__(self) -> None:
        self._kept = b""
        self._duration: float | None = None  # seconds
        self._is_estimate = False
        self._describes_input = self._is_ffmpeg = False
        self._streams = 0
        self._tracks: list[AudioTrack] = []
        self._track: AudioTrack | None = None  # the one that is described now
        self._position: float | None = None  # of a mark whose time is still to come
        self._marks: list[ClockMark] = []  # those that nobody has taken yet
        self.format = ""  # the container's names
        self.start: float | None = None  # seconds: the first time of all streams
        self.complains = False  # whether there is an error or a warning
        self.other = ""  # the first line, where it is not ffmpeg's: of a loader, of a shell

    @property
    def errors(self) -> str:
        """The first error messages, a line each."""
        return self._kept.decode("utf-8", "replace")

    @property
    def declared(self) -> float | None:
        """Seconds that the file's header says it lasts; None where it is unsaid or estimated.

        It is the longest stream's, and so None for films.
        """
        return None if self.is_film or self._is_estimate else self._duration

    @property
    def tracks(self) -> list[AudioTrack]:
        """The audio tracks that the file has, in its order."""
        return sorted(self._tracks, key=lambda track: track.stream)

    @property
    def is_film(self) -> bool:
        """Whether the file has more than one stream."""
        return self._streams > 1

    @property
    def reason(self) -> str:
        """The last of the kept error messages; "" where there is none."""
        lines = [line.strip() for line in self.errors.splitlines() if line.strip()]
        return lines[-1].removeprefix("pipe:0: ").removeprefix("/dev/stdin: ") if lines else ""

    def taken_marks(self) -> list[ClockMark]:
        """The times of frames that were printed since the last call."""
        marks, self._marks = self._marks, []
        return marks

    async def read(self, stream: asyncio.StreamReader) -> Messages:
        """Take all lines of `stream`, to its end."""
        line = b""
        while data := await stream.read(READ_BYTES):
            *lines, last = data.split(b"\n")
            for each in lines:
                self.take((line + each)[:LINE_BYTES])
                line = b""
            line = (line + last)[:LINE_BYTES]
        self.take(line)
        return self

    def take(self, line: bytes) -> None:
        """Take one line, without its end."""
        parts = LINE.match(line)
        if parts is None:
            if not self._is_ffmpeg:
                self.other = self.other or line.decode("utf-8", "replace").strip()
            return
        self._is_ffmpeg = True
        level, text = parts.groups()
        if line.startswith(OF_FILTERS) and level not in ERRORS:
            level = b"info"
        if level in ERRORS and text.strip():
            self._kept = (self._kept + text + b"\n")[:KEPT_BYTES]
        if level == b"info":
            self._take_information(text)
        else:
            self.complains = True
            self._is_estimate = self._is_estimate or text.startswith(ESTIMATE)

    def _take_information(self, text: bytes) -> None:
        if text.startswith((INPUT, OUTPUT, MAPPING)):
            self._describes_input = text.startswith(INPUT)
            if (name := FORMAT.match(text)) is not None:
                self.format = _text(name[1])
        elif self._describes_input:
            self._take_description(text)
        elif NUMBER.fullmatch(text) is not None:
            self._take_number(float(text))

    def _take_description(self, text: bytes) -> None:
        """Take a line about the input: its length, a stream, or what is written in it."""
        if text.startswith(STREAM):
            self._streams += PICTURE not in text
            self._track = read_track(text.decode("utf-8", "replace"))
            if self._track is not None:
                self._tracks.append(self._track)
        elif self._track is not None and (title := TITLE.match(text)) is not None:
            self._track.title = _text(title[1])
        elif self._duration is None and (found := DURATION.match(text)) is not None:
            hours, minutes, seconds = map(float, found.groups())
            self._duration = 3600 * hours + 60 * minutes + seconds
        if self.start is None and (found := START.match(text)) is not None:
            self.start = float(found[1])

    def _take_number(self, number: float) -> None:
        """Take one of the two numbers of a mark: the position, then the time."""
        if self._position is None:
            self._position = number
        else:
            self._marks.append(ClockMark(self._position, number))
            self._position = None


def _text(line: bytes) -> str:
    return line.decode("utf-8", "replace").strip()
