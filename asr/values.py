"""What the text of a setting means, and why it cannot be used."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Literal

TimestampRule = Literal["auto", "none", "segments"]  # auto: as the request asks
Vad = Literal["auto", "silero", "energy", "off"]  # auto: by device

ENGINES = ("auto", "whisper", "pipeline")
DTYPES = {
    "auto": "auto",
    "float32": "float32",
    "fp32": "float32",
    "float16": "float16",
    "fp16": "float16",
    "float": "float32",
    "half": "float16",
    "bfloat16": "bfloat16",
    "bf16": "bfloat16",
}


class ConfigError(ValueError):
    """A setting whose value cannot be used."""


def text(value: str) -> str:
    return value


def flag(value: str) -> bool:
    return value.strip().lower() in {"1", "true", "yes", "on"}


def exactly_one(value: str) -> bool:
    return value.strip() == "1"


def count(value: str) -> int:
    try:
        number = int(value)
    except ValueError:
        raise ConfigError("is not a whole number") from None
    if number < 1:
        raise ConfigError("is not at least 1")
    return number


def port(value: str) -> int:
    number = count(value)
    if number > 65_535:
        raise ConfigError("is not a port number (1 to 65535)")
    return number


def amount(value: str) -> float:
    try:
        number = float(value)
    except ValueError:
        raise ConfigError("is not a number") from None
    if not math.isfinite(number) or number < 0:
        raise ConfigError("is not a number of at least 0")
    return number


def positive(value: str) -> float:
    number = amount(value)
    if number == 0:
        raise ConfigError("is not more than 0")
    return number


def threshold(value: str) -> float | None:
    """A number, or None where the rule is switched off."""
    if value.strip().lower() in {"none", "off"}:
        return None
    try:
        number = float(value)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise ConfigError("is neither a number nor none")
    return number


def dtype(value: str) -> str:
    try:
        return DTYPES[value.strip().lower()]
    except KeyError:
        raise ConfigError(f"is not one of {', '.join(DTYPES)}") from None


def engine(value: str) -> str:
    name = value.strip().lower()
    if name not in ENGINES:
        raise ConfigError(f"is not one of {', '.join(ENGINES)}")
    return name


def openvino(value: str) -> str:
    name = value.strip().lower()
    if name not in {"auto", "0", "1"}:
        raise ConfigError("is not auto, 0 or 1")
    return name


def device(value: str) -> str:
    kind, _, index = value.strip().lower().partition(":")
    if kind not in {"auto", "cpu", "cuda"} or (index and not index.isdigit()):
        raise ConfigError("is not auto, cpu, cuda or cuda:N")
    return value.strip().lower()


def timestamp_rule(value: str) -> TimestampRule:
    rules: dict[str, TimestampRule] = {"auto": "auto", "none": "none", "segments": "segments"}
    try:
        return rules[value.strip().lower()]
    except KeyError:
        raise ConfigError(f"is not one of {', '.join(rules)}") from None


def vad(value: str) -> Vad:
    kinds: dict[str, Vad] = {"auto": "auto", "silero": "silero", "energy": "energy", "off": "off"}
    try:
        return kinds[value.strip().lower()]
    except KeyError:
        raise ConfigError(f"is not one of {', '.join(kinds)}") from None


def directory(value: str) -> Path:
    path = Path(value).resolve()
    if not path.is_dir():
        raise ConfigError("is not a directory")
    return path
