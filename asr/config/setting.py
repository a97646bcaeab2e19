"""Declares and reads settings, and names the variables that have no effect."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import Field, field, fields
from pathlib import Path
from typing import Any

from asr.config.parsers import has_file
from asr.errors import ConfigError

MODEL_FILE = "config.json"  # A directory with a file of this name holds a model.
WITHOUT_EFFECT = {  # Variables of other servers that are accepted and ignored, with the reason.
    "VLLM_ATTENTION_BACKEND": "the attention kernel is chosen by the hardware",
    "VLLM_KV_CACHE_DTYPE": "the cache has the model's dtype",
    "VLLM_USE_FLASHINFER": "FlashInfer is not used",
    "WHISPER_SAMPLING_RATE": "audio of every sample rate is converted to 16000 Hz",
}


def setting(
    default: Any,
    parse: Callable[[str], Any],
    effect: str,
    *others: str,
    protects: bool = False,
    hidden: bool = False,
) -> Any:
    """Declare a setting.

    Args:
        others: variables that are read where its own is not set.
        protects: its empty value is refused, because it would count as unset and let all in.
        hidden: no message shows its value, which is or holds a secret.
    """
    metadata = {"parse": parse, "effect": effect, "others": others}
    metadata |= {"protects": protects, "hidden": hidden}
    return field(default=default, metadata=metadata, repr=not hidden)


def read(kind: type[Any], environment: Mapping[str, str]) -> dict[str, Any]:
    """The values of those settings of the class `kind` that the environment has, by field.

    Raises:
        ConfigError: a value cannot be used; the message names variable, value and reason.
    """
    values = {}
    for each in fields(kind):
        name = variable(each, environment)
        if name is None:
            continue
        try:
            values[each.name] = each.metadata["parse"](environment[name])
        except ConfigError as error:
            shown = _shown(each, environment[name])
            raise ConfigError(f"{name}={shown} {error}; {remedy(each)}") from None
    return values


def _shown(setting: Field[Any], value: str) -> str:
    is_hidden = setting.metadata["hidden"] and value.strip()
    return "…" if is_hidden else repr(value)


def environment_name(setting: Field[Any]) -> str:
    return setting.name.upper()


def variable(setting: Field[Any], environment: Mapping[str, str]) -> str | None:
    """The variable that holds the setting's value, if one is set."""
    counts = environment.__contains__ if setting.metadata["protects"] else environment.get
    names = (environment_name(setting), *setting.metadata["others"])
    return next(filter(counts, names), None)


def remedy(setting: Field[Any]) -> str:
    if setting.default in (None, ""):
        return "correct it or leave it unset"
    default = setting.default
    shown = f"{default:g}" if isinstance(default, bool | float) else str(default)
    return f"correct it or leave it unset (default: {shown})"


def without_effect(environment: Mapping[str, str]) -> list[str]:
    """List the variables that are set and have no effect, a sentence each."""
    reasons = dict(WITHOUT_EFFECT)
    if environment.get("FLASH_ATTENTION_2") not in {"0", "1"}:
        reasons["FLASH_ATTENTION_2"] = "only the value 1 turns it on"
    mounted = environment.get("MOUNTED_MODEL")
    if mounted and not environment.get("MODEL_ID") and not has_file(Path(mounted), MODEL_FILE):
        reasons["MOUNTED_MODEL"] = f"the directory has no {MODEL_FILE}"
    return [
        f"{name}={environment[name]!r} has no effect: {reason}"
        for name, reason in reasons.items()
        if environment.get(name)
    ]
