"""`python benchmark/engines.py` runs `benchmark.engine_comparison.comparison`."""

import sys
from pathlib import Path

if __package__ in (None, ""):  # run as a file: its folder is on the path in the place of the root
    sys.path[0] = str(Path(__file__).resolve().parent.parent)

from benchmark import missing_packages

missing_packages.explain()

from benchmark.engine_comparison.comparison import main  # noqa: E402

if __name__ == "__main__":
    sys.exit(main())
