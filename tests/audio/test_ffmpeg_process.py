"""A decoder that is killed, hangs or ends early fails its request, and leaves nothing behind."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import fcntl
import os
import termios
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from asr.audio.damage import Damage
from asr.audio.decoder import Decoder
from asr.audio.ffmpeg_process import CHECKS
from asr.audio.libsndfile import HEAD_BYTES
from asr.errors import BadRequest, DecoderFailed, OutOfResources
from tests.conftest import PATIENCE_SECONDS, eventually
from tests.support import faults
from tests.support.clock import Clock
from tests.support.faults import program
from tests.support.processes import living_children
from tests.support.sounds import FFMPEG, decoded, encoded, on_disk, stream

STALL_SECONDS = 0.5  # In these tests a decoder that hangs is killed after so long.


def children() -> list[psutil.Process]:
    return living_children(os.getpid())


def long() -> bytes:
    """More than the pipes and the buffers of a decoder hold."""
    return encoded("raw.aac") * 100


@contextlib.contextmanager
def decoding_with(line: str, directory: Path, stall_seconds: float = STALL_SECONDS) -> Any:
    """Yield a decoder whose ffmpeg is a script of one line; no process of it is left."""
    before = children()
    path = program(directory, line)
    with contextlib.closing(Decoder(0, 1, str(path), stall_seconds)) as decoder:
        yield decoder
    assert set(children()) <= set(before)


@pytest.mark.parametrize("line", [faults.REAL, f'{FFMPEG} "$@"'])
@pytest.mark.parametrize("from_file", [False, True])
async def test_a_decoder_that_is_killed_in_mid_file_fails_the_request(
    tmp_path: Path, line: str, from_file: bool
) -> None:
    with decoding_with(line, tmp_path, 60) as decoder, on_disk(long()) as file:
        blocks = decoder.blocks(file if from_file else stream(long()))
        async with contextlib.aclosing(blocks):
            assert len(await anext(blocks))
            [child] = [child for child in children() if child.exe() == FFMPEG]
            child.kill()
            with pytest.raises(DecoderFailed, match=r"was killed \(SIGKILL") as failed:
                async for _ in blocks:
                    pass
    assert failed.value.status == 500


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("head -c 64000 /dev/zero", "before it had read all its input"),
        ("exit 0", "before it had read all its input"),
        ("exit 3", "code 3 without a reason"),
        ("echo a library is missing >&2; exit 127", "a library is missing"),
        ("kill -SEGV $$", "SIGSEGV"),
    ],
)
async def test_a_decoder_that_ends_early_without_a_reason_fails_the_request(
    tmp_path: Path, line: str, reason: str
) -> None:
    with decoding_with(line, tmp_path, 60) as decoder, pytest.raises(DecoderFailed, match=reason):
        await decoded(decoder, stream(long()))


@pytest.mark.parametrize(
    "line",
    [
        faults.SLEEPS,
        faults.WRITES_NOTHING,
        faults.READS_SLOWLY,
        faults.CLOSES_ITS_OUTPUT,
        f"head -c 64000 /dev/zero; {faults.SLEEPS}",
    ],
)
@pytest.mark.parametrize("size", [2000, None])
async def test_a_decoder_that_hangs_is_killed_and_its_request_fails(
    tmp_path: Path, line: str, size: int | None
) -> None:
    with decoding_with(line, tmp_path) as decoder, on_disk(long()) as file:
        for source in (stream(long()[:size]), file):
            async with asyncio.timeout(PATIENCE_SECONDS):
                with pytest.raises(DecoderFailed, match=r"no progress for 0\.5 s"):
                    await decoded(decoder, source)


@pytest.mark.parametrize("size", [70_000, None])
async def test_a_decoder_that_reads_nothing_is_killed_while_its_upload_still_arrives(
    tmp_path: Path, size: int | None
) -> None:
    async def arrives() -> AsyncIterator[bytes]:
        yield long()[:size]
        await asyncio.Event().wait()

    with decoding_with(faults.SLEEPS, tmp_path) as decoder:
        async with asyncio.timeout(PATIENCE_SECONDS):
            with pytest.raises(DecoderFailed, match="no progress"):
                await decoded(decoder, arrives())


def has_read_all(child: psutil.Process) -> bool:
    """Whether nothing is left in the pipe of its input."""
    with Path(f"/proc/{child.pid}/fd/0").open("rb", buffering=0) as pipe:
        return fcntl.ioctl(pipe, termios.FIONREAD, bytes(4)) == bytes(4)


async def test_a_sender_who_takes_longer_than_a_decoder_may_is_waited_for(
    tmp_path: Path, clock: Clock
) -> None:
    before = set(children())  # of other tests in this process

    def begun() -> set[psutil.Process]:
        return set(children()) - before

    async def slow() -> AsyncIterator[bytes]:
        data = long()
        yield data[:HEAD_BYTES]  # a pipe holds them: nothing is left that is not in it
        await eventually(lambda: len(begun()) == 1)
        [child] = begun()
        for _ in range(4 * CHECKS):
            await eventually(lambda: has_read_all(child))
            clock.advance(PATIENCE_SECONDS / CHECKS)
            await asyncio.sleep(0.01)  # for the check, which is due
        yield data[HEAD_BYTES:]

    with decoding_with(faults.REAL, tmp_path, PATIENCE_SECONDS) as decoder:
        whole = await decoded(decoder, stream(long()))
        assert len(await decoded(decoder, slow())) == len(whole)


async def test_a_reader_who_takes_longer_than_a_decoder_may_is_waited_for(
    tmp_path: Path, clock: Clock
) -> None:
    with decoding_with(faults.REAL, tmp_path, PATIENCE_SECONDS) as decoder:
        count = 0
        async with contextlib.aclosing(decoder.blocks(stream(long()))) as blocks:
            async for block in blocks:
                if not count:
                    clock.advance(4 * PATIENCE_SECONDS)
                count += len(block)
        assert count == len(await decoded(decoder, stream(long())))


async def test_the_sources_failure_is_told_though_the_decoder_hangs(tmp_path: Path) -> None:
    async def breaks() -> AsyncIterator[bytes]:
        yield long()[:2000]
        raise BadRequest("the body broke off")

    with (
        decoding_with(faults.SLEEPS, tmp_path) as decoder,
        pytest.raises(BadRequest, match="broke off"),
    ):
        await decoded(decoder, breaks())


async def test_the_place_of_a_decoder_that_hung_is_free_again(tmp_path: Path, clock: Clock) -> None:
    line = f"if [ -e {tmp_path}/hangs ]; then sleep 1000; fi; {faults.REAL}"
    with decoding_with(line, tmp_path, PATIENCE_SECONDS) as decoder:
        (tmp_path / "hangs").touch()
        hanging = asyncio.create_task(decoded(decoder, stream(encoded("opus.ogg"))))
        while not hanging.done():
            clock.advance(PATIENCE_SECONDS / CHECKS)
            await asyncio.sleep(0.01)  # for the check, which is due
        with pytest.raises(DecoderFailed, match="no progress"):
            await hanging
        (tmp_path / "hangs").unlink()
        assert len(await decoded(decoder, stream(encoded("opus.ogg"))))


@pytest.mark.parametrize("number", [errno.EMFILE, errno.ENFILE, errno.EAGAIN, errno.ENOMEM])
async def test_a_decoder_that_cannot_be_started_now_is_worth_another_try(
    decoder: Decoder, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    async def fails(*command: str, **settings: Any) -> None:  # noqa: ARG001
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr("asyncio.create_subprocess_exec", fails)
    with pytest.raises(OutOfResources, match=r"try again in \d s") as refused:
        await decoded(decoder, stream(encoded("opus.ogg")))
    assert refused.value.status == 503
    assert 5 <= (refused.value.retry_after or 0) <= 7.5


async def test_a_program_that_cannot_be_run_is_named(tmp_path: Path) -> None:
    path = program(tmp_path, "")
    path.write_bytes(b"\x7fELF of another machine")
    with (
        contextlib.closing(Decoder(0, 1, str(path))) as decoder,
        pytest.raises(DecoderFailed, match="Exec format error"),
    ):
        await decoded(decoder, stream(encoded("opus.ogg")))


async def test_bytes_after_the_end_of_a_complete_file_are_no_failure(decoder: Decoder) -> None:
    damage = Damage()
    data = encoded("apple.aiff") + bytes(2_000_000)
    count = 0
    async for block in decoder.blocks(stream(data), damage):
        count += len(block)
    assert count == len(await decoded(decoder, stream(encoded("apple.aiff"))))
    assert damage.warnings == ()
