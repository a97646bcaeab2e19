"""Parses the text of a setting, or says why it cannot be used."""

from __future__ import annotations

import base64
import math
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Literal, TypeVar

from asr.errors import ConfigError

TimestampRule = Literal["auto", "none", "segments"]  # auto: as the request asks
Vad = Literal["auto", "silero", "energy", "off"]  # auto: by device

DiarizerName = Literal["builtin", "pyannote", "off"]

Meaning = TypeVar("Meaning")

FEWEST_SECRET_BYTES, MOST_SECRET_BYTES = 24, 64  # A webhook's secret has so many, by its standard.
WEBHOOK_SECRET_PREFIX = "whsec_"
LAST_PORT = 65_535  # A TCP port is no greater.
ORIGIN = re.compile(r"\*|null|[a-z][a-z0-9+.-]*://[^\s/?#@*]+")
HOST_NAME = re.compile(r"(\*\.)?[a-z0-9_-]+(\.[a-z0-9_-]+)*|\[[0-9a-f:.]+\]")
MOST = 10**9  # No count, no size in MiB and no time in seconds may be greater.
LEAST = 0.001  # No size in MiB may be smaller: it would be less than a byte.
LEAST_SECONDS = 0.1  # No interval may be shorter, because the server would only watch the clock.
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
    "int8": "int8",
}
GPU_INDEX = re.compile(r"[0-9]{1,4}")  # A GPU has a number of at most four digits.
LOG_LEVELS = {name: name for name in ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")}
FLAGS = {"1": True, "0": False, "true": True, "false": False} | {
    "yes": True,
    "no": False,
    "on": True,
    "off": False,
}


def text(value: str) -> str:
    return value


def secret(value: str) -> str:
    """Strip the text, because a file of secrets ends with a line break."""
    if not value.strip():
        raise ConfigError("is blank, which would protect nothing: give a key")
    return header(value)


def webhook_secret(value: str) -> str:
    """Check a secret of Standard Webhooks: random bytes in base64."""
    encoded = value.strip().removeprefix(WEBHOOK_SECRET_PREFIX).rstrip("=")
    try:
        size = len(base64.b64decode(encoded + "=" * (-len(encoded) % 4), validate=True))
    except ValueError:  # another character, or a number of them that base64 never has
        size = 0
    if not FEWEST_SECRET_BYTES <= size <= MOST_SECRET_BYTES:
        raise ConfigError(
            f"is not base64 of {FEWEST_SECRET_BYTES} to {MOST_SECRET_BYTES} bytes, with or without "
            f"{WEBHOOK_SECRET_PREFIX} before it: use what `openssl rand -base64 32` prints"
        )
    return value.strip()


def postgresql(value: str) -> str:
    scheme, _, rest = value.strip().partition("://")
    if scheme not in {"postgresql", "postgres"} or not rest:
        raise ConfigError(
            "is no URL of a PostgreSQL database: postgresql://user:password@host/name"
        )
    return value.strip()


def origins(value: str) -> tuple[str, ...]:
    """Split a list of web origins; `*` stands for all of them."""
    return _listed(value, ORIGIN, "* or a list of origins such as https://example.com")


def hosts(value: str) -> tuple[str, ...]:
    """Split a list of host names; `*.example.com` stands for all names below one."""
    if not value.strip():
        raise ConfigError("is blank, which would protect nothing: give the server's names")
    return _listed(value, HOST_NAME, "a list of host names such as asr.example.com, without ports")


def _listed(value: str, form: re.Pattern[str], what: str) -> tuple[str, ...]:
    """Split a text at commas; every part must have the form."""
    parts = tuple(part.strip().lower().removesuffix("/") for part in value.split(","))
    if not all(form.fullmatch(part) for part in parts):
        raise ConfigError(f"is not {what}, with commas between them")
    return parts


def header(value: str) -> str:
    """Check that the text can be the value of a header."""
    if not value.strip().isprintable():
        raise ConfigError("contains a line break or another unprintable character")
    return value.strip()


def log_level(value: str) -> str:
    return _one_of(LOG_LEVELS, value.strip().upper())


def flag(value: str) -> bool:
    return _one_of(FLAGS, value.strip().lower())


def exactly_one(value: str) -> bool:
    return value.strip() == "1"


def whole(least: int, most: int) -> Callable[[str], int]:
    """Make a parser of whole numbers from `least` to `most`."""

    def parse(value: str) -> int:
        try:
            number = int(value)
        except ValueError:  # no number, or one of more digits than Python reads
            number = least - 1
        if not least <= number <= most:
            raise ConfigError(f"is not a whole number from {least} to {most}")
        return number

    return parse


def number(least: float, most: float, or_zero: bool = False) -> Callable[[str], float]:
    """Make a parser of numbers from `least` to `most`; 0 may be allowed beside them."""
    either = "neither 0 nor" if or_zero else "not"

    def parse(value: str) -> float:
        found = _finite(value)
        if not (least <= found <= most or (or_zero and found == 0)):
            raise ConfigError(f"is {either} a number from {least:.12g} to {most:.12g}")
        return found

    return parse


def port(value: str) -> int:
    try:
        return whole(1, LAST_PORT)(value)
    except ConfigError:
        raise ConfigError(f"is not a port number (1 to {LAST_PORT})") from None


count = whole(1, MOST)
amount = number(0, MOST)
positive = number(LEAST, MOST)
seconds = number(LEAST_SECONDS, MOST)


def logprob(value: str) -> float | None:
    return _threshold(value, lambda number: number <= 0, "a number of at most 0")


def ratio(value: str) -> float | None:
    return _threshold(value, lambda number: number > 0, "a number above 0")


def probability(value: str) -> float | None:
    return _threshold(value, lambda number: 0 <= number <= 1, "a number from 0 to 1")


def _threshold(value: str, allows: Callable[[float], bool], what: str) -> float | None:
    """Parse a number; return None where the threshold is switched off."""
    if value.strip().lower() in {"none", "off"}:
        return None
    found = _finite(value)
    if not allows(found):
        raise ConfigError(f"is neither {what} nor none")
    return found


def _finite(value: str) -> float:
    """Parse a finite number; return NaN for any other text, so that every comparison fails."""
    try:
        found = float(value)
    except ValueError:
        return math.nan
    return found if math.isfinite(found) else math.nan


def dtype(value: str) -> str:
    return _one_of(DTYPES, value.strip().lower())


def engine(value: str) -> str:
    return _one_of({name: name for name in ENGINES}, value.strip().lower())


def device(value: str) -> str:
    kind, _, index = value.strip().lower().partition(":")
    if kind not in {"auto", "cpu", "cuda"} or (index and not GPU_INDEX.fullmatch(index)):
        raise ConfigError("is not auto, cpu, cuda or cuda:N")
    return value.strip().lower()


def timestamp_rule(value: str) -> TimestampRule:
    rules: dict[str, TimestampRule] = {"auto": "auto", "none": "none", "segments": "segments"}
    return _one_of(rules, value.strip().lower())


def vad(value: str) -> Vad:
    kinds: dict[str, Vad] = {"auto": "auto", "silero": "silero", "energy": "energy", "off": "off"}
    return _one_of(kinds, value.strip().lower())


def diarizer(value: str) -> DiarizerName:
    kinds: dict[str, DiarizerName] = {"builtin": "builtin", "pyannote": "pyannote", "off": "off"}
    return _one_of(kinds, value.strip().lower())


def _one_of(meanings: Mapping[str, Meaning], name: str) -> Meaning:
    try:
        return meanings[name]
    except KeyError:
        raise ConfigError(f"is not one of {', '.join(meanings)}") from None


def directory(value: str) -> Path:
    try:
        path = Path(value).resolve()
        is_directory = path.is_dir()
    except (OSError, RuntimeError, ValueError) as error:  # the name is too long, links in a circle
        raise ConfigError("is not a directory that can be read") from error
    if not is_directory:
        raise ConfigError("is not a directory")
    return path


def has_file(directory: Path, name: str) -> bool:
    """Whether a directory has a file of this name that can be looked up."""
    try:
        return (directory / name).is_file()
    except OSError:  # it may not be entered, or its name is too long
        return False
