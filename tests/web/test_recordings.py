"""Recordings on the page: upload, words as they come, playing, seeking, downloads, jobs."""

import json

from asr.config.config import DEMO_MODEL
from tests.web.conftest import finished, until

SAMPLES = DEMO_MODEL.parent / "samples"
SEVERAL = SAMPLES / "en-several.flac"
SENTENCES = [
    "We travel from Lima to Lisbon in September.",
    "On Wednesday Martin sings at the station.",
    "It is very hot in Rome today.",
    "Laura found the box this morning.",
]


async def lines(page):
    return await page.locator(".line .body").all_inner_texts()


async def download(page, text):
    async with page.expect_download() as coming:
        await page.get_by_role("button", name=text, exact=True).click()
    found = await coming.value
    return found.suggested_filename, (await found.path()).read_text()


async def test_a_newcomer_sees_with_one_click_that_it_works(open_page):
    page = await open_page()
    assert "demo" in await page.inner_text("#state-text")
    assert "knows a few words" in await page.inner_text("#demo-note")
    await page.get_by_role("button", name="English, 11 s").click()
    await finished(page)
    assert await lines(page) == SENTENCES
    facts = await page.inner_text("#facts")
    assert all(fact in facts for fact in ("11 s", "English", "28 words", "all speech has text"))


async def test_an_upload_shows_its_progress_and_then_its_text(open_page):
    page = await open_page()
    told = """() => { window.told = [];
      new MutationObserver(() => told.push(document.querySelector('#status').textContent))
        .observe(document.querySelector('#status'), {childList: true}) }"""
    await page.evaluate(told)
    client = await page.context.new_cdp_session(page)
    slow = {"offline": False, "latency": 0, "downloadThroughput": -1, "uploadThroughput": 150_000}
    await client.send("Network.enable")
    await client.send("Network.emulateNetworkConditions", slow)
    await page.set_input_files("#file", SEVERAL)
    await finished(page)
    said = await page.evaluate("told")
    shares = [int(each.split()[1]) for each in said if each.startswith("Sending: ")]
    assert shares == sorted(shares)
    assert any(0 < share < 100 for share in shares)
    assert any(each.startswith("Transcribing") for each in said)
    assert await lines(page) == SENTENCES
    assert await page.inner_text("#result-title") == "en-several.flac"


async def test_a_click_on_a_word_plays_from_there_and_the_word_lights_up(open_page):
    page = await open_page()
    await page.set_input_files("#file", SEVERAL)
    await finished(page)
    word = page.locator(".word", has_text="Wednesday")
    start = float(await word.get_attribute("data-start"))
    await word.click()
    await until(page, "!document.querySelector('#audio').paused")
    await page.wait_for_selector(".word.spoken")
    now = await page.evaluate("document.querySelector('#audio').currentTime")
    assert start - 0.01 <= now < start + 5
    await page.evaluate(f"""() => {{ const audio = document.querySelector('#audio');
      audio.pause(); audio.currentTime = {start + 0.05} }}""")
    await until(page, "document.querySelector('.word.spoken')?.textContent === 'Wednesday'")
    await page.get_by_role("button", name="Play from 0:08").click()
    await until(page, "document.querySelector('#audio').currentTime >= 8.4")


async def test_the_files_that_it_gives_are_those_of_the_server(open_page, server):
    page = await open_page()
    await page.set_input_files("#file", SEVERAL)
    await finished(page)
    for kind, response_format in (("TXT", "text"), ("SRT", "srt"), ("VTT", "vtt")):
        name, text = await download(page, kind)
        asked = await page.context.request.post(
            f"{server.url}/v1/audio/transcriptions",
            multipart={
                "response_format": response_format,
                "timestamp_granularities[]": "word",
                "file": SEVERAL,
            },
        )
        assert (name, text) == (f"en-several.{kind.lower()}", await asked.text())
    name, text = await download(page, "JSON")
    found = json.loads(text)
    assert name == "en-several.json"
    assert found["text"] == " ".join(SENTENCES)
    assert (found["language"], found["duration"], len(found["words"])) == ("english", 11.0, 28)
    assert found["coverage"]["gaps"] == []


