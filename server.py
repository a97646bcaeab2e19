"""Start the service with the settings of the environment."""

import argparse
import logging
import os
import sys
from functools import partial

from asr.config import Config
from asr.config_settings import without_effect
from asr.engines.load import load
from asr.errors import ConfigError
from asr.resources import cpu
from asr.server import logs
from asr.server.app import create_app
from asr.server.run import run
from asr.startup import StartupTimer


def main() -> None:
    start = StartupTimer.of_process()
    argparse.ArgumentParser(
        description="Serve speech recognition over HTTP, until SIGTERM.",
        epilog="Settings are environment variables, such as PORT=8000 and MODEL_ID=demo: "
        "README.md has a table of them.",
    ).parse_args()
    try:
        config = Config.from_environment(os.environ)
        logs.configure(config.log_level)
        for notice in without_effect(os.environ):
            logging.warning(notice)
        cpu.configure_openmp(os.environ)
        run(create_app(config, partial(load, start=start)), config, start)
    except ConfigError as error:
        sys.exit(f"configuration: {error}")


if __name__ == "__main__":
    main()
