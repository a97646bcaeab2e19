"""Decodes WAV whose samples all have one size, in threads, while it still arrives."""

from __future__ import annotations

import io
import struct
from dataclasses import dataclass

import numpy as np
import soundfile

from asr.pcm import (
    BLOCK_RATE,
    BLOCK_SECONDS,
    HIGHEST_RATE,
    LOWEST_RATE,
    MIXED_CHANNELS,
    ChannelResampler,
    Frames,
    Resampler,
    Samples,
)

PCM, FLOAT, A_LAW, MU_LAW, EXTENSIBLE = 1, 3, 6, 7, 0xFFFE  # mmreg.h
MICROSOFT = bytes.fromhex("000000001000800000aa00389b71")  # A GUID's bytes after its format.
UNKNOWN_SIZE = 0xFFFF_FFFF  # This size says that it is unknown, or in RF64 that `ds64` holds it.
PLACEHOLDER_SIZE = 2**31 - 2**20  # From this size on, programs write it before they know it.
MAX_CHUNKS = 256  # A file with more chunks before its samples is left to ffmpeg; a few are usual.
FORMATS = {  # (format, bits of a sample) → libsndfile's name
    (PCM, 8): "PCM_U8",
    (PCM, 16): "PCM_16",
    (PCM, 24): "PCM_24",
    (PCM, 32): "PCM_32",
    (FLOAT, 32): "FLOAT",
    (FLOAT, 64): "DOUBLE",
    (A_LAW, 8): "ALAW",
    (MU_LAW, 8): "ULAW",
}


@dataclass(frozen=True)
class Header:
    """The header of a WAV file: the format of its samples, and where they are."""

    subtype: str  # libsndfile's name of a sample's format
    rate: int  # frames per second
    channels: int
    frame_bytes: int
    start: int  # bytes before the samples
    size: int | None  # bytes of samples, at most; None: all that follow

    @property
    def block_bytes(self) -> int:
        return BLOCK_SECONDS * self.second_bytes

    @property
    def seconds(self) -> float | None:
        """What the header says the samples last; None where it does not know."""
        if self.size is None or self.size >= PLACEHOLDER_SIZE:
            return None
        return self.size / self.frame_bytes / self.rate

    @property
    def second_bytes(self) -> int:
        """The bytes of one second, or of less at a very high rate."""
        return min(self.rate, BLOCK_RATE) * self.frame_bytes


def read_header(head: bytes) -> Header | None:
    """Parse the header in a file's first bytes; None for files that others should decode."""
    if head[:4] not in {b"RIFF", b"RF64"} or head[8:12] != b"WAVE":
        return None
    place, long_size, form = 12, None, b""
    for _ in range(MAX_CHUNKS):
        if place + 8 > len(head):
            break
        name, size = struct.unpack_from("<4sI", head, place)
        place += 8
        if name == b"data":
            known = long_size if size == UNKNOWN_SIZE else size
            return _header(form, place, known or None)
        if name == b"fmt ":
            form = head[place : place + size]
        if name == b"ds64" and size >= 16:
            long_size = int.from_bytes(head[place + 8 : place + 16], "little")
        place += size + size % 2
    return None


def _header(form: bytes, start: int, size: int | None) -> Header | None:
    if len(form) < 16:
        return None
    kind, channels, rate, _, frame_bytes, bits = struct.unpack_from("<HHIIHH", form)
    if kind == EXTENSIBLE and len(form) >= 40 and form[26:40] == MICROSOFT:
        kind, valid_bits = int.from_bytes(form[24:26], "little"), form[18] + 256 * form[19]
        if valid_bits not in {0, bits}:
            return None
    subtype = FORMATS.get((kind, bits))
    if subtype is None or not 1 <= channels <= MIXED_CHANNELS:
        return None
    if not LOWEST_RATE <= rate <= HIGHEST_RATE or frame_bytes != channels * bits // 8:
        return None
    return Header(subtype, rate, channels, frame_bytes, start, size)


class WaveDecoder:
    """Decodes the bytes of one file, in their order, to 16 kHz.

    Args:
        is_split: whether the channels stay apart, instead of being mixed.
    """

    def __init__(self, header: Header, is_split: bool = False) -> None:
        self._header = header
        self._resampler: Resampler | ChannelResampler = Resampler(header.rate)
        if is_split:
            self._resampler = ChannelResampler(header.rate, header.channels)
        self._before = header.start  # bytes until the samples begin
        self._left = header.size  # bytes of samples that may still come
        self._rest = b""  # of a frame

    def sound(self, data: bytes) -> bytes:
        """Return the part of the file's next bytes that are samples."""
        skipped = min(self._before, len(data))
        self._before -= skipped
        if skipped:
            data = data[skipped:]
        if self._left is not None:
            data = data[: self._left]
            self._left -= len(data)
        return data

    @property
    def holds_back(self) -> bool:
        return self._resampler.holds_back

    def push(self, sound: bytes, is_last: bool) -> Samples:
        """Decode the next bytes of samples to [samples], or to [samples, channels]."""
        data = self._rest + sound if self._rest else sound
        whole = len(data) // self._header.frame_bytes * self._header.frame_bytes
        self._rest = data[whole:]
        return self._resampler.push(self._frames(data[:whole]), is_last)

    def _frames(self, data: bytes) -> Frames:
        header = self._header
        if header.subtype == "PCM_16":
            return np.frombuffer(data, "<i2").reshape(-1, header.channels)
        frames: Frames = soundfile.read(
            io.BytesIO(data),
            dtype="float32",
            always_2d=True,
            format="RAW",
            subtype=header.subtype,
            endian="LITTLE",
            samplerate=header.rate,
            channels=header.channels,
        )[0]
        return frames
