"""Give the tests of the page a browser, and pages that must not complain in its console."""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
import os
import re
import shutil
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from tests.conftest import PATIENCE_SECONDS, Server, start_server

NAMES = ("chromium", "chromium-browser", "google-chrome")
CHROMIUM = os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, NAMES)), None)
INSECURE_HOST = "speech.test"  # leads to this machine, and is not localhost to the browser
FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--use-fake-ui-for-media-stream",
    "--use-fake-device-for-media-stream",
    f"--host-resolver-rules=MAP {INSECURE_HOST} 127.0.0.1",
)
# The console says so of every answer that is an error.
EXPECTED = re.compile("Failed to load resource|WebSocket connection to .* failed")

Open = Callable[..., Coroutine[Any, Any, Any]]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run these tests in one loop, which the browser lives in, or skip them without a browser."""
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.asyncio(loop_scope="session"), append=False)
            if reason := absent():
                item.add_marker(pytest.mark.skip(reason=reason))


def absent() -> str:
    """What is missing here, and how to get it; "" where all is there."""
    for package in ("playwright", "axe_playwright_python"):
        if importlib.util.find_spec(package) is None:
            return f"{package} is not installed: make test-web installs it"
    if CHROMIUM is None:
        return "there is no Chromium: apt-get install --no-install-recommends chromium"
    return ""


@contextlib.asynccontextmanager
async def chromium(*flags: str) -> AsyncIterator[Any]:
    """A Chromium with further flags, such as a microphone that speaks."""
    from playwright.async_api import async_playwright  # not everybody has it

    async with async_playwright() as driver:
        running = await driver.chromium.launch(executable_path=CHROMIUM, args=[*FLAGS, *flags])
        try:
            yield running
        finally:
            await running.close()


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def browser() -> AsyncIterator[Any]:
    async with chromium() as running:
        yield running


@contextlib.asynccontextmanager
async def opened(
    browser: Any, url: str, is_ready: bool = True, **options: Any
) -> AsyncIterator[Any]:
    """A page of the server, which may not complain in the console while it is open.

    Args:
        is_ready: whether to wait until the page knows the server.
    """
    complaints: list[str] = []
    context = await browser.new_context(**{"reduced_motion": "reduce", **options})
    context.set_default_timeout(1000 * PATIENCE_SECONDS)
    page = await context.new_page()
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("console", lambda message: _note(complaints, message))
    await page.goto(url)
    if is_ready:
        await page.wait_for_selector("#state[data-state]")
    try:
        yield page
    finally:
        await context.close()
    assert complaints == []


async def until(page: Any, claim: str) -> None:
    """Wait until an expression holds in the page, whose policy lets no text become a program."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not await page.evaluate(claim):  # noqa: ASYNC110  # made true by another process
            await asyncio.sleep(0.02)


async def finished(page: Any) -> None:
    """Wait until the page has the whole text."""
    await page.locator("#status", has_text=re.compile("^Done")).wait_for()


def _note(complaints: list[str], message: Any) -> None:
    if message.type in ("error", "warning") and not EXPECTED.search(message.text):
        complaints.append(message.text)


@pytest_asyncio.fixture(loop_scope="session")
async def open_page(browser: Any, server: Server) -> AsyncIterator[Open]:
    """A function that opens the page of a server, unless another one is named."""
    async with contextlib.AsyncExitStack() as stack:

        async def open_one(url: str = server.url, **options: Any) -> Any:
            return await stack.enter_async_context(opened(browser, url, **options))

        yield open_one


@pytest.fixture(scope="session")
def closed_server(
    tmp_path_factory: pytest.TempPathFactory,
    needs_demo_model: None,  # noqa: ARG001
) -> Iterator[Server]:
    """A server with a key, for small files, that has one live session."""
    running = start_server(
        tmp_path_factory.mktemp("closed") / "log",
        API_KEY="sesame",
        MAX_BODY_MB="0.3",
        MAX_LIVE_SESSIONS="1",
        DIARIZER="off",
    )
    yield running
    running.stop()
