"""No speech without text goes unnoticed, no text without speech goes out, nothing comes twice."""

from dataclasses import replace

import numpy as np
import pytest

from asr.engines.engine import Window, WindowResult
from asr.metrics import Metrics
from asr.options import Options
from asr.transcript import Gap, Segment
from asr.transcription.coverage import SpeechCoverage
from asr.transcription.joiner import Joiner
from tests.conftest import RATE, KnownSpeech


def account(*spoken: tuple[float, float], overlap: float = 0.0) -> SpeechCoverage:
    return SpeechCoverage(KnownSpeech(*spoken), overlap, Metrics())


def window(start: float = 0.0, seconds: float = 30.0, **how) -> Window:
    return Window(np.zeros(round(seconds * RATE), np.float32), start, **how)


def said(start: float, end: float, text: str = " word") -> Segment:
    return Segment(start, end, text)


def test_speech_without_text_is_decoded_again_from_shortly_before_it_to_the_next_text():
    result = WindowResult(window(60.0), (said(1, 8), said(20, 29)), "es")
    [again] = account((61.0, 68.9), (74.0, 76.5), (80.0, 89.0)).windows_to_redecode(result)
    assert (again.start, again.end) == (73.7, 80.0)  # 68 to 68.9 is under a second
    assert again.options == Options(language="es")


def test_what_has_its_text_costs_no_second_decode():
    result = WindowResult(window(), (said(0.5, 9.2), said(10.1, 29.6)))
    books = account((0.0, 10.0), (10.0, 30.0))
    assert books.windows_to_redecode(result) == []
    books.record_result(result)
    books.record_text(result.segments)
    assert books.coverage().share == pytest.approx((30 - 0.8) / 30)
    assert books.coverage().gaps == ()


def test_times_that_are_a_little_off_are_no_gap():
    result = WindowResult(window(), (said(0.2, 9.8),))
    books = account((0.0, 10.0))
    books.record_result(result)
    books.record_text(result.segments)
    assert (books.coverage().speech, books.coverage().covered) == (10.0, 10.0)


def test_a_pause_between_two_texts_that_a_span_runs_over_is_no_gap():
    result = WindowResult(window(), (said(0, 4.9), said(5.5, 10)))
    books = account((0.0, 10.0))
    books.record_result(result)
    books.record_text(result.segments)
    assert books.coverage().share == 1.0


def test_speech_is_decoded_again_however_short_where_the_model_opens_a_segment_it_does_not_write():
    result = WindowResult(window(60.0, 29.0), (said(1, 27.1),), "en", opened=28.2)
    [again] = account((61.0, 87.1), (88.2, 88.6)).windows_to_redecode(result)
    assert (again.start, again.end) == (87.9, 89.0)
    assert (
        account((61.0, 87.1), (88.2, 88.3)).windows_to_redecode(result) == []
    )  # shorter than any word
    assert account((61.0, 87.1)).windows_to_redecode(result) == []
    unopened = replace(result, opened=None)
    assert account((61.0, 87.1), (88.2, 88.6)).windows_to_redecode(unopened) == []


def test_what_the_model_opens_is_decoded_again_ahead_of_longer_gaps():
    result = WindowResult(window(), (said(2, 4), said(9, 11), said(16, 29)), opened=29.2)
    parts = account((0.0, 30.0)).windows_to_redecode(result)
    assert [(p.start, p.end) for p in parts] == [(4, 9), (29, 30)]


def test_behind_the_last_text_half_a_second_is_decoded_again():
    result = WindowResult(window(), (said(1, 8), said(10, 28)))
    [again] = account((1.0, 8.9), (10.0, 28.0), (28.4, 29.0)).windows_to_redecode(result)
    assert (again.start, again.end) == (28.1, 30.0)
    assert account((1.0, 8.9), (10.0, 28.0), (28.4, 28.8)).windows_to_redecode(result) == []


def test_most_of_a_window_is_decoded_again_in_two_parts():
    first, second = account((1.0, 29.0)).windows_to_redecode(WindowResult(window(), ()))
    assert first.start == 0.7
    assert first.end == pytest.approx(second.start)
    assert second.end == 30.0
    assert 9 < first.seconds < 20


