"""The words of the Realtime API's beta, which older clients still use.

Its sessions are flat: `input_audio_format`, `input_audio_transcription` and `turn_detection` stand
beside each other, in the event `transcription_session.update`.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, cast

from asr.errors import Invalid
from asr.http.openapi import Json
from asr.text import printable

HEADER = "OpenAI-Beta"
PROTOCOL = "openai-beta.realtime-v1"  # Browsers offer it, because they cannot set the header.
FORMATS: Mapping[str, str] = MappingProxyType(
    {"pcm16": "audio/pcm", "g711_ulaw": "audio/pcmu", "g711_alaw": "audio/pcma"}
)
PLACES: Mapping[str, str] = MappingProxyType(  # of flat fields in `session.audio.input`
    {
        "input_audio_format": "format",
        "input_audio_transcription": "transcription",
        "input_audio_noise_reduction": "noise_reduction",
        "turn_detection": "turn_detection",
    }
)


def nested(session: Mapping[str, object]) -> Json:
    """A session with its flat fields where they are today; others stay as they are.

    Raises:
        Invalid: the format is none that there is.
    """
    found = {name: value for name, value in session.items() if name not in PLACES}
    flat = {PLACES[name]: value for name, value in session.items() if name in PLACES}
    if "format" in flat:
        flat["format"] = _format(flat["format"])
    if not flat:
        return found
    audio: Any = found.get("audio", {})
    given = audio.get("input", {}) if isinstance(audio, dict) else {}
    if not isinstance(audio, dict) or not isinstance(given, dict):
        return found  # which is refused as it stands
    return {**found, "audio": {**audio, "input": {**given, **flat}}}


def flattened(session: Json) -> Json:
    """A session as the beta's events show it."""
    given = cast(Json, session["audio"]["input"])
    others = {name: value for name, value in session.items() if name not in {"audio", "type"}}
    names = {kind: name for name, kind in FORMATS.items()}
    return {
        **others,
        **{name: given[place] for name, place in PLACES.items()},
        "input_audio_format": names[given["format"]["type"]],
    }


def _format(asked: object) -> object:
    if asked is None:
        return None
    if not isinstance(asked, str) or asked not in FORMATS:
        shown = f"'{printable(asked[:50])}'" if isinstance(asked, str) else "this"
        raise Invalid(
            f"session.input_audio_format: cannot be {shown}: use {', '.join(FORMATS)}",
            "session.input_audio_format",
        )
    rate = {"rate": 24_000} if asked == "pcm16" else {}
    return {"type": FORMATS[asked], **rate}
