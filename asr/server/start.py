"""Starts the server with the settings of an environment."""

from __future__ import annotations

import logging
from collections.abc import MutableMapping
from functools import partial

from asr.config.config import Config
from asr.config.setting import without_effect
from asr.engines.load import load
from asr.resources import cpu
from asr.server import logs
from asr.server.app import create_app
from asr.server.run import run
from asr.startup import StartupTimer


def serve(environment: MutableMapping[str, str], start: StartupTimer) -> None:
    """Serve until SIGTERM, and end the process.

    Raises:
        ConfigError: a setting cannot be used.
    """
    config = Config.from_environment(environment)
    logs.configure(config.log_level)
    for notice in without_effect(environment):
        logging.warning(notice)
    cpu.configure_openmp(environment)
    run(create_app(config, partial(load, start=start)), config, start)
