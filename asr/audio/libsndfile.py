"""Decodes WAV, FLAC and short MP3 with the library libsndfile, in threads."""

from __future__ import annotations

import io
import logging
import threading
from typing import BinaryIO

import soundfile

from asr.audio import mp3
from asr.errors import BadAudio
from asr.pcm import (
    BLOCK_RATE,
    BLOCK_SECONDS,
    HIGHEST_RATE,
    LOWEST_RATE,
    MIXED_CHANNELS,
    ChannelResampler,
    Resampler,
    Samples,
)

log = logging.getLogger(__name__)

HEAD_BYTES = 64 * 1024  # So many bytes are read before the format is decided.
IN_MEMORY_BYTES = 2**20  # Files of at most so many bytes are decoded in memory, once complete.
MP3_SECONDS = 35  # MP3 of at most about so many seconds is, too: one window is no longer.


def is_wave_or_flac(head: bytes) -> bool:
    return head[:4] == b"fLaC" or (head[:4] == b"RIFF" and head[8:12] == b"WAVE")


def bytes_in_memory(head: bytes) -> int:
    """The size up to which files with this head are decoded in memory; or 0."""
    if is_wave_or_flac(head):
        return IN_MEMORY_BYTES
    return min(IN_MEMORY_BYTES, mp3.bytes_of(MP3_SECONDS, head))


def opened_by_soundfile(file: BinaryIO) -> soundfile.SoundFile | None:
    """Open WAV, FLAC or short MP3; return None for files that ffmpeg should decode.

    Raises:
        BadAudio: the file has fewer than LOWEST_RATE samples per second.
    """
    file.seek(0)
    head = file.read(HEAD_BYTES)
    most = bytes_in_memory(head)
    if not most:
        return None
    if not is_wave_or_flac(head):
        frames = mp3.frames(head + file.read(most - len(head) + 1))
        if frames is None:
            return None
        file = io.BytesIO(frames)
    file.seek(0)
    try:
        sound = soundfile.SoundFile(file)
    except soundfile.LibsndfileError as error:
        log.debug("libsndfile does not open the file: %s", error)
        return None
    is_usual = LOWEST_RATE <= sound.samplerate <= HIGHEST_RATE
    if sound.frames and sound.channels <= MIXED_CHANNELS and is_usual:
        return sound
    sound.close()
    if sound.samplerate < LOWEST_RATE:  # a few bytes would become hours of audio
        raise BadAudio(
            f"{sound.samplerate} samples per second are too few for speech: "
            f"record at {LOWEST_RATE} or more"
        )
    return None


class SoundfileDecoder:
    """Reads blocks of 16 kHz from a file that libsndfile has opened.

    Args:
        is_split: whether the channels stay apart, instead of being mixed.
    """

    def __init__(self, sound: soundfile.SoundFile, is_split: bool = False) -> None:
        self._sound = sound
        self._resampler: Resampler | ChannelResampler = Resampler(sound.samplerate)
        if is_split:
            self._resampler = ChannelResampler(sound.samplerate, sound.channels)
        self._dtype = "int16" if sound.subtype in {"PCM_16", "PCM_S8"} else "float32"
        self._in_use = threading.Lock()
        self.has_ended = False

    @property
    def seconds(self) -> float:
        """What the file's header says it lasts."""
        return float(self._sound.frames / self._sound.samplerate)

    def read(self) -> Samples:
        """Read the next block, [samples] or [samples, channels].

        Raises:
            soundfile.LibsndfileError: the block is damaged; nothing of it is returned.
        """
        frames = BLOCK_SECONDS * min(self._sound.samplerate, BLOCK_RATE)
        with self._in_use:
            block = self._sound.read(frames, dtype=self._dtype, always_2d=True)
        self.has_ended = len(block) < frames
        return self._resampler.push(block, self.has_ended)

    def close(self) -> None:
        """Free what libsndfile holds; while a thread reads, the end of the last reference does it.

        libsndfile would go on reading in freed memory.
        """
        if self._in_use.acquire(blocking=False):
            try:
                self._sound.close()
            finally:
                self._in_use.release()
