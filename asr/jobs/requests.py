"""Options and transcripts as JSON, in which a job's request and result are kept."""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Sequence
from dataclasses import replace

from pydantic import TypeAdapter

from asr.jobs.job import Json
from asr.options import Options
from asr.transcript import Segment, SpeakerTurn, Transcript

OPTIONS = TypeAdapter(Options)
SEGMENT = TypeAdapter(Segment)
TRANSCRIPT = TypeAdapter(Transcript)
TURNS = TypeAdapter(tuple[SpeakerTurn, ...])
TURNS_A_LINE = 500  # So many turns of speakers take less than a millisecond.
LEVEL = 3  # zlib's: 8 MB of JSON take 40 ms and become less than 1 MB.


def options_to_json(options: Options) -> Json:
    """Options without those that have their default."""
    found: Json = OPTIONS.dump_python(options, mode="json", exclude_defaults=True)
    return found


def options_from_json(found: object) -> Options:
    return OPTIONS.validate_python(found)


def packed(transcript: Transcript) -> tuple[bytes, int]:
    """A whole transcript, without tokens' logprobs, compressed; and its bytes of JSON.

    A line holds all but the segments and the turns, each line after it a segment, each one that
    begins with a bracket some turns: no call holds the GIL, and with it the event loop, for long.
    To be called in a thread. Numbers that are not finite become null, because JSON has none.
    """
    turns = transcript.turns
    head = replace(transcript, segments=(), ahead=(), turns=None if turns is None else ())
    lines = [TRANSCRIPT.dump_json(head), *map(TURNS.dump_json, _parted(turns or ()))]
    for segment in transcript.segments:
        bare = replace(segment, token_logprobs=())
        lines.append(SEGMENT.dump_json(bare, exclude_defaults=True))
    data = b"\n".join(lines)
    return zlib.compress(data, LEVEL), len(data)


def _parted(turns: Sequence[SpeakerTurn]) -> Iterator[tuple[SpeakerTurn, ...]]:
    for place in range(0, len(turns), TURNS_A_LINE):
        yield tuple(turns[place : place + TURNS_A_LINE])


def unpacked(data: bytes) -> Transcript:
    """The transcript that was packed; to be called in a thread, too."""
    head, *lines = zlib.decompress(data).split(b"\n")
    transcript = TRANSCRIPT.validate_json(head)
    segments: list[Segment] = []
    turns: list[SpeakerTurn] = []
    for line in lines:
        if line.startswith(b"["):
            turns += TURNS.validate_json(line)
        else:
            segments.append(SEGMENT.validate_json(line))
    told = None if transcript.turns is None else tuple(turns)
    return replace(transcript, segments=tuple(segments), turns=told)
