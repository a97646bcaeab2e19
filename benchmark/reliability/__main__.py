"""`python -m benchmark.reliability` runs `benchmark.reliability.suite`."""

import sys

from benchmark import missing_packages

missing_packages.explain()

from benchmark.reliability.suite import main  # noqa: E402

sys.exit(main())
