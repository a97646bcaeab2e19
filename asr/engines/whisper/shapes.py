"""Hold the shapes of a checkpoint's tensors against those that its config.json asks for."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

Shape = tuple[int, ...]


def wrong_shape(
    shape_of: Callable[[str], Sequence[int]], settings: Any, asking: str = "config.json"
) -> str | None:
    """Say which tensor has another shape than asked; None: none has.

    Args:
        asking: what says how large the model is.

    Raises:
        KeyError: a tensor is missing.
    """
    for name, wanted in shapes(settings):
        shape = tuple(shape_of(name))
        if shape != wanted:
            return f"{name} is {_by(shape)}, and {asking} asks for {_by(wanted)}"
    return None


def _by(shape: Shape) -> str:
    return " x ".join(map(str, shape)) or "a single number"


def shapes(settings: Any) -> Iterator[tuple[str, Shape]]:
    """Yield the name and the shape of every tensor that is read."""
    width, encoder, decoder = settings.d_model, "model.encoder.", "model.decoder."
    yield from _pair(f"{encoder}conv1", (width, settings.num_mel_bins, 3))
    yield from _pair(f"{encoder}conv2", (width, width, 3))
    yield f"{encoder}embed_positions.weight", (settings.max_source_positions, width)
    yield f"{decoder}embed_tokens.weight", (settings.vocab_size, width)
    yield f"{decoder}embed_positions.weight", (settings.max_target_positions, width)
    if not settings.tie_word_embeddings:
        yield "proj_out.weight", (settings.vocab_size, width)
    for side, layers, inner, attentions in (
        (encoder, settings.encoder_layers, settings.encoder_ffn_dim, ("self_attn",)),
        (decoder, settings.decoder_layers, settings.decoder_ffn_dim, ("self_attn", "encoder_attn")),
    ):
        yield from _norm(f"{side}layer_norm", width)
        for number in range(layers):
            layer = f"{side}layers.{number}."
            for attention in attentions:
                yield from _attention(f"{layer}{attention}", width)
            yield from _norm(f"{layer}final_layer_norm", width)
            yield from _pair(f"{layer}fc1", (inner, width))
            yield from _pair(f"{layer}fc2", (width, inner))


def _attention(name: str, width: int) -> Iterator[tuple[str, Shape]]:
    """Yield the tensors of an attention; the key has no bias."""
    yield f"{name}.k_proj.weight", (width, width)
    for part in ("q_proj", "v_proj", "out_proj"):
        yield from _pair(f"{name}.{part}", (width, width))
    yield from _norm(f"{name}_layer_norm", width)


def _norm(name: str, width: int) -> Iterator[tuple[str, Shape]]:
    yield from _pair(name, (width,))


def _pair(name: str, weight: Shape) -> Iterator[tuple[str, Shape]]:
    """Yield a weight and its bias, which has one number for each row of it."""
    yield f"{name}.weight", weight
    yield f"{name}.bias", weight[:1]
