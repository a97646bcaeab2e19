"""Ctrl-C ends the audio first, and the command then."""

import asyncio
import os
import signal

import pytest

from asr.cli.live.interruption import Interruption


async def test_the_first_ends_the_audio_and_the_second_the_command():
    with Interruption() as interruption:
        audio = asyncio.create_task(asyncio.sleep(3600))
        interruption.ends(audio)
        os.kill(os.getpid(), signal.SIGINT)
        await asyncio.wait({audio})
        assert audio.cancelled()
        assert interruption.has_come
        os.kill(os.getpid(), signal.SIGINT)
        with pytest.raises(asyncio.CancelledError):
            await asyncio.sleep(3600)
    asyncio.current_task().uncancel()


async def test_one_that_comes_before_there_is_audio_ends_the_command():
    with Interruption():
        os.kill(os.getpid(), signal.SIGINT)
        with pytest.raises(asyncio.CancelledError):
            await asyncio.sleep(3600)
    asyncio.current_task().uncancel()


async def test_where_a_thread_gets_no_signals_none_are_watched_for():
    async def watching():
        with Interruption() as interruption:
            return interruption.has_come

    assert await asyncio.to_thread(asyncio.run, watching()) is False
