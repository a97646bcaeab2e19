"""What a session is set to: updates of it, and what they mean for the transcription."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from pydantic import BaseModel, ValidationError

from asr.api.openai.plan import AnswerPlan, plan
from asr.api.openai.realtime.schemas import (
    DIARIZING_MODEL,
    HYPOTHESIS,
    LOGPROBS,
    WORDS,
    ALawFormat,
    AudioFormat,
    MuLawFormat,
    SessionPart,
    SessionSemanticVad,
    SessionServerVad,
    TranscriptionSession,
    TranscriptionSettings,
)
from asr.api.openai.schemas import AudioForm
from asr.capabilities import EngineInfo, ServerInfo
from asr.errors import BadRequest, Invalid
from asr.http.invalid_fields import invalid_fields
from asr.http.openapi import Json
from asr.live.options import LiveAudio, LiveOptions, TurnDetection
from asr.options import Options, SpeakerOptions
from asr.text import printable
from asr.transcription import policy

# Where OpenAI's semantic_vad waits at most 8, 4 or 2 s, an utterance ends after a quarter of it.
SILENCES = {"low": 2.0, "medium": 1.0, "auto": 1.0, "high": 0.5}  # seconds
HOLD_BACKS = {"minimal": 0.2, "low": 0.35, "medium": 0.5, "high": 0.8, "xhigh": 1.5}  # seconds
NULLABLE = {"turn_detection", "noise_reduction"}  # null turns them off; elsewhere: the default.
INCLUDES = (LOGPROBS, HYPOTHESIS, WORDS)
LEVELS = 4  # The configuration has so many objects within each other.
TRANSCRIPTION = "session.audio.input.transcription"
SHOWN_CHARS = 100  # A warning shows at most so many characters of a field's name.


@dataclass(frozen=True)
class Configuration:
    """A session's configuration, in the client's words and as it is carried out."""

    session: TranscriptionSession
    live: LiveOptions
    warnings: tuple[str, ...]  # what has no effect, a sentence each

    def includes(self, name: str) -> bool:
        return name in self.session.include

    def echo(self, model_id: str) -> Json:
        """The whole configuration, as the server's events show it."""
        shown = self.session.model_dump(exclude_none=True)
        asked = self.session.audio.input
        given: Json = {"noise_reduction": None, "turn_detection": None}
        given |= shown["audio"]["input"]
        given["transcription"] = _shown_transcription(asked.transcription, model_id)
        known = {**shown, "audio": {"input": given}}
        return {**known, "warnings": list(self.warnings)} if self.warnings else known


def initial(asked: Mapping[str, object], info: EngineInfo, server: ServerInfo) -> Configuration:
    """The configuration that a session begins with.

    Args:
        asked: what differs from the defaults.

    Raises:
        BadRequest, Invalid: names the field, the cause and the remedy.
    """
    return _configured(TranscriptionSession().model_dump(), asked, info, server)


def updated(
    current: Configuration, asked: Mapping[str, object], info: EngineInfo, server: ServerInfo
) -> Configuration:
    """The configuration after an update: fields that are not in it stay.

    Raises:
        BadRequest, Invalid: names the field, the cause and the remedy.
    """
    return _configured(current.session.model_dump(), asked, info, server)


def _configured(
    base: Json, asked: Mapping[str, object], info: EngineInfo, server: ServerInfo
) -> Configuration:
    try:
        session = TranscriptionSession.model_validate(_without_nulls(_merged(base, asked)))
    except ValidationError as error:
        first = invalid_fields(error)[0]
        place = ".".join(["session", *_without_tags(first.place)])
        raise Invalid(f"{place}: {first.reason}; see /docs for what is accepted", place) from error
    warnings = [*_unknown(session, "session"), *_unknown_includes(session, info)]
    planned = _planned(session, info, server)
    return Configuration(
        _without_unknown(session),
        _live(session, _with_speakers(session, planned.options, server)),
        (*warnings, *planned.warnings, *_without_effect(session)),
    )


def _merged(base: Json, asked: Mapping[str, object]) -> Json:
    """`base` with the fields of `asked`; an object of another type replaces the one before."""
    merged = dict(base)
    for name, value in asked.items():
        before = merged.get(name)
        if isinstance(value, dict) and isinstance(before, dict):
            is_same = value.get("type", before.get("type")) == before.get("type")
            merged[name] = _merged(before if is_same else {}, value)
        else:
            merged[name] = value
    turns = merged.get("turn_detection")
    if isinstance(turns, dict):
        merged["turn_detection"] = {"type": "server_vad", **turns}
    return merged


def _without_nulls(fields: Json, levels: int = LEVELS) -> Json:
    """The fields that have a value; null asks for the default, except where it turns off."""
    return {
        name: _without_nulls(value, levels - 1) if levels and isinstance(value, dict) else value
        for name, value in fields.items()
        if value is not None or name in NULLABLE
    }


