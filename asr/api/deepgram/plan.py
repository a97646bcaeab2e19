"""Plans how a request is carried out, and warns of what has no effect."""

from __future__ import annotations

import re
import time
from collections.abc import Iterable
from dataclasses import dataclass

from asr.api.deepgram.schemas import RAW, AnswerDetails, ListenParameters, ListenWarning
from asr.capabilities import EngineInfo, ServerInfo
from asr.errors import BadRequest
from asr.http.parameters import SpeakerCounts
from asr.options import Options, SpeakerOptions
from asr.text import printable, quoted
from asr.transcription.languages import allowed_languages, language_code, overruled

MULTILINGUAL = "multi"  # Deepgram's word for a language that is not known before.
NOTHING_ASKED = {"false", "0", "no"}  # These values ask for what is done anyway.
ACCEPTED = {"mip_opt_out"}  # It holds anyway: nothing is learned from anybody's audio.
INTENSIFIER = re.compile(r"(.*?):(-?\d*\.?\d+)", re.DOTALL)  # A keyword and its weight.
NAME_CHARS = 100  # Of a parameter's name, which is the caller's, so many characters are shown.


class Warnings:
    """What is asked for and has no effect here, once for each parameter."""

    def __init__(self) -> None:
        self._found: dict[str, ListenWarning] = {}

    def add(self, parameter: str, reason: str) -> None:
        message = f"{parameter} {reason}"
        kind = "unsupported_language" if parameter == "language" else "unsupported_parameter"
        warning = ListenWarning(parameter=parameter, type=kind, message=message)
        self._found.setdefault(parameter, warning)

    @property
    def all(self) -> list[ListenWarning]:
        return list(self._found.values())


@dataclass(frozen=True)
class ListenPlan:
    """How a request is carried out and answered."""

    options: Options
    answer: AnswerDetails
    media_type: str  # of raw audio; "": the bytes say themselves what they are
    callback: str | None  # that is told of the answer; None: the caller waits for it

    @property
    def warnings(self) -> list[str]:
        """What has no effect, a sentence each."""
        return [each.message for each in self.answer.warnings]


def plan(
    asked: ListenParameters, info: EngineInfo, server: ServerInfo, gives_times: bool
) -> ListenPlan:
    """Decide how a request is carried out.

    Args:
        gives_times: whether the server's settings allow timestamps.

    Raises:
        BadRequest: a parameter cannot be used, or speakers cannot be told apart.
    """
    warnings = Warnings()
    language, languages = _languages(asked, info, server, warnings)
    has_words = info.has_words and gives_times
    if not has_words:
        warnings.add("words", "have estimated times: this server gives no times of words")
    options = Options(
        language=language,
        languages=languages,
        timestamps="word" if has_words else "segment",
        vocabulary=_vocabulary(asked, info, warnings),
        channels="split" if asked.multichannel else "mix",
        speakers=_speakers(asked, server, warnings),
    )
    _warn_of_the_rest(asked, warnings)
    answer = AnswerDetails(
        created=time.time(),
        model_id=info.model_id,
        engine=info.engine,
        has_paragraphs=asked.paragraphs,
        has_utterances=asked.utterances,
        utt_split=asked.utt_split,
        tells_language=_is_asked(asked.detect_language),
        lists_languages=asked.language == MULTILINGUAL,
        tags=asked.tag,
        extra=dict(map(_pair, asked.extra)),
        warnings=warnings.all,
    )
    return ListenPlan(options, answer, _raw_type(asked), asked.callback)


def _raw_type(asked: ListenParameters) -> str:
    """The media type of the raw audio that the query declares; "" where it declares none."""
    if asked.encoding is None or asked.encoding not in RAW:
        return ""
    rate = asked.sample_rate or RAW[asked.encoding]
    if rate is None:
        raise BadRequest(
            f"encoding={asked.encoding} is raw audio, whose rate nobody knows: send sample_rate "
            "too, such as sample_rate=16000",
            "sample_rate",
        )
    return f"audio/raw;encoding={asked.encoding};rate={rate};channels={asked.channels}"


def _speakers(
    asked: ListenParameters, server: ServerInfo, warnings: Warnings
) -> SpeakerOptions | None:
    if not asked.wants_speakers:
        return None
    name = "diarize" if asked.diarize else "diarize_model"
    if asked.multichannel:
        warnings.add(name, "has no effect with multichannel: the channels tell people apart")
        return None
    return SpeakerCounts.model_validate({}).speaker_options(server, name)


def _languages(
    asked: ListenParameters, info: EngineInfo, server: ServerInfo, warnings: Warnings
) -> tuple[str | None, tuple[str, ...]]:
    """The language that is spoken, or those of which one is; none: any."""
    language = None if asked.language == MULTILINGUAL else language_code(asked.language, info)
    named = _named(asked.detect_language)
    if not info.languages:
        for name, sent in (("language", language), ("detect_language", asked.detect_language)):
            if sent:
                reason = f"has no effect: the model {info.model_id} has no choice of languages"
                warnings.add(name, reason)
        return None, ()
    for name in overruled(server.forced_language, language, named, info):
        field = "detect_language" if name == "languages" else name
        forced = server.forced_language
        warnings.add(field, f"has no effect: the server has LANGUAGE_FORCE={forced}")
    if _is_asked(asked.detect_language):
        return None, allowed_languages(named, "detect_language", info)
    return language, ()


def _is_asked(detect_language: Iterable[str]) -> bool:
    return any(value.lower() not in NOTHING_ASKED for value in detect_language)


def _named(detect_language: Iterable[str]) -> list[str]:
    """The languages that may be detected: values that are neither yes nor no."""
    words = NOTHING_ASKED | {"true", "1", "yes"}
    return [value for value in detect_language if value.lower() not in words]


def _vocabulary(asked: ListenParameters, info: EngineInfo, warnings: Warnings) -> tuple[str, ...]:
    """The terms that are to be known, without their weights."""
    terms = list(asked.keyterm)
    for keyword in asked.keywords:
        weighted = INTENSIFIER.fullmatch(keyword)
        if weighted is None:
            terms.append(keyword)
        elif float(weighted[2]) >= 0:
            terms.append(weighted[1])
        else:
            reason = f"cannot suppress {quoted(weighted[1])}: only send words to be known"
            warnings.add("keywords", reason)
    if terms and not info.can_prompt:
        name = "keyterm" if asked.keyterm else "keywords"
        warnings.add(name, f"has no effect: the model {info.model_id} takes no prompt")
        return ()
    return tuple(dict.fromkeys(filter(None, terms)))


def _pair(text: str) -> tuple[str, str]:
    key, colon, value = text.partition(":")
    if not colon or not key:
        raise BadRequest(f"extra has {quoted(text[:NAME_CHARS])}: send KEY:VALUE", "extra")
    return key, value


def _warn_of_the_rest(asked: ListenParameters, warnings: Warnings) -> None:
    if not asked.punctuate:
        warnings.add("punctuate", "cannot be false: the model writes punctuation; see 'word'")
    if asked.callback_method != "post":
        warnings.add("callback_method", "has no effect: the callback is a POST")
    for name, value in (asked.model_extra or {}).items():
        is_nothing = str(value).lower() in NOTHING_ASKED
        if name not in ACCEPTED and not is_nothing:
            warnings.add(printable(name[:NAME_CHARS]), "has no effect here: leave it out")
