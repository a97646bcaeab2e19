"""A directory of CTranslate2 that cannot be used is refused in one sentence."""

from __future__ import annotations

import json
import re
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from asr.config.config import Config
from asr.engines.hub import locate
from asr.engines.load import load
from asr.engines.whisper.layouts.ctranslate2 import read
from asr.engines.whisper.layouts.describe import describe
from asr.engines.whisper.model import int8
from asr.engines.whisper.model.assembly import take
from asr.errors import ConfigError
from tests.support.layouts import Model, write_ctranslate2

EMBEDDINGS = b"decoder/embeddings/weight\0"  # A rank, two sizes, a type and a length follow.
CONFIG, WEIGHTS = "config.json", "model.bin"

Damage = Callable[[Path], None]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """The files of a model with int8 weights."""
    place = write_ctranslate2(tmp_path_factory.mktemp("ct2") / "model", Model.demo(), "int8")
    return {path.name: path.read_bytes() for path in place.iterdir()}


@pytest.fixture
def model(whole: dict[str, bytes], tmp_path: Path) -> Path:
    for name, content in whole.items():
        (tmp_path / name).write_bytes(content)
    return tmp_path


def weights(change: Callable[[bytes], bytes]) -> Damage:
    def damage(model: Path) -> None:
        path = model / WEIGHTS
        content = path.read_bytes()
        changed = change(content)
        assert changed != content
        path.write_bytes(changed)

    return damage


def put(after: bytes, offset: int, form: str, *values: int) -> Damage:
    """Write numbers at some bytes after a name."""

    def change(content: bytes) -> bytes:
        start = content.index(after) + len(after) + offset
        new = struct.pack(form, *values)
        return content[:start] + new + content[start + len(new) :]

    return weights(change)


def renamed(old: bytes, new: bytes) -> Damage:
    assert len(old) == len(new)
    return weights(lambda content: content.replace(old, new))


def said(**values: object) -> Damage:
    def damage(model: Path) -> None:
        found = json.loads((model / CONFIG).read_text()) | values
        (model / CONFIG).write_text(json.dumps(found))

    return damage


def written(name: str, content: bytes) -> Damage:
    return lambda model: (model / name).write_bytes(content) and None


def removed(name: str) -> Damage:
    return lambda model: (model / name).unlink()


DAMAGES: dict[str, tuple[Damage, str, str]] = {  # the damage, the file and the reason
    "no weights": (removed(WEIGHTS), CONFIG, "it has no model_type"),
    "empty": (written(WEIGHTS, b""), CONFIG, "no file beside it begins as CTranslate2's"),
    "cut in the header": (weights(lambda whole: whole[:30]), WEIGHTS, "is cut off or damaged"),
    "cut in a tensor": (weights(lambda whole: whole[:500_000]), WEIGHTS, "is cut off or damaged"),
    "cut at the end": (weights(lambda whole: whole[:-1]), WEIGHTS, "is cut off or damaged"),
    "another version": (
        weights(lambda whole: b"\5" + whole[1:]),
        WEIGHTS,
        "is of version 5 of CTranslate2's files, not 6; convert the model again",
    ),
    "a translator": (
        renamed(b"WhisperSpec", b"WhimperSpec"),
        WEIGHTS,
        "is CTranslate2's WhimperSpec, not WhisperSpec; name a Whisper model",
    ),
    "many variables": (put(b"Spec\0", 4, "<I", 2**32 - 1), WEIGHTS, "4294967295 variables"),
    "more variables": (put(b"Spec\0", 4, "<I", 200), WEIGHTS, "is cut off or damaged"),
    "long name": (put(b"Spec\0", 8, "<H", 65_535), WEIGHTS, "there should be a name"),
    "large tensor": (
        put(EMBEDDINGS, 1, "<2I", 2**32 - 1, 2**32 - 1),
        WEIGHTS,
        "decoder/embeddings/weight takes 463040 bytes, and 4294967295 x 4294967295 numbers",
    ),
    "empty tensor": (put(EMBEDDINGS, 1, "<2I", 0, 160), WEIGHTS, "is damaged"),
    "long tensor": (
        put(EMBEDDINGS, 10, "<I", 2**32 - 1),
        WEIGHTS,
        "the variable decoder/embeddings/weight would take 4294967295 bytes",
    ),
    "unknown type": (put(EMBEDDINGS, 9, "<B", 77), WEIGHTS, "is of the unknown type 77"),
    "other shape": (put(EMBEDDINGS, 1, "<2I", 160, 2894), WEIGHTS, "is damaged: "),
    "no scales": (
        renamed(b"weight_scale", b"weight_scala"),
        WEIGHTS,
        "of int8 has no scale",
    ),
    "no scales in a layer": (
        renamed(b"encoder/layer_2/ffn/linear_0/weight_s", b"encoder/layer_2/ffn/linear_0/weight_z"),
        WEIGHTS,
        "encoder/layer_2/ffn/linear_0/weight of int8 has no scale",
    ),
    "no convolution": (
        renamed(b"encoder/conv1/weight", b"encoder/conv9/weight"),
        WEIGHTS,
        "has no tensor 'model.encoder.conv1.weight'",
    ),
    "missing tensor": (
        renamed(b"decoder/layer_1/ffn/linear_0/weight\0", b"decoder/layer_1/ffn/linear_7/weight\0"),
        WEIGHTS,
        "has no tensor 'model.decoder.layers.1.fc1.weight'",
    ),
    "more layers": (
        renamed(b"decoder/layer_1/ffn/layer_norm", b"decoder/layer_9/ffn/layer_norm"),
        WEIGHTS,
        "has no tensor 'model.decoder.layers.",
    ),
    "odd heads": (put(b"decoder/num_heads\0", 6, "<H", 7), WEIGHTS, "decoder_attention_heads is 7"),
    "no heads": (renamed(b"num_heads", b"num_hands"), WEIGHTS, "how many heads its layers have"),
    "another activation": (
        put(b"decoder/activation\0", 6, "<B", 0),
        WEIGHTS,
        "has another activation than Whisper's GELU",
    ),
    "broken config": (written(CONFIG, b"{"), CONFIG, "is not JSON"),
    "words in config": (said(suppress_ids=["a"]), CONFIG, "suppress_ids that are no list of whole"),
    "heads of one": (said(alignment_heads=[[1]]), CONFIG, "alignment_heads that are no list"),
    "no tokens": (
        removed("vocabulary.json"),
        "tokenizer.json",
        "is missing, and so are vocabulary.json and vocabulary.txt; put the model's",
    ),
    "few tokens": (written("vocabulary.json", b'["a"]'), "vocabulary.json", "has 1 tokens of text"),
    "broken tokens": (written("vocabulary.json", b"["), "vocabulary.json", ""),
    "broken tokenizer": (written("tokenizer.json", b"{}"), "tokenizer.json", ""),
    "features of 8 kHz": (
        written("preprocessor_config.json", b'{"sampling_rate": 8000, "feature_size": 80}'),
        "preprocessor_config.json",
        "",
    ),
    "other mels": (
        written("preprocessor_config.json", b'{"feature_size": 128}'),
        "preprocessor_config.json",
        "feature_size gives 128, and 80 is needed",
    ),
}


