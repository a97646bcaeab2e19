"""Writes a transcript as Transformers' pipeline does: its text, and chunks with timestamps."""

from __future__ import annotations

from typing import Any

from asr.formats.captions import words_of
from asr.options import Timestamps
from asr.transcript import Transcript

Json = dict[str, Any]


def pipeline_json(transcript: Transcript, timestamps: Timestamps) -> Json:
    """Return the text with a chunk for each segment or word; "none": no chunks."""
    chunks: list[Json] = []
    for segment in transcript.segments if timestamps != "none" else ():
        parts = words_of(segment) if timestamps == "word" else (segment,)
        chunks += [{"timestamp": [part.start, part.end], "text": part.text} for part in parts]
    return {"text": transcript.text, "chunks": chunks}
