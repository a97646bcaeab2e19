"""A setting of any value stops the start by its name, or makes a server that answers."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable
from dataclasses import fields
from typing import Any

import pytest

from asr.config.config import Config
from asr.config.setting import environment_name
from asr.errors import ConfigError
from asr.server.app import create_app
from tests.conftest import PATIENCE_SECONDS, tone, wav
from tests.support.fake_engine import FakeEngine

CLIP = wav(tone(2.5))
HOSTILE = [
    "nan", "inf", "-inf", "1e308", "-1e308", "1e-308", "1e-9", "1e9999", "0", "-0.0", "-1", "1",
    "0.5", "1e9", "9" * 30, "9" * 400, "9" * 5000, "0x10", "1_0", "\u0661", "1,5", "1 000", " ",
    " 1 ", "true", "none", "auto", "a" * 300, "a" * 5000, "caf\udce9", "a\0b", "/dev/null",
    "/proc/self/root", "cuda:\u00b2", "cuda:" + "9" * 30,
]  # fmt: skip


def in_words(setting: Any) -> str:
    """What a setting says of a value that it cannot take; nothing where it takes every text."""
    try:
        setting.metadata["parse"]("\0")
    except ConfigError as error:
        return str(error)
    return ""


def is_threshold(setting: Any) -> bool:
    """Whether the number is only compared with others, so that it needs no bounds."""
    return bool(setting.name.endswith("_threshold"))


HIDDEN = {environment_name(each) for each in fields(Config) if each.metadata["hidden"]}
UNQUOTED = HIDDEN | {"STRIDE_LENGTH_S"}  # Messages do not quote these values.
SETTINGS = [environment_name(setting) for setting in fields(Config)]
NUMBERS = [setting for setting in fields(Config) if "number" in in_words(setting)]
SIZES = {environment_name(setting) for setting in NUMBERS if not is_threshold(setting)} - {"PORT"}
STARTED = SIZES | {"API_KEY"}  # The other texts are for the model and the port, which are not real.


@pytest.mark.parametrize("name", SETTINGS)
async def test_a_value_is_refused_by_name_or_makes_a_server_that_answers(
    aiohttp_client: Any, name: str
) -> None:
    accepted: set[Config] = set()
    for value in HOSTILE:
        try:
            accepted.add(Config.from_environment({"VAD": "off", name: value}))
        except ConfigError as error:
            message = str(error)
            assert message.startswith(f"{name}="), message
            assert f"{value!r} " in message or name in UNQUOTED, message
            assert "correct it or leave it unset" in message or "use less than" in message
    for config in accepted if name in STARTED else ():
        async with asyncio.timeout(PATIENCE_SECONDS):
            client = await aiohttp_client(create_app(config, lambda _: FakeEngine()))
            response = await client.post("/asr", data=CLIP)
            assert response.status in {200, 401, 413}, (config, await response.text())
            assert (await client.get("/hc")).status == 200
            await client.close()


@pytest.mark.parametrize(
    "setting", [each for each in NUMBERS if not is_threshold(each)], ids=environment_name
)
def test_every_number_has_two_bounds(setting: Any) -> None:
    """A number that is set without bounds is found here, also one that is added later."""
    parse: Callable[[str], Any] = setting.metadata["parse"]
    for value in ("1e308", "9" * 30, "nan", "inf", "-1", "-1e308"):
        with pytest.raises(ConfigError, match="number"):
            parse(value)
    if setting.default is not None:
        assert math.isclose(float(parse(str(setting.default))), setting.default)