def _without_tags(place: tuple[str, ...]) -> Iterator[str]:
    """A field's place without the names of the types among which pydantic has chosen."""
    return (
        part for part in place if "/" not in part and part not in {"server_vad", "semantic_vad"}
    )


def _unknown(part: SessionPart, place: str) -> list[str]:
    """A warning for each field that is not known, with its place."""
    found = [
        f"{place}.{printable(name[:SHOWN_CHARS])} has no effect here: leave it out"
        for name in part.model_extra or {}
    ]
    for name in type(part).model_fields:
        value = getattr(part, name)
        if isinstance(value, SessionPart):
            found += _unknown(value, f"{place}.{name}")
    return found


def _without_unknown(session: TranscriptionSession) -> TranscriptionSession:
    """The session without what has no meaning: it might be large."""
    include = [name for name in dict.fromkeys(session.include) if name in INCLUDES]
    return TranscriptionSession.model_validate({**_known(session), "include": include})


def _known(part: BaseModel) -> dict[str, Any]:
    fields = {name: getattr(part, name) for name in type(part).model_fields}
    return {
        name: _known(value) if isinstance(value, BaseModel) else value
        for name, value in fields.items()
    }


def _unknown_includes(session: TranscriptionSession, info: EngineInfo) -> list[str]:
    found = [
        f"session.include: {printable(name)} has no effect here: leave it out"
        for name in session.include
        if name not in INCLUDES
    ]
    if WORDS in session.include and not info.has_words:
        found.append(f"session.include: {WORDS} has no effect: the engine gives words no times")
    return found


def _without_effect(session: TranscriptionSession) -> list[str]:
    if session.audio.input.noise_reduction is None:
        return []
    return ["session.audio.input.noise_reduction has no effect: the model takes noise as it is"]


def _planned(session: TranscriptionSession, info: EngineInfo, server: ServerInfo) -> AnswerPlan:
    """How a form with the same fields would be carried out."""
    asked = session.audio.input.transcription
    form = AudioForm(
        language=asked.language,
        languages=asked.languages,
        keywords=asked.keywords,
        prompt=asked.prompt,
        include=["logprobs"] if LOGPROBS in session.include else [],
    )
    try:
        planned = plan(form, asked.task, info, server)
        policy.check(planned.options, info, server.has_diarizer)
    except BadRequest as error:
        name = f"{TRANSCRIPTION}.{(error.param or '').removesuffix('[]')}".rstrip(".")
        raise BadRequest(error.message, name) from error
    return planned


def _with_speakers(session: TranscriptionSession, options: Options, server: ServerInfo) -> Options:
    """`options` that ask who speaks, where the session does.

    Raises:
        BadRequest: the server has no diarizer.
    """
    asked = session.audio.input.transcription
    if not asked.asks_who_speaks:
        return options
    if not server.has_diarizer:
        name = "diarize" if asked.diarize else "model"
        remedy = "leave it out" if asked.diarize else "name another model"
        raise BadRequest(
            f"{TRANSCRIPTION}.{name}: the server does not tell speakers apart (DIARIZER=off), and "
            f"this asks who speaks: {remedy}, or start the server with DIARIZER=builtin",
            f"{TRANSCRIPTION}.{name}",
        )
    return replace(options, speakers=SpeakerOptions())


def _live(session: TranscriptionSession, options: Options) -> LiveOptions:
    asked = session.audio.input
    return LiveOptions(
        audio=_audio(asked.format),
        turns=_turns(asked.turn_detection),
        options=options,
        hold_back=HOLD_BACKS[asked.transcription.delay or "medium"],
    )


def _audio(asked: AudioFormat) -> LiveAudio:
    if isinstance(asked, MuLawFormat):
        return LiveAudio("pcmu", 8_000)
    if isinstance(asked, ALawFormat):
        return LiveAudio("pcma", 8_000)
    return LiveAudio("pcm", asked.rate)


def _turns(asked: SessionServerVad | SessionSemanticVad | None) -> TurnDetection | None:
    if asked is None:
        return None
    if isinstance(asked, SessionSemanticVad):
        return replace(TurnDetection(), silence=SILENCES[asked.eagerness])
    return TurnDetection(
        asked.threshold, asked.prefix_padding_ms / 1000, asked.silence_duration_ms / 1000
    )


def _shown_transcription(asked: TranscriptionSettings, model_id: str) -> Json:
    """The settings with the model that is served; of the others those that are set.

    The diarizing model's own name stays, which says that speakers are told apart.
    """
    model = DIARIZING_MODEL if asked.model == DIARIZING_MODEL else model_id
    return {**asked.model_dump(exclude_defaults=True), "model": model}
