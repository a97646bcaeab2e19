"""The settings of the port for Home Assistant's Wyoming protocol."""

from __future__ import annotations

from dataclasses import dataclass

from asr.config import parsers as config_parsers
from asr.config.setting import setting as _setting
from asr.errors import ConfigError


@dataclass(frozen=True)
class WyomingSettings:
    """Those settings of `Config` that only the Wyoming protocol has."""

    wyoming_port: int | None = _setting(
        None,
        config_parsers.port,
        "Port for Home Assistant, which speaks the Wyoming protocol, usually `10300`; unset: none",
    )
    wyoming_host: str | None = _setting(
        None,
        config_parsers.text,
        "Address of `WYOMING_PORT`, or `*`; unset: as `HOST`, but with API keys it has to be set, "
        "because the protocol knows no keys",
    )

    def check_wyoming(self, port: int, has_keys: bool) -> None:
        """Raise `ConfigError` where its port is another one's, or open without being meant so.

        Args:
            port: PORT.
            has_keys: whether others need an API key.
        """
        if self.wyoming_port is None:
            return
        if self.wyoming_port == port:
            raise ConfigError(f"WYOMING_PORT={port} is PORT, too: choose another one")
        if has_keys and self.wyoming_host is None:
            raise ConfigError(
                f"WYOMING_PORT={self.wyoming_port} would let everybody in without an API key, "
                "because the Wyoming protocol knows none: set WYOMING_HOST to the address at which "
                "the port may be reached, such as 127.0.0.1, or to * for all"
            )
