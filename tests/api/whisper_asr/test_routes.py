"""whisper-asr-webservice's routes: what its clients send, its files by letter, its errors."""

from __future__ import annotations

import asyncio
import io
import json
import logging
from dataclasses import replace
from typing import Any

import pytest
from aiohttp import FormData

from asr.api.whisper_asr.schemas import DetectedLanguage, WhisperAsrProblem
from asr.config.keys import parse_keys
from asr.engines.engine import WindowResult
from asr.http.app_keys import SCHEDULER
from asr.options import SpeakerOptions
from asr.resources.memory_budget import MIB
from asr.transcript import Segment, Word
from tests.conftest import PATIENCE_SECONDS, eventually, tone, wav
from tests.support.fake_engine import FakeEngine
from tests.support.forms import options_asked
from tests.support.spoken import dialogue, worded

CLIP = wav(tone(2.0))
PCM = (tone(2.0) * 32_767).astype("<i2").tobytes()
PATHS = ["/asr", "/whisper-asr/asr"]
DETECTION = ["/detect-language", "/whisper-asr/detect-language"]
SEGMENTS = (
    Segment(
        0.25,
        1.5,
        " So it is.",
        (Word(" So", 0.25, 0.5, 0.75), Word(" it", 0.5, 0.75), Word(" is.", 0.75, 1.5, 1.0)),
        (1, 2),
        -0.25,
        0.125,
        0.0,
    ),
    Segment(1.5, 2.0, " a --> b\tand\n"),
)
OUTPUTS = {
    "": "So it is.\na --> b and\n",
    "output=txt": "So it is.\na --> b and\n",
    "output=srt": (
        "1\n00:00:00,250 --> 00:00:01,500\nSo it is.\n\n"
        "2\n00:00:01,500 --> 00:00:02,000\na -> b and\n\n"
    ),
    "output=vtt": (
        "WEBVTT\n\n00:00.250 --> 00:01.500\nSo it is.\n\n00:01.500 --> 00:02.000\na -> b and\n\n"
    ),
    "output=tsv": "start\tend\ttext\n250\t1500\tSo it is.\n1500\t2000\ta --> b and\n",
}


def form(
    audio: bytes = CLIP, part: str = "audio_file", name: str | None = "a.wav", **fields: str
) -> FormData:
    made = FormData(fields, default_to_multipart=True)
    made.add_field(part, io.BytesIO(audio), filename=name)
    return made


@pytest.fixture
def engine() -> FakeEngine:
    """Return an engine that knows words and prompts."""
    return FakeEngine(info=replace(FakeEngine.info, has_words=True, can_prompt=True))


def speaks(engine: FakeEngine, *segments: Segment) -> None:
    """Let the engine write these segments in each window."""
    engine.transcribe = lambda window: WindowResult(window, segments, "en")


async def answered(client: Any, path: str, **named: Any) -> Any:
    response = await client.post(path, data=form(**named))
    assert response.status == 200, await response.text()
    return response


async def refused(response: Any) -> tuple[int, Any]:
    text = await response.text()
    return response.status, WhisperAsrProblem.model_validate_json(text, extra="forbid").detail


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("query", OUTPUTS)
async def test_each_output_is_openai_whispers_by_letter(
    client: Any, engine: FakeEngine, path: str, query: str
) -> None:
    speaks(engine, *SEGMENTS)
    response = await answered(client, f"{path}?{query}")
    assert await response.text() == OUTPUTS[query]
    assert response.headers["Content-Type"] == "text/plain; charset=utf-8"


