"""A real model writes almost nothing where nobody speaks, and all that is read aloud."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from benchmark.accuracy import corpus
from benchmark.accuracy import speech_folder as folders
from benchmark.accuracy.scoring import errors
from benchmark.accuracy.speech_folder import SOUNDS
from benchmark.accuracy.speech_scores import of_language
from tests.conftest import Server
from tests.real.speech import TRANSCRIPTIONS, post, time_faults, verbose

pytestmark = pytest.mark.real

WITH_TEXT = 0.08  # At most this share of the sounds may get a text.
READ_ALOUD = 25  # WER of English that is read aloud, per cent.
AT_ONCE = 4  # So many sounds are sent together.


def test_almost_no_sound_gets_a_text(real_server: Server, speech_folder: Path) -> None:
    sounds = folders.read(speech_folder, [SOUNDS])

    def text(sound: folders.Sample) -> str:
        return str(json.loads(post(real_server, TRANSCRIPTIONS, sound.audio))["text"])

    with ThreadPoolExecutor(AT_ONCE) as pool:
        texts = dict(zip((sound.name for sound in sounds), pool.map(text, sounds), strict=True))
    invented = {name: written for name, written in texts.items() if written}
    assert len(invented) <= WITH_TEXT * len(sounds), invented


def test_english_that_is_read_aloud_is_written_with_its_times(
    real_server: Server, speech_folder: Path
) -> None:
    folder = speech_folder / "english"
    if not folder.is_dir():
        pytest.skip("SPEECH_FOLDER has no folder english")
    pairs = []
    for spoken in corpus.collect(folder):
        answer = verbose(real_server, spoken.audio, language="en")
        assert time_faults(answer, answer["duration"]) == [], spoken.audio.name
        pairs.append((spoken.text, answer["text"]))
    assert errors(pairs, of_language("en")).rate <= READ_ALOUD, pairs
