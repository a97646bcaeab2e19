"""Each thing that can go wrong is a sentence on the page, and what to do about it."""

import json

import pytest

from tests.web.conftest import INSECURE_HOST, finished, until
from tests.web.test_recordings import SAMPLES, SENTENCES, events, lines

SHORT = SAMPLES / "en-short.flac"


async def complaint(page):
    await page.locator("#alert:not(:empty)").wait_for()
    return await page.inner_text("#alert")


async def answers(page, **answer):
    """Let the server answer this, whatever is sent."""
    pattern = "**/v1/audio/transcriptions"
    await page.unroute_all()
    await page.route(pattern, lambda route: route.fulfill(**answer))


async def test_a_server_with_a_key_asks_for_it_and_goes_on_with_it(open_page, closed_server):
    page = await open_page(closed_server.url)
    assert await page.is_visible("#key")
    for key in ("", "wrong"):
        if key:
            await page.fill("#key", key)
            await page.get_by_role("button", name="Use this key").click()
        await page.set_input_files("#file", SHORT)
        assert "wants an API key" in await complaint(page)
    await page.fill("#key", "sesame")
    await page.keyboard.press("Enter")
    assert await page.is_hidden("#key-form")
    await page.set_input_files("#file", SHORT)
    await finished(page)
    assert await lines(page) == SENTENCES[:1]
    kept = await page.evaluate("[localStorage.length, sessionStorage.length]")
    assert kept == [0, 1]
    other = await page.context.new_page()  # another tab
    await other.goto(closed_server.url)
    assert await other.evaluate("sessionStorage.length") == 0


async def test_a_file_that_is_too_large_is_named_so(open_page, closed_server):
    page = await open_page(closed_server.url)
    await page.evaluate("sessionStorage.setItem('asr-api-key', 'sesame')")
    await page.set_input_files("#file", SAMPLES / "en-long.flac")
    said = await complaint(page)
    assert "larger or longer than the server allows" in said
    assert "MAX_BODY_MB" in said or "MiB" in said


async def test_what_the_server_cannot_use_is_explained_in_its_words(open_page, tmp_path):
    page = await open_page()
    letter = tmp_path / "letter.txt"
    letter.write_text("Dear reader, this is no audio at all. " * 100)
    await page.set_input_files("#file", letter)
    said = await complaint(page)
    assert said.startswith("The server cannot use this.")
    assert "decode" in said or "audio" in said
    await page.fill("#url", "../secret.wav")
    await page.keyboard.press("Enter")
    await page.locator("#alert", has_text="does not allow this").wait_for()
    await page.fill("#url", "http://127.0.0.1:9/a.mp3")
    await page.keyboard.press("Enter")
    await page.locator("#alert", has_text="own server did not give it out").wait_for()


STATUSES = {
    403: "does not allow this",
    408: "upload was too slow",
    413: "larger or longer",
    415: "does not know this format",
    422: "does not understand",
    429: "too much to do",
    500: "failed on this recording",
    503: "cannot work at the moment",
    504: "too slow",
    507: "disk is full",
}


async def test_every_status_has_its_sentence_and_the_servers_own_one(open_page):
    page = await open_page()
    for status, sentence in STATUSES.items():
        body = json.dumps({"error": {"message": f"because of {status}"}})
        await answers(page, status=status, body=body, headers={"Retry-After": "7"})
        await page.set_input_files("#file", SHORT)
        await page.locator("#alert", has_text=f"Because of {status}").wait_for()
        said = await complaint(page)
        assert sentence in said
        assert "in 7 s" in said
    await page.unroute_all()
    await page.get_by_role("button", name="Try again").click()
    await finished(page)
    assert await page.inner_text("#alert") == ""


async def test_a_stream_that_ends_early_says_why_and_keeps_its_text(open_page):
    page = await open_page()
    begun = {"type": "transcript.text.delta", "delta": "We travel"}
    failure = {"type": "error", "error": {"code": "bad_audio", "message": "the file ends early"}}
    await answers(page, content_type="text/event-stream", body=events(begun, failure))
    await page.set_input_files("#file", SHORT)
    assert "The file ends early" in await complaint(page)
    assert await lines(page) == ["We travel"]
    await answers(page, content_type="text/event-stream", body=events(begun))
    await page.set_input_files("#file", SHORT)
    await page.locator("#alert", has_text="connection to the server was lost").wait_for()


async def test_a_lost_connection_is_told_and_seen_in_the_servers_state(open_page):
    page = await open_page()
    await page.route("**/*", lambda route: route.abort("connectionrefused"))
    await page.set_input_files("#file", SHORT)
    assert "connection to the server was lost" in await complaint(page)
    await page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
    await page.locator("#state[data-state=bad]", has_text="does not answer").wait_for()


async def test_a_cancelled_upload_is_no_error(open_page):
    page = await open_page()
    await page.route("**/v1/audio/transcriptions", lambda _: None)  # no answer comes
    await page.set_input_files("#file", SHORT)
    await page.get_by_role("button", name="Cancel").click()
    await page.locator("#status", has_text="Cancelled").wait_for()
    assert await page.inner_text("#alert") == ""
    assert await page.is_hidden("#cancel")


MICROPHONES = {
    "NotAllowedError": "does not let this page use the microphone",
    "NotFoundError": "There is no microphone",
    "NotReadableError": "The microphone does not answer",
}


@pytest.mark.parametrize(("error", "sentence"), MICROPHONES.items())
async def test_a_microphone_that_cannot_be_had_is_told(open_page, error, sentence):
    page = await open_page()
    await page.evaluate(
        "(name) => { navigator.mediaDevices.getUserMedia = () =>"
        " Promise.reject(new DOMException('no', name)) }",
        error,
    )
    await page.get_by_role("button", name="Speak", exact=True).click()
    assert sentence in await complaint(page)
    await until(page, "document.querySelector('#mic').getAttribute('aria-pressed') === 'false'")


OLDER = ["delete window.AudioWorkletNode", "delete Navigator.prototype.mediaDevices"]


@pytest.mark.parametrize("change", OLDER)
async def test_a_browser_that_cannot_record_says_so_and_still_takes_recordings(open_page, change):
    page = await open_page()
    await page.evaluate(change)
    await page.get_by_role("button", name="Speak", exact=True).click()
    said = await complaint(page)
    assert said.startswith("This browser cannot record.")
    assert "choose a recording instead" in said
    await page.locator("#mic[aria-pressed=false]").wait_for()
    await page.set_input_files("#file", SHORT)
    await finished(page)
    assert await lines(page) == SENTENCES[:1]
    assert await page.inner_text("#alert") == ""


async def test_a_page_that_did_not_come_over_https_says_why_nobody_can_speak(open_page, server):
    page = await open_page(server.url.replace("127.0.0.1", INSECURE_HOST))
    await page.get_by_role("button", name="Speak", exact=True).click()
    said = await complaint(page)
    assert "https only" in said
    assert "localhost" in said
