"""Channels over HTTP: each dialect and format tells them apart, bad numbers are clear 4xx."""

from __future__ import annotations

import base64
import io
import json
import urllib.request
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import soundfile
import srt
import webvtt

from asr.api.asr_schemas import SplitAsrAnswer
from asr.api.deepgram.schemas import ListenAnswer
from asr.api.openai.schemas import VerboseAnswer
from asr.cli.options import CHANNELS
from asr.http.app_keys import JOBS
from tests.conftest import PATIENCE_SECONDS, RATE, ROOT, Server, tone, wav
from tests.support.fake_engine import FakeEngine
from tests.support.forms import events, form, refused, transcribe
from tests.support.two_channels import LOW, two_channels, two_voices

SAMPLES = ROOT / "models/demo/samples"
CALL = wav(two_channels(5.0))
MONO = wav(tone(5.0, hertz=LOW))
DOUBLED = wav(np.stack([tone(5.0, hertz=LOW)] * 2, axis=1))
SPOKEN = [(0, 0.0, "low00"), (1, 1.0, "high00"), (0, 2.0, "low01"), (1, 3.0, "high01")]


@pytest.fixture
def engine() -> FakeEngine:
    return FakeEngine(transcribe=two_voices, info=replace(FakeEngine.info, has_words=True))


def said(segments: list[dict[str, Any]]) -> list[tuple[int, float, str]]:
    """The channel, start and text of the first segments of JSON."""
    return [(each["channel"], each["start"], each["text"].strip()) for each in segments[:4]]


@pytest.mark.parametrize("query", ["channels=split", "multichannel=true", "channels=Split"])
async def test_chunks_have_their_channel(client: Any, query: str) -> None:
    response = await client.post(f"/asr?{query}", data=CALL)
    text = await response.text()
    answer = SplitAsrAnswer.model_validate_json(text, extra="forbid")
    found = [(each.channel, each.timestamp[0], each.text.strip()) for each in answer.chunks]
    assert found[:4] == SPOKEN
    assert answer.text.split()[:4] == [text for _, _, text in SPOKEN]
    assert response.headers["X-Audio-Length"] == "5.0"


async def test_without_channels_an_answer_is_what_it_was(client: Any) -> None:
    plain = await (await client.post("/asr", data=CALL)).text()
    mixed = await (await client.post("/asr?channels=mix&multichannel=false", data=CALL)).text()
    assert plain == mixed
    assert "channel" not in plain


@pytest.mark.parametrize(("number", "name"), [("0", "low"), ("1", "high")])
async def test_one_channel_is_transcribed_alone(client: Any, number: str, name: str) -> None:
    answer = await (await client.post(f"/asr?channels={number}", data=CALL)).json()
    assert {text.strip()[:-2] for text in answer["text"].split()} == {name}
    assert set(answer["chunks"][0]) == {"timestamp", "text"}


@pytest.mark.parametrize(
    ("audio", "sent", "message"),
    [
        (CALL, "9", "the audio has no channel 9, because it has 2: send a number from 0 to 1"),
        (MONO, "1", "the audio has no channel 1, because it has 1: send 0"),
        (wav(np.zeros((8000, 9), np.float32)), "split", "has 9 channels, and at most 8"),
    ],
)
async def test_channels_that_are_not_there_are_named(
    client: Any, audio: bytes, sent: str, message: str
) -> None:
    response = await client.post(f"/asr?channels={sent}", data=audio)
    assert response.status == 400
    assert message in (await response.json())["error"]
    status, error = await refused(client, file=audio, channels=sent)
    assert (status, error.param) == (400, "channels")
    assert message in error.message


@pytest.mark.parametrize(
    "sent", ["x", "-1", "1.5", "256", "99999999999999999999", "both", "split,0"]
)
async def test_what_is_no_channel_is_refused_with_what_is(client: Any, sent: str) -> None:
    response = await client.post("/asr", params={"channels": sent}, data=CALL)
    assert response.status == 422
    assert "must be mix, split or the number of a channel" in (await response.json())["error"]
    status, error = await refused(client, file=CALL, channels=sent)
    assert (status, error.param) == (400, "channels")
    assert "must be mix, split or the number of a channel" in error.message


