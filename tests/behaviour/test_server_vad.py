"""`chunking_strategy` of the type server_vad: from the form to the detector and to the cuts."""

from __future__ import annotations

import io
import json

import numpy as np
import pytest
import soundfile
from aiohttp import FormData

from asr.engines.engine import WindowResult
from asr.options import VadOptions
from asr.transcript import Segment
from tests.clients.cells import SPEECH
from tests.conftest import tone, wav
from tests.support.fake_engine import transcribed

PATH = "/v1/audio/transcriptions"
CLIP = wav(tone(1.0))


FIRST_SECONDS = 3.1  # the first sentence of the speech; the second one begins at 4.0


@pytest.fixture(scope="module")
def spoken():
    """Four sentences in 11 seconds."""
    return soundfile.read(SPEECH["transcriptions"], dtype="float32")[0]


async def ask(client, audio, path=PATH, **fields):
    data = FormData({"response_format": "verbose_json", **fields})
    data.add_field("file", io.BytesIO(audio), filename="upload")
    response = await client.post(path, data=data)
    assert response.status == 200, await response.text()
    return await response.json()


def as_json(**parameters):
    return {"chunking_strategy": json.dumps({"type": "server_vad", **parameters})}


def as_fields(**parameters):
    asked = {"type": "server_vad", **parameters}
    return {f"chunking_strategy[{name}]": str(value) for name, value in asked.items()}


WAYS = [as_json, as_fields]


@pytest.mark.parametrize("way", WAYS)
async def test_less_is_speech_at_a_higher_threshold(make_client, spoken, way):
    client, audio = await make_client(vad="silero"), wav(spoken)
    plain = (await ask(client, audio))["coverage"]
    amounts = [
        (await ask(client, audio, **way(threshold=threshold)))["coverage"]["speech"]
        for threshold in (0.1, 0.5, 0.9, 0.99)
    ]
    assert amounts == sorted(amounts, reverse=True)
    assert amounts[0] > amounts[1] == plain["speech"] > amounts[2] > amounts[3]
    assert (await ask(client, audio, **way()))["coverage"] == plain


async def test_what_stays_below_the_threshold_is_not_sent_to_the_model(make_client, engine, spoken):
    client = await make_client(vad="silero")
    noise = np.random.default_rng(0).normal(0, 2.8 * np.std(spoken), len(spoken))
    faint = wav((0.03 * (spoken + noise)).astype(np.float32))  # loudness alone would not do
    assert (await ask(client, faint))["text"] == "11.00 s"
    assert len(engine.steps) == 1
    assert (await ask(client, faint, **as_fields(threshold=0.9)))["text"] == ""
    assert len(engine.steps) == 1


@pytest.mark.parametrize("way", WAYS)
async def test_a_recording_is_cut_amid_the_pause_that_was_asked(make_client, engine, way):
    """A silent pause of 0.4 s at 22 s, and a long one at 27 s that is not quite silent."""
    sound = tone(40.0)
    sound[22 * 16_000 : round(22.4 * 16_000)] = 0
    sound[27 * 16_000 : 29 * 16_000] *= 0.01
    client = await make_client()
    for fields, low, high in (
        ({}, 22, 22.4),
        (way(silence_duration_ms=200), 22, 22.4),
        (way(silence_duration_ms=1500), 27, 29),
    ):
        engine.steps.clear()
        await ask(client, wav(sound), **fields)
        cut, _ = sorted(window.end for step in engine.steps for window in step)
        assert low < cut < high


async def test_what_is_decoded_again_begins_as_long_before_its_speech_as_was_asked(
    make_client, engine, spoken
):
    client = await make_client(vad="silero")

    def decode(window):
        if window.seconds < 9:
            return transcribed(window)
        return WindowResult(window, (Segment(0.0, FIRST_SECONDS, " one"),), "en")

    engine.transcribe = decode
    starts = {}
    for asked in (None, 0, 300, 600, 5000):
        engine.steps.clear()
        fields = {} if asked is None else as_fields(prefix_padding_ms=asked)
        await ask(client, wav(spoken), **fields)
        starts[asked] = min(w.start for step in engine.steps for w in step if w.seconds < 9)
    assert starts[300] == starts[None]
    assert starts[0] == pytest.approx(starts[300] + 0.3, abs=0.01)
    assert starts[600] == pytest.approx(starts[300] - 0.3, abs=0.01)
    assert starts[5000] == pytest.approx(FIRST_SECONDS, abs=0.01)  # no text comes twice


async def test_the_engine_sees_nothing_of_it_and_may_transcribe_all_windows_together(
    client, engine
):
    await ask(client, CLIP, **as_fields(silence_duration_ms=200))
    [[window]] = engine.steps
    assert window.options.vad == VadOptions()


async def test_translations_take_it_too(make_client, spoken):
    client, audio = await make_client(vad="silero"), wav(spoken)
    path = PATH.replace("transcriptions", "translations")
    low, high = [
        (await ask(client, audio, path, **as_fields(threshold=threshold)))["coverage"]["speech"]
        for threshold in (0.1, 0.99)
    ]
    assert low > high


ALL = {"threshold": 0.4, "prefix_padding_ms": 200, "silence_duration_ms": 400}


@pytest.mark.parametrize(
    ("settings", "idle"),
    [
        ({"vad": "silero"}, []),
        ({"vad": "energy"}, ["threshold"]),
        ({"vad": "off"}, ["threshold", "prefix_padding_ms"]),
        ({"vad": "silero", "stride_length_s": 1.0}, ["silence_duration_ms"]),
    ],
)
@pytest.mark.parametrize("way", WAYS)
async def test_what_has_no_meaning_here_is_a_warning_and_a_400_when_strict(
    make_client, settings, idle, way
):
    client = await make_client(**settings)
    warned = (await ask(client, CLIP, **way(**ALL))).get("warnings", [])
    unused = [text.partition(" ")[0] for text in warned if text.startswith("chunking_strategy")]
    assert unused == [f"chunking_strategy[{name}]" for name in idle]
    strict = FormData({**way(**ALL), "strict": "true"})
    strict.add_field("file", CLIP, filename="upload")
    response = await client.post(PATH, data=strict)
    assert response.status == (400 if idle else 200)
    if idle:
        assert (await response.json())["error"]["param"] == f"chunking_strategy[{idle[0]}]"


@pytest.mark.parametrize(
    ("parameters", "named"),
    [
        ({"threshold": 1.5}, "[threshold]: must be at most 1"),
        ({"threshold": -0.1}, "[threshold]: must be at least 0"),
        ({"threshold": "nan"}, "[threshold]: must be a finite number"),
        ({"threshold": "loud"}, "[threshold]: must be a number"),
        ({"prefix_padding_ms": -1}, "[prefix_padding_ms]: must be at least 0"),
        ({"prefix_padding_ms": 0.5}, "[prefix_padding_ms]: must be a whole number"),
        ({"silence_duration_ms": 60_000}, "[silence_duration_ms]: must be at most 5000"),
        ({"type": "semantic_vad"}, ": must have as type one of auto, server_vad"),
    ],
)
@pytest.mark.parametrize("way", WAYS)
async def test_a_parameter_that_cannot_be_used_is_a_400_that_names_it(
    client, way, parameters, named
):
    data = FormData(way(**parameters))
    data.add_field("file", CLIP, filename="upload")
    response = await client.post(PATH, data=data)
    error = (await response.json())["error"]
    assert (response.status, error["param"]) == (400, "chunking_strategy")
    assert f"chunking_strategy{named}" in error["message"]
