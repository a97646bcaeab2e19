"""Measures a running server under load, one level of concurrency after the other."""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import aiohttp
from tqdm import tqdm

from benchmark.load import reporting
from benchmark.load.clips import ROUTES, Clip, collect
from benchmark.load.level import Amount, Level, Target, run
from benchmark.load.reporting import Destination, Figures
from benchmark.paths import SAMPLES

INTERRUPTED = 130  # The program ends with this exit code after SIGINT.
POLL_S = 0.5  # A server that is not ready is probed again after so many seconds.


class NoServer(Exception):
    """No server is ready at the URL."""


@dataclass(frozen=True)
class Plan:
    """Says what is measured, and where the figures go."""

    target: Target
    clips: Sequence[Clip]
    concurrency: Sequence[int]
    amount: Amount
    output: Path | None
    destination: Destination | None
    wait_s: float

    def described(self) -> dict[str, object]:
        return {
            "url": self.target.url,
            "route": self.target.route,
            "clips": len(self.clips),
            "started": datetime.now(UTC).isoformat(timespec="seconds"),
        }


def main(arguments: Sequence[str] | None = None) -> int:
    """Return exit code 0 when every request and probe was answered with 200."""
    plan = read_plan(arguments, os.environ)
    signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored in a shell's background
    levels: list[Figures] = []
    code = 0
    try:
        asyncio.run(sweep(plan, levels))
    except NoServer as error:
        sys.exit(str(error))
    except KeyboardInterrupt:
        code = INTERRUPTED
    if levels:
        print(reporting.table(levels))
    return code or int(any(level.failed for level in levels))


def read_plan(arguments: Sequence[str] | None, environment: Mapping[str, str]) -> Plan:
    parser = _parser(environment)
    options = parser.parse_args(arguments)
    default = [] if options.list else [environment.get("AUDIO_DIR") or str(SAMPLES)]
    try:
        clips = collect(options.audio or default, options.list)
    except (OSError, ValueError) as error:
        parser.error(str(error))
    return Plan(
        target=Target(
            options.url.rstrip("/"),
            options.route,
            options.api_key,
            options.timeout,
            options.patient,
            options.probe_hz,
        ),
        clips=clips,
        concurrency=options.concurrency,
        amount=Amount(options.requests, options.seconds),
        output=options.json,
        destination=Destination.from_environment(environment),
        wait_s=options.wait,
    )


async def sweep(plan: Plan, levels: list[Figures]) -> None:
    """Measure each level and add its figures to `levels`, an interrupted one's too.

    Raises:
        NoServer: no server is ready at the URL.
    """
    await _wait_until_ready(plan.target, plan.wait_s)
    about = plan.described()
    for concurrency in plan.concurrency:
        level = Level(concurrency)
        try:
            await _run_with_bar(level, plan)
        finally:
            levels.append(reporting.figures(level))
            if plan.output is not None:
                reporting.write(plan.output, about, levels)
        if plan.destination is not None:
            await reporting.send(plan.destination, about, levels[-1])


async def _run_with_bar(level: Level, plan: Plan) -> None:
    """Run a level with a progress bar of its requests, or of its seconds.

    It shows seconds where no number of requests is set.
    """
    by_time = plan.amount.requests is None
    with tqdm(
        desc=f"{level.concurrency} at once",
        total=plan.amount.seconds if by_time else plan.amount.requests,
        unit="s" if by_time else "request",
        bar_format="{desc}: {percentage:3.0f}%|{bar}|{postfix}" if by_time else None,
        disable=None,  # no terminal, no bar
    ) as bar:

        def advance() -> None:
            if by_time:
                bar.set_postfix_str(f"{len(level.answers)} requests", refresh=False)
                bar.update(min(level.seconds, plan.amount.seconds) - bar.n)
            else:
                bar.update()

        await run(level, plan.target, plan.clips, plan.amount, advance)
    if level.warm_up.failure is not None:
        print(f"warm-up: {level.warm_up.failure}: {level.warm_up.detail}", file=sys.stderr)


async def _wait_until_ready(target: Target, wait_s: float) -> None:
    ends = time.monotonic() + wait_s
    timeout = aiohttp.ClientTimeout(total=10)
    async with aiohttp.ClientSession(timeout=timeout) as session:
        while True:
            try:
                async with session.get(target.url + "/hc") as reply:
                    problem = f"answers {reply.status}"
                    if reply.ok:
                        return
            except (aiohttp.ClientError, OSError) as error:
                problem = f"does not answer: {error or type(error).__name__}"
            if time.monotonic() >= ends:
                raise NoServer(f"{target.url}/hc {problem}; start one with 'make serve'")
            await asyncio.sleep(POLL_S)


def _parser(environment: Mapping[str, str]) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("python -m benchmark.load", description=__doc__)
    add = parser.add_argument
    port = environment.get("PORT") or 8000
    add("--url", default=f"http://localhost:{port}", help="the server (%(default)s)")
    add("--route", choices=ROUTES, default=ROUTES[0], help="where audio is sent (%(default)s)")
    add(
        "--audio",
        nargs="+",
        metavar="PLACE",
        help="directories, files or URLs (AUDIO_DIR, or else the demo model's samples)",
    )
    add("--list", type=Path, action="append", default=[], help="a file with one of these per line")
    add(
        "--concurrency",
        type=_concurrency,
        default=[1, 8, 32],
        metavar="N,N,...",
        help="callers at once, level by level (1,8,32)",
    )
    amount = parser.add_mutually_exclusive_group()
    amount.add_argument("--requests", type=_count, help="requests of each level")
    amount.add_argument(
        "--seconds",
        type=_positive,
        default=Amount.seconds,
        help="seconds in which each level starts requests (%(default)g)",
    )
    add("--json", type=Path, metavar="OUT", help="write the figures to this file too")
    add("--api-key", default=environment.get("API_KEY"), help="the server's key (API_KEY)")
    add("--patient", action="store_true", help="try again after a 429 and its Retry-After")
    add("--probe-hz", type=_amount, default=10.0, help="probes of /hc per second (%(default)g)")
    add("--timeout", type=_positive, default=600.0, help="seconds for a request (%(default)g)")
    add("--wait", type=_amount, default=0.0, help="seconds to wait for the server (%(default)g)")
    return parser


def _concurrency(text: str) -> list[int]:
    return [_count(part) for part in text.split(",")]


def _count(text: str) -> int:
    return int(_checked(int, text, "a whole number of at least 1", lambda number: number >= 1))


def _positive(text: str) -> float:
    return _checked(float, text, "a number above 0", lambda number: 0 < number < 1e9)


def _amount(text: str) -> float:
    return _checked(float, text, "a number of at least 0", lambda number: 0 <= number < 1e9)


def _checked(
    parse: Callable[[str], float], text: str, wanted: str, fits: Callable[[float], bool]
) -> float:
    try:
        number = parse(text)
    except ValueError:
        number = -1
    if not fits(number):
        raise argparse.ArgumentTypeError(f"{text!r} is not {wanted}")
    return number


if __name__ == "__main__":
    sys.exit(main())