@pytest.mark.parametrize("sent", [True, 1.5, None, [], {}])
async def test_json_that_is_no_channel_is_refused(client: Any, sent: object) -> None:
    response = await client.post("/asr", json={"url": "data:audio/wav;base64,", "channels": sent})
    assert response.status == 422
    assert "channels" in (await response.json())["error"]


async def test_two_fields_that_contradict_each_other_are_refused(client: Any) -> None:
    response = await client.post("/asr?multichannel=true&channels=1", data=CALL)
    assert response.status == 400
    assert "send either" in (await response.json())["error"]


async def test_channels_and_speakers_at_once_are_refused_before_the_audio_is_heard(
    client: Any, engine: FakeEngine
) -> None:
    status, error = await refused(
        client, file=CALL, channels="split", response_format="diarized_json"
    )
    assert (status, error.param) == (400, "channels")
    assert "without speakers" in error.message
    response = await client.post("/jobs?channels=split&diarize=true", data=CALL)
    assert response.status == 400
    assert engine.steps == []


@pytest.mark.parametrize("audio", [MONO, DOUBLED])
async def test_a_mono_or_a_doubled_recording_is_one_channel(client: Any, audio: bytes) -> None:
    answer = await transcribe(client, file=audio, channels="split", response_format="verbose_json")
    found = VerboseAnswer.model_validate_json(await answer.text(), extra="forbid")
    assert found.segments is not None
    assert {segment.channel for segment in found.segments} == {0}
    assert found.text.split() == ["low00", "low01"]
    assert found.channels is not None
    assert [each.language for each in found.channels] == ["english"]


async def test_verbose_json_has_the_channel_of_segments_and_words_and_their_languages(
    client: Any,
) -> None:
    fields = [("timestamp_granularities[]", "word"), ("timestamp_granularities[]", "segment")]
    response = await transcribe(
        client, *fields, file=CALL, channels="split", response_format="verbose_json"
    )
    text = await response.text()
    VerboseAnswer.model_validate_json(text, extra="forbid")
    found = json.loads(text)
    assert said(found["segments"]) == SPOKEN
    assert [(each["channel"], each["word"]) for each in found["words"]][:4] == [
        (channel, text) for channel, _, text in SPOKEN
    ]
    assert found["channels"] == [
        {"channel": 0, "language": "english"},
        {"channel": 1, "language": "spanish"},
    ]
    assert found["language"] == "english"
    assert found["usage"] == {"type": "duration", "seconds": 5}  # of the recording


@pytest.mark.parametrize("wanted", ["srt", "vtt", "lrc", "tsv", "text", "json"])
async def test_every_format_has_all_channels_in_the_order_of_time(client: Any, wanted: str) -> None:
    response = await transcribe(client, file=CALL, channels="split", response_format=wanted)
    text = await response.text()
    places = [text.index(word) for _, _, word in SPOKEN]
    assert places == sorted(places)
    if wanted == "srt":
        cues = list(srt.parse(text))[:2]
        assert [cue.content for cue in cues] == ["Channel 0: low00", "Channel 1: high00"]
    if wanted == "vtt":
        captions = webvtt.from_buffer(io.StringIO(text)).captions[:2]
        assert [caption.voice for caption in captions] == ["Channel 0", "Channel 1"]
    if wanted == "lrc":
        assert text.startswith("[00:00.00]Channel 0: low00\n[00:01.00]Channel 1: high00\n")


@pytest.mark.parametrize("wanted", ["text", "srt"])
async def test_a_stream_says_what_the_whole_answer_says(client: Any, wanted: str) -> None:
    asked = {"file": CALL, "channels": "split", "response_format": wanted}
    at_once = await (await transcribe(client, **asked)).text()
    *rest, done = await events(await transcribe(client, **asked, stream="true"))
    assert done["text"] == at_once
    assert said([each for each in rest if each["type"] == "transcript.text.segment"]) == SPOKEN


async def test_the_last_event_of_a_stream_has_the_language_of_each_channel(client: Any) -> None:
    asked = {"channels": "split", "response_format": "verbose_json", "stream": "true"}
    *_, done = await events(await transcribe(client, file=CALL, **asked))
    assert [each["language"] for each in done["channels"]] == ["english", "spanish"]


