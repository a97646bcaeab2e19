"""Known speakers: their names, and the references from which their voices are taken."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from dataclasses import dataclass, replace

from aiohttp import web

from asr.errors import BadRequest, BadUrl
from asr.http import sources
from asr.http.app_keys import TRANSCRIBER
from asr.http.bodies.json_object import DataUri
from asr.http.bodies.long_string import PIECE_BYTES
from asr.http.parameters import NAMES, REFERENCES, KnownSpeakerParameters
from asr.options import KnownSpeaker, SpeakerOptions

MOST_KNOWN = 4  # OpenAI takes so many known speakers at most.
NAME_CHARS = 100  # A name has at most so many characters.


@dataclass(frozen=True)
class KnownVoice:
    """A person, and a recording of the person's voice."""

    name: str
    reference: str  # a data URL


async def knowing(
    speakers: SpeakerOptions,
    asked: KnownSpeakerParameters,
    request: web.Request,
    stack: contextlib.AsyncExitStack,
) -> SpeakerOptions:
    """What is known of the speakers, with the voices of those who are asked for.

    Raises:
        CallerError: names or references cannot be used.
    """
    return replace(speakers, known=await with_voices(request, known_voices(asked), stack))


def known_voices(asked: KnownSpeakerParameters) -> tuple[KnownVoice, ...]:
    """The known speakers that are asked for.

    Raises:
        BadRequest: there are too many, or the names and references are no pairs.
    """
    names, references = asked.known_speaker_names, asked.known_speaker_references
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
