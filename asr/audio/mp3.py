"""Checks the frames of an MP3 file: a complete, undamaged one needs no ffmpeg process."""

from __future__ import annotations

import functools
import struct

# Frame headers: ISO/IEC 11172-3 §2.4.2.3, ISO/IEC 13818-3 §2.4.2.3, and MPEG 2.5 beside them.
HEADER_BYTES = 4
VERSION_1, VERSION_2, VERSION_25 = 3, 2, 0
LAYER_3 = 1
MONO = 3
KILOBITS = {  # kbit/s by index; index 0 is any other rate, index 15 is not allowed
    VERSION_1: (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    VERSION_2: (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}
RATES = {  # samples per second, by index
    VERSION_1: (44_100, 48_000, 32_000),
    VERSION_2: (22_050, 24_000, 16_000),
    VERSION_25: (11_025, 12_000, 8_000),
}
SAMPLES = {VERSION_1: 1152, VERSION_2: 576, VERSION_25: 576}  # of a frame
TAG_BYTES = 10  # The header of an ID3v2 tag has this many bytes.
OLD_TAG_BYTES = 128  # An ID3v1 tag, at the end of a file, has this many bytes.
UNSEEN_BYTES = 2**16  # So many bytes of sound are assumed after a tag that is longer than the head.
SURE_FRAMES = 3  # So many frames in a row are MP3, whatever the sender calls them.
FEWEST_FRAMES = 2  # A file with fewer frames is left to ffmpeg.


def bytes_of(seconds: float, head: bytes) -> int:
    """Estimate the bytes of `seconds` of MP3, by a file's head; 0 for other files."""
    start = tag_bytes(head)
    if len(head) < start + HEADER_BYTES:
        return start + UNSEEN_BYTES if start else 0
    frame = _frame(*head[start : start + 3])
    return start + round(seconds * frame[1] * 125) if frame is not None else 0


def frames(data: bytes) -> bytes | None:
    """Return the frames of a complete file without its tags; None for other files.

    All frames are of one kind, each begins where the one before ends, and their number is the one
    that the first frame declares, if it does. Files that are damaged, concatenated or unusual
    need a decoder that can resume after an error.
    """
    start = place = tag_bytes(data)
    count, kind = 0, None
    while place + HEADER_BYTES <= len(data):
        sync, second, third, fourth = data[place : place + HEADER_BYTES]
        frame = _frame(sync, second, third)
        if frame is None:
            break
        if kind is None:
            kind = _kind(second, third, fourth)
        elif kind != _kind(second, third, fourth):
            return None
        count += 1
        place += frame[0]
    if count < FEWEST_FRAMES or not _is_end(data[place:]) or place > len(data):
        return None
    declared = _declared_frames(data[start : start + 256])
    if declared is not None and declared != count - 1:
        return None
    return data[start:place]


def begins_with_frames(head: bytes) -> bool:
    """Whether SURE_FRAMES follow each other at the start: that is no chance."""
    place = 0
    for _ in range(SURE_FRAMES):
        header = head[place : place + 3]
        frame = _frame(*header) if len(header) == 3 else None
        if frame is None:
            return False
        place += frame[0]
    return True


def seconds(head: bytes) -> float | None:
    """The duration that a file's first frame declares; None for other files."""
    start = tag_bytes(head)
    if len(head) < start + HEADER_BYTES or _frame(*head[start : start + 3]) is None:
        return None
    declared = _declared_frames(head[start : start + 256])
    if declared is None or declared < 0:
        return None
    version, rate = head[start + 1] >> 3 & 3, head[start + 2] >> 2 & 3
    return declared * SAMPLES[version] / RATES[version][rate]


def tag_bytes(head: bytes) -> int:
    """The length of the ID3v2 tag that a file begins with (id3.org, §3.1)."""
    if head[:3] != b"ID3" or len(head) < TAG_BYTES:
        return 0
    size = 0
    for part in head[6:10]:
        size = size << 7 | part & 0x7F
    has_footer = bool(head[5] & 0x10)
    return TAG_BYTES + size + has_footer * TAG_BYTES


@functools.lru_cache(1024)  # keys come from any file's bytes
def _frame(sync: int, second: int, third: int) -> tuple[int, int] | None:
    """Bytes and kbit/s of the frame with this header; None where it is no header."""
    version, layer = second >> 3 & 3, second >> 1 & 3
    bitrate, rate = third >> 4, third >> 2 & 3
    if sync != 0xFF or second < 0xE0 or version not in RATES or layer != LAYER_3:
        return None
    if bitrate in {0, 15} or rate == 3:
        return None
    kilobits = KILOBITS[VERSION_1 if version == VERSION_1 else VERSION_2][bitrate]
    samples = 144 if version == VERSION_1 else 72
    return samples * 1000 * kilobits // RATES[version][rate] + (third >> 1 & 1), kilobits


def _kind(second: int, third: int, fourth: int) -> tuple[int, int, bool]:
    """Version and layer, rate, and whether there is one channel."""
    return second >> 1, third & 0x0C, fourth >> 6 == MONO


def _is_end(rest: bytes) -> bool:
    """Whether these bytes are empty, or tags alone."""
    if rest[:3] == b"TAG":
        return len(rest) == OLD_TAG_BYTES
    return not rest or rest[:8] == b"APETAGEX"


def _declared_frames(first: bytes) -> int | None:
    """The number of frames that the first one says follow; None: unsaid, -1: unclear."""
    if b"VBRI" in first:
        return -1
    place = max(first.find(b"Xing"), first.find(b"Info"))
    if place < 0:
        return None
    flags, count = struct.unpack_from(">II", first.ljust(place + 12, b"\0"), place + 4)
    return count if flags & 1 else -1
