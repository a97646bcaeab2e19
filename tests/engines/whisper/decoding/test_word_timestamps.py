"""Tokens are put together to words, and words are where they were said."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch
from transformers.models.whisper.tokenization_whisper import _combine_tokens_into_words

from asr.engines.whisper.batch import RunningBatch
from asr.engines.whisper.decoding.word_timestamps import Timing, spellings, timing
from asr.engines.whisper.model.alignment import AlignmentInputs
from asr.engines.whisper.sequence import SequenceStatus
from asr.options import Options
from asr.transcript import Segment, TokenLogprob
from tests.support import models
from tests.support.twins import Twins

pytestmark = pytest.mark.both_forms


END = 1000  # the end of text; times follow it


def spelled(*pieces: str | bytes, language: str | None = "en") -> list[str]:
    data = [piece if isinstance(piece, bytes) else piece.encode() for piece in pieces]
    found = spellings(data, language)
    assert [n for word in found for n in word.places] == list(range(len(pieces)))
    assert "".join(word.text for word in found) == b"".join(data).decode(errors="replace")
    return [word.text for word in found]


@pytest.mark.parametrize(
    ("pieces", "words"),
    [
        ([" Hel", "lo", ",", " world", "!"], [" Hello,", " world!"]),
        ([" “", "Yes", ",”", " she", " said", "."], [" “Yes,”", " she", " said."]),
        ([" ¿", "Dónde", " est", "á", "?", " (", "aquí", ")"], [" ¿Dónde", " está?", " (aquí)"]),
        ([" -", " No", "."], [" - No."]),
        ([" twenty", "-", "five"], [" twenty", "-five"]),
        ([" don", "'t", " go", "..."], [" don't", " go..."]),
        ([" ", " so", " "], ["  so "]),
        ([" ("], [" ("]),
        ([" "], [" "]),
        (["No", " space", " first"], ["No", " space", " first"]),
        ([], []),
    ],
)
def test_punctuation_belongs_to_its_word(pieces: list[str], words: list[str]) -> None:
    assert spelled(*pieces) == words


def test_letters_are_not_parted() -> None:
    snow = " 雪 falls".encode()
    assert spelled(snow[:2], snow[2:3], snow[3:]) == [" 雪 falls"]
    assert spelled(b" caf\xc3", b"\xa9", " noir") == [" café", " noir"]


def test_bytes_that_are_no_text_stay_where_they_are() -> None:
    assert spelled(b" a\xff", b"\xc3", " b", b"\xe9\x9b") == [" a\ufffd\ufffd b\ufffd"]


@pytest.mark.parametrize("language", ["zh", "ja", "th", "lo", "my", "yue"])
def test_languages_without_spaces_are_parted_at_letters(language: str) -> None:
    snow = "雪".encode()
    pieces: list[str | bytes] = ["今天", "下", snow[:1], snow[1:], "。", "好"]
    assert spelled(*pieces, language=language) == ["今天", "下", "雪。", "好"]
    assert spelled(*pieces, language="en") == ["今天下雪。好"]


class Pieces:
    """A tokenizer of these pieces alone: token n is the nth."""

    eos_token_id = END

    def __init__(self, pieces: Sequence[str]) -> None:
        self._pieces = pieces

    def decode(self, tokens: Sequence[int], **_: object) -> str:
        return "".join(self._pieces[token] for token in tokens)


@pytest.mark.parametrize(
    "text",
    [
        " It|'s| five| o|'clock|,| (|near|ly|)| -| he| said|:| \"|no|\"|!| a|-|b",
        " ¿|Qué|?| [|Sí|].| {|x|}| “|y|”| z|,|",
    ],
)
def test_words_are_those_of_transformers(text: str) -> None:
    pieces = text.split("|")
    tokens = list(range(len(pieces)))
    expected, *_ = _combine_tokens_into_words(Pieces(pieces), tokens, "english")
    assert spelled(*pieces) == expected


def ridge(firsts: Sequence[int], frames: int) -> AlignmentInputs:
    """Tokens, from the second on, that are said from these frames on."""
    queries = torch.zeros(1, len(firsts) + 1, frames)
    for token, (first, last) in enumerate(pairwise([*firsts, frames]), 1):
        queries[:, token, first:last] = 6
    return AlignmentInputs(queries, torch.eye(frames)[None])


def segment(start: float, end: float, *pieces: str) -> Segment:
    tokens = (END + 1, *(len(piece) for piece in pieces), END + 2)
    data = tuple(TokenLogprob(piece.encode(), float(np.log(0.5))) for piece in pieces)
    return Segment(start, end, "".join(pieces), tokens=tokens, token_logprobs=data)


def test_words_are_where_their_tokens_were_said() -> None:
    one, two = segment(0.0, 1.2, " good", " mor", "ning", "."), segment(2.0, 3.0, " hello", " you")
    tokens = [END + 1, *one.tokens, *two.tokens, END]
    inputs = ridge([0, 0, 16, 30, 48, 55, 100, 100, 124, 140, 150], 150)
    found = timing([one, two], tokens, inputs, END, "en").finish()
    words = [(w.text, w.start, w.end, w.probability) for part in found for w in part.words]
    assert words == [
        (" good", 0.0, pytest.approx(0.32, abs=0.021), pytest.approx(0.5)),
        (" morning.", pytest.approx(0.32, abs=0.021), pytest.approx(1.1, abs=0.021), 0.5),
        (" hello", 2.0, pytest.approx(2.48, abs=0.021), 0.5),
        (" you", pytest.approx(2.48, abs=0.021), pytest.approx(2.8, abs=0.021), 0.5),
    ]
    assert [(part.start, part.end) for part in found] == [(0.0, 1.2), (2.0, 3.0)]


def test_a_pause_at_the_ends_of_a_segment_is_no_word() -> None:
    said = segment(0.0, 6.0, " a", " b", " c", " d", " e")
    inputs = ridge([0, 100, 115, 130, 145, 299], 300)
    [found] = timing([said], [END + 1, *said.tokens[1:]], inputs, END, "en").finish()
    assert found.words[0].end == pytest.approx(2.0, abs=0.021)
    assert found.words[0].end - found.words[0].start < 0.7
    assert found.words[-1].end - found.words[-1].start < 0.7
    assert (found.start, found.end) == (0.0, 6.0)


def test_words_behind_a_prefix_are_where_they_were_said_without_those_of_the_prefix() -> None:
    inputs = ridge([0, 20, 100, 115, 130, 299], 300)
    rest = replace(segment(0.0, 6.0, " d", " e"), tokens=(2, 2))
    prefix = [b" a", b" b", b" c"]
    [found] = timing([rest], [2, 2, END], inputs, END, "en", prefix).finish()
    assert [(w.text, w.start, w.end) for w in found.words] == [
        (" d", pytest.approx(2.3, abs=0.021), pytest.approx(2.6, abs=0.021)),
        (" e", pytest.approx(2.6, abs=0.021), pytest.approx(3.4, abs=0.021)),
    ]
    assert (found.start, found.end) == (found.words[0].start, 6.0)


def test_the_words_behind_a_prefix_have_the_times_of_the_whole_text(tiny: Twins) -> None:
    options = [Options(language="en", timestamps="word", prefix=""), Options("de")]
    asked = models.windows(12, options)
    caller = models.Caller(models.recording(tiny.checkpoint))
    caller.run(asked)
    later = {}
    for window in [w for w in asked if w.options.prefix is not None]:
        [whole] = caller.finals[window].segments
        known, rest = whole.words[: len(whole.words) // 2], whole.words[len(whole.words) // 2 :]
        prefix = "".join(word.text for word in known)
        later[replace(window, options=replace(options[0], prefix=prefix))] = rest
    caller.run(list(later))
    assert sum(len(rest) for rest in later.values()) > 30
    for window, rest in later.items():
        [found] = caller.finals[window].segments
        assert found.text == "".join(word.text for word in rest)
        assert [word.text for word in found.words] == [word.text for word in rest]
        for one, other in zip(found.words, rest, strict=True):
            assert (one.start, one.end) == pytest.approx((other.start, other.end), abs=0.021)


def test_words_of_any_text_are_the_text_within_their_segments(tiny: Twins) -> None:
    options = [Options(language="en", timestamps="word"), Options(timestamps="word")]
    asked = models.windows(24, options)
    caller = models.Caller(models.recording(tiny.checkpoint))
    caller.run(asked)
    count = 0
    for window in asked:
        for part in caller.finals[window].segments:
            assert "".join(word.text for word in part.words) == part.text
            assert not part.token_logprobs
            times = [part.start, *(t for word in part.words for t in (word.start, word.end))]
            assert times == sorted(times)
            assert times[-1] <= part.end
            assert all(0 < (word.probability or 0) <= 1 for word in part.words)
            count += len(part.words)
    assert count > 100


def test_windows_whose_words_are_timed_disturb_no_others(tiny: Twins) -> None:
    plain = [Options(language="en"), Options(language="de", timestamps="none")]
    mixed = models.windows(12, [*plain, Options(timestamps="word")])
    engine = models.recording(tiny.checkpoint)
    models.written(engine, mixed)
    kept = [window for window in mixed if window.options in plain]
    alone = models.written(models.recording(tiny.checkpoint), kept)
    assert [engine.sequences[window].tokens for window in kept] == alone


def test_asking_for_words_changes_nothing_else(tiny: Twins) -> None:
    found = []
    for timestamps in ("segment", "word"):
        asked = models.windows(12, [Options(language="en", timestamps=timestamps)])
        caller = models.Caller(models.recording(tiny.checkpoint))
        caller.run(asked)
        found.append([caller.finals[window].segments for window in asked])
    for plain, timed in zip(*found, strict=True):
        for one, other in zip(plain, timed, strict=True):
            assert not one.words
            assert (one.start, one.end, one.text) == (other.start, other.end, other.text)
            assert (one.tokens, one.avg_logprob) == (other.tokens, other.avg_logprob)


WORDS = [Options(language="en", timestamps="word"), Options(language="en")]
AHEAD = {"lookahead": 1, "launches": 1, "steps": 4}  # as on a GPU


def test_the_next_launch_is_under_way_when_words_are_waited_for(
    tiny: Twins, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = models.windows(12, WORDS)
    plain = models.Caller(models.recording(tiny.checkpoint))
    plain.run(asked)
    happened: list[str] = []
    begun, launched, waited = timing, RunningBatch.decode, Timing.finish

    def begin(*given: Any) -> Timing:
        happened.append("begun")
        return begun(*given)

    def launch(flight: RunningBatch) -> None:
        happened.append("launched" if flight.active else "idle")
        launched(flight)

    def wait(begun: Timing) -> tuple[Segment, ...]:
        happened.append("waited")
        return waited(begun)

    monkeypatch.setattr("asr.engines.whisper.result.timing", begin)
    monkeypatch.setattr(RunningBatch, "decode", launch)
    monkeypatch.setattr(Timing, "finish", wait)
    ahead = models.Caller(models.recording(tiny.checkpoint, **AHEAD))
    ahead.run(asked)
    text = " ".join(happened)
    assert happened.count("begun") == happened.count("waited") > 3
    assert text.count("begun waited") <= 1, "but for the last one there was something to launch"
    assert "begun launched waited" in text
    for window in asked:
        for one, other in zip(
            plain.finals[window].segments, ahead.finals[window].segments, strict=True
        ):
            assert (one.text, one.tokens) == (other.text, other.tokens)
            assert [(w.text, w.start, w.end) for w in one.words] == [
                (w.text, w.start, w.end) for w in other.words
            ]


def test_a_window_that_is_dropped_while_its_words_are_timed_is_not_answered(
    endless: Twins,
) -> None:
    engine = models.recording(endless.checkpoint, **AHEAD)
    timed, other = models.windows(2, [replace(WORDS[0], max_new_tokens=6), WORDS[1]])
    results = engine.step([timed, other])
    while all(each.status is not SequenceStatus.TIMING for each in engine._sequences):
        results += engine.step([])
        assert engine.held() == 2
    engine.drop(timed)
    assert engine.held() == 1
    while engine.held():
        results += engine.step([])
    assert [result.window for result in results if result.is_final] == [other]
