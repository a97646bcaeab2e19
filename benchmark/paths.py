"""Name the folders of this repository that several benchmarks use."""

from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
CACHE = ROOT / ".cache" / "benchmark"  # Weights and logs are kept here between runs.
DEMO = ROOT / "models" / "demo"
SAMPLES = DEMO / "samples"
