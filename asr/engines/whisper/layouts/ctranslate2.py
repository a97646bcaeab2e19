"""Read a CTranslate2 directory: model.bin, and beside it config.json and the tokens."""

from __future__ import annotations

import json
import math
import re
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from transformers import WhisperConfig, WhisperFeatureExtractor

from asr.config.config import Config
from asr.config.parsers import has_file
from asr.config.setting import MODEL_FILE
from asr.engines.model_files import (
    FEATURES_FILE,
    TOKENIZER_FILE,
    UnusableFile,
    check_settings_files,
    reading,
    unusable,
)
from asr.engines.model_layout import ModelSource
from asr.engines.whisper.compatibility import check_features
from asr.engines.whisper.layouts.binary_file import BinaryFile
from asr.engines.whisper.layouts.ctranslate2_names import ctranslate2_place
from asr.engines.whisper.layouts.description import Description, FileNames
from asr.engines.whisper.layouts.number_formats import (
    BFLOAT16,
    FLOAT16,
    FLOAT32,
    INT8,
    INT16,
    INT32,
)
from asr.engines.whisper.layouts.sizes import (
    Sizes,
    checked_settings,
    extractor_of,
    generation_of,
    tokenizer_of,
)
from asr.engines.whisper.layouts.stored_tensors import StoredTensor, StoredTensors
from asr.engines.whisper.shapes import shapes

VERSION = 6  # Files of this version are read; CTranslate2 has written it since 3.0.
SPECIFICATION = "WhisperSpec"  # A Whisper model says that it is one.
FORMATS = {0: FLOAT32, 1: INT8, 2: INT16, 3: INT32, 4: FLOAT16, 5: BFLOAT16}
GELU = 3  # The activation of every Whisper model has this number.
MOST_VARIABLES = 100_000  # No model has more; large-v3 has 1,200.
LAYER = re.compile(r"(?P<side>encoder|decoder)/layer_(?P<number>[0-9]{1,9})/")
SETTINGS = {  # Keys of its config.json and those of Transformers' generation_config.json.
    "suppress_ids": "suppress_tokens",
    "suppress_ids_begin": "begin_suppress_tokens",
    "alignment_heads": "alignment_heads",
}
FORMATS_REMEDY = "use a conversion to float16, bfloat16, float32 or int8"
TOKENIZER_REMEDY = "put the model's tokenizer.json there"  # The remedy for a missing one.


@dataclass(frozen=True)
class Variables:
    """The variables of a model.bin by name."""

    tensors: dict[str, StoredTensor]
    path: Path

    def tensor(self, name: str) -> StoredTensor:
        """Return a tensor by Transformers' name; some are parts of a larger one here.

        Raises:
            KeyError: there is none.
            UnusableFile: it has no scales, and needs them.
        """
        place = ctranslate2_place(name)
        if place.name not in self.tensors:
            raise KeyError(name)
        found = self.tensors[place.name]
        if found.format is INT32:
            reason = f"has numbers that cannot be read: {place.name} is int32, as AWQ writes it"
            raise UnusableFile(reason, FORMATS_REMEDY)
        if found.format.needs_scale and found.scale is None:
            raise UnusableFile(f"is damaged: {place.name} of {found.format.name} has no scale")
        return found.rows(place.part, place.parts)

    def number(self, name: str) -> int | None:
        """Return a whole number that the model says of itself, if it does."""
        tensor = self.tensors.get(name)
        if tensor is None or tensor.shape or tensor.format not in (INT8, INT16):
            return None
        size = tensor.format.group_bytes
        return int(np.fromfile(self.path, f"<i{size}", 1, offset=tensor.start)[0])

    @property
    def number_format(self) -> str:
        """The format of most of its numbers."""
        largest = max(self.tensors.values(), key=lambda tensor: math.prod(tensor.shape))
        return largest.format.name


def describe(config: Config, source: ModelSource) -> Description:
    """Read all but the weights.

    Raises:
        ConfigError: a file is missing or damaged, or of a kind that cannot be read.
    """
    path, name = source.path, source.path.name
    with reading(config, name):
        variables = read(path)
        try:
            sizes = _sizes(variables)
        except KeyError as error:
            raise UnusableFile(f"has no tensor {error}") from error
    settings = checked_settings(config, name, sizes, lambda name: variables.tensor(name).shape)
    check_settings_files(config, path.parent)
    extractor = _extractor(config, path, settings)
    tokenizer, tokenizer_name = _tokenizer(config, path.parent, settings.vocab_size)
    names = FileNames(name, FEATURES_FILE, tokenizer_name, MODEL_FILE)
    with reading(config, MODEL_FILE):
        said = _said(path.parent / MODEL_FILE)
    generation = generation_of(config, settings, tokenizer, names, said)
    places = {name: variables.tensor(name) for name, _ in shapes(settings)}
    opened = partial(StoredTensors, path, places)
    written = f"CTranslate2, {variables.number_format}"
    return Description(settings, extractor, tokenizer, generation, opened, names, written)


def read(path: Path) -> Variables:
    """Read the places of all variables of a model.bin.

    Raises:
        UnusableFile: it is cut off or damaged, or has numbers that cannot be read.
    """
    with BinaryFile(path) as file:
        version = file.number("I", "the version")
        specification = _text(file)
        if specification != SPECIFICATION:
            reason = f"is CTranslate2's {specification}, not {SPECIFICATION}"
            raise UnusableFile(reason, "name a Whisper model")
        if version != VERSION:
            reason = f"is of version {version} of CTranslate2's files, not {VERSION}"
            raise UnusableFile(reason, "convert the model again with a newer CTranslate2")
        file.skip(4, "the revision")
        tensors = dict(_variable(file) for _ in range(_count(file, "variables")))
        aliases = [(_text(file), _text(file)) for _ in range(_count(file, "aliases"))]
    scaled = {name: _scaled(name, tensors) for name in tensors}
    scaled |= {alias: scaled[name] for alias, name in aliases if name in scaled}
    return Variables(scaled, path)


