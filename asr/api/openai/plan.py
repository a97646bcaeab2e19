"""Plan how an OpenAI form is carried out, and warn of what has no effect."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pydantic import ValidationError

from asr.api.known_speakers import KnownVoice, known_voices
from asr.api.openai.chunking_strategy import ServerVad
from asr.api.openai.schemas import (
    LISTS,
    STRATEGY,
    AudioForm,
    Granularity,
    ResponseFormat,
)
from asr.api.openai.speakers import speakers_asked
from asr.capabilities import EngineInfo, ServerInfo
from asr.errors import BadRequest
from asr.formats.captions import Layout
from asr.http.invalid_fields import invalid_fields
from asr.http.parameters import REFERENCES
from asr.options import Options, Task, VadOptions
from asr.text import printable, quoted
from asr.transcription.languages import allowed_languages, language_code, overruled

TIMED_FORMATS = {
    "verbose_json",
    "srt",
    "vtt",
    "lrc",
}  # They show word times, or captions end at them.
WITH_LOGPROBS = {"json", "verbose_json"}

# Fields of vLLM, faster-whisper and their like: the values that ask for what is done anyway.
DONE_ANYWAY: Mapping[str, tuple[object, ...]] = {
    "beam_size": (1,),
    "best_of": (1,),
    "frequency_penalty": (0,),
    "include_stop_str_in_output": (0,),
    "length_penalty": (1,),
    "min_p": (0,),
    "n": (1,),
    "patience": (1,),
    "presence_penalty": (0,),
    "repetition_penalty": (1,),
    "stream_continuous_usage_stats": (0,),
    "stream_include_usage": (0,),
    "top_k": (0, -1),
    "top_p": (1,),
    "use_beam_search": (0,),
    "vad_filter": (0,),
}
OPENAI_MODEL = "whisper-1"  # OpenAI's name of Whisper; its clients' code sends it.


@dataclass(frozen=True)
class AnswerPlan:
    """How a request is carried out and answered."""

    options: Options
    response_format: ResponseFormat
    granularities: frozenset[Granularity]
    layout: Layout
    is_streamed: bool
    known: tuple[KnownVoice, ...]  # whose voices are to be found out before
    warnings: tuple[str, ...]  # what has no effect, a sentence each


def read_form(fields: Mapping[str, Sequence[str]]) -> AudioForm:
    """The form's fields as what they mean; empty ones count as not sent.

    Raises:
        BadRequest: names the first field that cannot be used.
    """
    found: dict[str, object] = {}
    strategy: dict[str, str] = {}
    for name, values in fields.items():
        plain = name.removesuffix("[]")
        if plain == "temperature":
            values = [",".join(values)]
        sent = [value for value in values if value != ""]
        if plain in LISTS and plain == name and plain != REFERENCES:  # they have commas
            sent = [part.strip() for value in sent for part in value.split(",")]
        if sent and plain.startswith(f"{STRATEGY}["):
            strategy[plain.removeprefix(f"{STRATEGY}[").removesuffix("]")] = sent[-1]
        elif sent:
            found[plain] = sent if plain in LISTS else sent[-1]
    if strategy:
        found[STRATEGY] = strategy
    try:
        return AudioForm.model_validate(found)
    except ValidationError as error:
        raise _bad_field(error) from error


def _bad_field(error: ValidationError) -> BadRequest:
    first = invalid_fields(error)[0]
    name, *inner = first.place
    place = f"{name}[{inner[-1]}]" if name == STRATEGY and inner else name
    return BadRequest(f"{place}: {first.reason}; see /docs for what is accepted", name)


def plan(form: AudioForm, task: Task, info: EngineInfo, server: ServerInfo) -> AnswerPlan:
    """Decide how `form` is carried out.

    Raises:
        BadRequest: what is asked cannot be done; with `strict`, not all of it.
    """
    unsupported = Unsupported()
    unsupported.extras(form)
    for name in form.without_effect(info):
        unsupported.add(name, f"has no effect: {_on(info)} gives no probabilities")
    granularities = _granularities(form, info, unsupported)
    language, languages = _languages(form, info, unsupported)
    for name in overruled(server.forced_language, form.language, form.languages, info):
        unsupported.add(
            name, f"has no effect: the server has LANGUAGE_FORCE={server.forced_language}"
        )
    prompt, vocabulary = _prompt(form, info, unsupported)
    options = Options(
        language=language,
        languages=languages,
        task=task,
        timestamps="word" if "word" in granularities else "segment",
        prompt=prompt,
        vocabulary=vocabulary,
        temperature=form.temperature,
        seed=form.seed,
        logprobs=_wants_logprobs(form, info, unsupported),
        thresholds=form.thresholds,
        vad=_vad_options(form, server, unsupported),
        speakers=speakers_asked(form, server, unsupported.add),
        segment_length=form.segment_length_s,
        audio_track=form.audio_track,
        part=form.part,
        channels=form.asked_channels,
        condition_on_previous_text=_is_conditioned(form, info, unsupported),
    )
    if form.strict:
        unsupported.refuse(form.model, info)
    return AnswerPlan(
        options,
        form.response_format,
        granularities,
        form.layout,
        form.stream,
        known_voices(form) if options.speakers is not None else (),
        tuple(unsupported.reasons.values()),
    )


class Unsupported:
    """What is asked for and has no effect here, by field."""

    def __init__(self) -> None:
        self.reasons: dict[str, str] = {}

    def add(self, name: str, reason: str) -> None:
        self.reasons.setdefault(name, f"{name} {reason}")

    def extras(self, form: AudioForm) -> None:
        """Add the fields of other servers that ask for more than is done anyway."""
        for name, value in (form.model_extra or {}).items():
            if name in DONE_ANYWAY and _number(value) in DONE_ANYWAY[name]:
                continue
            if name in DONE_ANYWAY:
                self.add(name, f"cannot be {printable(value[:50])} here: leave it out")
            else:
                self.add(printable(name[:100]), "has no effect here: leave it out")

    def refuse(self, model: str | None, info: EngineInfo) -> None:
        """Refuse a strict request of which something cannot be done.

        Raises:
            BadRequest: names all that cannot be done."""
        if model not in {None, OPENAI_MODEL, info.model_id}:
            self.add("model", f"{quoted(model)} is not served here: use {quoted(info.model_id)}")
        if self.reasons:
            raise BadRequest("; ".join(self.reasons.values()), next(iter(self.reasons)))


def _vad_options(form: AudioForm, server: ServerInfo, unsupported: Unsupported) -> VadOptions:
    """How the form wants speech to be detected and the recording to be cut."""
    asked = form.chunking_strategy
    for name in (asked.model_extra or {}) if asked else ():
        unsupported.add(f"{STRATEGY}[{printable(name[:50])}]", "has no effect here: leave it out")
    if not isinstance(asked, ServerVad):
        return VadOptions()
    vad_is_off = "has no effect: voice activity detection is off (VAD=off)"
    no_threshold = "has no effect: VAD=energy has no probability threshold"
    overlaps = "has no effect: with STRIDE_LENGTH_S windows overlap and are not cut at pauses"
    for name, reason, has_effect in (
        ("threshold", no_threshold if server.finds_speech else vad_is_off, server.has_threshold),
        ("prefix_padding_ms", vad_is_off, server.finds_speech),
        ("silence_duration_ms", overlaps, server.cuts_at_pauses),
    ):
        if getattr(asked, name) is not None and not has_effect:
            unsupported.add(f"{STRATEGY}[{name}]", reason)
    return asked.vad_options


def _granularities(
    form: AudioForm, info: EngineInfo, unsupported: Unsupported
) -> frozenset[Granularity]:
    asked = frozenset(form.timestamp_granularities)
    if "word" in asked and not info.has_words:
        raise BadRequest(
            f"{_on(info)} has no word timestamps: ask for the granularity 'segment'",
            "timestamp_granularities[]",
        )
    if asked and form.response_format not in TIMED_FORMATS and not form.stream:
        reason = f"has no effect on {form.response_format}: ask for verbose_json"
        unsupported.add("timestamp_granularities[]", reason)
        return frozenset({"segment"})
    return asked or frozenset({"segment"})


def _wants_logprobs(form: AudioForm, info: EngineInfo, unsupported: Unsupported) -> bool:
    if not form.include:
        return False
    if not info.has_logprobs:
        unsupported.add("include[]", f"cannot be logprobs: {_on(info)} gives no log-probabilities")
        return False
    if form.response_format not in WITH_LOGPROBS:
        unsupported.add("include[]", f"has no effect on {form.response_format}: ask for json")
        return False
    return True


def _languages(
    form: AudioForm, info: EngineInfo, unsupported: Unsupported
) -> tuple[str | None, tuple[str, ...]]:
    """The language that is spoken, or those of which one is."""
    language = language_code(form.language, info)
    if not info.languages:
        if language or form.languages:
            name = "language" if language else "languages[]"
            model = f"the model {info.model_id}"
            unsupported.add(name, f"has no effect: {model} does not let you choose the language")
        return None, ()
    allowed = allowed_languages(form.languages, "languages[]", info)
    if language is not None and allowed and language not in allowed:
        raise BadRequest(f"language {quoted(language)} is not among languages[]", "language")
    if language is None and len(allowed) == 1:
        return allowed[0], ()
    return language, allowed if language is None else ()


def _prompt(
    form: AudioForm, info: EngineInfo, unsupported: Unsupported
) -> tuple[str | None, tuple[str, ...]]:
    """The form's prompt and its vocabulary."""
    if info.can_prompt:
        return form.prompt or None, form.vocabulary
    sent = {"prompt": form.prompt, "keywords[]": form.keywords, "hotwords": form.hotwords}
    for name in filter(sent.get, sent):
        unsupported.add(name, f"has no effect: the model {info.model_id} takes no prompt")
    return None, ()


def _is_conditioned(form: AudioForm, info: EngineInfo, unsupported: Unsupported) -> bool | None:
    if not form.condition_on_previous_text or info.can_prompt:
        return form.condition_on_previous_text
    reason = f"has no effect: the model {info.model_id} takes no prompt"
    unsupported.add("condition_on_previous_text", reason)
    return None


def _on(info: EngineInfo) -> str:
    return f"the model {info.model_id} on this engine"


def _number(value: str) -> object:
    """A number or a truth value as a number, anything else as it is."""
    text = value.strip().lower()
    if text in {"true", "false"}:
        return int(text == "true")
    try:
        return float(text)
    except ValueError:
        return text
