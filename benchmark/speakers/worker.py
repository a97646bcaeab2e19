"""Diarize one file in this process, and print its turns and cost as a line of JSON.

`python -m benchmark.speakers.worker MODULE AUDIO SPEAKERS` asks `MODULE.load()` for a diarizer of
`asr.diarization.diarizer`; SPEAKERS is JSON for `SpeakerOptions`.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
import time
from typing import Any

import soundfile

from asr.diarization.diarizer import Diarization, DiarizationSession, Diarizer
from asr.options import SpeakerOptions
from asr.pcm import SAMPLE_RATE
from benchmark.process_usage import MIB, peak_bytes, reset_peak, resident_bytes

BLOCK_SECONDS = 30  # The file is read and handed over in blocks of so many seconds.


def main() -> None:
    module, audio, speakers = sys.argv[1:]
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what libraries print goes to standard error
    imported = importlib.import_module(module)
    before = resident_bytes()  # torch and the rest of a server are there
    started = time.monotonic()
    diarizer = imported.load()
    loaded = time.monotonic() - started
    measured = measure(diarizer, audio, SpeakerOptions(**json.loads(speakers)))
    peak = measured.pop("peak")
    answers.write(json.dumps({**measured, "load_s": loaded, "grown_mib": (peak - before) / MIB}))


def measure(diarizer: Diarizer, audio: str, speakers: SpeakerOptions) -> dict[str, Any]:
    """Diarize a file of 16 kHz mono as a server does: block by block, and then decide."""
    reset_peak()
    started = time.process_time()
    session = diarizer.begin(speakers)
    seconds = _heard(session, audio)
    decided = time.process_time()
    found = session.finish()
    return {
        "turns": [(turn.start, turn.end, turn.voice) for turn in found.turns],
        "seconds": seconds,
        "cpu_s": time.process_time() - started,
        "finish_s": time.process_time() - decided,
        "peak": peak_bytes(),
        "voices": _voices(found),
    }


def _heard(session: DiarizationSession, audio: str) -> float:
    """Hand over the whole file; return its seconds."""
    with soundfile.SoundFile(audio) as file:
        assert file.samplerate == SAMPLE_RATE
        assert file.channels == 1
        for block in file.blocks(BLOCK_SECONDS * SAMPLE_RATE, dtype="float32"):
            session.push(block)
            while session.advance():
                pass
        session.complete()
        while session.advance():
            pass
        return float(file.frames / SAMPLE_RATE)


def _voices(found: Diarization) -> int:
    """Return the number of speakers that have a turn."""
    return len({turn.voice for turn in found.turns})


if __name__ == "__main__":
    main()
