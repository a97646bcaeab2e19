"""What a query asks for, as options; what of it has no effect, as warnings."""

from __future__ import annotations

from collections.abc import Iterable
from urllib.parse import quote

from aiohttp import web

from asr.api.whisper_asr.schemas import AUDIO_FILE, FileQuery, TranscriptionQuery
from asr.capabilities import EngineInfo, ServerInfo
from asr.errors import BadRequest, Invalid
from asr.http.app_keys import ENGINE, TRANSCRIBER
from asr.options import Options
from asr.text import printable
from asr.transcription.languages import check_language, language_code, overruled

NAME_CHARS = 100  # Of an unknown field's name, a warning shows so many characters.
FILENAME_CHARS = 200  # Of the file's name, Content-Disposition has so many characters.


def options_of(request: web.Request, asked: TranscriptionQuery) -> Options:
    """The options that the query asks for.

    Raises:
        Invalid, BadRequest: they cannot be honoured; said before the file is read.
    """
    info, transcriber = request.app[ENGINE].info, request.app[TRANSCRIBER]
    has_words = asked.word_timestamps and asked.output == "json"
    if has_words and not info.has_words:
        raise BadRequest(
            f"word_timestamps: the model {info.model_id} has no times of words on this engine: "
            "leave it out",
            "word_timestamps",
        )
    options = Options(
        language=_language(asked, info),
        task=asked.task,
        timestamps="word" if has_words else "segment",
        prompt=(asked.initial_prompt or None) if info.can_prompt else None,
        vocabulary=asked.vocabulary if info.can_prompt else (),
        segment_length=asked.segment_length_s,
        channels=asked.asked_channels,
        speakers=(
            asked.speaker_options(transcriber.server_info, "diarize") if asked.diarize else None
        ),
    )
    transcriber.check(options)
    return options


def _language(asked: TranscriptionQuery, info: EngineInfo) -> str | None:
    code = language_code(asked.language, info) if info.languages else None
    try:
        check_language([code], "language", info)
    except BadRequest as error:
        raise Invalid(error.message, error.param) from error
    return code


def unhonoured(request: web.Request, asked: TranscriptionQuery) -> list[str]:
    """What of the query has no effect, a sentence each."""
    info, server = request.app[ENGINE].info, request.app[TRANSCRIBER].server_info
    model = f"the model {info.model_id}"
    found = unknown(asked)
    if not info.languages and language_code(asked.language, info) is not None:
        found.append(f"language has no effect: {model} does not let you choose the language")
    if overruled(server.forced_language, asked.language, (), info):
        found.append(
            f"language has no effect: the server has LANGUAGE_FORCE={server.forced_language}"
        )
    for name in ("initial_prompt", "hotwords", "keywords"):
        if getattr(asked, name) and not info.can_prompt:
            found.append(f"{name} has no effect: {model} takes no prompt")
    if asked.word_timestamps and asked.output != "json":
        found.append(f"word_timestamps has no effect on {asked.output}: ask for output=json")
    if not asked.diarize:
        found += [f"{name} has no effect without diarize=true" for name in asked.sent_counts]
    return found + _vad(asked, server)


def _vad(asked: TranscriptionQuery, server: ServerInfo) -> list[str]:
    is_asked = asked.vad_filter if "vad_filter" in asked.model_fields_set else None
    if is_asked is None or is_asked == server.finds_speech:
        return []
    state = "on" if server.finds_speech else "off (VAD=off)"
    return [f"vad_filter has no effect: voice activity detection is {state}"]


def unknown(asked: FileQuery) -> list[str]:
    """The warnings about names in the query that mean nothing here."""
    names = (printable(name[:NAME_CHARS]) for name in asked.model_extra or {})
    return [f"{name} has no effect here: leave it out" for name in names]


def in_form(names: Iterable[str]) -> list[str]:
    """The warnings about a form's fields, all of which belong into the query."""
    shown = (printable(name[:NAME_CHARS]) for name in names)
    return [f"{name} has no effect in the form: send it in the query" for name in shown]


def attachment(filename: str | None, output: str) -> str:
    """The header that names the answer after the file."""
    name = quote((filename or AUDIO_FILE)[:FILENAME_CHARS], errors="replace")
    return f'attachment; filename="{name}.{output}"'
