"""Somebody speaks into the microphone of a Chromium, and the page shows the words as they come."""

import asyncio
import json
from pathlib import Path

import numpy as np
import pytest_asyncio
import soundfile
import soxr

from tests.web.conftest import chromium, finished, opened, until
from tests.web.test_accessibility import SHIFTS
from tests.web.test_errors import complaint
from tests.web.test_recordings import SAMPLES, download, lines

MICROPHONE_RATE = 48_000  # samples per second; Chromium's microphone has no other rate
SPOKEN = 4  # sentences
BREATH = 0.15  # seconds between sentences: too short to end an utterance


def spoken():
    """Some sentences in one breath, and what they say."""
    known = json.loads((SAMPLES / "samples.json").read_text())
    listed = next(each for each in known if each["file"] == "en-long.flac")["sentences"][:SPOKEN]
    sound, rate = soundfile.read(SAMPLES / "en-long.flac", dtype="float32")
    parts = [np.zeros(rate // 2, np.float32)]
    for each in listed:
        parts.append(sound[round((each["start"] - 0.05) * rate) : round(each["end"] * rate)])
        parts.append(np.zeros(round(BREATH * rate), np.float32))
    heard = soxr.resample(np.concatenate(parts), rate, MICROPHONE_RATE)
    return heard, " ".join(each["text"] for each in listed)


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def speaker(tmp_path_factory):
    """A browser with a microphone into which somebody speaks, once each time it is opened."""
    path = Path(tmp_path_factory.mktemp("speech")) / "speech.wav"
    soundfile.write(path, spoken()[0], MICROPHONE_RATE, subtype="PCM_16")
    async with chromium(f"--use-file-for-fake-audio-capture={path}%noloop") as running:
        yield running


def told(page):
    """The events of the live session, as they come."""
    found = []
    page.on(
        "websocket",
        lambda socket: socket.on("framereceived", lambda data: found.append(json.loads(data))),
    )
    return found


def kinds(events):
    return [event["type"].rpartition(".")[2] for event in events]


async def test_a_sentence_is_read_while_it_is_spoken_and_then_played(speaker, server):
    async with opened(speaker, server.url) as page:
        events = told(page)
        await page.get_by_role("button", name="Speak", exact=True).click()
        await page.locator("#status", has_text="Listening").wait_for()
        await page.evaluate(SHIFTS)
        await until(page, "document.querySelector('.line .body')?.textContent.length > 10")
        begun = (await lines(page))[0]
        assert "speech_stopped" not in kinds(events)  # the sentence has not ended
        await page.locator(".line .time:enabled").first.wait_for()
        assert await page.evaluate("shift") < 0.01
        await page.locator("#mic").click()
        await finished(page)
        text = " ".join(await lines(page))
        assert text.startswith(begun)
        assert text == spoken()[1]
        deltas = [event["delta"] for event in events if event["type"].endswith(".delta")]
        assert len(deltas) > 1
        assert "".join(deltas).split() == text.split()
        assert (await download(page, "TXT"))[1] == text
        word = page.locator(".word", has_text="Wednesday")
        await word.click()
        await until(page, "document.querySelector('.word.spoken') !== null")
        start = float(await word.get_attribute("data-start"))
        assert start > 4
        assert await page.evaluate("document.querySelector('#audio').duration") > start + 2


async def test_where_there_are_no_live_sessions_the_recording_is_transcribed(speaker, server):
    async with opened(speaker, "about:blank", is_ready=False) as page:
        await page.route(
            "**/page/server.json",
            lambda route: route.fulfill(json={**STATE, "has_live": False}),
        )
        await page.goto(server.url)
        await page.locator("#samples").wait_for(state="attached")
        await page.get_by_role("button", name="Speak", exact=True).click()
        await page.locator("#status", has_text="0:04").wait_for()
        await page.locator("#cancel", has_text="Stop").click()
        await finished(page)
        assert (await lines(page))[0] == "Martin lost seventy white shirts on Tuesday."


STATE = {
    "needs_key": False,
    "has_diarizer": True,
    "has_live_room": True,
    "has_word_times": True,
    "forced_language": None,
    "max_body_mb": 1024,
    "samples": [],
}
CLOSED = {
    1001: "The server is shutting down",
    1008: "The server refused the session",
    1009: "more sound at once",
    1011: "The connection to the server was lost",
    1013: "too much to do to keep up with you",
    1000: "The session has ended",
}


async def test_each_end_of_a_session_has_its_sentence(open_page):
    page = await open_page()
    codes = list(CLOSED)

    def serve(socket):
        async def answer(message):
            if isinstance(message, str) and "session.update" in message:
                socket.send(json.dumps({"type": "session.updated"}))
                error = {"message": "it has lasted long enough"}
                socket.send(json.dumps({"type": "error", "error": error}))
            elif not isinstance(message, str):
                await socket.close(code=codes[0])

        socket.on_message(answer)
        socket.send(json.dumps({"type": "session.created"}))

    await page.route_web_socket("**/v1/realtime*", serve)
    while codes:
        await page.get_by_role("button", name="Speak", exact=True).click()
        said = page.locator("#alert", has_text=CLOSED[codes[0]])
        await said.wait_for()
        if codes[0] in (1000, 1008):
            assert "It has lasted long enough" in await said.inner_text()
        await page.locator("#mic[aria-pressed=false]").wait_for()
        del codes[0]


async def test_each_speaker_of_a_sentence_has_a_line_and_a_colour(open_page):
    page = await open_page()
    asked = []
    item, text = {"item_id": "one", "content_index": 0}, "Where to? To Lisbon, to Lima."
    parts = [("A", "Where to?", 0.2, 1.0), ("B", " To Lisbon, to Lima.", 1.3, 2.4)]
    words = [{"word": f" {word}", "start": 0.2 + n * 0.4} for n, word in enumerate(text.split())]
    told = [
        {"type": "delta", "delta": text},
        *(
            {"type": "segment", "speaker": who, "text": said, "start": start, "end": end}
            for who, said, start, end in parts
        ),
        {"type": "completed", "transcript": text, "words": words, "start": 0.0, "end": 2.5},
    ]

    def serve(socket):
        def answer(message):
            if isinstance(message, str) and "session.update" in message:
                asked.append(json.loads(message)["session"]["audio"]["input"]["transcription"])
                socket.send(json.dumps({"type": "session.updated"}))
                for event in told:
                    kind = f"conversation.item.input_audio_transcription.{event['type']}"
                    socket.send(json.dumps({**event, **item, "type": kind}))

        socket.on_message(answer)
        socket.send(json.dumps({"type": "session.created"}))

    await page.route_web_socket("**/v1/realtime*", serve)
    await page.evaluate("document.querySelector('#diarize').checked = true")
    await page.get_by_role("button", name="Speak", exact=True).click()
    await until(page, "document.querySelectorAll('.line .speaker').length === 2")
    assert asked[0]["diarize"] is True
    assert await lines(page) == ["Where to?", "To Lisbon, to Lima."]
    assert await page.locator(".line .speaker").all_inner_texts() == ["Speaker A", "Speaker B"]
    colours = "[...document.querySelectorAll('.line')].map((line) => line.dataset.speaker)"
    assert await page.evaluate(colours) == ["0", "1"]
    said = await page.locator(".line >> nth=1 >> .word").all_inner_texts()
    assert [word.strip() for word in said] == text.split()[2:]


async def test_last_words_that_never_come_are_missed_and_the_recording_can_be_transcribed(
    open_page,
):
    page = await open_page()
    await page.clock.install()
    committed = asyncio.Event()

    def serve(socket):
        def answer(message):
            if isinstance(message, str) and "session.update" in message:
                socket.send(json.dumps({"type": "session.updated"}))
            elif isinstance(message, str):
                socket.send(json.dumps({"type": "input_audio_buffer.committed", "item_id": "last"}))
                committed.set()

        socket.on_message(answer)
        socket.send(json.dumps({"type": "session.created"}))

    await page.route_web_socket("**/v1/realtime*", serve)
    await page.get_by_role("button", name="Speak", exact=True).click()
    await page.locator("#status", has_text="0:01").wait_for()
    await page.locator("#mic").click()
    await committed.wait()
    assert await page.inner_text("#alert") == ""
    await page.clock.fast_forward(60_000)
    assert "The last words have not come" in await complaint(page)
    assert await page.is_visible("#again")


async def test_a_server_whose_live_sessions_are_all_in_use_says_so(open_page, closed_server):
    first, second, third = [await open_page(closed_server.url) for _ in range(3)]
    for page in (first, second):
        await page.fill("#key", "sesame")
        await page.get_by_role("button", name="Use this key").click()
    await first.get_by_role("button", name="Speak", exact=True).click()
    await first.locator("#status", has_text="Listening").wait_for()
    await second.get_by_role("button", name="Speak", exact=True).click()
    assert "All live sessions of this server are in use" in await complaint(second)
    await third.get_by_role("button", name="Speak", exact=True).click()
    assert "wants an API key" in await complaint(third)
    await first.get_by_role("button", name="Stop", exact=True).first.click()
    await finished(first)
    await second.get_by_role("button", name="Try again").click()
    await second.locator("#status", has_text="Listening").wait_for()
