"""An open port with the server's default settings, and a client of it."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from wyoming.client import AsyncTcpClient

from tests.support.wyoming import MakePort, OpenPort


@pytest.fixture
async def port(make_port: MakePort) -> OpenPort:
    return await make_port()


@pytest.fixture
async def client(port: OpenPort) -> AsyncIterator[AsyncTcpClient]:
    """A client of the port, as Home Assistant has it."""
    async with port.client() as connected:
        yield connected
