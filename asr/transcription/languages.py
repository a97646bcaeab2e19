"""Languages as callers and settings name them, and those that a model knows."""

from __future__ import annotations

import functools
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

# Only the library's tables are read: its functions keep every tag that a caller sends in memory.
from langcodes.data_dicts import (
    LANGUAGE_DISTANCES,
    LANGUAGE_REPLACEMENTS,
    NORMALIZED_MACROLANGUAGES,
)

from asr.capabilities import EngineInfo
from asr.errors import BadRequest, ConfigError
from asr.text import quoted

LONGEST = 64  # More characters name no language and are not looked up.
# Languages that are farther apart, in CLDR's units, are not taken for each other. Egyptian Arabic
# is 10 from Arabic, its group; Irish is 20 from English, which its speakers know too.
FARTHEST = 10
UNSET = {"", "auto", "none", "null", "und"}  # These ask for detection; `und` is ISO 639's.
NAMES = {  # These English names are not those of Whisper's list; openai/whisper takes them too.
    "burmese": "my",
    "castilian": "es",
    "farsi": "fa",
    "filipino": "tl",
    "flemish": "nl",
    "haitian": "ht",
    "letzeburgesch": "lb",
    "mandarin": "zh",
    "moldavian": "ro",
    "moldovan": "ro",
    "panjabi": "pa",
    "pushto": "ps",
    "sinhalese": "si",
    "valencian": "ca",
}


def language_code(text: str | None, info: EngineInfo) -> str | None:
    """The model's code for a language given as code, name or tag ("eng", "English", "en-US").

    None, "", "auto", "none", "null" and "und" ask for detection; unknown words are returned as
    they are, for `check_language` to name.
    """
    return _known(info).code(text)


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
    known = _known(info)
    names = ["language"] if known.code(language) not in {None, forced} else []
    allowed = set(map(known.code, languages))
    return [*names, "languages"] if allowed and forced not in allowed else names


def allowed_languages(asked: Sequence[str], name: str, info: EngineInfo) -> tuple[str, ...]:
    """The codes that the field `name` allows, each once; none: all that the model knows.

    Raises:
        BadRequest: the model does not know one of them.
    """
    known, codes = _known(info), dict[str, None]()
    for language in dict.fromkeys(asked):
        if (code := known.code(language)) is not None:
            check_language([code], name, info)
            codes[code] = None
    return tuple(codes)


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


@dataclass(frozen=True)
class KnownLanguages:
    """The languages of one model, by each way to find them."""

    codes: Mapping[str, str]  # the model's code or name → the model's code
    standard: Mapping[str, str]  # CLDR's code → the model's code: Whisper has `jw` for `jv`

    def code(self, text: str | None) -> str | None:
        """The model's code for `text`; None for no language, `text` for an unknown one."""
        asked = (text or "").strip().lower()
        if asked in UNSET:
            return None
        if len(asked) > LONGEST:
            return asked
        tag = NAMES.get(asked, asked).replace("_", "-")
        return self.codes.get(asked) or self._nearest(_standard(tag)) or asked

    def _nearest(self, standard: str) -> str | None:
        """The model's code for a language, or for one that is nearly the same."""
        if standard in self.standard:
            return self.standard[standard]
        near = [
            (distance, self.standard[other])
            for other, distance in LANGUAGE_DISTANCES.get(standard, {}).items()
            if distance <= FARTHEST and other in self.standard
        ]
        return min(near)[1] if near else None


def _known(info: EngineInfo) -> KnownLanguages:
    return _known_of(tuple(info.languages.items()))


@functools.lru_cache(8)  # a process has one model; tests have some
def _known_of(languages: tuple[tuple[str, str], ...]) -> KnownLanguages:
    """Index languages, each its code and its English name."""
    names = {name: code for code, name in languages}
    return KnownLanguages(
        {**names, **{code: code for code, _ in languages}},
        {_standard(code): code for code, _ in languages},
    )


def _standard(tag: str) -> str:
    """CLDR's code for the language of a lower-case tag: `he` for `iw`, `heb` and `he-il`."""
    first, *others = tag.split("-")
    extended = "-".join([first, *others[:1]])  # such as zh-yue
    code = LANGUAGE_REPLACEMENTS.get(extended) or LANGUAGE_REPLACEMENTS.get(first) or first
    code = code.partition("-")[0]
    return NORMALIZED_MACROLANGUAGES.get(code, code)


def _unknown(language: str, info: EngineInfo) -> str:
    model = f"the model {info.model_id}"
    if not info.languages:
        return f"{model} does not let you choose the language; leave it unset"
    return f"{model} does not know {language}; it knows {', '.join(sorted(info.languages))}"
