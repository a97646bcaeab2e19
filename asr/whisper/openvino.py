"""Whisper's encoder as an OpenVINO graph, which on a CPU takes little more than its products do.

The graph is made of the loaded module's weights, operation by operation (opset 15): nothing is
traced or exported, and nothing kept on disk, since compiling takes less than a second.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import openvino
import torch
from openvino import opset15 as ops

from asr.whisper.weights import Norm, Pair, Part

TYPES = {torch.float32: openvino.Type.f32, torch.bfloat16: openvino.Type.bf16}


def compiled(
    tensors: Mapping[str, torch.Tensor], config: Any, threads: int
) -> Callable[[torch.Tensor], torch.Tensor]:
    """What computes as the encoder of a `WhisperForConditionalGeneration` does.

    It takes [n, mels, 2 T], float32, and gives [n, T, D] in the tensors' dtype. The weights are in
    memory as the tensors' dtype has them and as OpenVINO packs them; of `tensors` nothing is kept,
    which may have a whole file mapped.

    Raises:
        RuntimeError: OpenVINO cannot run it here.
    """
    graph = Graph(Part(tensors, "model.encoder."), config)
    settings = {
        "PERFORMANCE_HINT": "LATENCY",  # one window at a time, on all threads
        "INFERENCE_NUM_THREADS": threads,
        "INFERENCE_PRECISION_HINT": TYPES[graph.dtype],
    }
    request = openvino.Core().compile_model(graph.model(), "CPU", settings).create_infer_request()
    constants, dtype, shape = graph.constants, graph.dtype, graph.shape

    def encode(features: torch.Tensor) -> torch.Tensor:
        assert constants  # kept: OpenVINO reads them where they lie
        heard = [request.infer([window[None]])[0] for window in features.numpy()]  # each [1, T, D]
        return torch.from_numpy(np.concatenate(heard)).to(dtype)

    encode(torch.zeros(1, *shape))  # packs the weights, before memory is planned
    return encode


class Graph:
    """One window's way through the encoder."""

    def __init__(self, encoder: Part, config: Any) -> None:
        self._encoder = encoder
        self._layers = config.encoder_layers
        self._heads = config.encoder_attention_heads
        self.shape = (config.num_mel_bins, 2 * config.max_source_positions)
        self.dtype = encoder.weight("layer_norm").dtype
        self.constants: list[Any] = []  # OpenVINO does not keep them alive

    def model(self) -> Any:
        encoder = self._encoder
        features = ops.parameter([1, *self.shape], openvino.Type.f32)
        x = ops.convert(features, TYPES[self.dtype])
        x = self._convolution(x, encoder.pair("conv1"), stride=1)
        x = self._convolution(x, encoder.pair("conv2"), stride=2)  # [1, D, T]
        x = ops.transpose(x, [0, 2, 1]) + self._constant(encoder.weight("embed_positions"))
        for number in range(self._layers):
            x = self._layer(x, encoder.part(f"layers.{number}."))
        x = self._norm(x, encoder.pair("layer_norm"))
        return openvino.Model([ops.convert(x, openvino.Type.f32)], [features], "encoder")

    def _layer(self, x: Any, layer: Part) -> Any:
        normed = self._norm(x, layer.pair("self_attn_layer_norm"))
        x = x + self._attention(normed, layer.part("self_attn."))
        wide = self._linear(self._norm(x, layer.pair("final_layer_norm")), *layer.pair("fc1"))
        return x + self._linear(ops.gelu(wide, "erf"), *layer.pair("fc2"))

    def _attention(self, x: Any, attention: Part) -> Any:
        """[1, T, D], by heads and back; the operation scales the query by S ** -0.5."""
        query = self._by_head(self._linear(x, *attention.pair("q_proj")))
        key = self._by_head(self._linear(x, attention.weight("k_proj")))
        value = self._by_head(self._linear(x, *attention.pair("v_proj")))
        heard = ops.transpose(ops.scaled_dot_product_attention(query, key, value), [0, 2, 1, 3])
        return self._linear(ops.reshape(heard, [0, 0, -1], True), *attention.pair("out_proj"))

    def _by_head(self, x: Any) -> Any:
        """[1, T, D] → [1, H, T, S]."""
        return ops.transpose(ops.reshape(x, [0, 0, self._heads, -1], True), [0, 2, 1, 3])

    def _convolution(self, x: Any, pair: Pair, stride: int) -> Any:
        weight, bias = pair
        y = ops.convolution(x, self._constant(weight), [stride], [1], [1], [1])
        return ops.gelu(y + self._constant(bias[:, None]), "erf")

    def _linear(self, x: Any, weight: torch.Tensor, bias: torch.Tensor | None = None) -> Any:
        y = ops.matmul(x, self._constant(weight), False, True)
        return y if bias is None else y + self._constant(bias)

    def _norm(self, x: Any, pair: Pair) -> Any:
        norm = Norm(*pair)
        y = ops.mvn(x, ops.constant([-1]), True, norm.epsilon, "inside_sqrt")
        return y * self._constant(norm.weight) + self._constant(norm.bias)

    def _constant(self, tensor: torch.Tensor) -> Any:
        whole = tensor.contiguous()
        bits = whole.view(torch.int16) if whole.dtype == torch.bfloat16 else whole
        self.constants.append(bits.numpy())
        shared = openvino.Tensor(self.constants[-1], list(whole.shape), TYPES[self.dtype])
        return ops.constant(shared, shared_memory=True)
