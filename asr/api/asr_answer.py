"""What `/asr` and its jobs share: parameters become options, transcripts become answers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from aiohttp import web
from pydantic import TypeAdapter

from asr.api.asr_schemas import (
    AsrAnswer,
    AsrParameters,
    ChannelChunk,
    Chunk,
    DiarizedAsrAnswer,
    SplitAsrAnswer,
    SpokenChunk,
)
from asr.capabilities import EngineInfo, ServerInfo
from asr.errors import BadRequest
from asr.formats import openai_json, writers
from asr.formats.captions import Layout, words_of
from asr.formats.json_text import json_text
from asr.formats.rttm import rttm
from asr.http.app_keys import ENGINE, TRANSCRIBER
from asr.http.parameters import refuse_unknown
from asr.jobs.job import Job
from asr.options import Options, Timestamps
from asr.transcript import Transcript
from asr.transcription.languages import allowed_languages, language_code, overruled

ResponseFormat = Literal[
    "json", "text", "srt", "vtt", "lrc", "tsv", "verbose_json", "diarized_json", "rttm"
]
DIARIZED_FORMATS = {"diarized_json", "rttm"}  # They are about speakers, and empty without them.
LAYOUT = Layout()  # Subtitles have it unless another one is asked for.
FORMAT: TypeAdapter[ResponseFormat] = TypeAdapter(ResponseFormat)


def options_of(parameters: AsrParameters, info: EngineInfo, server: ServerInfo) -> Options:
    """The options that the parameters ask for.

    Raises:
        BadRequest: they cannot be understood; where they are `strict`, one has no effect.
    """
    refuse_unknown(parameters)
    ignored = parameters.without_effect(info)
    if parameters.strict and ignored:
        raise BadRequest(
            f"{', '.join(ignored)}: the model {info.model_id} gives no probabilities on this "
            "engine: leave them out, or leave 'strict' out",
            ignored[0],
        )
    return Options(
        language=language_code(parameters.language, info),
        languages=allowed_languages(parameters.languages, "languages", info),
        task=parameters.task,
        timestamps=parameters.timestamps,
        prompt=parameters.prompt,
        vocabulary=parameters.vocabulary,
        temperature=parameters.temperature,
        seed=parameters.seed,
        thresholds=parameters.thresholds,
        audio_track=parameters.audio_track,
        part=parameters.part,
        channels=parameters.asked_channels,
        condition_on_previous_text=parameters.condition_on_previous_text,
        speakers=parameters.speaker_options(server, "diarize") if parameters.diarize else None,
        segment_length=parameters.segment_length_s,
    )


def overruled_languages(request: web.Request, asked: AsrParameters) -> list[str]:
    """The warnings about languages that were asked for and that LANGUAGE_FORCE overrules.

    Raises:
        BadRequest: there are some, and the request is strict.
    """
    forced = request.app[TRANSCRIBER].server_info.forced_language
    names = overruled(forced, asked.language, asked.languages, request.app[ENGINE].info)
    if names and asked.strict:
        raise BadRequest(
            f"{', '.join(names)} has no effect, because the server has "
            f"LANGUAGE_FORCE={forced}: leave it out, or leave 'strict' out",
            names[0],
        )
    reason = f"has no effect: the server has LANGUAGE_FORCE={forced}"
    return [f"{name} {reason}" for name in names]


def unused_speakers(asked: AsrParameters) -> list[str]:
    """The warnings about what is known of speakers who are not told apart.

    Raises:
        BadRequest: there are some, and the request is strict.
    """
    names = [] if asked.diarize else [*asked.sent_counts, *asked.sent_known]
    if names and asked.strict:
        raise BadRequest(f"{', '.join(names)} has no effect: send diarize=true", names[0])
    return [f"{name} has no effect without diarize=true" for name in names]


def answer(transcript: Transcript, timestamps: Timestamps) -> AsrAnswer:
    """The answer of `/asr`; four hours of words take 200 ms."""
    timed: list[Chunk] = []
    is_diarized = transcript.turns is not None
    for segment in transcript.segments if timestamps != "none" else ():
        parts = words_of(segment) if timestamps == "word" else (segment,)
        for part in parts:
            times = (part.start, part.end)
            if is_diarized:
                speaker = openai_json.label(segment)
                timed.append(SpokenChunk(timestamp=times, text=part.text, speaker=speaker))
            elif segment.channel is not None:
                channel = segment.channel
                timed.append(ChannelChunk(timestamp=times, text=part.text, channel=channel))
            else:
                timed.append(Chunk(timestamp=times, text=part.text))
    is_split = transcript.channel_languages is not None
    kind = DiarizedAsrAnswer if is_diarized else SplitAsrAnswer if is_split else AsrAnswer
    return kind(text=transcript.text, chunks=timed)


def formatted(
    transcript: Transcript,
    wanted: ResponseFormat,
    options: Options,
    info: EngineInfo,
    layout: Layout = LAYOUT,
) -> tuple[str, str]:
    """The content type and the text of a transcript in a format; to be called in a thread.

    Raises:
        BadRequest: the format tells of speakers, and nobody asked for them.
    """
    if wanted in DIARIZED_FORMATS and transcript.turns is None:
        raise BadRequest(
            f"{wanted} tells who speaks, and the speakers were not told apart: submit the job "
            "with diarize=true",
            "format",
        )
    if wanted == "json":
        return "application/json", answer(transcript, options.timestamps).model_dump_json()
    if wanted == "diarized_json":
        return "application/json", json_text(
            _with_warnings(openai_json.diarized_json(transcript, options.task), transcript)
        )
    if wanted == "rttm":
        return "text/plain", rttm(transcript.turns or ())
    if wanted != "verbose_json":
        return "text/plain", writers.written(transcript.segments, wanted, layout)

    def name_of(language: str | None) -> str:
        code = "en" if options.task == "translate" else language or ""
        return info.languages.get(code, code or "unknown")

    found = openai_json.verbose_json(
        transcript,
        options.task,
        name_of(transcript.language),
        {"segment", options.timestamps} - {"none"},
        options.temperature,
        [name_of(code) for code in transcript.channel_languages or ()],
    )
    return "application/json", json_text(_with_warnings(found, transcript))


def _with_warnings(found: openai_json.Json, transcript: Transcript) -> openai_json.Json:
    return {**found, "warnings": list(transcript.warnings)} if transcript.warnings else found


def format_of(job: Job) -> ResponseFormat:
    """The format in which the job's result is told where nobody names another one."""
    extra = job.request["extra"]
    assert isinstance(extra, Mapping)
    return FORMAT.validate_python(extra["response_format"])
