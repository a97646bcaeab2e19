"""Start the service with the settings of the environment."""

import logging
import os
import sys

from aiohttp import web

from asr.app import create_app
from asr.config import Config, ConfigError, without_effect


def main() -> None:
    try:
        config = Config.from_environment(os.environ)
    except ConfigError as error:
        sys.exit(f"configuration: {error}")
    logging.basicConfig(level=config.log_level, format="%(asctime)s %(levelname)s %(message)s")
    for notice in without_effect(os.environ):
        logging.warning(notice)
    web.run_app(
        create_app(config),
        host=None if config.host == "*" else config.host,
        port=config.port,
        handler_cancellation=True,
        shutdown_timeout=config.drain_timeout_s,
        access_log=None,
        print=None,
    )


if __name__ == "__main__":
    main()
