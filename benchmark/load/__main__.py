"""`python -m benchmark.load` runs `benchmark.load.sweep`."""

import sys

from benchmark import missing_packages

missing_packages.explain()

from benchmark.load.sweep import main  # noqa: E402

sys.exit(main())
