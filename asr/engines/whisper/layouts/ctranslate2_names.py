"""The places that CTranslate2 gives to a model's tensors: some are parts of a larger one."""

from __future__ import annotations

from dataclasses import dataclass

PROJECTIONS = {  # Attention's projections, and the part of the variable that each one is.
    "self_attn.q_proj": ("self_attention/linear_0", 0, 3),
    "self_attn.k_proj": ("self_attention/linear_0", 1, 3),
    "self_attn.v_proj": ("self_attention/linear_0", 2, 3),
    "self_attn.out_proj": ("self_attention/linear_1", 0, 1),
    "encoder_attn.q_proj": ("attention/linear_0", 0, 1),
    "encoder_attn.k_proj": ("attention/linear_1", 0, 2),
    "encoder_attn.v_proj": ("attention/linear_1", 1, 2),
    "encoder_attn.out_proj": ("attention/linear_2", 0, 1),
}
PARTS = (  # Transformers' words on the left; the first ones are looked for first.
    ("model.", ""),
    ("embed_positions.weight", "position_encodings/encodings"),
    ("decoder.embed_tokens", "decoder/embeddings"),
    ("proj_out", "decoder/projection"),
    ("self_attn_layer_norm", "self_attention/layer_norm"),
    ("encoder_attn_layer_norm", "attention/layer_norm"),
    ("final_layer_norm", "ffn/layer_norm"),
    ("layer_norm.weight", "layer_norm/gamma"),
    ("layer_norm.bias", "layer_norm/beta"),
    (".layers.", "/layer_"),
    ("fc1", "ffn/linear_0"),
    ("fc2", "ffn/linear_1"),
    (".", "/"),
)


@dataclass(frozen=True)
class Place:
    """One of several equal parts of the rows of a variable."""

    name: str
    part: int = 0
    parts: int = 1


def ctranslate2_place(name: str) -> Place:
    """Return where CTranslate2 has the tensor of this name in Transformers."""
    part, parts = 0, 1
    for projection, (variable, *place) in PROJECTIONS.items():
        if projection in name:
            name = name.replace(projection, variable)
            part, parts = place
    for theirs, ours in PARTS:
        name = name.replace(theirs, ours)
    return Place(name, part, parts)
