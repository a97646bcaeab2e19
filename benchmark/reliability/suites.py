"""Run test files of this repository and count what they prove."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import xml.etree.ElementTree as ElementTree
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmark.paths import ROOT


@dataclass(frozen=True)
class Tested:
    """Counts the tests of some files, and holds the seconds of the longest."""

    passed: int
    failed: int
    skipped: int
    longest_s: float
    failures: list[str]

    @property
    def figure(self) -> str:
        skipped = f", {self.skipped} skipped" if self.skipped else ""
        named = f": {', '.join(self.failures[:3])}" if self.failures else ""
        return (
            f"{self.passed} tests pass, {self.failed} fail{skipped}{named}; "
            f"the longest takes {self.longest_s:.1f} s"
        )


def run(files: Sequence[str], *options: str) -> Tested:
    """Run pytest on `files`, with the Python that runs this.

    Raises:
        FileNotFoundError: pytest wrote no report.
    """
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.xml"
        command = [sys.executable, "-m", "pytest", "-q", f"--junitxml={report}", *options, *files]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
        if not report.exists():
            raise FileNotFoundError(f"pytest wrote no report:\n{done.stdout[-2000:]}{done.stderr}")
        return read(report)


def read(report: Path) -> Tested:
    cases = list(ElementTree.parse(report).getroot().iter("testcase"))
    failed = [case for case in cases if {child.tag for child in case} & {"failure", "error"}]
    skipped = [case for case in cases if "skipped" in {child.tag for child in case}]
    return Tested(
        passed=len(cases) - len(failed) - len(skipped),
        failed=len(failed),
        skipped=len(skipped),
        longest_s=max((float(case.get("time", 0)) for case in cases), default=0.0),
        failures=[str(case.get("name")) for case in failed],
    )
