"""`python -m benchmark.soak` runs `benchmark.soak.soak`."""

import sys

from benchmark import missing_packages

missing_packages.explain()

from benchmark.soak.soak import main  # noqa: E402

sys.exit(main())
