"""Languages as callers and settings name them, and those that a model knows."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

from asr.capabilities import EngineInfo
from asr.errors import BadRequest, ConfigError
from asr.text import quoted


def language_code(text: str | None, info: EngineInfo) -> str | None:
    """The code for a language given as code, name or tag ("en", "English", "en-US").

    None, "", "auto", "None" and "null" ask for detection; unknown words are returned as they
    are, for `check_language` to name.
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
        raise ConfigError(f"LANGUAGE_FORCE={text!r}: {_unknown('this language', info)}")
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


def allowed_languages(asked: Sequence[str], name: str, info: EngineInfo) -> tuple[str, ...]:
    """The codes that the field `name` allows, each once; none: all that the model knows.

    Raises:
        BadRequest: the model does not know one of them.
    """
    codes = [language_code(language, info) for language in asked]
    check_language(codes, name, info)
    return tuple(dict.fromkeys(code for code in codes if code is not None))


def check_language(codes: Iterable[str | None], name: str, info: EngineInfo) -> None:
    """Refuse languages that the model does not know; None is no language.

    Args:
        name: of the field that asks for them.

    Raises:
        BadRequest: the model does not know one of them.
    """
    for code in codes:
        if code is not None and code not in info.languages:
            raise BadRequest(f"{name}: {_unknown(f'the language {quoted(code)}', info)}", name)


def _unknown(language: str, info: EngineInfo) -> str:
    model = f"the model {info.model_id}"
    if not info.languages:
        return f"{model} does not let you choose the language; leave it unset"
    return f"{model} does not know {language}; it knows {', '.join(sorted(info.languages))}"