async def test_speakers_have_colours_and_are_in_the_subtitles(open_page):
    page = await open_page()
    await page.check("#diarize")
    await page.get_by_role("button", name="English, 11 s").click()
    await finished(page)
    assert await page.locator(".speaker").all_inner_texts() == ["Speaker A"]
    assert await page.locator(".line[data-speaker='0']").count() == 4
    assert "SPEAKER_00: We travel" in (await download(page, "SRT"))[1]


async def test_an_address_is_fetched_and_translated_by_the_server(open_page):
    page = await open_page()
    await page.check("#translate")
    await page.select_option("#language", label="Spanish")
    await page.fill("#url", "es-several.flac")  # AUDIO_ROOT
    await page.get_by_role("button", name="Transcribe", exact=True).click()
    await finished(page)
    assert "The number is one nine eight." in await lines(page)
    assert await page.is_disabled("#play")


async def test_a_job_is_followed_opened_and_forgotten(open_page):
    page = await open_page()
    await page.check("#as-job")
    await page.set_input_files("#file", SEVERAL)
    job = page.locator("#job-list li")
    await job.filter(has_text="We travel from Lima").wait_for()
    await page.reload()
    await job.filter(has_text="We travel from Lima").wait_for()
    await job.get_by_role("button", name="Open").click()
    await page.wait_for_selector(".line")
    assert await lines(page) == SENTENCES
    assert await page.locator(".word").count() == 28
    await job.get_by_role("button", name="Remove").click()
    assert await page.is_hidden("#jobs")


async def test_several_recordings_become_jobs(open_page):
    page = await open_page()
    await page.set_input_files("#file", [SEVERAL, SAMPLES / "en-short.flac"])
    for name, words in (("en-several.flac", "Wednesday Martin"), ("en-short.flac", "September")):
        row = page.locator("#job-list li", has_text=name)
        await row.filter(has_text=words).wait_for()
        assert await row.get_attribute("data-state") == "completed"


def word(text, start, end, probability):
    return {"word": text, "start": start, "end": end, "probability": probability}


def events(*found):
    return "".join(f"data: {json.dumps(event)}\n\n" for event in found)


UNSURE = events(
    {"type": "transcript.text.delta", "delta": "Low and high."},
    {
        "type": "transcript.text.segment",
        "id": "seg_0",
        "start": 1,
        "end": 2,
        "text": " Low and high.",
        "speaker": "",
        "words": [word("Low", 1, 1.2, 0.2), word("and", 1.2, 1.5, 0.6), word("high.", 1.5, 2, 1)],
    },
    {
        "type": "transcript.text.done",
        "text": "Low and high.",
        "language": "english",
        "duration": 10,
        "coverage": {
            "speech": 4,
            "covered": 1,
            "gaps": [{"start": 5, "end": 8, "reason": "no text"}],
        },
    },
)


async def test_unsure_words_are_shaded_and_speech_without_text_is_marked(open_page):
    page = await open_page()
    await page.route(
        "**/v1/audio/transcriptions",
        lambda route: route.fulfill(content_type="text/event-stream", body=UNSURE),
    )
    await page.set_input_files("#file", SEVERAL)
    await finished(page)
    classes = await page.eval_on_selector_all(".word", "all => all.map((each) => each.className)")
    assert classes == ["word unsure-1", "word unsure-3", "word"]
    await page.uncheck("#shade")
    assert await page.locator(".transcript.plain").count() == 1
    assert await page.locator("#lanes .gap").count() == 1
    assert await page.locator(".gaps button").all_inner_texts() == ["0:05"]
    await page.get_by_role("button", name="0:05").click()
    await until(page, "document.querySelector('#audio').currentTime >= 5")