def _count(file: BinaryFile, what: str) -> int:
    count = file.number("I", f"the number of {what}")
    if count > MOST_VARIABLES:
        raise UnusableFile(f"is damaged: it says that it has {count} {what}")
    return count


def _text(file: BinaryFile) -> str:
    return file.name(file.number("H", "the length of a name"))


def _variable(file: BinaryFile) -> tuple[str, StoredTensor]:
    """Read the head of a variable and pass over its numbers."""
    name = _text(file)
    shape = file.numbers(f"{file.number('B', 'the rank of a variable')}I", f"the shape of {name}")
    kind = file.number("B", f"the type of {name}")
    size = file.number("I", f"the size of {name}")
    start = file.skip(size, f"the variable {name}")
    form = FORMATS.get(kind)
    if form is None:
        reason = f"has numbers that cannot be read: {name} is of the unknown type {kind}"
        raise UnusableFile(reason, FORMATS_REMEDY)
    tensor = StoredTensor(shape, form, start)
    if min(shape, default=1) < 1 or tensor.size != size:
        dimensions = " x ".join(map(str, shape))
        raise UnusableFile(
            f"is damaged: {name} takes {size} bytes, and {dimensions} numbers of {form.name} "
            f"take {tensor.size}"
        )
    return name, tensor


def _scaled(name: str, tensors: dict[str, StoredTensor]) -> StoredTensor:
    """Return a variable with its scales, where it has some."""
    tensor, scale = tensors[name], tensors.get(f"{name}_scale")
    if not tensor.format.needs_scale or scale is None:
        return tensor
    if scale.format.needs_scale or scale.shape not in {(), (1,), tensor.shape[:1]}:
        raise UnusableFile(f"is damaged: {name} has scales of another shape")
    return StoredTensor(tensor.shape, tensor.format, tensor.start, scale)


def _sizes(variables: Variables) -> Sizes:
    """Derive the sizes from the shapes of the tensors; the heads are said."""
    shape = {name: variables.tensor(f"model.{name}.weight").shape for name in (
        "encoder.conv1", "encoder.embed_positions", "decoder.embed_positions",
        "decoder.embed_tokens",
    )}  # fmt: skip
    if [len(found) for found in shape.values()] != [3, 2, 2, 2]:
        raise UnusableFile("is damaged: its tensors have other numbers of dimensions")
    heads = [variables.number(f"{side}/num_heads") for side in ("encoder", "decoder")]
    if None in heads:
        raise UnusableFile("is damaged: it does not say how many heads its layers have")
    activations = {variables.number(f"{side}/activation") for side in ("encoder", "decoder")}
    if not activations <= {None, GELU}:
        raise UnusableFile("has another activation than Whisper's GELU", "name a Whisper model")
    embeddings = shape["decoder.embed_tokens"]
    head = variables.tensors.get("decoder/projection/weight")
    return Sizes(
        tokens=embeddings[0],
        mels=shape["encoder.conv1"][1],
        frames=shape["encoder.embed_positions"][0],
        positions=shape["decoder.embed_positions"][0],
        width=embeddings[1],
        encoder_layers=_layers(variables, "encoder"),
        decoder_layers=_layers(variables, "decoder"),
        encoder_heads=heads[0] or 0,
        decoder_heads=heads[1] or 0,
        is_tied=head is None or head == variables.tensors["decoder/embeddings/weight"],
    )


def _layers(variables: Variables, side: str) -> int:
    """Count the layers, those with missing tensors too."""
    found = (LAYER.match(name) for name in variables.tensors)
    numbers = [int(match["number"]) for match in found if match and match["side"] == side]
    return max(numbers, default=-1) + 1


def _extractor(config: Config, path: Path, settings: WhisperConfig) -> WhisperFeatureExtractor:
    """Read the settings of the features where there are some; else derive them."""
    if not has_file(path.parent, FEATURES_FILE):
        return extractor_of(config, path.name, settings)
    with reading(config, FEATURES_FILE):
        extractor = WhisperFeatureExtractor.from_pretrained(str(path.parent))
        check_features(config, settings, extractor, FEATURES_FILE)
    return extractor


def _tokenizer(config: Config, directory: Path, vocabulary: int) -> tuple[Any, str]:
    found = tokenizer_of(config, directory, vocabulary)
    if found is None:
        reason = "is missing, and so are vocabulary.json and vocabulary.txt"
        raise unusable(config, TOKENIZER_FILE, reason, TOKENIZER_REMEDY)
    return found


def _said(path: Path) -> dict[str, Any] | None:
    """Return what config.json says of tokens and heads, under Transformers' names."""
    try:
        found = json.loads(path.read_bytes())
    except FileNotFoundError:
        return None
    said = {theirs: found.get(own) for own, theirs in SETTINGS.items()}
    for own, theirs in SETTINGS.items():
        values = said[theirs]
        if values is not None and not _is_list(values, is_paired=own == "alignment_heads"):
            raise UnusableFile(f"has {own} that are no list of whole numbers")
    return said


def _is_list(values: object, is_paired: bool) -> bool:
    """Whether a value is a list of whole numbers, or of pairs of them."""
    if not isinstance(values, list):
        return False
    if is_paired:
        return all(len(pair) == 2 and _is_list(pair, False) for pair in values)
    return all(type(value) is int and value >= 0 for value in values)
