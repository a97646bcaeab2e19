"""`python -m benchmark.gpu` runs `benchmark.gpu.card`."""

import sys

from benchmark import missing_packages

missing_packages.explain()

from benchmark.gpu.card import main  # noqa: E402

sys.exit(main())
