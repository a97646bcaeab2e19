"""Real processes transcribe real speech with the embedded model, by every way in."""

import asyncio
import base64
import io
import json
import re
import subprocess
import uuid
from itertools import pairwise

import aiohttp
import imageio_ffmpeg
import jiwer
import numpy as np
import pytest

from asr.config.config import DEMO_MODEL
from benchmark.recordings import flac
from models.demo import synthesise
from tests.conftest import RATE
from tests.support.sounds import stream

SAMPLES = DEMO_MODEL.parent / "samples"
PLAIN = jiwer.Compose(
    [jiwer.ToLowerCase(), jiwer.RemovePunctuation(), jiwer.RemoveMultipleSpaces(), jiwer.Strip()]
)


def errors(reference: str, written: str) -> float:
    """Word error rate, letters' case and punctuation aside."""
    return jiwer.wer(PLAIN(reference.replace("¿", "")), PLAIN(written.replace("¿", "")) or " ")


def converted(data: bytes, *how: str) -> bytes:
    """`data` through ffmpeg into another format, by way of a file for those that seek."""
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-loglevel", "error", "-i", "-", *how]
    return subprocess.run([*command, "-"], input=data, capture_output=True, check=True).stdout


async def ask(url: str, data: object = None, **how: object) -> dict:
    if isinstance(data, bytes):
        data = io.BytesIO(data)
    async with (
        aiohttp.ClientSession() as session,
        session.post(url + "/asr", data=data, **how) as response,
    ):
        body = await response.json()
        assert response.status == 200, body
        return body


@pytest.fixture(scope="module")
def english():
    return synthesise.recording(14, "en", seed=5)


@pytest.fixture(scope="module")
def spanish():
    return synthesise.recording(14, "es", seed=6)


def shipped() -> list[dict]:
    described = json.loads((SAMPLES / "samples.json").read_text())
    return described["samples"] if isinstance(described, dict) else described


async def test_the_shipped_samples_are_transcribed(server):
    wrong = {}
    for sample in shipped():
        data = (SAMPLES / sample["file"]).read_bytes()
        answer = await ask(server.url, data)
        wrong[sample["file"]] = errors(sample["text"], answer["text"])
    clean = [error for name, error in wrong.items() if "noisy" not in name]
    assert np.mean(clean) <= 0.1, wrong
    assert max(wrong.values()) <= 0.5, wrong


async def test_the_words_are_right_and_where_they_were_said(server, english):
    answer = await ask(server.url, flac(english.samples))
    assert errors(english.text, answer["text"]) <= 0.1
    assert answer["text"] == "".join(chunk["text"] for chunk in answer["chunks"])
    times = [time for chunk in answer["chunks"] for time in chunk["timestamp"]]
    assert times == sorted(times)
    starts = [chunk["timestamp"][0] for chunk in answer["chunks"]]
    said = [sentence.start for sentence in english.sentences]
    assert len(starts) == len(said)
    assert np.median(np.abs(np.array(starts) - said)) <= 0.15


async def test_every_door_leads_to_the_same_words(server, english, aiohttp_server):
    data = flac(english.samples)

    async def origin(_: aiohttp.web.Request) -> aiohttp.web.Response:
        return aiohttp.web.Response(body=data)

    app = aiohttp.web.Application()
    app.router.add_get("/a.flac", origin)
    url = str((await aiohttp_server(app)).make_url("/a.flac"))
    form = aiohttp.FormData()
    form.add_field("file", data, filename="clip")
    uri = "data:audio/flac;base64," + base64.b64encode(data).decode()

    answers = [
        await ask(server.url, data),
        await ask(server.url, stream(data)),
        await ask(server.url, form),
        await ask(server.url, json={"url": url}),
        await ask(server.url, json={"url": uri}),
    ]
    assert all(answer == answers[0] for answer in answers)


async def test_a_path_inside_the_root_is_read(server):
    sample = shipped()[0]
    named = await ask(server.url, json={"url": sample["file"]})
    sent = await ask(server.url, (SAMPLES / sample["file"]).read_bytes())
    assert named == sent


