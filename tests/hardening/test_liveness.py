"""The health check is answered, and every request too, while long and short files are at work."""

from __future__ import annotations

from benchmark import recordings
from benchmark.load.clips import Clip
from benchmark.reliability.liveness import LoadWithProbes, probe_under_load
from models.demo import synthesise
from tests.conftest import Server

LONG_S, CALLERS, SECONDS = 300.0, 16, 3.0


async def test_no_probe_fails_beside_a_long_file_and_many_short_ones(server: Server) -> None:
    long = Clip("long.mp3", recordings.mp3(synthesise.recording(LONG_S, "en", 20).samples))
    short = Clip("short.flac", recordings.flac(synthesise.recording(2.5, "en", 70).samples))
    load = LoadWithProbes(long, short, CALLERS, SECONDS)
    measured = await probe_under_load(server.url, load)
    assert measured.short.health_failures == {}
    assert measured.short.health_probes >= SECONDS  # ten a second, fewer on a busy machine
    assert measured.long.failures == {} == measured.short.failures
    assert measured.long.requests >= 1
    assert measured.short.requests >= CALLERS
