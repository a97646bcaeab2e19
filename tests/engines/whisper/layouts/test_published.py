"""What is published of OpenAI's models follows from their sizes."""

from __future__ import annotations

import pytest
from transformers import WhisperConfig

from asr.engines.whisper.layouts.published import ALIGNMENT_HEADS, alignment_heads, specials


@pytest.mark.parametrize(
    ("vocabulary", "text", "first_time", "last_language"),
    [
        (51_864, 50_256, 50_363, "su"),
        (51_865, 50_257, 50_364, "su"),
        (51_866, 50_257, 50_365, "yue"),
    ],
)
def test_special_tokens_follow_the_text_and_times_follow_them(
    vocabulary: int, text: int, first_time: int, last_language: str
) -> None:
    found = specials(vocabulary, text)
    assert found is not None
    assert text + len(found) == first_time
    assert found[:3] == ["<|endoftext|>", "<|startoftranscript|>", "<|en|>"]
    assert found[-7:] == [
        f"<|{name}|>"
        for name in (
            last_language, "translate", "transcribe", "startoflm", "startofprev", "nospeech",
            "notimestamps",
        )
    ]  # fmt: skip


@pytest.mark.parametrize(("vocabulary", "text"), [(51_865, 50_256), (51_864, 50_257), (40, 4)])
def test_numbers_of_tokens_that_do_not_fit_have_no_special_tokens(
    vocabulary: int, text: int
) -> None:
    assert specials(vocabulary, text) is None


@pytest.mark.parametrize(
    ("layers", "width", "vocabulary", "count"),
    [(4, 384, 51_864, 8), (6, 512, 51_865, 8), (32, 1280, 51_866, 10), (4, 1280, 51_866, 6)],
)
def test_heads_are_published_by_size(layers: int, width: int, vocabulary: int, count: int) -> None:
    sizes = WhisperConfig(decoder_layers=layers, d_model=width, vocab_size=vocabulary)
    assert len(alignment_heads(sizes) or ()) == count


def test_no_heads_are_published_of_distilled_models() -> None:
    sizes = WhisperConfig(decoder_layers=2, d_model=1280, vocab_size=51_866)
    assert alignment_heads(sizes) is None


def test_published_heads_are_heads_of_their_model() -> None:
    for (layers, width, _), heads in ALIGNMENT_HEADS.items():
        assert all(layer < layers and head < width // 64 for layer, head in heads)
        assert list(heads) == sorted(set(heads))