@pytest.mark.parametrize("name", DAMAGES)
def test_a_damaged_model_is_refused_in_one_line_that_names_the_file(model: Path, name: str) -> None:
    damage, file, reason = DAMAGES[name]
    damage(model)
    config = Config(model_id=str(model), device="cpu", dtype="float32")
    with pytest.raises(ConfigError) as caught:
        describe(config, locate(config))
    message = str(caught.value)
    assert message.startswith(f"MODEL_ID={str(model)!r}")
    assert str(model / file) in message
    assert reason in message
    assert "\n" not in message
    assert not any(word in message for word in ("<class", "NoneType", "Traceback")), message


def test_packed_numbers_of_four_bits_are_refused_by_name(tmp_path: Path) -> None:
    model = write_ctranslate2(tmp_path / "model", Model.demo())
    put(EMBEDDINGS, 9, "<B", 3)(model)
    with pytest.raises(ConfigError, match="decoder/embeddings/weight is int32, as AWQ writes it"):
        load(Config(model_id=str(model), device="cpu", dtype="float32"))


def test_the_file_itself_may_be_named(model: Path) -> None:
    config = Config(model_id=str(model / WEIGHTS))
    assert describe(config, locate(config)).written == "CTranslate2, int8"
    removed("vocabulary.json")(model)
    with pytest.raises(ConfigError, match=re.escape(f"{model}/tokenizer.json is missing")):
        describe(config, locate(config))


def test_what_its_config_says_of_tokens_is_used(model: Path) -> None:
    said(suppress_ids=[5, 6], suppress_ids_begin=[7])(model)
    config = Config(model_id=str(model))
    generation = describe(config, locate(config)).generation
    assert generation.suppress_tokens == [5, 6]
    assert generation.begin_suppress_tokens == [7]


@pytest.mark.skipif(not int8.is_usable(), reason="this CPU or torch has no int8")
def test_weights_in_int8_are_packed_as_the_file_has_them(
    model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: list[int8.Int8Rows] = []
    pack = int8.pack

    def watched(rows: int8.Int8Rows, *how: bool) -> int8.Int8Matrix:
        given.append(rows)
        return pack(rows, *how)

    monkeypatch.setattr(int8, "pack", watched)
    config = Config(model_id=str(model))
    said = describe(config, locate(config))
    take(said.open_weights(torch.device("cpu"), torch.float32), said.settings, quantizes=True)
    variables = read(model / WEIGHTS).tensors
    names = ("decoder/embeddings/weight", *(  # in the order in which they are packed
        f"encoder/layer_0/{part}/weight"
        for part in ("self_attention/linear_0", "self_attention/linear_1", "ffn/linear_0")
    ))  # fmt: skip
    for name, rows in zip(names, given, strict=False):
        raw = np.fromfile(model / WEIGHTS, np.int8, rows.numbers.numel(), "", variables[name].start)
        assert torch.equal(rows.numbers, torch.from_numpy(raw).view(rows.numbers.shape))
    assert len(given) == 1 + 4 * said.settings.encoder_layers + 7 * said.settings.decoder_layers
