"""A checkpoint is read as Transformers reads it, in whatever files it lies."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoTokenizer, WhisperForConditionalGeneration

from asr.config.config import DEMO_MODEL, Config
from asr.engines.engine import Window
from asr.engines.whisper import checkpoint
from asr.engines.whisper.decoding.tokens import prefix_tokens, spelled
from asr.errors import BadRequest
from tests.support.drafting import DraftingEngine, with_thresholds
from tests.support.models import (
    POSITIONS,
    TINY,
    Caller,
    NumberTokenizer,
    generation_config,
    recording,
    windows,
    written,
)
from tests.support.twins import Twins

CPU = torch.device("cpu")


def stored(model: WhisperForConditionalGeneration) -> dict[str, torch.Tensor]:
    """What a file of a checkpoint holds: tied weights once."""
    found = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    del found["proj_out.weight"]
    return found


def test_quantized_weights_are_not_for_this_engine(tmp_path: Path) -> None:
    settings = json.loads((DEMO_MODEL / "config.json").read_text())
    settings["quantization_config"] = {"quant_method": "bitsandbytes", "load_in_8bit": True}
    (tmp_path / "config.json").write_text(json.dumps(settings))
    assert not checkpoint.is_whisper(Config(model_id=str(tmp_path)))


def test_the_embedded_model_is_one_for_this_engine() -> None:
    assert checkpoint.is_whisper(Config(model_id="demo"))


def known(window: Window, text: Sequence[int], **changes: Any) -> Window:
    """The window with a text that it begins with."""
    prefix = "".join(f" {token}" for token in text)
    return replace(window, options=replace(window.options, prefix=prefix, **changes))


@pytest.fixture(scope="module")
def untimed(tiny: Twins) -> dict[Window, list[int]]:
    """Windows without timestamps, and the text of each as `generate` writes it, with its end."""
    asked = [known(window, ()) for window in windows(12)]
    none = [replace(w, options=replace(w.options, timestamps="none")) for w in asked]
    return {
        window: tiny.reference(like.samples, like.options)
        for window, like in zip(asked, none, strict=True)
    }


def test_behind_an_empty_prefix_is_the_text_without_timestamps(
    tiny: Twins, untimed: dict[Window, list[int]]
) -> None:
    assert written(recording(tiny.checkpoint), list(untimed)) == list(untimed.values())


@pytest.mark.parametrize("share", [0.0, 0.3, 0.7, 1.0])
def test_behind_a_prefix_is_the_rest_of_the_text_whoever_is_beside_it(
    tiny: Twins, untimed: dict[Window, list[int]], share: float
) -> None:
    texts = [tokens[:-1] for tokens in untimed.values()]
    counts = [max(1, round(share * len(text))) if n % 3 else 0 for n, text in enumerate(texts)]
    asked = [
        known(window, text[:count])
        for window, text, count in zip(untimed, texts, counts, strict=True)
    ]
    engine = recording(tiny.checkpoint, slots=8, encoder_batch=5, few_rows=8)
    whole = list(untimed.values())
    rest = [tokens[count:] for tokens, count in zip(whole, counts, strict=True)]
    assert written(engine, asked) == rest
    assert [len(engine.sequences[window].opening.prefix) for window in asked] == counts


def test_every_attempt_to_decode_a_window_goes_on_behind_its_prefix(
    tiny: Twins, untimed: dict[Window, list[int]]
) -> None:
    [window, *_], [whole, *_] = list(untimed), list(untimed.values())
    asked = with_thresholds([known(window, whole[:2], timestamps="word")])
    engine = DraftingEngine(tiny)
    engine.transcribe(asked)
    attempts = engine.attempts[asked[0]]
    assert [attempt.temperature for attempt in attempts] == [0.0, 0.2, 0.4, 0.6, 0.8, 1.0]
    assert {tuple(attempt.prefix) for attempt in attempts} == {tuple(whole[:2])}
    assert attempts[0].tokens == whole[2:]
    assert engine.sequences[asked[0]].opening.tokens[-2:] == tuple(whole[:2])


def test_a_prefix_leaves_room_for_one_token_at_least(endless: Twins) -> None:
    room = POSITIONS - 4 - 1  # behind the opening
    most, longer = (known(window, [9] * (room + n)) for n, window in enumerate(windows(2)))
    caller = Caller(engine := recording(endless.checkpoint))
    caller.run([most, longer])
    assert caller.finals[most].error is None
    assert len(engine.sequences[most].tokens) == 1
    error = caller.finals[longer].error
    assert isinstance(error, BadRequest)
    assert f"the prefix has {room + 1} tokens, and the model has room for {room}" in str(error)


def test_no_text_of_a_prefix_becomes_a_special_token() -> None:
    tokenizer = AutoTokenizer.from_pretrained(DEMO_MODEL)
    end = tokenizer.eos_token_id
    for text in (" so <|endoftext|><|startofprev|> it is", "<|en|>", " and  so,", "'s", ""):
        tokens = prefix_tokens(text, tokenizer, end, longest=99)
        assert all(token < end for token in tokens)
        assert spelled(tokens, tokenizer) == text
    with pytest.raises(BadRequest, match="special tokens"):
        prefix_tokens(" 50364", NumberTokenizer(generation_config(TINY)), 50257, longest=9)
