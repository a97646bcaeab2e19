"""With a real model, the page in Chromium shows what a real voice says."""

from __future__ import annotations

import contextlib
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import soxr

from tests.conftest import Server
from tests.real.speech import ANSWER_SECONDS
from tests.real.test_jfk import assert_famous
from tests.web.conftest import absent, chromium, finished, opened
from tests.web.test_recordings import lines
from tests.web.test_speech import MICROPHONE_RATE

pytestmark = [pytest.mark.real, pytest.mark.skipif(bool(absent()), reason=absent())]

SPOKEN = re.compile("0:1[2-9]|0:[2-5]")  # So long on the page's clock is the whole recording.
ENDED = re.compile("^(Done|It did not work)")


async def text_of(page: Any) -> str:
    return " ".join(await lines(page))


async def test_a_recording_that_is_uploaded_is_read_on_the_page(
    real_server: Server, jfk: Path
) -> None:
    async with chromium() as browser, opened(browser, real_server.url) as page:
        page.set_default_timeout(1000 * ANSWER_SECONDS)
        await page.set_input_files("#file", jfk)
        await finished(page)
        assert_famous(await text_of(page))
        assert "English" in await page.inner_text("#facts")


@contextlib.asynccontextmanager
async def speaking(jfk: Path, directory: Path, url: str) -> AsyncIterator[Any]:
    """A page whose microphone hears the recording over and over, from the moment it is opened."""
    samples, rate = soundfile.read(jfk, dtype="float32", always_2d=True)
    sound = soxr.resample(samples.mean(axis=1), rate, MICROPHONE_RATE)
    pause = np.zeros(MICROPHONE_RATE, np.float32)
    voice = np.clip(np.concatenate([sound, pause]), -1, 1)
    soundfile.write(directory / "voice.wav", voice, MICROPHONE_RATE, "PCM_16")
    microphone = f"--use-file-for-fake-audio-capture={directory / 'voice.wav'}"
    async with chromium(microphone) as speaker, opened(speaker, url) as page:
        page.set_default_timeout(1000 * ANSWER_SECONDS)
        yield page


async def test_a_voice_is_read_while_it_speaks_or_the_page_says_that_the_server_is_too_slow_for_it(
    real_server: Server, jfk: Path, tmp_path: Path
) -> None:
    async with speaking(jfk, tmp_path, real_server.url) as page:
        ended = page.locator("#status", has_text=ENDED)
        await page.get_by_role("button", name="Speak", exact=True).click()
        begun = page.locator(".line .body", has_text=re.compile(r"\w"))
        await begun.or_(ended).first.wait_for()
        early = (await text_of(page)).strip()
        is_listening = await page.get_attribute("#mic", "aria-pressed") == "true"
        await page.locator("#status", has_text=SPOKEN).or_(ended).first.wait_for()
        if await page.get_attribute("#mic", "aria-pressed") == "true":
            await page.click("#mic")
        await ended.wait_for()
        if said := await page.inner_text("#alert"):
            assert "too much to do to keep up with you" in said
            await page.click("#again")  # the recording that the page has kept
            await finished(page)
        else:
            assert is_listening  # the first words came before the voice had ended
            assert early
            text = await text_of(page)
            assert text.startswith(early)
            assert len(text) > len(early)
        assert_famous(await text_of(page))