async def test_json_is_the_result_of_openai_whisper(client: Any, engine: FakeEngine) -> None:
    speaks(engine, *SEGMENTS)
    response = await answered(client, "/asr?output=json&word_timestamps=true")
    answer = json.loads(await response.text())
    first, second = answer.pop("segments")
    assert answer == {"text": " So it is. a --> b\tand\n", "language": "en"}
    assert first.pop("words") == [
        {"word": " So", "start": 0.25, "end": 0.5, "probability": 0.75},
        {"word": " it", "start": 0.5, "end": 0.75, "probability": 0.0},
        {"word": " is.", "start": 0.75, "end": 1.5, "probability": 1.0},
    ]
    assert first == {
        "id": 0,
        "seek": 0,
        "start": 0.25,
        "end": 1.5,
        "text": " So it is.",
        "tokens": [1, 2],
        "temperature": 0.0,
        "avg_logprob": -0.25,
        "compression_ratio": first["compression_ratio"],
        "no_speech_prob": 0.125,
    }
    assert second["id"] == 1
    assert response.headers["Content-Type"] == "text/plain; charset=utf-8"
    assert options_asked(engine).timestamps == "word"


async def test_the_answer_is_named_after_the_file_and_the_output(client: Any) -> None:
    name = "Ä 1.mkv"
    body = (
        f'--b\r\nContent-Disposition: form-data; name="audio_file"; filename="{name}"\r\n\r\n'
    ).encode()
    response = await client.post(
        "/asr?output=srt",
        data=io.BytesIO(body + CLIP + b"\r\n--b--\r\n"),
        headers={"Content-Type": "multipart/form-data; boundary=b"},
    )
    assert response.headers["Content-Disposition"] == ('attachment; filename="%C3%84%201.mkv.srt"')
    assert response.headers["Asr-Engine"] == "openai_whisper"
    assert response.headers["X-Audio-Length"] == "2.0"


@pytest.mark.parametrize("path", PATHS)
async def test_without_encoding_the_part_is_raw_pcm(client: Any, path: str) -> None:
    response = await answered(client, f"{path}?encode=false&output=json", audio=PCM)
    assert json.loads(await response.text())["text"] == " 2.00 s"


async def test_a_file_that_says_what_it_is_is_read_so_even_without_encoding(client: Any) -> None:
    response = await answered(client, "/asr?encode=false")
    assert await response.text() == "2.00 s\n"


async def test_with_encoding_raw_pcm_is_no_file(client: Any) -> None:
    status, detail = await refused(await client.post("/asr?encode=true", data=form(PCM)))
    assert (status, type(detail)) == (400, str)


async def test_the_query_is_what_the_engine_is_asked(client: Any, engine: FakeEngine) -> None:
    query = "task=translate&language=Spanish&initial_prompt=Ana&output=srt"
    response = await answered(client, f"/asr?{query}")
    asked = options_asked(engine)
    assert (asked.task, asked.language, asked.prompt) == ("translate", "es", "Ana")
    assert "X-Warnings" not in response.headers


async def test_speakers_are_named_as_whisperx_names_them(
    client: Any, engine: FakeEngine, diarizer: Any
) -> None:
    engine.transcribe = worded
    sound = wav(dialogue(1.0, 1.0))
    query = "diarize=true&min_speakers=1&max_speakers=2"
    text = await (await answered(client, f"/asr?{query}", audio=sound)).text()
    assert text == "[SPEAKER_00]: w00 w01\n[SPEAKER_01]: w02 w03\n"
    assert diarizer.begun == [SpeakerOptions(least=1, most=2)]
    response = await answered(client, f"/asr?{query}&output=json", audio=sound)
    segments = json.loads(await response.text())["segments"]
    assert [each["speaker"] for each in segments] == ["SPEAKER_00", "SPEAKER_01"]


@pytest.mark.parametrize("path", DETECTION)
@pytest.mark.parametrize("query", ["?encode=false&video_file=%2Ftv%2Fa.mkv", "?encode=true", ""])
async def test_the_language_has_a_name_a_code_and_a_confidence(
    client: Any, engine: FakeEngine, path: str, query: str
) -> None:
    engine.transcribe = lambda window: WindowResult(
        window, (), "es", probabilities={"en": 0.25, "es": 0.75}
    )
    audio = PCM if "false" in query else CLIP
    answer = await (await answered(client, path + query, audio=audio)).json()
    assert answer == {"detected_language": "spanish", "language_code": "es", "confidence": 0.75}
    DetectedLanguage.model_validate(answer, extra="forbid")