@pytest.mark.parametrize("seconds", [0.5, 0.8, 1.2, 1.5])
def test_of_a_window_that_is_hardly_longer_than_a_pause_everything_is_decoded_again(seconds):
    result = WindowResult(window(seconds=seconds), (), opened=0.0)
    parts = account((0.0, seconds)).windows_to_redecode(result)
    assert parts[0].start == 0.0
    assert parts[-1].end == pytest.approx(seconds)
    assert sum(part.seconds for part in parts) == pytest.approx(seconds)


def test_of_many_gaps_the_two_longest_are_decoded_again_in_order():
    segments = (said(2, 4), said(9, 11), said(13, 16), said(19, 20))
    parts = account((0.0, 24.0)).windows_to_redecode(WindowResult(window(), segments))
    assert [(p.start, p.end) for p in parts] == [(4, 9), (20, 30)]


def test_sentences_that_only_a_pause_parts_are_decoded_again_together():
    """Each alone would be decoded up to the next text, and the later one twice."""
    result = WindowResult(window(), (said(1, 8), said(20, 29)))
    [again] = account((1.0, 8.0), (10.0, 12.0), (13.0, 14.5), (20.0, 29.0)).windows_to_redecode(
        result
    )
    assert (again.start, again.end) == (9.7, 20.0)
    nothing = WindowResult(window(), ())
    first, second = account((2.0, 4.0), (26.0, 28.5)).windows_to_redecode(nothing)
    assert (first.start, second.end) == (1.7, 30.0)
    assert first.end == pytest.approx(second.start)


def test_what_two_windows_share_is_left_to_both():
    result = WindowResult(window(start=40.0, overlap=4.0), (said(8, 22),))
    assert account((40.0, 70.0), overlap=4.0).windows_to_redecode(result)[0].start == 44.0
    quiet = account((40.0, 44.5), (66.0, 70.0), overlap=4.0)
    assert quiet.windows_to_redecode(result) == []


def test_a_text_where_surely_nobody_speaks_is_thrown_away():
    result = WindowResult(window(100.0), (said(1, 3, " Hello."), said(20, 22, " Thank you.")))
    trusted = account((101.0, 103.0)).without_invented(result)
    assert [s.text for s in trusted.segments] == [" Hello."]
    assert trusted.rejected == "no speech"


def test_a_text_beside_its_speech_is_kept():
    result = WindowResult(window(), (said(4.0, 5.0, " Yes."),))
    assert account((2.7, 3.2)).without_invented(result).segments == result.segments


@pytest.mark.parametrize(
    ("text", "seconds", "why"),
    [
        (" one two three" * 20, 10.0, None),  # six words a second: very fast
        (" one two three" * 50, 10.0, "density"),
        (" one two three" * 4, 0.3, None),  # too few words to judge by
        ("我们在市场上买了三把绿色的椅子" * 6, 10.0, None),  # nine syllables a second
        ("我们在市场上买了三把绿色的椅子" * 20, 10.0, "density"),
        ("Rindfleischetikettierungsüberwachungsaufgabenübertragungsgesetz", 3.0, None),
    ],
)
def test_a_text_that_nobody_can_say_in_that_time_is_thrown_away(text, seconds, why):
    result = WindowResult(window(), (said(1.0, 1.0 + seconds, text),))
    trusted = account((1.0, 1.0 + seconds)).without_invented(result)
    assert trusted.rejected == why
    assert len(trusted.segments) == (why is None)


class Voice(KnownSpeech):
    """Speech at the given times, where a voice is as certain as is said."""

    def __init__(self, certainty: float | None, *spoken: tuple[float, float]) -> None:
        super().__init__(*spoken)
        self._certainty = certainty

    def certainty(self, start: float, end: float) -> float | None:
        return None if self._certainty is None else self._certainty * super().certainty(start, end)


def doubted(reason: str, start: float = 1.0, end: float = 3.0) -> Segment:
    return Segment(start, end, " Get off the car!", doubt=reason)


@pytest.mark.parametrize("reason", ["unlikely", "repetition", "no speech"])
@pytest.mark.parametrize(("certainty", "stays"), [(0.76, False), (0.95, True)])
def test_a_doubted_text_is_given_out_only_where_a_voice_is_certain(reason, certainty, stays):
    metrics = Metrics()
    books = SpeechCoverage(Voice(certainty, (60.8, 63.2)), 0.0, metrics)
    result = WindowResult(window(60.0), (doubted(reason),))
    kept = books.without_invented(result)
    assert (kept.segments == result.segments, kept.rejected) == (stays, None if stays else reason)
    counted = metrics.registry.get_sample_value("asr_texts_rejected_total", {"reason": reason})
    assert bool(counted) != stays
    books.record_result(kept)
    books.record_text(Joiner(0.0).push(kept))
    reasons = [gap.reason for gap in books.coverage().gaps]
    assert reasons == ([] if stays else [reason])


