"""Turns raw PCM, whose media type says what it is, into WAV of unknown length."""

from __future__ import annotations

import struct
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np

from asr.audio import mp3
from asr.audio.streams import chained, read_at_least
from asr.audio.wav import A_LAW, FLOAT, MU_LAW, PCM
from asr.errors import BadRequest
from asr.pcm import HIGHEST_RATE, LOWEST_RATE
from asr.text import is_text, printable

Value = TypeVar("Value")

HEAD_BYTES = 8 * 1024  # A file's own header, or three frames of MP3, lie in so many bytes.
MAX_CHANNELS = 8  # More channels are refused: ffmpeg has no rule to mix them.
TEXT_BYTES = 64  # So many bytes of text at the start are no samples of more than 8 bits.
TYPE_CHARS = 256  # A longer media type is refused.
TELEPHONE = 8000  # Samples per second of the types for telephones, where they name no other rate.
HEADER = struct.Struct("<4sI4s4sIHHIIHH4sI")  # of a WAV file, up to its samples
# So files begin that say themselves what they are. Nearly silent PCM never begins so.
MAGIC = (
    *(b"RIFF", b"RF64", b"RIFX", b"ID3", b"OggS", b"fLaC", b"FORM", b"caff", b".snd", b"#!AMR"),
    *(b"wvpk", b"FLV\1", b"MAC ", b"TTA1", b"riff\x2e\x91\xcf\x11", b"\x1aE\xdf\xa3"),
    b"\x30\x26\xb2\x75",
)
BOXES = {b"ftyp", b"moov", b"mdat", b"free", b"skip", b"wide"}  # One of them begins an mp4.


@dataclass(frozen=True)
class SampleFormat:
    """How raw samples are stored, as far as a media type or its `encoding` fixes it."""

    kind: int  # as in the header of a WAV file
    bits: tuple[int, ...]  # of a sample; the first where the media type has no `bits`
    is_big_endian: bool = False
    rate: int | None = None  # samples per second where the media type has no `rate`


MU, A = SampleFormat(MU_LAW, (8,), rate=TELEPHONE), SampleFormat(A_LAW, (8,), rate=TELEPHONE)
LITTLE = SampleFormat(PCM, (16, 8, 24, 32))
TYPES: Mapping[str, SampleFormat] = {
    "audio/basic": MU,  # RFC 2046
    "audio/pcmu": MU,  # RFC 4856, as all but those without a source
    "audio/pcma": A,
    "audio/l8": SampleFormat(PCM, (8,)),
    "audio/l16": SampleFormat(PCM, (16,), is_big_endian=True),  # RFC 2586 too
    "audio/l24": SampleFormat(PCM, (24,), is_big_endian=True),  # RFC 3190
    "audio/mulaw": MU,
    "audio/ulaw": MU,
    "audio/alaw": A,
    "audio/pcm": LITTLE,  # OpenAI's realtime API
    "audio/lpcm": LITTLE,  # Amazon Lex
    "audio/raw": LITTLE,  # wit.ai
    "audio/x-l16": SampleFormat(PCM, (16,)),  # Amazon Lex
}
ENCODINGS: Mapping[str, SampleFormat] = {  # the values of `encoding`: SoX's words, and Deepgram's
    "signed-integer": SampleFormat(PCM, (16, 24, 32)),
    "unsigned-integer": SampleFormat(PCM, (8,)),
    "floating-point": SampleFormat(FLOAT, (32, 64)),
    "mu-law": MU,
    "a-law": A,
    "linear16": SampleFormat(PCM, (16,)),
    "linear32": SampleFormat(PCM, (32,)),
    "mulaw": MU,
    "alaw": A,
}
PARAMETERS = {  # the words that clients use → ours
    **dict.fromkeys(("rate", "samplerate", "sample-rate", "sample_rate"), "rate"),
    **dict.fromkeys(("channels", "channel-count"), "channels"),
    **dict.fromkeys(("bits", "sample-size-bits"), "bits"),
    **dict.fromkeys(("endian", "endianness", "is-big-endian"), "endian"),
    "encoding": "encoding",
}
BIG_ENDIAN = {
    **dict.fromkeys(("big", "big-endian", "true"), True),
    **dict.fromkeys(("little", "little-endian", "false"), False),
}


@dataclass(frozen=True)
class RawPcm:
    """Raw PCM as its media type declares it."""

    kind: int  # as in the header of a WAV file
    bits: int  # of a sample
    is_big_endian: bool
    rate: int  # frames per second
    channels: int


def is_raw(media_type: str) -> bool:
    """Whether a media type says that no header comes before the samples."""
    return _name(media_type) in TYPES


