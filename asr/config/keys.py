"""The settings that say who may use the server: keys, the names of their clients, and limits."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from asr.config import parsers as config_parsers
from asr.config.setting import setting as _setting
from asr.errors import ConfigError

CLIENT_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
MOST_AT_ONCE = 10_000  # No client may have more requests in flight, or jobs running.
KEY_FILE_BYTES = 2**20  # A larger file of keys is refused.


@dataclass(frozen=True)
class ApiKey:
    """A key, with the name of the client who has it."""

    client: str  # "": the key of API_KEY
    key: str = field(repr=False)
    concurrency: int | None = None  # requests in flight, and jobs running, at once; None: any


def parse_keys(value: str) -> tuple[ApiKey, ...]:
    """Split a list of keys, between which are commas or white space.

    The name ends at the first `=` (with a number before it, at the colon), so that a key may hold
    both characters.
    """
    lines = [line for line in value.splitlines() if not line.lstrip().startswith("#")]
    parts = [part for part in re.split(r"[,\s]+", "\n".join(lines)) if part]
    if not parts:
        raise ConfigError("has no key, which would protect nothing: give NAME=KEY")
    return tuple(_api_key(part, number) for number, part in enumerate(parts, 1))


def _api_key(part: str, number: int) -> ApiKey:
    """Parse `NAME=KEY` or `NAME:CONCURRENCY=KEY`; no message shows what may be the key."""
    head, _, key = part.partition("=")
    name, colon, count = head.partition(":")
    if not CLIENT_NAME.fullmatch(name) or not key:
        raise ConfigError(
            f"has an entry (number {number}) that is neither NAME=KEY nor NAME:CONCURRENCY=KEY; a "
            "name has up to 64 letters, digits, dots, dashes and underscores, a key neither commas "
            "nor white space"
        )
    if not key.isprintable():
        raise ConfigError(f"has an unprintable character in the key of {name!r}")
    if not colon:
        return ApiKey(name, key)
    try:
        return ApiKey(name, key, config_parsers.whole(1, MOST_AT_ONCE)(count))
    except ConfigError as error:
        raise ConfigError(f"has a concurrency of {name!r} that {error}") from None


def parse_key_file(value: str) -> tuple[ApiKey, ...]:
    if not value.strip():
        raise ConfigError("is blank, which would protect nothing: give the path of a file")
    try:
        with Path(value.strip()).open("rb") as file:
            content = file.read(KEY_FILE_BYTES + 1)
        keys = content.decode()
    except (OSError, ValueError) as error:  # ValueError: no UTF-8, or a NUL byte in the path
        reason = getattr(error, "strerror", None) or "it is no text"
        raise ConfigError(f"is not a file of keys that can be read ({reason})") from None
    if len(content) > KEY_FILE_BYTES:
        raise ConfigError(f"is a file of more than {KEY_FILE_BYTES} bytes")
    return parse_keys(keys)


@dataclass(frozen=True)
class KeySettings:
    """Those settings of `Config` that say who may use the server."""

    api_key: str | None = _setting(
        None,
        config_parsers.secret,
        "Requests must send this key as `Authorization: Bearer KEY` or `x-admin-api-key: "
        "KEY`; unset: no key is needed",
        "ADMIN_KEY",
        protects=True,
        hidden=True,
    )
    api_keys: tuple[ApiKey, ...] | None = _setting(
        None,
        parse_keys,
        "Keys of several clients, as `alice=KEY,bob:4=KEY`: `bob` has at most 4 requests with "
        "audio in flight, and 4 jobs running, at once; a client sees its own jobs only. `API_KEY` "
        "is one more, without a name",
        protects=True,
        hidden=True,
    )
    api_keys_file: tuple[ApiKey, ...] | None = _setting(
        None,
        parse_key_file,
        "A file with more keys, as in `API_KEYS`, one in a line; lines that begin with `#` do not "
        "count. It is read at the start",
        protects=True,
        hidden=True,
    )

    @property
    def client_keys(self) -> tuple[ApiKey, ...]:
        """Every key that opens the server; where there is none, everybody may use it."""
        nameless = () if self.api_key is None else (ApiKey("", self.api_key),)
        return (*nameless, *(self.api_keys or ()), *(self.api_keys_file or ()))

    def check_keys(self) -> None:
        """Raise `ConfigError` where two keys have one name, or two clients one key."""
        settings = "API_KEY, API_KEYS and API_KEYS_FILE"
        for name, count in Counter(each.client for each in self.client_keys).items():
            if count > 1:
                raise ConfigError(f"{settings} have {count} keys of the name {name!r}: leave one")
        owners: dict[str, str] = {}
        for each in self.client_keys:
            other = owners.setdefault(each.key, each.client)
            if other != each.client:
                raise ConfigError(
                    f"{settings} give {each.client!r} the key of {other or 'API_KEY'!r}: "
                    "give each client a key of its own"
                )
