"""Write Whisper models in the layouts of CTranslate2, openai/whisper and whisper.cpp."""

from __future__ import annotations

import base64
import json
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from safetensors.torch import load_file
from transformers import GenerationConfig, WhisperConfig, WhisperFeatureExtractor

from asr.config.config import DEMO_MODEL
from asr.engines.whisper.decoding.tokens import BYTES
from asr.engines.whisper.layouts.ctranslate2_names import ctranslate2_place
from asr.engines.whisper.layouts.openai_names import openai_name
from asr.engines.whisper.layouts.published import specials

Array = npt.NDArray[Any]

BLOCK = 32  # ggml quantizes so many numbers together.
CTRANSLATE2_TYPES = {"float32": 0, "int8": 1, "int16": 2, "float16": 4, "bfloat16": 5}
GGML_TYPES = {"f32": 0, "f16": 1, "q5_0": 6, "q8_0": 8}


@dataclass(frozen=True)
class Model:
    """Holds what every layout says, in Transformers' words."""

    tensors: dict[str, torch.Tensor]  # tied weights once
    settings: WhisperConfig
    tokens: list[str]  # in the byte-level alphabet: text, then the special ones, times aside
    generation: GenerationConfig

    @classmethod
    def demo(cls) -> Model:
        found = json.loads((DEMO_MODEL / "tokenizer.json").read_text())
        numbers = dict(found["model"]["vocab"])
        numbers |= {token["content"]: token["id"] for token in found["added_tokens"]}
        tokens = sorted(numbers, key=lambda token: int(numbers[token]))
        return cls(
            load_file(DEMO_MODEL / "model.safetensors"),
            WhisperConfig.from_pretrained(DEMO_MODEL),
            tokens[: tokens.index("<|0.00|>")],
            GenerationConfig.from_pretrained(DEMO_MODEL),
        )

    @classmethod
    def of(cls, model: Any) -> Model:
        """Take a random model, whose tokens are single bytes and pairs of them."""
        tensors = dict(model.state_dict())
        del tensors["proj_out.weight"]
        return cls(tensors, model.config, invented(model.config), model.generation_config)

    @property
    def heads(self) -> tuple[int, int]:
        return self.settings.encoder_attention_heads, self.settings.decoder_attention_heads

    @property
    def dimensions(self) -> dict[str, int]:
        """Return the sizes under openai/whisper's names, in the order of a ggml header."""
        sizes = self.settings
        return {
            "n_vocab": sizes.vocab_size,
            "n_audio_ctx": sizes.max_source_positions,
            "n_audio_state": sizes.d_model,
            "n_audio_head": sizes.encoder_attention_heads,
            "n_audio_layer": sizes.encoder_layers,
            "n_text_ctx": sizes.max_target_positions,
            "n_text_state": sizes.d_model,
            "n_text_head": sizes.decoder_attention_heads,
            "n_text_layer": sizes.decoder_layers,
            "n_mels": sizes.num_mel_bins,
        }


def invented(settings: WhisperConfig) -> list[str]:
    """Return the tokens of a vocabulary of a published size, the text made of single letters."""
    text = 50_256 if settings.vocab_size == 51_864 else 50_257
    letters = list(BYTES)
    pairs = (first + second for first in letters for second in letters)
    found = [*letters, *(next(pairs) for _ in range(text - len(letters)))]
    marks = specials(settings.vocab_size, text)
    assert marks is not None
    return found + marks


def write_openai(path: Path, model: Model, dtype: torch.dtype = torch.float32) -> Path:
    """Write a .pt file, which has no tokenizer."""
    tensors = {openai_name(name): tensor.to(dtype) for name, tensor in model.tensors.items()}
    torch.save({"dims": model.dimensions, "model_state_dict": tensors}, path)
    return path


def write_tiktoken(path: Path, model: Model) -> Path:
    """Write the tokens of text with their ranks."""
    text = model.tokens[: model.tokens.index("<|endoftext|>")]
    lines = [f"{base64.b64encode(token).decode() or '='} {n}\n" for n, token in _bytes(text)]
    path.write_text("".join(lines))
    return path


def _bytes(tokens: Sequence[str]) -> list[tuple[int, bytes]]:
    return [(n, b"".join(BYTES[letter] for letter in token)) for n, token in enumerate(tokens)]


def write_ggml(path: Path, model: Model, kind: str = "f16") -> Path:
    """Write a ggml file, as whisper.cpp's converter and its quantizer do."""
    version = 2000 if kind.startswith("q") else 0
    header = [*model.dimensions.values(), GGML_TYPES[kind] + version]
    extractor = WhisperFeatureExtractor(feature_size=model.settings.num_mel_bins)
    filters = np.asarray(extractor.mel_filters, np.float32).T
    with path.open("wb") as file:
        file.write(b"lmgg" + struct.pack(f"<{len(header)}i", *header))
        file.write(struct.pack("<2i", *filters.shape) + filters.tobytes())
        tokens = [content for _, content in _bytes(model.tokens)]
        file.write(struct.pack("<i", len(tokens)))
        file.writelines(struct.pack("<i", len(token)) + token for token in tokens)
        for name, tensor in model.tensors.items():
            file.write(ggml_tensor(openai_name(name), tensor.float().numpy(), kind))
    return path


