"""A real model writes what was said in a recording that everybody knows."""

from __future__ import annotations

from pathlib import Path

import pytest
import requests

from tests.conftest import PATIENCE_SECONDS, Server

pytestmark = pytest.mark.real


def test_the_famous_sentence_is_written(real_server: Server, jfk: Path) -> None:
    answer = requests.post(
        real_server.url + "/asr", data=jfk.read_bytes(), timeout=PATIENCE_SECONDS
    )
    assert answer.status_code == 200, answer.text
    text = answer.json()["text"].lower()
    assert "my fellow americans" in text
    assert "your country can do for you" in text
    assert "what you can do for your country" in text
