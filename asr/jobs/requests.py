"""Options and transcripts as JSON, in which a job's request and result are kept."""

from __future__ import annotations

import zlib
from dataclasses import replace

from pydantic import TypeAdapter

from asr.jobs.job import Json
from asr.options import Options
from asr.transcript import Segment, Transcript

OPTIONS = TypeAdapter(Options)
SEGMENT = TypeAdapter(Segment)
TRANSCRIPT = TypeAdapter(Transcript)
LEVEL = 3  # zlib's: 8 MB of JSON take 40 ms and become less than 1 MB.


def options_to_json(options: Options) -> Json:
    """Options without those that have their default."""
    found: Json = OPTIONS.dump_python(options, mode="json", exclude_defaults=True)
    return found


def options_from_json(found: object) -> Options:
    return OPTIONS.validate_python(found)


def packed(transcript: Transcript) -> tuple[bytes, int]:
    """A whole transcript, without tokens' logprobs, compressed; and its bytes of JSON.

    A line holds all but the segments, each line after it a segment: no call holds the GIL, and
    with it the event loop, for long. To be called in a thread. Numbers that are not finite
    become null, because JSON has none.
    """
    lines = [TRANSCRIPT.dump_json(replace(transcript, segments=(), ahead=()))]
    for segment in transcript.segments:
        bare = replace(segment, token_logprobs=())
        lines.append(SEGMENT.dump_json(bare, exclude_defaults=True))
    data = b"\n".join(lines)
    return zlib.compress(data, LEVEL), len(data)


def unpacked(data: bytes) -> Transcript:
    """The transcript that was packed; to be called in a thread, too."""
    head, *lines = zlib.decompress(data).split(b"\n")
    segments = tuple(map(SEGMENT.validate_json, lines))
    return replace(TRANSCRIPT.validate_json(head), segments=segments)