@pytest.mark.parametrize(
    "how",
    [
        ("-f", "mp3"),
        ("-c:a", "libopus", "-f", "ogg"),
        ("-c:a", "libopus", "-f", "webm"),
        ("-c:a", "aac", "-f", "adts"),
        ("-ar", "44100", "-ac", "2", "-f", "wav"),
    ],
    ids=["mp3", "opus", "webm", "aac", "stereo wav"],
)
async def test_a_lossy_or_resampled_copy_says_the_same(server, english, how):
    answer = await ask(server.url, converted(flac(english.samples), *how))
    assert errors(english.text, answer["text"]) <= 0.15


async def test_the_spoken_language_is_found(server, spanish):
    answer = await ask(server.url, flac(spanish.samples))
    assert errors(spanish.text, answer["text"]) <= 0.15


async def test_translation_writes_english(server, spanish):
    answer = await ask(server.url, flac(spanish.samples), params={"task": "translate"})
    assert errors(spanish.translation, answer["text"]) <= 0.2


async def test_without_timestamps_the_words_stay(server, english):
    answer = await ask(server.url, flac(english.samples), params={"timestamps": "none"})
    assert answer["chunks"] == []
    assert errors(english.text, answer["text"]) <= 0.2


@pytest.mark.parametrize("kind", ["silence", "hiss", "hum"])
async def test_where_nobody_speaks_nothing_is_written(server, kind):
    time_axis = np.arange(40 * RATE) / RATE
    samples = {
        "silence": np.random.default_rng(0).normal(0, 1e-4, len(time_axis)),
        "hiss": np.random.default_rng(1).normal(0, 0.05, len(time_axis)),
        "hum": 0.2 * np.sin(2 * np.pi * 50 * time_axis),
    }[kind]
    answer = await ask(server.url, flac(samples.astype(np.float32)))
    assert answer == {"text": "", "chunks": []}


async def test_a_text_is_the_same_alone_and_among_others(server):
    """Sixteen callers at once, of many lengths, languages and options (float32)."""
    clips = []
    for number in range(16):
        seconds = 3 + (number * 7) % 29 + (30 if number % 8 == 0 else 0)
        made = synthesise.recording(seconds, "en" if number % 3 else "es", seed=100 + number)
        options = [{}, {"timestamps": "none"}, {"language": "en"}, {"task": "translate"}]
        clips.append((flac(made.samples), options[number % 4]))
    together = await asyncio.gather(
        *(ask(server.url, data, params=options) for data, options in clips)
    )
    for (data, options), answer in list(zip(clips, together, strict=True))[::3]:
        assert await ask(server.url, data, params=options) == answer


async def test_a_long_file_loses_and_repeats_nothing(server):
    """Five minutes: words, order, and no drift at the end."""
    made = synthesise.recording(300, "en", seed=11, voices=3)
    answer = await ask(server.url, flac(made.samples))
    assert errors(made.text, answer["text"]) <= 0.1
    for before, after in pairwise(answer["chunks"]):
        assert before["timestamp"][1] <= after["timestamp"][0] + 0.02
    assert answer["chunks"][-1]["timestamp"][1] == pytest.approx(made.sentences[-1].end, abs=0.3)


async def test_what_was_transcribed_is_counted(server, english):
    async def counted():
        async with (
            aiohttp.ClientSession() as session,
            session.get(server.url + "/metrics") as response,
        ):
            [found] = re.findall(r"^asr_audio_seconds_total (.*)$", await response.text(), re.M)
            return float(found)

    before = await counted()
    await ask(server.url, flac(english.samples))
    assert await counted() == pytest.approx(before + 14, abs=0.1)


async def test_the_log_has_a_line_for_each_request(server, english):
    name = uuid.uuid4().hex
    await ask(server.url, flac(english.samples), headers={"X-Request-ID": name})
    [line] = [line for line in server.log.read_text().splitlines() if name in line]
    assert "14.0 s of audio, fetch " in line
