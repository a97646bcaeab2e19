"""Measure a request's CPU time outside the model, stage by stage."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable, Sequence
from functools import partial
from typing import TypeVar

from asr.api.asr_schemas import AsrAnswer, Chunk
from asr.audio.decoder import Decoder
from asr.config.parsers import Vad
from asr.engines.engine import Window, WindowResult
from asr.pcm import SAMPLE_RATE, Samples
from asr.transcript import Segment
from asr.transcription.cutter import Cutter
from asr.transcription.joiner import join
from asr.vad import select as detectors
from asr.vad.detector import SpeechTrack
from benchmark.process_usage import cpu_seconds
from benchmark.recordings import WINDOW_SECONDS

Result = TypeVar("Result")

BODY_BYTES = 64 * 1024  # An upload arrives in blocks of so many bytes.
# A segment has this text of some ten words.
SENTENCE = " A sentence of some ten words, as a window has five."
SENTENCES = 5  # A window has so many sentences.
# A GPU's server uses the first, a CPU's the second.
DETECTORS: tuple[Vad, ...] = ("energy", "silero")


async def measure(data: bytes) -> dict[str, float]:
    """Return each stage's CPU milliseconds for a second of the audio in `data`.

    `data` holds a file's bytes. The last stages are sums, each with one of the speech detectors.
    """
    before = cpu_seconds()
    blocks = await decoded(data)
    spent = {"decode": cpu_seconds() - before, **_after_decoding(blocks)}
    tracks = {vad: _speech_track(vad) for vad in DETECTORS}
    detecting = {vad: _timed(partial(detect_speech, blocks, one))[1] for vad, one in tracks.items()}
    rest = sum(spent.values())
    spent |= {f"speech, VAD={vad}": seconds for vad, seconds in detecting.items()}
    spent |= {f"all with VAD={vad}": rest + seconds for vad, seconds in detecting.items()}
    audio = sum(len(block) for block in blocks) / SAMPLE_RATE
    return {stage: 1000 * seconds / audio for stage, seconds in spent.items()}


def _after_decoding(blocks: Sequence[Samples]) -> dict[str, float]:
    windows, cut = _timed(lambda: cut_up(blocks))
    results = [WindowResult(window, _said(window)) for window in windows]
    segments, joining = _timed(lambda: join(results))
    _, answering = _timed(lambda: answer(segments))
    return {"cut": cut, "join": joining, "json": answering}


async def decoded(data: bytes) -> list[Samples]:
    decoder = Decoder(0, 4)
    try:
        return [block async for block in decoder.blocks(_body(data))]
    finally:
        decoder.close()


def _speech_track(vad: Vad) -> SpeechTrack:
    detector = detectors.choose(vad, is_on_gpu=False)
    assert detector is not None, "VAD=off has no detector"
    return detector.begin(None)


def detect_speech(blocks: Sequence[Samples], track: SpeechTrack) -> None:
    """Run a detector of speech over a recording."""
    for block in blocks:
        track.push(block)
    track.finish()


def cut_up(blocks: Sequence[Samples]) -> list[Window]:
    cutter = Cutter(WINDOW_SECONDS, None)
    windows = [window for block in blocks for window in cutter.push(block)]
    return [*windows, *cutter.finish()]


def answer(segments: Sequence[Segment]) -> str:
    text = "".join(segment.text for segment in segments)
    chunks = [Chunk(timestamp=(one.start, one.end), text=one.text) for one in segments]
    return AsrAnswer(text=text, chunks=chunks).model_dump_json()


def _said(window: Window) -> tuple[Segment, ...]:
    length = window.seconds / SENTENCES
    return tuple(Segment(n * length, (n + 1) * length, SENTENCE) for n in range(SENTENCES))


async def _body(data: bytes) -> AsyncIterator[bytes]:
    for place in range(0, len(data), BODY_BYTES):
        yield data[place : place + BODY_BYTES]


def _timed(work: Callable[[], Result]) -> tuple[Result, float]:
    started = time.process_time()
    return work(), time.process_time() - started
