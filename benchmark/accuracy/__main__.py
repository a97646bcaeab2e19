"""`python -m benchmark.accuracy` runs `benchmark.accuracy.evaluation`."""

import sys

from benchmark import missing_packages

missing_packages.explain()

from benchmark.accuracy.evaluation import main  # noqa: E402

sys.exit(main())