def ggml_tensor(name: str, values: Array, kind: str) -> bytes:
    """Return one tensor of a ggml file; small ones are never narrowed, convolutions never q."""
    if ".conv" in name and name.endswith("bias"):
        values = values[:, None]
    if values.ndim < 2 or values.shape[1] == 1 or "positional" in name:
        kind = "f32"
    elif values.ndim > 2 and kind.startswith("q"):
        kind = "f16"
    shape = values.shape[::-1]
    head = struct.pack("<3i", len(shape), len(name), GGML_TYPES[kind])
    return head + struct.pack(f"<{len(shape)}i", *shape) + name.encode() + _ggml(values, kind)


def _ggml(values: Array, kind: str) -> bytes:
    if not kind.startswith("q"):
        return values.astype({"f32": "<f4", "f16": "<f2"}[kind]).tobytes()
    return {"q8_0": _q8_0, "q5_0": _q5_0}[kind](values.reshape(-1, BLOCK).astype(np.float32))


def _q8_0(blocks: Array) -> bytes:
    scales = np.abs(blocks).max(axis=1, keepdims=True) / 127
    numbers = np.rint(blocks / np.where(scales, scales, 1)).astype(np.int8)
    return np.hstack([scales.astype("<f2").view(np.uint8), numbers.view(np.uint8)]).tobytes()


def _q5_0(blocks: Array) -> bytes:
    """Write the number of the greatest size as -16, four bits of each first, then the fifths."""
    places = np.abs(blocks).argmax(axis=1)[:, None]
    scales = np.take_along_axis(blocks, places, axis=1) / -16
    fives = np.clip(np.rint(blocks / np.where(scales, scales, 1)) + 16, 0, 31).astype(np.uint8)
    high = np.packbits(fives >> 4, axis=1, bitorder="little")
    low = (fives[:, :16] & 15) | ((fives[:, 16:] & 15) << 4)
    return np.hstack([scales.astype("<f2").view(np.uint8), high, low]).tobytes()


def write_ctranslate2(directory: Path, model: Model, kind: str = "float32") -> Path:
    """Write model.bin, config.json and vocabulary.json, as CTranslate2's converter does."""
    directory.mkdir(exist_ok=True)
    variables = _variables(model, kind)
    with (directory / "model.bin").open("wb") as file:
        file.write(struct.pack("<I", 6) + _text("WhisperSpec") + struct.pack("<I", 3))
        file.write(struct.pack("<I", len(variables)))
        for name, (form, values) in sorted(variables.items()):
            file.write(_text(name) + struct.pack(f"<B{values.ndim}I", values.ndim, *values.shape))
            file.write(struct.pack("<BI", CTRANSLATE2_TYPES[form], values.nbytes))
            file.write(values.tobytes())
        file.write(struct.pack("<I", 1))  # one alias; its scales have none
        file.write(_text("decoder/projection/weight") + _text("decoder/embeddings/weight"))
    said = {
        "alignment_heads": model.generation.to_dict().get("alignment_heads"),
        "lang_ids": list((getattr(model.generation, "lang_to_id", None) or {}).values()),
        "suppress_ids": model.generation.suppress_tokens,
        "suppress_ids_begin": model.generation.begin_suppress_tokens,
    }
    (directory / "config.json").write_text(json.dumps(said))
    times = [f"<|{place / 50:.2f}|>" for place in range(1501)]
    (directory / "vocabulary.json").write_text(json.dumps(model.tokens + times))
    return directory


def _variables(model: Model, kind: str) -> dict[str, tuple[str, Array]]:
    """Return each variable with its type: what CTranslate2 joins is joined."""
    parts: dict[str, dict[int, torch.Tensor]] = {}
    for name, tensor in model.tensors.items():
        place = ctranslate2_place(name)
        parts.setdefault(place.name, {})[place.part] = tensor.float()
        if name.endswith("k_proj.weight"):
            bias = ctranslate2_place(name.replace("weight", "bias"))
            parts.setdefault(bias.name, {})[bias.part] = torch.zeros(len(tensor))
    found = {}
    for name, pieces in parts.items():
        joined = torch.cat([pieces[part] for part in sorted(pieces)])
        found |= _numbers(name, joined, kind)
    for side, heads in zip(("encoder", "decoder"), model.heads, strict=True):
        found[f"{side}/num_heads"] = ("int16", np.array(heads, np.int16))
    found["decoder/activation"] = ("int8", np.array(3, np.int8))
    return found


def _numbers(name: str, values: torch.Tensor, kind: str) -> dict[str, tuple[str, Array]]:
    """Quantize the weights of matrices, and convert the rest."""
    plain, _, rest = kind.partition("_")
    is_matrix = name.endswith("weight") and values.ndim == 2
    if plain == "int8" and is_matrix:
        scale = 127 / values.abs().amax(dim=1)
        whole = (values * scale[:, None]).round().to(torch.int8).numpy()
        return {name: ("int8", whole), f"{name}_scale": ("float32", scale.numpy())}
    if plain == "int16" and is_matrix:
        one = 2**10 / values.abs().max()
        whole = (values * one).round().to(torch.int16).numpy()
        return {name: ("int16", whole), f"{name}_scale": ("float32", one.numpy())}
    form = rest or ("float32" if plain.startswith("int") else plain)
    narrowed = values.to(getattr(torch, form))
    if form == "bfloat16":
        return {name: (form, narrowed.view(torch.int16).numpy())}
    return {name: (form, narrowed.numpy())}


def _text(text: str) -> bytes:
    return struct.pack("<H", len(text) + 1) + text.encode() + b"\0"