@pytest.mark.parametrize(
    ("query", "seconds"),
    [
        ("", 2.0),
        ("detect_lang_length=1", 1.0),
        ("detect_lang_offset=1", 1.0),
        ("detect_lang_length=1&detect_lang_offset=0", 1.0),
        ("detect_lang_length=0", 2.0),
        ("detect_lang_length=30", 2.0),
    ],
)
async def test_subgens_part_of_the_file_is_looked_at(
    client: Any, engine: Any, query: str, seconds: float
) -> None:
    response = await client.post(f"/detect-language?{query}", data=form())
    assert response.status == 200, await response.text()
    assert "X-Warnings" not in response.headers
    [[window]] = engine.steps
    assert window.seconds == seconds


@pytest.mark.parametrize("query", ["detect_lang_length=-1", "detect_lang_offset=x"])
async def test_a_part_that_is_none_is_refused_by_its_name(client: Any, query: str) -> None:
    response = await client.post(f"/detect-language?{query}", data=form())
    assert response.status == 422
    assert query.partition("=")[0] in await response.text()


async def test_silence_has_the_language_that_bazarr_reads_as_none(make_client: Any) -> None:
    client = await make_client(vad="energy")
    response = await answered(client, "/detect-language?encode=false", audio=bytes(64_000))
    assert await response.json() == {
        "detected_language": "undetermined",
        "language_code": "und",
        "confidence": 0.0,
    }
    assert await (await answered(client, "/asr", audio=wav(0 * tone(2.0)))).text() == ""


WARNINGS = {
    "output=srt&colour=red": "colour has no effect here: leave it out",
    "min_speakers=2": "min_speakers has no effect without diarize=true",
    "word_timestamps=true&output=srt": "word_timestamps has no effect on srt: ask for output=json",
    "vad_filter=true": "vad_filter has no effect: voice activity detection is off (VAD=off)",
    "initial_prompt=Ana&output=txt": "initial_prompt has no effect: the model fake takes no prompt",
}


@pytest.mark.parametrize("query", WARNINGS)
async def test_what_has_no_effect_is_told_and_changes_nothing(
    make_client: Any, engine: FakeEngine, query: str
) -> None:
    engine.info = FakeEngine.info
    client = await make_client()
    response = await answered(client, f"/asr?{query}")
    assert "2.00 s\n" in await response.text()
    assert response.headers["X-Warnings"] == WARNINGS[query]


async def test_fields_of_the_form_are_not_read_and_are_told(client: Any) -> None:
    response = await answered(client, "/asr", output="srt", task="translate")
    assert await response.text() == "2.00 s\n"
    assert response.headers["X-Warnings"] == (
        "output has no effect in the form: send it in the query; "
        "task has no effect in the form: send it in the query"
    )


async def test_a_videos_name_is_in_the_log_alone(client: Any, caplog: Any) -> None:
    caplog.set_level(logging.INFO)
    response = await answered(client, "/asr?output=srt&video_file=%2Ftv%2Fa%0Ab.mkv")
    assert "X-Warnings" not in response.headers
    assert "the audio of '/tv/a\ufffdb.mkv'" in caplog.text


