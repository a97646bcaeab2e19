"""Names stand in the prompt of every window, and the end of the text behind them."""

from __future__ import annotations

from typing import Any

import pytest
from transformers import WhisperProcessor

from asr.config.config import DEMO_MODEL
from asr.engines.engine import Window
from asr.engines.whisper.decoding.prompt import Prompt
from asr.options import Options
from tests.support.models import POSITIONS, Caller, noise, recording, written
from tests.support.twins import Twins

pytestmark = pytest.mark.usefixtures("needs_demo_model")

DECODER = 448  # positions, as in every Whisper model


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    return WhisperProcessor.from_pretrained(DEMO_MODEL).tokenizer


def written_as(prompt: Prompt, tokenizer: Any) -> str:
    return str(tokenizer.decode(prompt.tokens))


@pytest.mark.parametrize(
    ("options", "text"),
    [
        (Options(), ""),
        (Options(prompt="  "), "<|startofprev|>"),
        (Options(prompt="Good morning."), "<|startofprev|> Good morning."),
        (Options(vocabulary=("Ogden", "New York")), "<|startofprev|> Glossary: Ogden, New York."),
        (
            Options(prompt="Good morning.", vocabulary=("Ogden",)),
            "<|startofprev|> Glossary: Ogden. Good morning.",
        ),
        (Options(vocabulary=("<|en|>", "b")), "<|startofprev|> Glossary: < |en|>, b."),
    ],
)
def test_names_stand_before_the_text(tokenizer: Any, options: Options, text: str) -> None:
    prompt = Prompt.of(options, tokenizer, DECODER)
    assert written_as(prompt, tokenizer) == text
    assert prompt.left_out == ()


def test_of_a_long_text_the_end_stays_and_of_the_names_all(tokenizer: Any) -> None:
    text = " ".join(f"word {number}" for number in range(300))
    names = tuple(f"name {number}" for number in range(8))
    alone = Prompt.of(Options(prompt=text), tokenizer, DECODER)
    both = Prompt.of(Options(prompt=text, vocabulary=names), tokenizer, DECODER)
    assert len(alone.tokens) == len(both.tokens) == DECODER // 2 - 1
    assert written_as(both, tokenizer).startswith(
        "<|startofprev|> Glossary: name 0, name 1, name 2"
    )
    for prompt in (alone, both):
        assert written_as(prompt, tokenizer).endswith("word 298 word 299")


def test_names_without_room_are_left_out_whole_and_told(tokenizer: Any) -> None:
    names = tuple(f"name {number}" for number in range(400))
    text = " ".join(names)
    prompt = Prompt.of(Options(prompt=text, vocabulary=names), tokenizer, DECODER)
    known = names[: len(names) - len(prompt.left_out)]
    assert known + prompt.left_out == names
    assert written_as(prompt, tokenizer).startswith(
        f"<|startofprev|> Glossary: {', '.join(known)}."
    )
    own = Prompt.of(Options(vocabulary=known), tokenizer, DECODER).tokens
    assert prompt.tokens[: len(own)] == own
    quarter = (DECODER // 2 - 2) // 4
    assert quarter <= len(prompt.tokens) - len(own) < quarter + 8
    assert len(prompt.tokens) == DECODER // 2 - 1


def test_a_name_that_has_no_room_lets_shorter_ones_in(tokenizer: Any) -> None:
    long = " ".join(f"name {number}" for number in range(200))
    prompt = Prompt.of(Options(vocabulary=("Ada", long, "Bob")), tokenizer, DECODER)
    assert written_as(prompt, tokenizer) == "<|startofprev|> Glossary: Ada, Bob."
    assert prompt.left_out == (long,)


def test_what_looks_like_a_special_token_is_text(tokenizer: Any) -> None:
    options = Options(prompt="a <|endoftext|> c", vocabulary=("<|en|>",))
    prompt = Prompt.of(options, tokenizer, DECODER)
    assert written_as(prompt, tokenizer) == (
        "<|startofprev|> Glossary: < |en|>. a < |endoftext|> c"
    )
    assert not set(prompt.tokens[1:]) & set(tokenizer.all_special_ids)


def test_the_engine_decodes_behind_the_names_and_tells_which_it_lacks(tiny: Twins) -> None:
    names = tuple(str(number) for number in range(100, 100 + POSITIONS))
    asked = [
        Window(noise(0), 0.0, Options(language="en")),
        Window(noise(0), 0.0, Options(language="en", vocabulary=("100", "101"))),
        Window(noise(0), 0.0, Options(language="en", vocabulary=names)),
    ]
    engine = recording(tiny.checkpoint)
    none, some, _ = written(engine, asked)
    assert none != some
    opening = engine.sequences[asked[1]].opening
    assert opening.tokens[opening.start] == tiny.checkpoint.vocabulary.start_of_transcript
    caller = Caller(recording(tiny.checkpoint))
    caller.run(asked)
    left_out = [caller.finals[window].left_out for window in asked]
    assert left_out[:2] == [(), ()]
    assert left_out[2] == names[len(names) - len(left_out[2]) :] != ()
