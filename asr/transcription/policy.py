"""What a request may ask of this server and of its model."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields, replace

from asr.capabilities import EngineInfo
from asr.config.parsers import TimestampRule
from asr.errors import BadRequest
from asr.options import Options, SpeakerOptions, Thresholds
from asr.transcription.languages import check_language


@dataclass(frozen=True)
class RequestPolicy:
    """What the server's settings demand of every request."""

    language: str | None = None  # LANGUAGE_FORCE: a code that overrules every request's
    timestamps: TimestampRule = "auto"
    thresholds: Thresholds = Thresholds()  # where a request names none
    condition_on_previous_text: bool = False  # where a request does not say

    def timed(self, options: Options, info: EngineInfo) -> Options:
        """`options` as they are carried out for one who asks who speaks: words need times."""
        if options.speakers is None:
            return options
        if info.has_words:
            return replace(options, timestamps="word")
        return options if self.timestamps == "none" else replace(options, timestamps="segment")

    def apply(self, options: Options) -> Options:
        """`options` as they are to be carried out.

        Raises:
            BadRequest: words are to be timed where nothing is.
        """
        if self.language is not None:
            options = replace(options, language=self.language)
        options = replace(options, thresholds=_filled(options.thresholds, self.thresholds))
        if options.condition_on_previous_text is None:
            conditioned = self.condition_on_previous_text
            options = replace(options, condition_on_previous_text=conditioned)
        if self.timestamps == "segments" and options.timestamps == "none":
            return replace(options, timestamps="segment")
        if self.timestamps != "none":
            return options
        if options.timestamps == "word":
            raise BadRequest(
                "the server gives no timestamps (TIMESTAMPS=none): do not request word timestamps"
            )
        return replace(options, timestamps="none")


def check(options: Options, info: EngineInfo, has_diarizer: bool) -> None:
    """Refuse what the loaded model, or the server, cannot honour.

    Raises:
        BadRequest: names the option, the model and the remedy.
    """
    model = f"the model {info.model_id}"
    if options.language is not None and not info.languages:
        raise BadRequest(
            f"{model} does not let you choose the language: leave 'language' out", "language"
        )
    check_language([options.language], "language", info)
    check_language(options.languages, "languages", info)
    if options.task == "translate" and not info.can_translate:
        raise BadRequest(f"{model} cannot translate: use task 'transcribe'", "task")
    if options.prompt and not info.can_prompt:
        raise BadRequest(f"{model} takes no prompt: leave 'prompt' out", "prompt")
    if options.vocabulary and not info.can_prompt:
        raise BadRequest(
            f"{model} takes no names to be known: leave 'hotwords' and 'keywords' out", "hotwords"
        )
    if options.prefix is not None and not info.can_prefix:
        raise BadRequest(f"{model} cannot go on after a text: leave 'prefix' out", "prefix")
    if options.condition_on_previous_text and not info.can_prompt:
        name = "condition_on_previous_text"
        raise BadRequest(f"{model} takes no prompt: leave '{name}' out", name)
    if options.timestamps == "word" and not info.has_words:
        raise BadRequest(
            f"{model} has no word timestamps on this engine: use timestamps 'segment' or 'none'",
            "timestamps",
        )
    if options.speakers is not None:
        if options.channels == "split":
            raise BadRequest(
                "channels=split tells people apart by their channels: send it without speakers, or "
                "tell the speakers of one channel apart, such as with channels=0",
                "channels",
            )
        _check_speakers(options.speakers, has_diarizer)


def _check_speakers(speakers: SpeakerOptions, has_diarizer: bool) -> None:
    if not has_diarizer:
        raise BadRequest(
            "the server does not tell speakers apart (DIARIZER=off): do not ask who speaks",
            "diarize",
        )
    count, least, most = speakers.count, speakers.least or 1, speakers.most or math.inf
    if least > most:
        raise BadRequest(f"min_speakers={least} is more than max_speakers={most}", "min_speakers")
    if count is not None and not least <= count <= most:
        raise BadRequest(
            f"num_speakers={count} is not between min_speakers and max_speakers: leave these out",
            "num_speakers",
        )


def _filled(asked: Thresholds, default: Thresholds) -> Thresholds:
    named = {rule.name: getattr(asked, rule.name) for rule in fields(Thresholds)}
    return replace(default, **{name: value for name, value in named.items() if value is not None})