INVALID = {
    "output=pdf": ["query", "output"],
    "task=sing&output=txt": ["query", "task"],
    "encode=maybe": ["query", "encode"],
    "word_timestamps=x": ["query", "word_timestamps"],
    "output=srt&max_speakers=many": ["query", "max_speakers"],
    "output=srt&language=klingon": ["query", "language"],
}


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("query", INVALID)
async def test_a_bad_value_is_named_as_fastapi_names_it(
    client: Any, engine: FakeEngine, path: str, query: str
) -> None:
    status, detail = await refused(await client.post(f"{path}?{query}", data=form()))
    assert (status, [each.loc for each in detail]) == (422, [INVALID[query]])
    assert engine.steps == []


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"data": FormData({"audio_file": "text" * 99}, default_to_multipart=True)},
        {"data": FormData({"language": "en"}, default_to_multipart=True)},
    ],
)
async def test_a_missing_file_is_missing_from_the_body(client: Any, body: Any) -> None:
    status, [problem] = await refused(await client.post("/asr?output=srt", **body))
    assert (status, problem.type, problem.loc) == (422, "missing", ["body", "audio_file"])
    assert "'audio_file'" in problem.msg


async def test_two_files_and_broken_audio_are_told_in_the_same_shape(client: Any) -> None:
    two = form()
    two.add_field("file", CLIP, filename="b.wav")
    status, detail = await refused(await client.post("/asr", data=two))
    assert (status, "two parts" in detail) == (400, True)
    broken = form(b"RIFF" + bytes(500))
    status, detail = await refused(await client.post("/asr", data=broken))
    assert (status, type(detail)) == (400, str)


async def test_words_are_refused_where_the_model_has_none(
    make_client: Any, engine: FakeEngine
) -> None:
    engine.info = FakeEngine.info
    client = await make_client()
    path = "/asr?word_timestamps=true&output=json"
    status, detail = await refused(await client.post(path, data=form()))
    assert (status, detail.startswith("word_timestamps: ")) == (400, True)


async def test_a_key_and_a_size_are_asked_for_in_the_dialect_of_the_query(make_client: Any) -> None:
    client = await make_client(api_keys=parse_keys("bazarr=secret"), max_body_mb=1)
    status, detail = await refused(await client.post("/asr?output=srt", data=form()))
    assert (status, "API key" in detail) == (401, True)
    key = {"Authorization": "Bearer secret"}
    large = form(bytes(2 * MIB))
    response = await client.post("/asr?encode=false", data=large, headers=key)
    status, detail = await refused(response)
    assert (status, "MAX_BODY_MB" in detail) == (413, True)


@pytest.mark.parametrize("query", ["", "?output=srt", "?async=true"])
async def test_a_full_queue_is_told_in_the_dialect_of_the_query_or_the_part(
    make_client: Any, engine: FakeEngine, query: str
) -> None:
    client = await make_client(max_queue_seconds=1.0)
    engine.gate.clear()
    asking = asyncio.create_task(client.post("/asr", data=CLIP))
    await eventually(lambda: engine.steps)
    response = await client.post("/asr" + query, data=form())
    status, detail = await refused(response)
    assert (status, type(detail)) == (429, str)
    assert int(response.headers["Retry-After"]) > 0
    engine.gate.set()
    assert (await asking).status == 200
    await eventually(lambda: client.app[SCHEDULER].queue_seconds == 0)


async def test_an_upload_is_taken_in_while_the_engine_is_busy(
    client: Any, engine: FakeEngine
) -> None:
    engine.gate.clear()
    asking = asyncio.create_task(client.post("/asr", data=CLIP))
    await eventually(lambda: engine.steps)
    head = (
        b'--b\r\nContent-Disposition: form-data; name="audio_file"; filename="audio_file"\r\n\r\n'
    )
    sent = asyncio.Event()

    async def film() -> Any:
        yield head
        for _ in range(300):  # seconds of PCM
            yield PCM[:32_000]
        yield b"\r\n--b--\r\n"
        sent.set()

    headers = {"Content-Type": "multipart/form-data; boundary=b"}
    path = "/asr?encode=false&output=json"
    uploading = asyncio.create_task(client.post(path, data=film(), headers=headers))
    async with asyncio.timeout(PATIENCE_SECONDS):
        await sent.wait()
    assert not uploading.done()
    engine.gate.set()
    response = await uploading
    assert response.status == 200, await response.text()
    assert response.headers["X-Audio-Length"] == "300.0"
    assert (await asking).status == 200
