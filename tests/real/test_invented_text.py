"""A real model's text for sounds is not given out, that for the shortest words is, and in time."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import requests

from tests.conftest import Server

pytestmark = pytest.mark.real

ANSWER_SECONDS = 900  # A request waits at most so many seconds: the machine may be busy.
INVENTED = {  # What whisper-base writes for these sounds, which must not be given out.
    "apes_chimp": "car",
    "birds_penguin": "hello",
    "birds_vulture": "you",
    "mammals_hippopotamus": "woah",
    "string_cello": "_",
}


def verbose(server: Server, audio: Path, **fields: str) -> dict[str, Any]:
    answer = requests.post(
        server.url + "/v1/audio/transcriptions",
        data={"model": "whisper-1", "response_format": "verbose_json", **fields},
        files={"file": (audio.name, audio.read_bytes())},
        timeout=ANSWER_SECONDS,
    )
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


@pytest.mark.parametrize("name", INVENTED)
def test_what_is_written_for_a_sound_is_not_given_out(
    real_server: Server, speech_folder: Path, name: str
) -> None:
    sound = speech_folder / "sounds" / f"{name}.ogg"
    if not sound.exists():
        pytest.skip(f"SPEECH_FOLDER has no {sound.name}")
    text = verbose(real_server, sound)["text"]
    assert INVENTED[name] not in text.casefold()
    assert not text, text


def test_sentences_that_are_read_aloud_lose_nothing(
    real_server: Server, speech_folder: Path
) -> None:
    recordings = sorted((speech_folder / "english").glob("*.wav"))
    if not recordings:
        pytest.skip("SPEECH_FOLDER has no folder english")
    answers = [verbose(real_server, recording, language="en") for recording in recordings]
    text = " ".join(answer["text"] for answer in answers).casefold()
    for phrase in ("ill-disposed young man", "rather selfish", "more amiable woman"):
        assert phrase in text
    assert all(not answer["coverage"]["gaps"] for answer in answers)
