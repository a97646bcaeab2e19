"""Load a model's weights with Transformers, and refuse a checkpoint that lacks some of them."""

from __future__ import annotations

from typing import Any

import transformers
from transformers.models.auto import modeling_auto

from asr.config.config import Config
from asr.config.setting import MODEL_FILE
from asr.engines.model_files import reading, unusable
from asr.engines.whisper.layouts.description import TensorSource
from asr.engines.whisper.shapes import shapes

WEIGHTS_FILE = "model.safetensors"  # Messages name this file, of whatever names the weights are.
ONLY_FOR_TRAINING = ("masked_spec_embed",)  # Published models may lack these weights.
WRITERS: dict[str, str] = {  # kind of model → the class of it that writes what is said
    **modeling_auto.MODEL_FOR_SPEECH_SEQ_2_SEQ_MAPPING_NAMES,
    **modeling_auto.MODEL_FOR_RNNT_MAPPING_NAMES,
    **modeling_auto.MODEL_FOR_TDT_MAPPING_NAMES,
    **modeling_auto.MODEL_FOR_CTC_MAPPING_NAMES,
}


def writer(config: Config, description: Any) -> Any:
    """Return the class of Transformers that writes what is said, for a model's `AutoConfig`.

    Raises:
        ConfigError: the model does not transcribe speech.
    """
    named = [name for name in description.architectures or () if name in WRITERS.values()]
    kind = description.model_type
    if not named and not description.architectures and kind in WRITERS:
        named = [WRITERS[kind]]
    if not named:
        what = ", ".join(description.architectures or ()) or "no architecture"
        raise unusable(
            config,
            MODEL_FILE,
            f"describes a model that does not transcribe speech ({kind}: {what})",
            "name a Whisper model, or another one of the task automatic-speech-recognition",
        )
    return getattr(transformers, named[0])


def loaded(model_class: Any, config: Config, **how: Any) -> Any:
    """Load the weights of `config` as a model of this class.

    Raises:
        ConfigError: the files are damaged, or lack weights, which would be random numbers.
    """
    with reading(config, WEIGHTS_FILE):
        model, report = model_class.from_pretrained(
            config.model_path, cache_dir=config.cache_dir, output_loading_info=True, **how
        )
    missing = sorted(
        name for name in report["missing_keys"] if not name.endswith(ONLY_FOR_TRAINING)
    )
    if missing:
        raise unusable(config, WEIGHTS_FILE, f"has no tensor {missing[0]!r}")
    return model


def filled(
    model_class: Any, config: Config, settings: Any, tensors: TensorSource, **how: Any
) -> Any:
    """Make a Whisper model of tensors that Transformers cannot read from their file itself.

    Raises:
        ConfigError: the file is damaged.
    """
    with reading(config, tensors.name):
        found = {name: tensors[name] for name, _ in shapes(settings)}
        if settings.tie_word_embeddings:
            found["proj_out.weight"] = found["model.decoder.embed_tokens.weight"]
        return model_class.from_pretrained(None, config=settings, state_dict=found, **how)
