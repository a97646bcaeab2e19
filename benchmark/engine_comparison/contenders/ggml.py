"""Rewrite a Whisper checkpoint as the ggml file that whisper.cpp reads."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt
from safetensors.numpy import load_file

MAGIC = 0x67676D6C  # A ggml file begins with this number.
HALF = 1  # A file of this type has its matrices in float16.
FREQUENCIES = 201  # A mel filter has so many frequencies.
# Transformers' names become OpenAI's, which the file has.
INNER_NAMES = (
    ("encoder_attn_layer_norm", "cross_attn_ln"),
    ("self_attn_layer_norm", "attn_ln"),
    ("final_layer_norm", "mlp_ln"),
    ("encoder_attn", "cross_attn"),
    ("self_attn", "attn"),
    ("q_proj", "query"),
    ("k_proj", "key"),
    ("v_proj", "value"),
    ("out_proj", "out"),
    ("fc1", "mlp.0"),
    ("fc2", "mlp.2"),
    ("layers", "blocks"),
    ("embed_positions.weight", "positional_embedding"),
    ("embed_tokens", "token_embedding"),
)


def write_ggml(checkpoint: Path, target: BinaryIO) -> None:
    """Write the checkpoint in whisper.cpp's format: sizes, filters, tokens, weights."""
    config = json.loads((checkpoint / "config.json").read_text())
    sizes = (
        config["vocab_size"],
        config["max_source_positions"],
        config["d_model"],
        config["encoder_attention_heads"],
        config["encoder_layers"],
        config["max_target_positions"],
        config["d_model"],
        config["decoder_attention_heads"],
        config["decoder_layers"],
        config["num_mel_bins"],
    )
    target.write(struct.pack("<12i", MAGIC, *sizes, HALF))
    mels = config["num_mel_bins"]
    target.write(struct.pack("<2i", mels, FREQUENCIES))
    target.write(mel_filters(mels).astype("<f4").tobytes())
    _write_tokens(checkpoint, target)
    for file in sorted(checkpoint.glob("*.safetensors")):
        for name, weight in load_file(file).items():
            if not name.startswith("proj_out"):  # the token embedding again
                _write_weight(name, weight, target)


def _write_tokens(checkpoint: Path, target: BinaryIO) -> None:
    """Write the bytes of the text tokens, in order.

    The library names the special tokens itself.
    """
    described = json.loads((checkpoint / "tokenizer.json").read_text())
    added = {token["id"] for token in described["added_tokens"]}
    bytes_of = _letter_bytes()
    tokens = sorted((n, piece) for piece, n in described["model"]["vocab"].items())
    texts = [bytes(bytes_of[letter] for letter in piece) for n, piece in tokens if n not in added]
    target.write(struct.pack("<i", len(texts)))
    for text in texts:
        target.write(struct.pack("<i", len(text)) + text)


def _write_weight(name: str, weight: npt.NDArray[Any], target: BinaryIO) -> None:
    name = ggml_name(name)
    if name in {"encoder.conv1.bias", "encoder.conv2.bias"}:
        weight = weight[:, None]
    is_matrix = weight.ndim > 1 and not name.endswith(("bias", "positional_embedding"))
    encoded = name.encode()
    header = struct.pack("<3i", weight.ndim, len(encoded), int(is_matrix))
    shape = struct.pack(f"<{weight.ndim}i", *reversed(weight.shape))
    target.write(header + shape + encoded)
    target.write(np.ascontiguousarray(weight, "<f2" if is_matrix else "<f4").tobytes())


def ggml_name(name: str) -> str:
    """Return OpenAI's name of the weight that Transformers calls `name`."""
    name = name.removeprefix("model.")
    last = {"encoder.layer_norm": "encoder.ln_post", "decoder.layer_norm": "decoder.ln"}
    for before, after in last.items():
        if name.startswith(before):
            return name.replace(before, after)
    for before, after in INNER_NAMES:
        name = name.replace(before, after)
    return name


def mel_filters(mels: int) -> npt.NDArray[np.float32]:
    """Return Slaney's triangular filters for 0 to 8000 Hz, [mels, frequencies]."""

    def mel(hertz: float) -> float:
        return (
            hertz * 3 / 200 if hertz < 1000 else 15 + 27 * float(np.log(hertz / 1000) / np.log(6.4))
        )

    points = np.linspace(0.0, mel(8000.0), mels + 2)
    hertz = np.where(points < 15, points * 200 / 3, 1000 * 6.4 ** ((points - 15) / 27))
    bins = np.linspace(0.0, 8000.0, FREQUENCIES)
    rising = (bins - hertz[:-2, None]) / np.diff(hertz)[:-1, None]
    falling = (hertz[2:, None] - bins) / np.diff(hertz)[1:, None]
    triangles = np.maximum(0.0, np.minimum(rising, falling))
    return np.asarray(triangles * (2 / (hertz[2:] - hertz[:-2]))[:, None], np.float32)


def _letter_bytes() -> dict[str, int]:
    """Return the byte of each letter of a byte-level vocabulary."""
    plain = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [byte for byte in range(256) if byte not in plain]
    return {chr(byte): byte for byte in plain} | {
        chr(256 + n): byte for n, byte in enumerate(others)
    }
