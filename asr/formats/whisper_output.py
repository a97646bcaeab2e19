"""Writes a transcript as openai/whisper writes its files: a line or a cue for each segment.

https://github.com/openai/whisper/blob/main/whisper/utils.py. Where speakers are told apart, their
names stand where WhisperX has them: "[SPEAKER_00]: " before the text, `speaker` in JSON. So do the
channels where they are split: "[Channel 0]: ", and `channel` in JSON.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Literal

from asr.formats.captions import words_of
from asr.formats.json_text import json_text
from asr.formats.openai_json import Json, channel, label, segment_json
from asr.transcript import Segment, Transcript, Word

Output = Literal["txt", "vtt", "srt", "tsv", "json"]

BREAKS = re.compile(r"[\t\n\v\f\r\x1c-\x1e\x85\u2028\u2029]+")  # They would end a line or a cell.


def written(transcript: Transcript, output: Output, temperature: float = 0.0) -> str:
    """Return the whole file; to be called in a thread, because hours of words take 200 ms.

    Args:
        temperature: of the request, for segments without one of their own.
    """
    if output == "json":
        return json_text(result(transcript, temperature))
    lines = {"txt": _txt, "vtt": _vtt, "srt": _srt, "tsv": _tsv}[output]
    return "".join(lines([each for each in transcript.segments if each.text.strip()]))


def result(transcript: Transcript, temperature: float) -> Json:
    """Return the result of `transcribe` in openai/whisper: text, segments, language."""
    return {
        "text": transcript.text,
        "segments": [
            segment_json(number, segment, temperature) | _words(segment) | _speaker(segment)
            for number, segment in enumerate(transcript.segments)
        ],
        "language": transcript.language,
    }


def _words(segment: Segment) -> Json:
    """The segment's words, where they were asked for."""
    if not segment.words:
        return {}
    return {"words": [_word(word) | _speaker(segment) for word in words_of(segment)]}


def _word(word: Word) -> Json:
    return {
        "word": word.text,
        "start": round(word.start, 3),
        "end": round(word.end, 3),
        "probability": round(word.probability or 0.0, 4),
    }


def _speaker(segment: Segment) -> Json:
    found = channel(segment)
    return found if segment.speaker is None else {**found, "speaker": label(segment)}


def _txt(segments: list[Segment]) -> Iterator[str]:
    for segment in segments:
        yield f"{_spoken(segment)}\n"


def _vtt(segments: list[Segment]) -> Iterator[str]:
    yield "WEBVTT\n\n"
    for segment in segments:
        start, end = (_clock(time, ".") for time in (segment.start, segment.end))
        yield f"{start} --> {end}\n{_cue(segment)}\n\n"


def _srt(segments: list[Segment]) -> Iterator[str]:
    for number, segment in enumerate(segments, 1):
        start, end = (_clock(time, ",", True) for time in (segment.start, segment.end))
        yield f"{number}\n{start} --> {end}\n{_cue(segment)}\n\n"


def _tsv(segments: list[Segment]) -> Iterator[str]:
    yield "start\tend\ttext\n"
    for segment in segments:
        yield f"{round(1000 * segment.start)}\t{round(1000 * segment.end)}\t{_line(segment)}\n"


def _cue(segment: Segment) -> str:
    return _spoken(segment).replace("-->", "->")


def _spoken(segment: Segment) -> str:
    text = _line(segment)
    return text if segment.voice is None else f"[{segment.voice}]: {text}"


def _line(segment: Segment) -> str:
    return BREAKS.sub(" ", segment.text.strip())


def _clock(seconds: float, point: str, has_hours: bool = False) -> str:
    """A time of a cue; without `has_hours`, an hour is shown only where it is not 0."""
    rest, milliseconds = divmod(round(1000 * seconds), 1000)
    minutes, second = divmod(rest, 60)
    hours, minute = divmod(minutes, 60)
    shown = f"{hours:02}:" if has_hours or hours else ""
    return f"{shown}{minute:02}:{second:02}{point}{milliseconds:03}"
