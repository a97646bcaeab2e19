"""The command line: `python -m asr --help`."""

from asr.cli.app import main

if __name__ == "__main__":
    main()
