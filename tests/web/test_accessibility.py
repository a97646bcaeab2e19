"""The page without a mouse, without seeing it, in the dark and on a phone."""

import importlib.resources

import pytest

from tests.web.conftest import finished, until
from tests.web.test_recordings import SEVERAL

LOOKS = {
    "desk": {},
    "phone": {"viewport": {"width": 360, "height": 740}, "has_touch": True},
}


async def violations(page):
    found = await page.evaluate("axe.run({resultTypes: ['violations']})")
    assert len(found["passes"]) > 20
    return [
        (each["id"], node["html"], node["failureSummary"])
        for each in found["violations"]
        for node in each["nodes"]
    ]


async def test_axe_finds_nothing_in_light_and_dark_and_on_a_phone(open_page):
    page = await open_page()
    axe = importlib.resources.files("axe_playwright_python") / "axe.min.js"
    await page.evaluate(axe.read_text() + "; null")
    assert await violations(page) == []
    await page.check("#diarize")
    await page.check("#as-job")
    await page.set_input_files("#file", SEVERAL)
    await page.locator("#job-list li", has_text="We travel").wait_for()
    await page.uncheck("#as-job")
    await page.set_input_files("#file", {"name": "a.txt", "mimeType": "", "buffer": b"no audio"})
    await page.locator("#alert:not(:empty)").wait_for()
    said = await page.inner_html("#alert")
    await page.set_input_files("#file", SEVERAL)
    await finished(page)
    await page.evaluate("(html) => { document.querySelector('#alert').innerHTML = html }", said)
    await page.locator(".word").nth(3).click()
    assert await violations(page) == []
    await page.emulate_media(color_scheme="dark")
    assert await violations(page) == []
    await page.set_viewport_size({"width": 360, "height": 740})
    assert await violations(page) == []


async def reach(page, selector):
    """Press Tab until the focus is there."""
    for _ in range(60):
        await page.keyboard.press("Tab")
        if await page.evaluate("(at) => document.activeElement.matches(at)", selector):
            return
    raise AssertionError(f"Tab does not reach {selector}")


async def test_everything_can_be_done_with_the_keyboard(open_page):
    page = await open_page()
    for selector in ("a[href='#main']", "#file", "#mic", "#url"):
        await reach(page, selector)
    await reach(page, "#samples button")
    await page.keyboard.press("Enter")
    await finished(page)
    await reach(page, "#position")
    await page.keyboard.press("End")
    await until(page, "document.querySelector('#audio').currentTime > 10")
    await reach(page, "[data-format=srt]")
    async with page.expect_download() as coming:
        await page.keyboard.press("Enter")
    assert (await coming.value).suggested_filename == "en-several.srt"
    await reach(page, ".word")
    for _ in range(9):
        await page.keyboard.press("ArrowRight")
    await page.keyboard.press("ArrowLeft")
    assert await page.evaluate("document.activeElement.textContent") == "On"
    await page.keyboard.press("Enter")
    await until(page, "!document.querySelector('#audio').paused")
    await until(page, "document.querySelector('.word.spoken') !== null")


async def test_the_words_are_said_once_as_they_come(open_page):
    page = await open_page()
    await page.set_input_files("#file", SEVERAL)
    await finished(page)
    said = await page.get_by_role("log").locator("p").all_inner_texts()
    assert said == await page.locator(".line .body").all_inner_texts()
    assert await page.locator(".line .partial:not([aria-hidden=true])").count() == 0


SHIFTS = """() => { window.shift = 0; new PerformanceObserver((list) =>
  list.getEntries().forEach((entry) => entry.hadRecentInput || (shift += entry.value))
).observe({type: "layout-shift"}) }"""


@pytest.mark.parametrize("look", LOOKS)
async def test_nothing_moves_while_the_text_grows(open_page, look):
    page = await open_page(**LOOKS[look])
    assert await page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    await page.set_input_files("#file", SEVERAL)
    await page.evaluate(SHIFTS)  # the card is there; from now on only text comes
    await finished(page)
    assert await page.evaluate("shift") < 0.01
    assert await page.evaluate("document.documentElement.scrollWidth <= innerWidth")


async def test_on_a_phone_no_status_takes_more_than_its_place(open_page):
    page = await open_page(**LOOKS["phone"])
    await page.route("**/v1/audio/transcriptions", lambda _: None)  # no answer comes
    await page.set_input_files("#file", SEVERAL)
    await page.locator("#cancel").wait_for()  # it is beside the status
    places = [await page.evaluate(PLACE_BELOW, status) for status in STATUSES]
    assert places == places[:1] * len(STATUSES)


STATUSES = ["Sending: 7 %", "Transcribing: 11.3 s of 14.8 s", "Transcribing: 1:59:58 of 2:00:00"]
PLACE_BELOW = """(status) => {
  document.querySelector("#status").textContent = status;
  return document.querySelector("#bar").getBoundingClientRect().top;
}"""


async def test_nothing_is_animated_for_whoever_wants_no_motion(open_page):
    page = await open_page()
    await page.route("**/v1/audio/transcriptions", lambda _: None)  # no answer comes
    await page.set_input_files("#file", SEVERAL)
    await page.locator(".bar.unknown").wait_for()
    assert await page.evaluate("document.getAnimations().length") == 0
    await page.emulate_media(reduced_motion="no-preference")
    await until(page, "document.getAnimations().length > 0")
