"""Start the service with the settings of the environment."""

import argparse
import os
import sys

from asr.errors import ConfigError
from asr.server.start import serve
from asr.startup import StartupTimer


def main() -> None:
    start = StartupTimer.of_process()
    argparse.ArgumentParser(
        description="Serve speech recognition over HTTP, until SIGTERM.",
        epilog="Settings are environment variables, such as PORT=8000 and MODEL_ID=demo: "
        "docs/settings.md has a table of them.",
    ).parse_args()
    try:
        serve(os.environ, start)
    except ConfigError as error:
        sys.exit(f"configuration: {error}")


if __name__ == "__main__":
    main()