async def test_json_lines_have_the_channel(client: Any) -> None:
    response = await client.post("/asr?channels=split&stream=true", data=CALL)
    lines = [json.loads(line) for line in (await response.text()).splitlines()]
    assert said([each for each in lines if each["type"] == "transcript.text.segment"]) == SPOKEN


async def test_a_job_keeps_the_channels_in_every_format(client: Any) -> None:
    response = await client.post("/jobs?channels=split&response_format=srt", data=CALL)
    assert response.status == 202
    job = (await response.json())["id"]
    await client.app[JOBS].wait(job, "")
    text = await (await client.get(f"/jobs/{job}/result")).text()
    assert "Channel 1: high00" in text
    verbose = await client.get(f"/jobs/{job}/result?format=verbose_json")
    found = VerboseAnswer.model_validate_json(await verbose.text(), extra="forbid")
    assert found.channels is not None
    assert [each.language for each in found.channels] == ["english", "spanish"]
    answer = await client.get(f"/jobs/{job}/result?format=json")
    SplitAsrAnswer.model_validate_json(await answer.text(), extra="forbid")


@pytest.mark.parametrize(
    ("output", "expected"),
    [
        ("txt", "[Channel 0]: low00\n[Channel 1]: high00\n"),
        ("srt", "1\n00:00:00,000 --> 00:00:01,800\n[Channel 0]: low00\n\n2\n00:00:01,000 --> "),
        ("json", '"channel": 1'),
    ],
)
async def test_whisper_asrs_clients_ask_in_the_query(
    client: Any, output: str, expected: str
) -> None:
    sent = form(file=None)
    sent.add_field("audio_file", CALL, filename="a.wav")
    response = await client.post(f"/whisper-asr/asr?channels=split&output={output}", data=sent)
    assert response.status == 200
    assert expected in await response.text()


@pytest.mark.parametrize(("path", "key"), [("/predict", None), ("/upload", "output")])
async def test_jigsaws_chunks_have_their_channel(client: Any, path: str, key: str | None) -> None:
    response = await client.post(path, data=form(file=CALL, channels="split"))
    found = await response.json()
    assert response.status == 200, found
    chunks = (found[key] if key else found)["chunks"]
    assert [(each["channel"], each["text"].strip()) for each in chunks][:2] == [
        (0, "low00"),
        (1, "high00"),
    ]


async def test_trusss_zero_is_the_first_channel(client: Any) -> None:
    url = "data:audio/wav;base64," + base64.b64encode(CALL).decode()
    found = await (await client.post("/predict", json={"url": url, "channels": 0})).json()
    assert "high" not in found["text"]
    assert "low00" in found["text"]


async def test_deepgrams_answer_has_each_channel_by_itself(client: Any) -> None:
    query = "multichannel=true&utterances=true&paragraphs=true&detect_language=true&diarize=true"
    response = await client.post(f"/v1/listen?{query}", data=CALL)
    text = await response.text()
    ListenAnswer.model_validate_json(text, extra="forbid")
    found = json.loads(text)
    first, second = found["results"]["channels"]
    assert first["alternatives"][0]["transcript"].startswith("low00 low01")
    assert second["alternatives"][0]["transcript"].startswith("high00 high01")
    assert (first["detected_language"], second["detected_language"]) == ("en", "es")
    assert second["alternatives"][0]["paragraphs"]["paragraphs"][0]["start"] == 1.0
    assert found["metadata"]["channels"] == 2
    assert found["metadata"]["duration"] == 5.0
    heard = [(each["channel"], each["start"]) for each in found["results"]["utterances"]]
    assert heard == sorted(heard, key=lambda pair: pair[1])
    assert {channel for channel, _ in heard} == {0, 1}
    [warning] = found["metadata"]["warnings"]
    assert warning["message"].startswith("diarize has no effect with multichannel")


async def test_deepgrams_answer_to_a_doubled_recording_has_one_channel(client: Any) -> None:
    found = await (await client.post("/v1/listen?multichannel=true", data=DOUBLED)).json()
    assert len(found["results"]["channels"]) == found["metadata"]["channels"] == 1
    silent = wav(two_channels(5.0, high=None))
    found = await (await client.post("/v1/listen?multichannel=true", data=silent)).json()
    assert found["metadata"]["channels"] == 2
    assert found["results"]["channels"][1]["alternatives"][0]["words"] == []


