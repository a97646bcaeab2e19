"""Two synthetic voices talk: the demo model writes what they say, and each word has its speaker."""

from difflib import SequenceMatcher

import numpy as np
import pytest

from asr.config.config import Config
from asr.metrics import Metrics
from asr.options import Options, SpeakerOptions
from asr.text import plain_word
from asr.transcription.service import open_service
from models.demo import synthesise
from tests.conftest import RATE, wav
from tests.support.transcribers import whole

VOICES = ("gmw/en-US+m3", "gmw/en-US+f4")
LEAST_RIGHT = 0.95  # Of the words that both texts have, at least this share has its speaker.


def dialogue(sentences: int) -> tuple[np.ndarray, list[tuple[str, int]]]:
    """Return sentences of two voices, who speak in turn, and their words with the voices."""
    pause = np.zeros(RATE // 4, np.float32)
    parts: list[np.ndarray] = []
    words: list[tuple[str, int]] = []
    for number, sentence in enumerate(synthesise.sentences("en", sentences, seed=4)):
        voice = number % 2
        parts += [synthesise.speak(sentence.text, "en", VOICES[voice]).samples, pause]
        words += [(plain_word(word), voice) for word in sentence.text.split()]
    return np.concatenate(parts).astype(np.float32) * 0.5, words


@pytest.mark.usefixtures("needs_demo_model")
async def test_words_have_the_speaker_whose_voice_says_them():
    samples, spoken = dialogue(8)
    options = Options(language="en", speakers=SpeakerOptions())
    async with open_service(
        Config(model_id="demo", device="cpu", dtype="float32"), Metrics()
    ) as service:
        found, _ = await service.transcriber.transcribe(whole(wav(samples)), options)
    assert {turn.speaker.number for turn in found.turns} == {0, 1}
    written = [
        (plain_word(word.text), segment.speaker.number)
        for segment in found.segments
        for word in segment.timed_words
    ]
    texts = [word for word, _ in spoken], [word for word, _ in written]
    blocks = SequenceMatcher(None, *texts, autojunk=False).get_matching_blocks()
    pairs = [
        (spoken[block.a + n][1], written[block.b + n][1])
        for block in blocks
        for n in range(block.size)
    ]
    assert len(pairs) > 0.9 * len(spoken)
    assert sum(voice == speaker for voice, speaker in pairs) >= LEAST_RIGHT * len(pairs)
