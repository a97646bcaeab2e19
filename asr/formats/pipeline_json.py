"""Writes a transcript as Transformers' pipeline does: text, chunks with timestamps, speakers."""

from __future__ import annotations

from typing import Any

from asr.formats.captions import words_of
from asr.formats.openai_json import channel
from asr.options import Timestamps
from asr.transcript import Transcript

Json = dict[str, Any]


def pipeline_json(transcript: Transcript, timestamps: Timestamps) -> Json:
    """Return the text with a chunk for each segment or word; "none": no chunks.

    Where speakers are told apart, `speakers` has the chunks whose speaker is known. Where channels
    are split, each chunk has its `channel`.
    """
    chunks: list[Json] = []
    speakers: list[Json] = []
    for segment in transcript.segments if timestamps != "none" else ():
        parts = words_of(segment) if timestamps == "word" else (segment,)
        found: list[Json] = [
            {"timestamp": [part.start, part.end], "text": part.text, **channel(segment)}
            for part in parts
        ]
        chunks += found
        if segment.speaker is not None:
            speakers += [{"speaker": segment.speaker.label, **chunk} for chunk in found]
    output: Json = {"text": transcript.text, "chunks": chunks}
    return output if transcript.turns is None else {**output, "speakers": speakers}
