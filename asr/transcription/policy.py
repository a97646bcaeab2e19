"""What a request may ask of this server and of its model."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, fields, replace

from asr.capabilities import EngineInfo
from asr.config_parsers import TimestampRule
from asr.errors import BadRequest, ConfigError
from asr.options import Options, Thresholds


@dataclass(frozen=True)
class RequestPolicy:
    """What the server's settings demand of every request."""

    language: str | None = None  # LANGUAGE_FORCE: code heard whatever is asked
    timestamps: TimestampRule = "auto"
    thresholds: Thresholds = Thresholds()  # where a request names none

    def apply(self, options: Options) -> Options:
        """`options` as they are to be carried out.

        Raises:
            BadRequest: words are to be timed where nothing is.
        """
        if self.language is not None:
            options = replace(options, language=self.language)
        options = replace(options, thresholds=_filled(options.thresholds, self.thresholds))
        if self.timestamps == "segments" and options.timestamps == "none":
            return replace(options, timestamps="segment")
        if self.timestamps != "none":
            return options
        if options.timestamps == "word":
            raise BadRequest("no word is timed here: the server runs with TIMESTAMPS=none")
        return replace(options, timestamps="none")


def language_code(text: str | None, info: EngineInfo) -> str | None:
    """The code for a language given as code, name or tag ("en", "English", "en-US").

    None, "", "auto", "None" and "null" ask for detection; unknown words are returned as they
    are, for `check` to name.
    """
    asked = (text or "").strip().lower()
    if asked in {"", "auto", "none", "null"}:
        return None
    codes = {name: code for code, name in info.languages.items()}
    tag = asked.replace("_", "-").partition("-")[0]
    for known in (asked, codes.get(asked), tag):
        if known in info.languages:
            return known
    return asked


def forced_language(text: str | None, info: EngineInfo) -> str | None:
    """The code that LANGUAGE_FORCE means.

    Raises:
        ConfigError: the model does not know it.
    """
    code = language_code(text, info)
    if code is not None and code not in info.languages:
        known = ", ".join(sorted(info.languages)) or "no choice of language"
        raise ConfigError(f"LANGUAGE_FORCE={text!r}: the model {info.model_id} knows {known}")
    return code


def overruled(
    forced: str | None, language: str | None, languages: Collection[str], info: EngineInfo
) -> list[str]:
    """The fields that ask for other languages than LANGUAGE_FORCE does."""
    if forced is None:
        return []
    names = ["language"] if language_code(language, info) not in {None, forced} else []
    allowed = {language_code(each, info) for each in languages}
    return [*names, "languages"] if allowed and forced not in allowed else names


def check(options: Options, info: EngineInfo) -> None:
    """Refuse what the loaded model cannot honour.

    Raises:
        BadRequest: names the option, the model and the remedy.
    """
    model = f"the model {info.model_id}"
    if options.language is not None and not info.languages:
        raise BadRequest(f"{model} has no choice of language: leave 'language' out", "language")
    for name, codes in (("language", (options.language,)), ("languages", options.languages)):
        for code in codes:
            if code is not None and code not in info.languages:
                raise BadRequest(
                    f"{model} does not know the language {code!r}; "
                    f"it knows {', '.join(sorted(info.languages)) or 'none'}",
                    name,
                )
    if options.task == "translate" and not info.can_translate:
        raise BadRequest(f"{model} cannot translate: use task 'transcribe'", "task")
    if options.prompt and not info.can_prompt:
        raise BadRequest(f"{model} takes no prompt: leave 'prompt' out", "prompt")
    if options.timestamps == "word" and not info.has_words:
        raise BadRequest(
            f"{model} has no word timestamps on this engine: use timestamps 'segment' or 'none'",
            "timestamps",
        )


def _filled(asked: Thresholds, default: Thresholds) -> Thresholds:
    named = {rule.name: getattr(asked, rule.name) for rule in fields(Thresholds)}
    return replace(default, **{name: value for name, value in named.items() if value is not None})