async def without_raw(stream: AsyncIterator[bytes], media_type: str) -> AsyncIterator[bytes]:
    """Return `stream`, as WAV if its media type declares raw PCM and no file's header begins it.

    Raises:
        BadRequest: a parameter of the media type is missing or cannot be used, or text came.
    """
    if not is_raw(media_type):
        return stream
    head = await read_at_least(stream, HEAD_BYTES)
    rest = chained(head, stream)
    if not head or has_header(head):
        return rest
    raw = parsed(media_type)
    if raw.bits > 8 and len(head) >= TEXT_BYTES and is_text(head[:TEXT_BYTES]):
        raise _unusable(_name(media_type), "comes with text", "the bytes of the samples")
    return as_wave(rest, raw)


def has_header(head: bytes) -> bool:
    """Whether these first bytes are those of a file that says itself what it is."""
    return head.startswith(MAGIC) or head[4:8] in BOXES or mp3.begins_with_frames(head)


def parsed(media_type: str) -> RawPcm:
    """Read a media type of TYPES and its parameters; others' parameters are ignored.

    Raises:
        BadRequest: one is missing or cannot be used; names it and what is possible.
    """
    name, sent = _name(media_type), _parameters(media_type)
    known = TYPES[name]
    if "encoding" in sent:
        encoding = _choice(name, sent, "encoding", ENCODINGS)
        known = replace(encoding, is_big_endian=known.is_big_endian, rate=known.rate)
    if "rate" not in sent and known.rate is None:
        raise _unusable(name, "has no rate", "the rate of the audio with it, as rate=16000")
    bits = _number(sent.get("bits", str(known.bits[0])))
    if bits not in known.bits:
        possible = " or ".join(map(str, known.bits))
        raise _unusable(name, f"has bits={sent['bits']}", f"samples of {possible} bits")
    is_big_endian = known.is_big_endian
    if "endian" in sent:
        is_big_endian = _choice(name, sent, "endian", BIG_ENDIAN)
    return RawPcm(
        known.kind,
        bits,
        is_big_endian,
        rate=_between(name, sent, "rate", known.rate or 0, (LOWEST_RATE, HIGHEST_RATE)),
        channels=_between(name, sent, "channels", 1, (1, MAX_CHANNELS)),
    )


async def as_wave(stream: AsyncIterator[bytes], raw: RawPcm) -> AsyncIterator[bytes]:
    """Yield a WAV file of unknown length: a header, then the samples, little endian.

    A sample that the end of the stream cuts is dropped.
    """
    width = raw.bits // 8
    yield _header(raw)
    rest = b""
    async for data in stream:
        if not raw.is_big_endian or width == 1:
            yield data
            continue
        data = rest + data
        whole = len(data) // width * width
        rest = data[whole:]
        yield np.frombuffer(data, np.uint8, whole).reshape(-1, width)[:, ::-1].tobytes()


def _header(raw: RawPcm) -> bytes:
    frame_bytes = raw.channels * raw.bits // 8
    form = (raw.kind, raw.channels, raw.rate, raw.rate * frame_bytes, frame_bytes, raw.bits)
    return HEADER.pack(b"RIFF", 0, b"WAVE", b"fmt ", 16, *form, b"data", 0)


def _name(media_type: str) -> str:
    return media_type.partition(";")[0].strip().lower()


def _parameters(media_type: str) -> dict[str, str]:
    """The parameters of a media type that are known, by our words for them."""
    if len(media_type) > TYPE_CHARS:
        raise BadRequest(f"the media type has more than {TYPE_CHARS} characters: send fewer")
    found = {}
    for part in media_type.split(";")[1:]:
        name, _, value = part.partition("=")
        if (ours := PARAMETERS.get(name.strip().lower())) is not None:
            found[ours] = value.strip().strip('"').lower()
    return found


def _choice(
    name: str, sent: Mapping[str, str], parameter: str, values: Mapping[str, Value]
) -> Value:
    """What a parameter's word means."""
    if sent[parameter] not in values:
        raise _unusable(name, f"has {parameter}={sent[parameter]}", f"one of {', '.join(values)}")
    return values[sent[parameter]]


def _between(
    name: str, sent: Mapping[str, str], parameter: str, default: int, limits: tuple[int, int]
) -> int:
    """The number of a parameter."""
    if parameter not in sent:
        return default
    least, most = limits
    number = _number(sent[parameter])
    if not least <= number <= most:
        raise _unusable(
            name, f"has {parameter}={sent[parameter]}", f"a whole number from {least} to {most}"
        )
    return number


def _number(text: str) -> int:
    """The whole number that a text is, or -1."""
    return int(text) if text.isascii() and text.isdigit() and len(text) < 10 else -1


def _unusable(name: str, fault: str, remedy: str) -> BadRequest:
    return BadRequest(f"the media type {name} {printable(fault)}: send {remedy}")