@pytest.mark.parametrize("certainty", [0.76, 0.95])
def test_a_text_of_nothing_but_the_vocabulary_needs_a_voice_too(certainty):
    books = SpeechCoverage(Voice(certainty, (0.0, 8.0)), 0.0, Metrics())
    asked = window(options=Options(vocabulary=("Carpincho", "New York")))
    alone = said(0, 2, " carpincho, carpincho."), said(2, 3, " York: car"), said(3, 4, " New")
    others = said(4, 6, " a carpincho"), said(6, 7, " Yorkshire"), said(7, 8, " carpinchos")
    result = WindowResult(asked, (*alone, *others))
    is_sure = certainty > 0.9
    kept = books.without_invented(result)
    assert kept.segments == ((*alone, *others) if is_sure else others)
    assert kept.rejected == (None if is_sure else "vocabulary")
    assert set(books.lasting(result).segments) <= set(kept.segments)
    without = WindowResult(window(), result.segments)
    assert books.without_invented(without).segments == without.segments


def test_one_doubted_segment_leaves_the_others_of_its_window():
    likely = said(5.0, 7.0, " Good morning.")
    result = WindowResult(window(), (doubted("unlikely"), likely))
    unsure = SpeechCoverage(Voice(0.5, (0.0, 8.0)), 0.0, Metrics())
    assert unsure.without_invented(result).segments == (likely,)


@pytest.mark.parametrize("track", [None, Voice(None, (0.0, 8.0))])
def test_without_a_detector_of_voices_only_the_unlikely_text_is_dropped(track):
    segments = (doubted("unlikely"), doubted("repetition", 3, 5), doubted("no speech", 5, 7))
    found = SpeechCoverage(track, 0.0, Metrics()).without_invented(WindowResult(window(), segments))
    assert (found.segments, found.rejected) == (segments[1:], "unlikely")


@pytest.mark.parametrize("track", [None, KnownSpeech((0.0, 8.0))])
@pytest.mark.parametrize("symbols", [" " + "_" * 70, " ...", " ♪♪♪", " -", " ¿?"])
def test_symbols_alone_are_no_text(track, symbols):
    segments = (said(0, 2, symbols), said(2, 4, " ¿Sí?"), said(4, 6, " မြန်မာ"), said(6, 8, " 7"))
    found = SpeechCoverage(track, 0.0, Metrics()).without_invented(WindowResult(window(), segments))
    assert (found.segments, found.rejected) == (segments[1:], "no words")


def test_without_a_detector_speech_is_not_judged():
    books = SpeechCoverage(None, 0.0, Metrics())
    result = WindowResult(window(), (said(1, 2, " a" * 900),))
    assert books.without_invented(result) == result
    assert books.windows_to_redecode(result) == []
    books.record_result(result)
    books.record_text(result.segments)
    assert books.coverage() is None
    assert books.is_silent(window())


def test_what_stays_without_text_is_reported_with_its_reason():
    books = account((2.0, 6.0), (30.0, 50.0), (70.0, 80.0))
    for result in (
        WindowResult(window(0.0), (said(2, 4),)),
        WindowResult(window(30.0), (), rejected="repetition"),
        WindowResult(window(60.0), (said(10, 20),)),
    ):
        books.record_result(result)
        books.record_text(Joiner(0.0).push(result))
    coverage = books.coverage()
    assert coverage.gaps == (Gap(4.0, 6.0, "no text"), Gap(30.0, 50.0, "repetition"))
    assert (coverage.speech, coverage.covered) == (34.0, 12.0)


def test_where_nobody_speaks_everything_is_covered():
    books = account()
    books.record_result(WindowResult(window()))
    assert (books.coverage().speech, books.coverage().share) == (0.0, 1.0)


def test_what_could_not_be_decoded_counts_as_speech_without_text():
    books = account((0.0, 6.0))
    books.record_result(WindowResult(window()))
    books.record_text([said(0.0, 6.0)])
    books.damage.declared, books.damage.decoded = 24.0, 6.0
    coverage = books.coverage()
    assert (coverage.speech, coverage.covered, coverage.share) == (24.0, 6.0, 0.25)
    assert coverage.gaps == (Gap(6.0, 24.0, "damaged audio"),)
