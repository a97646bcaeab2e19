"""The names that openai/whisper, and whisper.cpp after it, give to a model's tensors."""

from __future__ import annotations

PARTS = (  # Transformers' words on the left; the first ones are looked for first.
    ("model.", ""),
    ("encoder.embed_positions.weight", "encoder.positional_embedding"),
    ("decoder.embed_positions.weight", "decoder.positional_embedding"),
    ("embed_tokens", "token_embedding"),
    ("encoder.layer_norm", "encoder.ln_post"),
    ("decoder.layer_norm", "decoder.ln"),
    (".layers.", ".blocks."),
    ("self_attn_layer_norm", "attn_ln"),
    ("encoder_attn_layer_norm", "cross_attn_ln"),
    ("final_layer_norm", "mlp_ln"),
    ("self_attn.", "attn."),
    ("encoder_attn.", "cross_attn."),
    ("q_proj", "query"),
    ("k_proj", "key"),
    ("v_proj", "value"),
    ("out_proj", "out"),
    ("fc1", "mlp.0"),
    ("fc2", "mlp.2"),
)


def openai_name(name: str) -> str:
    """Return openai/whisper's name of a tensor that has this one in Transformers."""
    for theirs, ours in PARTS:
        name = name.replace(theirs, ours)
    return name
