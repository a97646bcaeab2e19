"""Read a ggml file of whisper.cpp: sizes, mel filters, tokens and tensors, one after the other."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from transformers import WhisperFeatureExtractor

from asr.config.config import Config
from asr.engines.model_files import UnusableFile, reading
from asr.engines.model_layout import ModelSource
from asr.engines.whisper.layouts import tokenizer_files
from asr.engines.whisper.layouts.binary_file import BinaryFile
from asr.engines.whisper.layouts.description import Description, FileNames
from asr.engines.whisper.layouts.number_formats import FLOAT16, FLOAT32, Q5_0, Q8_0, NumberFormat
from asr.engines.whisper.layouts.openai_names import openai_name
from asr.engines.whisper.layouts.sizes import Sizes, checked_settings, extractor_of, generation_of
from asr.engines.whisper.layouts.stored_tensors import StoredTensor, StoredTensors
from asr.engines.whisper.shapes import shapes

FORMATS = {0: FLOAT32, 1: FLOAT16, 6: Q5_0, 8: Q8_0}  # by ggml's number of the type
OTHER_FORMATS = {  # These types of ggml are refused by their names.
    2: "q4_0", 3: "q4_1", 7: "q5_1", 9: "q8_1", 10: "q2_K", 11: "q3_K", 12: "q4_K", 13: "q5_K",
    14: "q6_K", 15: "q8_K", 16: "iq2_xxs", 17: "iq2_xs", 18: "iq3_xxs", 19: "iq1_s", 20: "iq4_nl",
    21: "iq3_s", 22: "iq2_s", 23: "iq4_xs", 30: "bf16",
}  # fmt: skip
TYPES_REMEDY = "use a file of f32, f16, q8_0 or q5_0"  # The remedy for any other type.
QUANTIZED_AS = 1000  # The header's type counts the versions of quantization in thousands.
QUANTIZATION = 2  # Since this version the scales are float16.
MOST_DIMENSIONS = 4  # A tensor of ggml has no more.
MOST_TOKENS = 1_000_000  # No vocabulary has more.
MAGIC_BYTES = 4  # The file begins with so many bytes, which say that it is ggml.


@dataclass(frozen=True)
class GgmlFile:
    """What one file says."""

    sizes: Sizes
    mel_filters: npt.NDArray[np.float32]  # [mels, frequencies]
    tokens: list[bytes]
    tensors: dict[str, StoredTensor]  # by the names of openai/whisper

    def tensor(self, name: str) -> StoredTensor:
        """Return a tensor by Transformers' name; biases of convolutions stand in columns here.

        Raises:
            KeyError: there is none.
        """
        try:
            found = self.tensors[openai_name(name)]
        except KeyError:
            raise KeyError(name) from None
        if ".conv" in name and found.shape[1:] == (1,):
            return replace(found, shape=found.shape[:1])
        return found

    @property
    def number_format(self) -> str:
        """The format of most of its numbers."""
        largest = max(self.tensors.values(), key=lambda tensor: math.prod(tensor.shape))
        return largest.format.name


def describe(config: Config, source: ModelSource) -> Description:
    """Read all but the weights.

    Raises:
        ConfigError: the file is damaged, or of a kind that cannot be read.
    """
    path, name = source.path, source.path.name
    with reading(config, name):
        file = read(path)
    settings = checked_settings(config, name, file.sizes, lambda name: file.tensor(name).shape)
    extractor = extractor_of(config, name, settings)
    with reading(config, name):
        _set_filters(extractor, file.mel_filters)
        tokenizer = tokenizer_files.of_bytes(file.tokens, settings.vocab_size)
    names = FileNames(name, name, name, name)
    generation = generation_of(config, settings, tokenizer, names)
    places = {name: file.tensor(name) for name, _ in shapes(settings)}
    opened = partial(StoredTensors, path, places)
    written = f"ggml, {file.number_format}"
    return Description(settings, extractor, tokenizer, generation, opened, names, written)


def read(path: Path) -> GgmlFile:
    """Read a file's header and the places of its tensors.

    Raises:
        UnusableFile: it is cut off or damaged, or has numbers that cannot be read.
    """
    with BinaryFile(path) as file:
        file.skip(MAGIC_BYTES, "the magic number")
        sizes, version = _header(file)
        filters = _filters(file)
        tokens = _tokens(file, sizes.tokens)
        tensors: dict[str, StoredTensor] = {}
        while not file.is_at_end:
            name, tensor = _tensor(file, version)
            if name in tensors:
                raise UnusableFile(f"is damaged: it has the tensor {name} twice")
            tensors[name] = tensor
    if not tensors:
        raise UnusableFile("is cut off or damaged: it has no tensors")
    return GgmlFile(sizes, filters, tokens, tensors)


def _header(file: BinaryFile) -> tuple[Sizes, int]:
    """Read the sizes, and the version of quantization."""
    (tokens, frames, width, heads, layers, positions, text_width, text_heads, text_layers, mels,
     kind) = file.numbers("11i", "the header")  # fmt: skip
    if text_width != width:
        raise UnusableFile(f"is damaged: its decoder is {text_width} wide, its encoder {width}")
    sizes = Sizes(tokens, mels, frames, positions, width, layers, text_layers, heads, text_heads)
    return sizes, kind // QUANTIZED_AS


def _filters(file: BinaryFile) -> npt.NDArray[np.float32]:
    mels, frequencies = file.numbers("2i", "the sizes of the mel filters")
    if mels < 1 or frequencies < 1:
        raise UnusableFile(f"is damaged: its mel filters are {mels} x {frequencies}")
    what = f"the {mels} x {frequencies} mel filters"
    content = file.take(mels * frequencies * FLOAT32.group_bytes, what)
    return np.frombuffer(content, "<f4").reshape(mels, frequencies).copy()


def _tokens(file: BinaryFile, most: int) -> list[bytes]:
    count = file.number("i", "the number of tokens")
    if not 0 < count <= min(most, MOST_TOKENS):
        raise UnusableFile(f"is damaged: {count} tokens are named, and the model has {most}")
    return [file.take(file.number("i", "the length of a token"), "a token") for _ in range(count)]


def _tensor(file: BinaryFile, version: int) -> tuple[str, StoredTensor]:
    """Read the head of a tensor and pass over its numbers."""
    count, length, kind = file.numbers("3i", "the head of a tensor")
    if not 1 <= count <= MOST_DIMENSIONS:
        raise UnusableFile(f"is damaged: a tensor has {count} dimensions")
    lengths = file.numbers(f"{count}i", "the shape of a tensor")
    name = file.name(length)
    shape = tuple(reversed(lengths))
    form = _format(kind, version, name)
    if min(shape) < 1 or shape[-1] % form.group:
        dimensions = " x ".join(map(str, shape))
        raise UnusableFile(f"is damaged: its tensor {name} of {form.name} is {dimensions}")
    start = file.skip(form.size(math.prod(shape)), f"the tensor {name}")
    return name, StoredTensor(shape, form, start)


def _format(kind: int, version: int, name: str) -> NumberFormat:
    if kind not in FORMATS:
        called = OTHER_FORMATS.get(kind, f"of the unknown type {kind}")
        raise UnusableFile(f"has numbers that cannot be read: {name} is {called}", TYPES_REMEDY)
    form = FORMATS[kind]
    if form.group > 1 and version != QUANTIZATION:
        reason = f"has numbers that cannot be read: {form.name} of version {version}"
        raise UnusableFile(reason, f"quantize it with a whisper.cpp of version {QUANTIZATION}")
    return form


def _set_filters(extractor: WhisperFeatureExtractor, filters: npt.NDArray[np.float32]) -> None:
    """Use the file's own mel filters."""
    expected: Any = extractor.mel_filters  # [frequencies, mels]
    if filters.T.shape != expected.shape:
        found = " x ".join(map(str, filters.shape))
        wanted = " x ".join(map(str, expected.T.shape))
        raise UnusableFile(f"is damaged: its mel filters are {found}, and {wanted} are needed")
    extractor.mel_filters = filters.T
