"""The page writes subtitles letter by letter as the server does, whatever the text is."""

import random

import pytest

from asr.formats.captions import Layout
from asr.formats.events import segment_event
from asr.formats.openai_json import letter
from asr.formats.writers import written
from asr.transcript import Segment, Speaker, Word

TEXTS = {
    "English": [
        "We",
        "travel",
        "from",
        "Lima",
        "to",
        "Lisbon,",
        "in",
        "September",
        "&",
        "<b>so</b>",
    ],
    "Chinese without spaces": ["我们", "从", "利马", "到", "里斯本,", "九月。"],
    "Thai with marks": ["สวัสดี", "ครับ", "ที่", "นี่"],
    "very long words": ["Donau" * 12, "a.b,c;" * 10, "x" * 84, "kurz"],
    "letters beyond 16 bits": ["😀😀", "𝒳𝒴𝒵" * 15, "ok"],  # noqa: RUF001
}
WRITE = """async ({segments, format}) => {
  const { written } = await import(new URL("page/formats.js", document.baseURI));
  return written({segments}, format);
}"""


def segments(words, spaces, voices, seed, has_words=True):
    """Some segments in order, a few of them closer together than a cue may be short."""
    chance, found, now = random.Random(seed), [], 0.0
    for _ in range(30):
        timed, text = [], ""
        now += chance.choice([0.0, 0.02, 0.3, 2.0])
        start = now
        for _ in range(chance.randint(1, 25)):
            said = spaces * " " + chance.choice(words)
            end = now + chance.choice([0.01, 0.2, 0.7])
            timed.append(Word(said, round(now, 3), round(end, 3), 0.9))
            text, now = text + said, end
        speaker = Speaker(chance.randrange(voices)) if voices else None
        known = tuple(timed) if has_words else ()
        found.append(Segment(round(start, 3), round(now, 3), text, known, speaker=speaker))
    return found


@pytest.mark.parametrize("voices", [0, 30])
async def test_subtitles_are_those_of_the_server(open_page, voices):
    page = await open_page()
    for seed, (name, words) in enumerate(TEXTS.items()):
        made = segments(words, "without" not in name and "Thai" not in name, voices, seed)
        told = [segment_event("seg", each, True, letter) for each in made]
        for text_format in ("srt", "vtt"):
            got = await page.evaluate(WRITE, {"segments": told, "format": text_format})
            assert got == written(made, text_format, Layout()), (name, text_format)


async def test_subtitles_without_times_of_words_are_those_of_the_server(open_page):
    page = await open_page()
    made = segments(TEXTS["English"], True, 0, 5, has_words=False)
    told = [{**segment_event("seg", each, False, letter), "words": []} for each in made]
    for text_format in ("srt", "vtt"):
        got = await page.evaluate(WRITE, {"segments": told, "format": text_format})
        assert got == written(made, text_format, Layout())
