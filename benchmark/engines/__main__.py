"""`python -m benchmark.engines` runs `benchmark.engines.comparison`."""

import sys

from benchmark import missing_packages

missing_packages.explain()

from benchmark.engines.comparison import main  # noqa: E402

sys.exit(main())
