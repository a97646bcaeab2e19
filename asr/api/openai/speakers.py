"""Speakers in OpenAI's forms: whether they are told apart, how many, and whose voices are known."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from aiohttp import web

from asr.api.openai.schemas import NAMES, REFERENCES, AudioForm
from asr.capabilities import ServerInfo
from asr.errors import BadRequest, BadUrl
from asr.http import sources
from asr.http.app_keys import TRANSCRIBER
from asr.http.bodies.json_object import DataUri
from asr.http.bodies.long_string import PIECE_BYTES
from asr.options import KnownSpeaker, SpeakerOptions

ALWAYS_DIARIZED = {"diarized_json", "rttm"}
WITH_SPEAKERS = {*ALWAYS_DIARIZED, "verbose_json", "srt", "vtt"}
MOST_KNOWN = 4  # OpenAI takes so many known speakers at most.
NAME_CHARS = 100  # A name has at most so many characters.


@dataclass(frozen=True)
class KnownVoice:
    """A person, and a recording of the person's voice."""

    name: str
    reference: str  # a data URL


def speakers_asked(
    form: AudioForm, server: ServerInfo, add: Callable[[str, str], None]
) -> SpeakerOptions | None:
    """What is known of the speakers; None where the answer does not tell them apart.

    Args:
        add: takes each field that has no effect, and the reason.

    Raises:
        BadRequest: they cannot be told apart as the form asks.
    """
    wanted = form.response_format
    if wanted == "rttm" and form.stream:
        raise BadRequest("rttm has no stream: leave 'stream' out", "response_format")
    if wanted in ALWAYS_DIARIZED:
        return form.speaker_options(server, "response_format", wanted)
    if form.diarize and (wanted in WITH_SPEAKERS or form.stream):
        return form.speaker_options(server, "diarize")
    known = {NAMES: form.known_speaker_names, REFERENCES: form.known_speaker_references}
    for name in [*form.sent_counts, *(name for name, sent in known.items() if sent)]:
        add(name, "has no effect, because the answer has no speakers: ask for diarized_json")
    if form.diarize:
        add("diarize", f"has no effect on {wanted}: ask for diarized_json")
    return None


def known_voices(form: AudioForm) -> tuple[KnownVoice, ...]:
    """The known speakers of a form.

    Raises:
        BadRequest: there are too many, or the names and references are no pairs.
    """
    names, references = form.known_speaker_names, form.known_speaker_references
    if len(names) != len(references):
        raise BadRequest(
            f"there are {len(names)} {NAMES}[] and {len(references)} {REFERENCES}[]: send one "
            "reference for each name, in the same order",
            NAMES if len(names) > len(references) else REFERENCES,
        )
    if len(names) > MOST_KNOWN:
        raise BadRequest(f"there are more than {MOST_KNOWN} known speakers: send fewer", NAMES)
    shown = [_checked_name(name, number) for number, name in enumerate(names)]
    if len(set(shown)) != len(shown):
        raise BadRequest("two known speakers have the same name: send each name once", NAMES)
    for number, reference in enumerate(references):
        if reference[:5].lower() != "data:":
            field = _field(REFERENCES, number)
            raise BadRequest(f"{field} is not a data URL: send data:audio/wav;base64,...", field)
    return tuple(map(KnownVoice, shown, references))


def _checked_name(name: str, number: int) -> str:
    shown = " ".join(name.split())
    if not shown or len(shown) > NAME_CHARS or not shown.isprintable():
        field = _field(NAMES, number)
        raise BadRequest(f"{field} must have 1 to {NAME_CHARS} printable characters", field)
    return shown


async def with_voices(
    request: web.Request, known: Iterable[KnownVoice], stack: contextlib.AsyncExitStack
) -> tuple[KnownSpeaker, ...]:
    """The known speakers with their voices, which the server's diarizer finds out.

    Raises:
        CallerError: a reference cannot be used; it is named by its index.
    """
    found = []
    for number, each in enumerate(known):
        field, reference = _field(REFERENCES, number), each.reference
        starts = range(0, len(reference), PIECE_BYTES)
        pieces = tuple(reference[start : start + PIECE_BYTES] for start in starts)
        source = sources.locate(request, DataUri(pieces), stack)
        try:
            voice = await request.app[TRANSCRIBER].voice(source, field)
        except BadUrl as error:
            raise BadRequest(f"{field} cannot be used: {error.message}", field) from error
        found.append(KnownSpeaker(each.name, voice))
    return tuple(found)


def _field(name: str, number: int) -> str:
    return f"{name}[{number}]"
