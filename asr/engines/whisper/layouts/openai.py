"""Read a .pt file of openai/whisper: sizes and tensors in an archive of torch, no tokenizer."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from huggingface_hub import hf_hub_download
from huggingface_hub.errors import EntryNotFoundError

from asr.config.config import Config
from asr.engines.model_files import TOKENIZER_FILE, UnusableFile, first_line, reading, unusable
from asr.engines.model_layout import ModelSource
from asr.engines.whisper.generation_settings import ENGLISH_VOCABULARY
from asr.engines.whisper.layouts import tokenizer_files
from asr.engines.whisper.layouts.description import Description, FileNames
from asr.engines.whisper.layouts.openai_names import openai_name
from asr.engines.whisper.layouts.published import MULTILINGUAL, WITH_CANTONESE
from asr.engines.whisper.layouts.sizes import (
    Sizes,
    checked_settings,
    extractor_of,
    generation_of,
    tokenizer_of,
)

SIZES, TENSORS = "dims", "model_state_dict"  # The archive holds a dictionary with these two keys.
DIMENSIONS = (  # These sizes are named in the order of `Sizes`.
    "n_vocab", "n_mels", "n_audio_ctx", "n_text_ctx", "n_audio_state", "n_audio_layer",
    "n_text_layer", "n_audio_head", "n_text_head",
)  # fmt: skip
PUBLISHED_TOKENIZERS = {  # These models of the hub have the tokenizers, by the number of tokens.
    ENGLISH_VOCABULARY: ("openai/whisper-tiny.en", "gpt2.tiktoken"),
    MULTILINGUAL: ("openai/whisper-tiny", "multilingual.tiktoken"),
    WITH_CANTONESE: ("openai/whisper-large-v3", "multilingual.tiktoken"),
}


@dataclass(frozen=True)
class OpenaiTensors:
    """Reads tensors of one archive by Transformers' names, onto `device` and as `dtype`."""

    name: str  # of the file
    tensors: Mapping[str, torch.Tensor]
    device: torch.device
    dtype: torch.dtype

    def __getitem__(self, name: str) -> torch.Tensor:
        return _found(self.tensors, name).to(self.device, self.dtype)

    def shape(self, name: str) -> tuple[int, ...]:
        return tuple(_found(self.tensors, name).shape)


def describe(config: Config, source: ModelSource) -> Description:
    """Read all but the weights, which are mapped into memory.

    Raises:
        ConfigError: the file is damaged, or there is no tokenizer for it.
    """
    path, name = source.path, source.path.name
    with reading(config, name):
        sizes, tensors = read(path)
    described = OpenaiTensors(name, tensors, torch.device("cpu"), torch.float32)
    settings = checked_settings(config, name, sizes, described.shape)
    extractor = extractor_of(config, name, settings)
    tokenizer, tokenizer_name = _tokenizer(config, path, settings.vocab_size)
    names = FileNames(name, name, tokenizer_name, name)
    generation = generation_of(config, settings, tokenizer, names)
    opened = partial(OpenaiTensors, name, tensors)
    kind = str(_found(tensors, "model.decoder.embed_tokens.weight").dtype).removeprefix("torch.")
    written = f"openai/whisper, {kind}"
    return Description(settings, extractor, tokenizer, generation, opened, names, written)


def read(path: Path) -> tuple[Sizes, dict[str, torch.Tensor]]:
    """Read the sizes and map the tensors.

    Raises:
        UnusableFile: it is cut off or damaged, or no checkpoint of openai/whisper.
    """
    _check_archive(path)
    content: Any = torch.load(path, "cpu", mmap=True, weights_only=True)
    if not isinstance(content, dict) or not {SIZES, TENSORS} <= content.keys():
        raise UnusableFile(f"is no checkpoint of openai/whisper: it has no {SIZES} or {TENSORS}")
    said, tensors = content[SIZES], content[TENSORS]
    sizes = [said.get(key) for key in DIMENSIONS] if isinstance(said, dict) else [None]
    if not all(type(size) is int for size in sizes):
        raise UnusableFile(f"is no checkpoint of openai/whisper: its {SIZES} are incomplete")
    if said.get("n_text_state", sizes[4]) != sizes[4]:
        raise UnusableFile("is damaged: its decoder and its encoder differ in width")
    if not isinstance(tensors, dict) or not all(
        isinstance(tensor, torch.Tensor) for tensor in tensors.values()
    ):
        raise UnusableFile(f"is no checkpoint of openai/whisper: {TENSORS} holds other things")
    return Sizes(*sizes), tensors


def _check_archive(path: Path) -> None:
    """Check that each entry lies in the file as it is, before anything is made of it."""
    try:
        with zipfile.ZipFile(path) as archive:
            entries = archive.infolist()
    except zipfile.BadZipFile as error:
        raise UnusableFile(f"is cut off or damaged ({first_line(error)})") from error
    if any(entry.compress_type != zipfile.ZIP_STORED for entry in entries):
        raise UnusableFile("is damaged: torch compresses nothing in its archives")
    if sum(entry.file_size for entry in entries) > path.stat().st_size:
        raise UnusableFile("is damaged: its entries are longer than the file")


def _found(tensors: Mapping[str, torch.Tensor], name: str) -> torch.Tensor:
    """Return a tensor by Transformers' name."""
    try:
        return tensors[openai_name(name)]
    except KeyError:
        raise KeyError(name) from None


def _tokenizer(config: Config, path: Path, vocabulary: int) -> tuple[Any, str]:
    """Return the tokenizer beside the file, or the one that the hub has for so many tokens."""
    beside = tokenizer_of(config, path.parent, vocabulary)
    if beside is not None:
        return beside
    repository, ranks = PUBLISHED_TOKENIZERS.get(vocabulary, (None, ""))
    remedy = f"put the model's {TOKENIZER_FILE} beside it"
    if repository is None:
        raise unusable(config, path.name, "has no tokenizer inside", remedy)
    try:
        file = _downloaded(config, repository)
    except (OSError, EntryNotFoundError) as error:
        reason = (
            f"has no tokenizer inside, and {repository} cannot be downloaded ({first_line(error)})"
        )
        remedy += f", or {ranks} of openai/whisper (from its whisper/assets)"
        raise unusable(config, path.name, reason, remedy) from error
    with reading(config, TOKENIZER_FILE):
        return tokenizer_files.read(file, vocabulary), TOKENIZER_FILE


def _downloaded(config: Config, repository: str) -> Path:
    """Return the file of a published tokenizer; the cache is asked first."""
    name, cache = TOKENIZER_FILE, config.cache_dir
    try:
        return Path(hf_hub_download(repository, name, cache_dir=cache, local_files_only=True))
    except EntryNotFoundError:
        return Path(hf_hub_download(repository, name, cache_dir=cache))
