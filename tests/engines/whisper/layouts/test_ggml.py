"""A ggml file that cannot be used is refused in one sentence."""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from asr.config.config import Config
from asr.engines.hub import locate
from asr.engines.whisper.layouts.describe import describe
from asr.engines.whisper.layouts.ggml import read
from asr.errors import ConfigError
from tests.support.layouts import Model, ggml_tensor, write_ggml

FILTERS = 48  # At this byte the header ends, and the sizes of the mel filters follow.
TOKENS = FILTERS + 8 + 80 * 201 * 4  # At this byte the number of tokens stands.
EMBEDDINGS = b"decoder.token_embedding.weight"  # Its head and its two sizes stand before it.

Damage = Callable[[bytes], bytes]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return write_ggml(tmp_path_factory.mktemp("ggml") / "whole.bin", Model.demo()).read_bytes()


def put(place: int, form: str, *values: float) -> Damage:
    new = struct.pack(form, *values)
    return lambda whole: whole[:place] + new + whole[place + len(new) :]


def before(name: bytes, offset: int, form: str, *values: float) -> Damage:
    """Write numbers at some bytes before a name."""
    return lambda whole: put(whole.index(name) - offset, form, *values)(whole)


def renamed(old: bytes, new: bytes) -> Damage:
    assert len(old) == len(new)
    return lambda whole: whole.replace(old, new)


DAMAGES: dict[str, tuple[Damage, str]] = {  # the damage and the reason
    "cut in the header": (lambda whole: whole[:40], "is cut off or damaged"),
    "cut in the filters": (lambda whole: whole[:5_000], "the 80 x 201 mel filters would take"),
    "cut in the tokens": (lambda whole: whole[: TOKENS + 400], "is cut off or damaged"),
    "cut before the tensors": (
        lambda whole: whole[: whole.index(b"decoder.positional_embedding") - 20],
        "it has no tensors",
    ),
    "cut in a tensor": (lambda whole: whole[:1_500_000], "is cut off or damaged: the tensor"),
    "cut at the end": (lambda whole: whole[:-1], "is cut off or damaged: the tensor"),
    "more at the end": (lambda whole: whole + b"12345", "the head of a tensor would take"),
    "many layers": (put(20, "<i", 2**31 - 1), "has no tensor 'model.encoder.layers.3."),
    "no layers": (put(20, "<i", 0), "says encoder_layers is 0"),
    "negative width": (put(12, "<i", -160), "its decoder is 160 wide, its encoder -160"),
    "no heads": (put(16, "<i", 0), "says encoder_attention_heads is 0"),
    "other mels": (
        put(40, "<i", 2**31 - 1),
        "model.encoder.conv1.weight is 160 x 80 x 3, and the file's header asks for "
        "160 x 2147483647 x 3",
    ),
    "many tokens": (put(4, "<i", 2**31 - 1), "is 2894 x 160, and the file's header asks for"),
    "many filters": (put(FILTERS, "<2i", 2**31 - 1, 2**31 - 1), "is cut off or damaged"),
    "no filters": (put(FILTERS, "<2i", 0, 201), "its mel filters are 0 x 201"),
    "many names": (put(TOKENS, "<i", 2**31 - 1), "2147483647 tokens are named"),
    "no names": (put(TOKENS, "<i", 0), "0 tokens are named, and the model has 2894"),
    "long name": (put(TOKENS + 4, "<i", 2**31 - 1), "a token would take 2147483647 bytes"),
    "negative name": (put(TOKENS + 4, "<i", -1), "a token would take -1 bytes"),
    "many dimensions": (before(EMBEDDINGS, 20, "<i", 100), "a tensor has 100 dimensions"),
    "negative dimension": (before(EMBEDDINGS, 8, "<i", -5), "is 2894 x -5"),
    "large tensor": (before(EMBEDDINGS, 8, "<2i", 2**30, 2**30), "would take 23058430092"),
    "long tensor name": (
        before(EMBEDDINGS, 16, "<i", 2**31 - 1),
        "a name would take 2147483647 bytes",
    ),
    "other shape": (before(EMBEDDINGS, 8, "<2i", 2894, 160), "is 160 x 2894, and the file's"),
    "q4_0": (before(EMBEDDINGS, 12, "<i", 2), "is q4_0; use a file of f32, f16, q8_0 or q5_0"),
    "q5_1": (before(EMBEDDINGS, 12, "<i", 7), "decoder.token_embedding.weight is q5_1"),
    "q6_K": (before(EMBEDDINGS, 12, "<i", 14), "decoder.token_embedding.weight is q6_K"),
    "unknown type": (before(EMBEDDINGS, 12, "<i", 99), "is of the unknown type 99"),
    "old q8_0": (before(EMBEDDINGS, 12, "<i", 8), "q8_0 of version 0; quantize it with"),
    "missing tensor": (
        renamed(b"decoder.blocks.1.mlp.0.weight", b"decoder.blocks.1.mlp.9.weight"),
        "has no tensor 'model.decoder.layers.1.fc1.weight'",
    ),
    "twice": (
        renamed(b"decoder.blocks.0.mlp.0.weight", b"decoder.blocks.1.mlp.0.weight"),
        "it has the tensor decoder.blocks.1.mlp.0.weight twice",
    ),
    "GGUF": (lambda whole: b"GGUF" + whole[4:], "is a GGUF file: name whisper.cpp's ggml .bin"),
    "another file": (lambda whole: b"OggS" + whole[4:], "holds no Whisper model by itself"),
    "empty": (lambda whole: whole[:0], "holds no Whisper model by itself"),
}


@pytest.mark.parametrize("name", DAMAGES)
def test_a_damaged_file_is_refused_in_one_line_that_names_it(
    whole: bytes, name: str, tmp_path: Path
) -> None:
    damage, reason = DAMAGES[name]
    path = tmp_path / "ggml.bin"
    path.write_bytes(damage(whole))
    config = Config(model_id=str(path), device="cpu", dtype="float32")
    with pytest.raises(ConfigError) as caught:
        describe(config, locate(config))
    message = str(caught.value)
    assert message.startswith(f"MODEL_ID={str(path)!r}")
    assert reason in message
    assert "\n" not in message
    assert not any(word in message for word in ("<class", "NoneType", "Traceback")), message


def test_rows_that_are_no_whole_blocks_are_refused(whole: bytes, tmp_path: Path) -> None:
    path = tmp_path / "ggml.bin"
    quantized = put(44, "<i", 2008)(whole)
    path.write_bytes(quantized + ggml_tensor("odd", np.zeros((2, 32), np.float32), "q8_0"))
    assert "odd" in read(path).tensors
    odd = before(b"odd", 8, "<i", 33)(path.read_bytes())
    path.write_bytes(odd)
    config = Config(model_id=str(path))
    with pytest.raises(ConfigError, match="its tensor odd of q8_0 is 2 x 33"):
        describe(config, locate(config))


def test_its_own_mel_filters_are_used(whole: bytes, tmp_path: Path) -> None:
    path = tmp_path / "ggml.bin"
    path.write_bytes(put(FILTERS + 8, "<f", 7)(whole))
    config = Config(model_id=str(path))
    extractor = describe(config, locate(config)).extractor
    assert extractor.mel_filters.shape == (201, 80)
    assert extractor.mel_filters[0, 0] == 7
