"""Make raw PCM of each kind that a media type declares, and the commands that send it."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import soundfile

from tests.conftest import wav

# Media type, without its rate → libsndfile's name of the samples' format, and their byte order.
KINDS = {
    "audio/L8": ("PCM_U8", "LITTLE"),
    "audio/L16": ("PCM_16", "BIG"),
    "audio/l16;endianness=little-endian": ("PCM_16", "LITTLE"),
    "audio/x-l16": ("PCM_16", "LITTLE"),
    "audio/L24": ("PCM_24", "BIG"),
    "audio/pcm": ("PCM_16", "LITTLE"),
    "Audio/PCM ; bits=24": ("PCM_24", "LITTLE"),
    "audio/pcm;bits=8": ("PCM_U8", "LITTLE"),
    "audio/pcm;bits=32": ("PCM_32", "LITTLE"),
    'audio/raw;encoding="signed-integer";bits=16;endian=big': ("PCM_16", "BIG"),
    "audio/raw;encoding=floating-point;endian=little": ("FLOAT", "LITTLE"),
    "audio/raw;encoding=floating-point;bits=64;endian=big": ("DOUBLE", "BIG"),
    "audio/raw;encoding=mu-law": ("ULAW", "LITTLE"),
    "audio/pcm;encoding=linear16": ("PCM_16", "LITTLE"),
    "audio/lpcm;sample-size-bits=16;is-big-endian=false": ("PCM_16", "LITTLE"),
    "audio/basic": ("ULAW", "LITTLE"),
    "audio/PCMU": ("ULAW", "LITTLE"),
    "audio/mulaw": ("ULAW", "LITTLE"),
    "audio/PCMA": ("ALAW", "LITTLE"),
    "audio/alaw": ("ALAW", "LITTLE"),
}
FILES = {  # of write_faults → their media types
    "speech.l16": "audio/L16",
    "speech.l24": "audio/L24",
    "speech.pcm": "audio/pcm",
    "speech.pcmu": "audio/PCMU",
    "speech.pcma": "audio/PCMA",
}


def raw(samples: np.ndarray, media_type: str) -> bytes:
    """Return `samples`, [frames] or [frames, channels], as a media type of KINDS stores them."""
    subtype, endian = KINDS[media_type]
    file = io.BytesIO()
    soundfile.write(file, samples, 16_000, format="RAW", subtype=subtype, endian=endian)
    return file.getvalue()


def write_faults(folder: Path, samples: np.ndarray, rate: int) -> list[str]:
    """Write `samples`, [frames], in each way into `folder`; return curl commands that send them."""
    url, commands = "localhost:8000", []
    for name, media_type in FILES.items():
        (folder / name).write_bytes(raw(samples, media_type))
        declared = f"{media_type};rate={rate}"
        place = folder / name
        commands += [
            f"curl -H 'Content-Type: {declared}' --data-binary @{place} {url}/asr",
            f"curl -F 'file=@{place};type={declared}' {url}/v1/audio/transcriptions",
        ]
    place = folder / "speech.wav"
    place.write_bytes(wav(samples, rate))
    commands += [
        f"curl -F 'file=<{place}' {url}/asr",
        f"curl -F 'file=<{place}' {url}/v1/audio/transcriptions",
    ]
    commands += [
        f"curl --data-binary @{place} '{url}/asr?language={language}'"
        for language in ("eng", "nb", "fil", "iw", "cmn", "yue", "pt-BR", "zh-Hans", "zh_TW")
    ]
    return commands