DETECTED = {
    "/detect-language": ("file", "language"),
    "/v1/audio/language": ("file", "language"),
    "/whisper-asr/detect-language": ("audio_file", "language_code"),
}


@pytest.mark.parametrize("path", DETECTED)
async def test_the_language_of_one_channel_is_detected(client: Any, path: str) -> None:
    part, key = DETECTED[path]
    for number, language in ((0, "en"), (1, "es")):
        response = await client.post(f"{path}?channels={number}", data=form(part=part, file=CALL))
        assert (await response.json())[key] == language


@pytest.mark.parametrize("path", [*DETECTED, "/v1/audio/speakers"])
@pytest.mark.parametrize(
    ("sent", "named"),
    [
        ("channels=split", "channels=split: an answer of this route is about one channel"),
        ("multichannel=true", "multichannel=true: an answer of this route is about one channel"),
        ("channels=2", "the audio has no channel 2, because it has 2"),
        ("channels=left", "must be mix, split or the number of a channel"),
    ],
)
async def test_a_route_that_answers_for_one_channel_refuses_others(
    client: Any, path: str, sent: str, named: str
) -> None:
    part, _ = DETECTED.get(path, ("file", ""))
    response = await client.post(f"{path}?{sent}", data=form(part=part, file=CALL))
    wrong_kind = 400 if path.startswith("/v1/") else 422
    assert response.status == (wrong_kind if sent == "channels=left" else 400)
    assert named in await response.text()


async def test_raw_telephone_audio_of_two_channels_is_split(client: Any) -> None:
    raw = io.BytesIO()
    sound = two_channels(5.0)[::2]  # 8 kHz
    soundfile.write(raw, sound, 8000, format="RAW", subtype="ULAW")
    query = "multichannel=true&encoding=mulaw&sample_rate=8000&channels=2"
    response = await client.post(f"/v1/listen?{query}", data=raw.getvalue())
    found = await response.json()
    assert response.status == 200, found
    assert found["metadata"]["channels"] == 2


async def test_the_seconds_of_all_channels_count_in_the_metrics_and_in_the_limit(
    make_client: Callable[..., Any],
) -> None:
    client = await make_client(max_audio_seconds=8.0)
    assert (await client.post("/asr", data=CALL)).status == 200
    before = await (await client.get("/metrics")).text()
    response = await client.post("/asr?channels=split", data=CALL)
    assert response.status == 413
    assert "the audio of all channels lasts 10 s" in (await response.json())["error"]
    short = wav(two_channels(3.0))
    assert (await client.post("/asr?channels=split", data=short)).status == 200
    after = await (await client.get("/metrics")).text()
    assert seconds(after) - seconds(before) >= 6.0


def seconds(metrics: str) -> float:
    [line] = [each for each in metrics.splitlines() if each.startswith("asr_audio_seconds_total")]
    return float(line.split()[-1])


def test_two_people_who_speak_at_once_in_two_languages_are_both_understood(server: Server) -> None:
    english, spanish = (
        soundfile.read(SAMPLES / name, dtype="float32", frames=12 * RATE)[0]
        for name in ("en-long.flac", "es-several.flac")
    )
    call = np.stack([english, np.pad(spanish, (0, 12 * RATE - len(spanish)))], axis=1)
    request = urllib.request.Request(f"{server.url}/asr?channels=split", wav(call))
    with urllib.request.urlopen(request, timeout=PATIENCE_SECONDS) as response:
        chunks = json.load(response)["chunks"]
    starts = [each["timestamp"][0] for each in chunks]
    assert starts == sorted(starts)
    texts = ["".join(each["text"] for each in chunks if each["channel"] == n) for n in (0, 1)]
    assert "The new house is at the library." in texts[0]
    assert "El número es uno nueve ocho." in texts[1]


@pytest.mark.parametrize("value", ["mix", "split", 0, 255])
def test_the_command_line_takes_what_requests_take(value: object) -> None:
    assert CHANNELS.validate_python(str(value)) == value
