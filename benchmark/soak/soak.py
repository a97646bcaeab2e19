"""Keep a server under mixed load for hours, with crashing clients and restarts, and judge it.

Without --leak the exit code is 0 when every mark is reached. With --leak a server that leaks is
run, so that it must be 1: this shows that the soak would find a real leak.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import signal
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import psutil

from benchmark.accuracy.scoring import quantile
from benchmark.load.sweep import INTERRUPTED
from benchmark.local_server import NotReady
from benchmark.paths import ROOT
from benchmark.reliability import machine
from benchmark.reliability.document import insert
from benchmark.reliability.server import SERVER, ServerProcess
from benchmark.reliability.usage import Usage, usage
from benchmark.reliability.verdict import table
from benchmark.soak import cards as requests
from benchmark.soak import clips as recordings
from benchmark.soak.callers import Callers, Outage, Round, UnexpectedAnswer, alone
from benchmark.soak.judge import DRAIN_S, Moment, Record, verdicts
from benchmark.soak.leaky_server import LEAKS
from benchmark.soak.live import live

ROUND_S = 60.0  # Callers work for so many seconds, then a quiet moment is measured.
ROUNDS = 20  # A short soak has so many rounds, however short they are.
QUIET_S = 10.0  # After a round the server has so many seconds to let go of everything.
POLL_S = 0.3  # Until it has, it is looked at again after so many seconds.
LOADED_EVERY_S = 2.0  # Under load the server's memory is read this often, in seconds.
# Signals are sent at these shares of the time, so that one process lives in the second half.
RESTARTS = (
    (0.06, signal.SIGTERM),
    (0.14, signal.SIGKILL),
    (0.22, signal.SIGTERM),
    (0.30, signal.SIGTERM),
)
# Requests in flight at SIGTERM have so many seconds: a busy machine loses none of them.
SETTINGS = {"LOG_LEVEL": "WARNING", "DRAIN_TIMEOUT_S": f"{DRAIN_S:g}"}
LEAKED = 30  # A planted leak happens so often in the second half of a soak.


@dataclass(frozen=True)
class Plan:
    """Says how long the soak lasts, who calls, and what leaks."""

    seconds: float = 0.0
    turns: int | None = None  # of a round: it is counted instead of timed, and so is the soak
    rounds: int = ROUNDS  # at least
    callers: int = 20
    leak: str | None = None
    cards: int | None = None  # so many of the requests alone; None: all
    restarts: Sequence[tuple[float, signal.Signals]] = RESTARTS

    def command(self) -> Sequence[str]:
        if self.leak is None:
            return SERVER
        every = self.seconds / 2 / LEAKED  # counted: at each answer
        return (sys.executable, "-m", "benchmark.soak.leaky_server", self.leak, f"{every:g}")

    @property
    def round_s(self) -> float:
        return min(ROUND_S, self.seconds / self.rounds)


def main(arguments: Sequence[str] | None = None) -> int:
    """Return exit code 0 when every mark is reached."""
    options = _parser().parse_args(arguments)
    plan = Plan(
        3600 * options.hours, callers=options.callers, leak=options.leak, cards=options.cards
    )
    about = machine.described(["python -m benchmark.soak", *(arguments or sys.argv[1:])])
    signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored in a shell's background
    with tempfile.TemporaryDirectory() as folder:
        soak = Soak(plan, ServerProcess(Path(folder), SETTINGS, plan.command()))
        code = _run(soak)
        if code and options.log is not None and soak.server.log.exists():
            options.log.write_bytes(soak.server.log.read_bytes())
    judged = verdicts(soak.record)
    text = f"{about}\n\n{table(judged)}"
    print(text)
    if options.write is not None:
        insert(options.write, "leak" if plan.leak else "soak", text)
    return code or int(any(verdict.passes is False for verdict in judged))


def _run(soak: Soak) -> int:
    try:
        asyncio.run(soak.run())
    except KeyboardInterrupt:
        return INTERRUPTED
    except (NotReady, UnexpectedAnswer, aiohttp.ClientError) as error:
        print(f"the soak failed: {error}\n{soak.server.log_tail()}", file=sys.stderr)
        return 1
    finally:
        if soak.server.process is not None:
            soak.server.end(signal.SIGTERM)
    return 0


class Soak:
    """Runs one soak: rounds of work, a quiet moment after each, and restarts meanwhile."""

    def __init__(self, plan: Plan, server: ServerProcess) -> None:
        self.plan = plan
        self.server = server
        self.record = Record(time.monotonic())
        self._round = Round()
        self._steady = asyncio.Lock()  # held while the server is stopped and started

    async def run(self) -> None:
        """Run the soak to its end.

        Raises:
            NotReady: the server does not start.
            UnexpectedAnswer: a request fails although nobody else calls.
        """
        await asyncio.to_thread(self.server.start)
        callers = await self._callers()
        record = self.record
        record.began = time.monotonic()
        others = [asyncio.create_task(work) for work in (self._restart(), self._watch_the_load())]
        try:
            while (self._share < 1 or not others[0].done()) and not record.has_ended_itself:
                self._round = self._new_round()
                await callers.work(self._round)
                await self._measure()
                for task in others:
                    if task.done():
                        task.result()  # what ended it
        finally:
            record.seconds = time.monotonic() - record.began
            for task in others:
                task.cancel()
            await asyncio.gather(*others, return_exceptions=True)

    def _new_round(self) -> Round:
        turns = self.plan.turns
        return Round(turns=turns) if turns else Round(time.monotonic() + self.plan.round_s)

    @property
    def _share(self) -> float:
        """Return which share of the soak is done."""
        if self.plan.turns is None:
            return (time.monotonic() - self.record.began) / self.plan.seconds
        return (len(self.record.moments) + self._round.share) / self.plan.rounds

    async def _callers(self) -> Callers:
        clips = await asyncio.to_thread(recordings.speech)
        cards = [*requests.deck(clips), live(clips[0])]
        chosen = cards[: self.plan.cards]
        solo = await alone(self.server.url, chosen)
        async with (
            aiohttp.ClientSession() as session,
            session.get(f"{self.server.url}/openapi.json") as reply,
        ):
            self.record.undriven = requests.undriven(await reply.json(), cards)
        return Callers(
            self.server.url,
            self.server.port,
            chosen,
            clips,
            solo,
            self.plan.callers,
            self.record.outcomes,
        )

    async def _restart(self) -> None:
        """Stop the server, while it is under load, and start it again, at the set times."""
        for share, number in self.plan.restarts:
            while self._share < share:  # noqa: ASYNC110
                await asyncio.sleep(POLL_S)
            async with self._steady:
                outage = Outage(number == signal.SIGTERM, time.monotonic())
                self.record.outcomes.outages.append(outage)
                code, seconds = await asyncio.to_thread(self.server.end, number)
                if number == signal.SIGTERM:
                    self.record.exits.append((code, seconds))
                else:
                    self.record.kills += 1
                await asyncio.to_thread(self.server.start)
                outage.ended = time.monotonic()

    async def _watch_the_load(self) -> None:
        record = self.record
        while True:
            await asyncio.sleep(LOADED_EVERY_S)
            with contextlib.suppress(psutil.NoSuchProcess, OSError):
                now = await asyncio.to_thread(self._usage)
                record.peak_rss = max(record.peak_rss, now.rss)
                record.peak_children_pss = max(record.peak_children_pss, now.children_pss)
                record.most_children = max(record.most_children, now.children)

    def _usage(self) -> Usage:
        return usage(self.server.pid, self.server.temporary)

    async def _measure(self) -> None:
        """Wait until the server is quiet, note what it holds, and print a line."""
        async with self._steady:
            if self.server.process is None or self.server.process.poll() is not None:
                self.record.has_ended_itself = True
                self.record.outcomes.unexpected["the server ended by itself"] += 1
                return
            share = min(self._share, 1.0)
            moment = await self._quiet(share)
        self.record.moments.append(moment)
        print(self._line(moment), file=sys.stderr, flush=True)

    async def _quiet(self, share: float) -> Moment:
        """Poll until no child and no file is left and descriptors stay, or the time is over."""
        deadline = time.monotonic() + QUIET_S
        before, now = -1, await asyncio.to_thread(self._usage)
        while time.monotonic() < deadline and (
            now.children or now.files or now.descriptors != before
        ):
            await asyncio.sleep(POLL_S)
            before, now = now.descriptors, await asyncio.to_thread(self._usage)
        return Moment(time.monotonic() - self.record.began, share, now)

    def _line(self, moment: Moment) -> str:
        outcomes, now = self.record.outcomes, moment.usage
        since = self._round.began
        recent = [latency for sent, latency in outcomes.good if sent >= since]
        p95 = f"{quantile(recent, 0.95):.2f} s" if recent else "-"
        return (
            f"{moment.at / 60:.1f} min: rss {now.rss:.0f} MiB, descriptors {now.descriptors}, "
            f"threads {now.threads}, files {now.files}, children {now.children} "
            f"(peak PSS {self.record.peak_children_pss:.0f} MiB), answered {len(outcomes.good)}, "
            f"p95 {p95}, crashed {outcomes.crashed}, unexpected {outcomes.unexpected.total()}, "
            f"unlike {outcomes.unlike.total()}, lost {outcomes.lost.total()}"
        )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("python -m benchmark.soak", description=__doc__)
    add = parser.add_argument
    add("--hours", type=float, default=7.0, help="how long (%(default)g)")
    add("--callers", type=int, default=20, help="callers at once (%(default)d)")
    add("--leak", type=_leak, help=f"run a server that leaks: {', '.join(LEAKS)} (1: memory)")
    add("--cards", type=int, help="send only so many of the requests (all)")
    add(
        "--write",
        type=Path,
        nargs="?",
        const=ROOT / "RELIABILITY.md",
        metavar="FILE",
        help="put the table into this document too (RELIABILITY.md)",
    )
    add("--log", type=Path, help="keep the server's log in this file when the soak fails")
    return parser


def _leak(text: str) -> str | None:
    kind = {"1": "memory", "0": "", "": ""}.get(text, text)
    if kind and kind not in LEAKS:
        raise argparse.ArgumentTypeError(f"{text!r} is none of {', '.join(LEAKS)}")
    return kind or None


if __name__ == "__main__":
    sys.exit(main())
