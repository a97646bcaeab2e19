"""Whisper's encoder and decoder as plain functions over its weights and the KV cache.

Shapes: n windows or rows, T encoder frames, D width, H heads, S head size (H S = D).
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import torch
import torch.nn.functional as F  # noqa: N812

from asr.engines.whisper.model import byte_rows, int8, onednn
from asr.engines.whisper.model.cross_attention import attend, by_head, merged
from asr.engines.whisper.model.int8_cross_attention import QuantizedKeysAndValues
from asr.engines.whisper.model.kept_frames import KeptFrames
from asr.engines.whisper.model.kv_cache import KVCache
from asr.engines.whisper.model.weights import (
    DecoderLayer,
    DecoderWeights,
    EncoderLayer,
    EncoderWeights,
    Norm,
    Packing,
    Weights,
    half_dtype,
    linear,
)

HALF_LIMIT = torch.finfo(torch.float16).max - 1000  # Transformers clamps float16 to this too.
# A frame is convolved from its own two features, two before and one behind them: the frame behind
# the first n needs so many features more than their 2 n.
CONVOLVED_BEHIND = 3
READ_AT_ONCE = 64  # In int8 a row reads so many positions of its own past more at a time.


def encode(
    encoder: EncoderWeights, features: torch.Tensor, kept: KeptFrames | None = None
) -> torch.Tensor:
    """Encode log-mel features [n, mels, 2 T] → encoder output [n, T, D].

    Args:
        kept: which frames of these windows are computed, K of T, on a CPU: the output is
            [n, K, D] then; None: all.
    """
    if kept is None or kept.is_whole:
        x, bias = _convolved_all(encoder, features) + encoder.positions, None
    else:
        assert 2 * kept.frames == features.shape[2]
        x = _convolved_all(encoder, features[..., : 2 * kept.first + CONVOLVED_BEHIND])
        # What is behind the audio is silence, and each frame of it looks the same.
        silence = x[:, kept.first : kept.first + 1].expand(-1, kept.count - kept.first, -1)
        x = torch.cat([x[:, : kept.first], silence], dim=1) + encoder.positions[kept.places]
        bias = kept.log_counts
    if encoder.kernel is not None and encoder.kernel.takes(x.shape[1]):
        encoder.kernel.run(x, bias)
        return _normed(x, encoder.norm)
    for layer in encoder.layers:
        x = _encoder_layer(layer, encoder.heads, x, bias)
    return _normed(x, encoder.norm)


def _convolved_all(encoder: EncoderWeights, features: torch.Tensor) -> torch.Tensor:
    """Convolve log-mel features [n, mels, 2 T] → [n, T, D]."""
    if features.device.type == "cpu":
        x = torch.cat([_convolved(encoder, window) for window in features.split(1)])
    else:
        x = _convolved(encoder, features)
    return x.transpose(1, 2).contiguous()  # what every layer adds to keeps its strides


def _convolved(encoder: EncoderWeights, features: torch.Tensor) -> torch.Tensor:
    """Convolve log-mel features [n, mels, 2 T] → [n, D, T].

    On a CPU the last bits depend on n, and a number that int8 rounds the other way is off by more.
    """
    first, second = encoder.conv1, encoder.conv2
    x = F.conv1d(features.to(first.weight.dtype), first.weight, first.bias, padding=1)
    torch.ops.aten.gelu_(x)
    x = F.conv1d(x, second.weight, second.bias, stride=2, padding=1).to(features.dtype)
    return torch.ops.aten.gelu_(x)


def _encoder_layer(
    layer: EncoderLayer, heads: int, x: torch.Tensor, bias: torch.Tensor | None
) -> torch.Tensor:
    x = x + linear(_attended(layer, heads, x, bias), layer.attention_out)
    x = _fed(layer, x)
    return x.clamp(-HALF_LIMIT, HALF_LIMIT) if x.dtype == torch.float16 else x


def _attended(
    layer: EncoderLayer, heads: int, x: torch.Tensor, bias: torch.Tensor | None
) -> torch.Tensor:
    """Let every frame attend to all others, [n, T, D] → [n, T, D].

    Args:
        bias: [T], added to the scores of each frame.
    """
    dtype = half_dtype(layer.query_key_value.packing, x.dtype)
    projected = linear(_normed(x, layer.attention_norm), layer.query_key_value, dtype=dtype)
    # [n, T, 3 D] → [n, H, T, S] each
    query, key, value = (by_head(part, heads) for part in projected.chunk(3, dim=-1))
    if layer.query_key_value.is_packed and onednn.fuses_well():
        attended = onednn.attention(query, key, value, bias)  # [n, H, T, S]
    else:
        mask = None if bias is None else bias.to(query.dtype)[None]  # [1, T]
        attended = F.scaled_dot_product_attention(query, key, value, attn_mask=mask, scale=1.0)
    return merged(attended).to(x.dtype)


def prefill(
    weights: Weights, cache: KVCache, start: int, tokens: torch.Tensor, aligns: bool = False
) -> torch.Tensor:
    """Read the openings [n, L] of the slots from `start` on → hidden states [n, L, D].

    Openings may be padded at their end: nothing attends to what comes later, and decoding
    overwrites it.

    Args:
        aligns: whether to store the alignment heads' queries, for the times of words.
    """
    decoder = weights.decoder
    count, length = tokens.shape
    rows = slice(start, start + count)
    queries: list[torch.Tensor] = []  # [n, L, S] of each alignment head
    x = _embedded(decoder, tokens) + decoder.positions[:length]  # [n, L, D]
    for number, (layer, own) in enumerate(zip(decoder.layers, cache.own, strict=True)):
        projected = linear(_normed(x, layer.attention_norm), layer.query_key_value)  # [n, L, 3 D]
        query, key, value = (by_head(part, decoder.heads) for part in projected.chunk(3, dim=-1))
        own[0, rows, :, :length] = key
        own[1, rows, :, :length] = value
        attended = F.scaled_dot_product_attention(query, key, value, is_causal=True, scale=1.0)
        x = x + linear(merged(attended), layer.attention_out)
        query = by_head(linear(_normed(x, layer.cross_norm), layer.cross_query), decoder.heads)
        if aligns:
            queries += [query[:, head] for at, head in decoder.aligning if at == number]
        attended = cache.cross.attend(number, query, rows)
        x = x + linear(attended, layer.cross_out)
        x = _fed(layer, x)
    if aligns:
        cache.queries[rows, :length] = torch.stack(queries, dim=2)
    return _normed(x, decoder.norm)


def decode(
    weights: Weights,
    cache: KVCache,
    tokens: torch.Tensor,
    positions: torch.Tensor,
    length: int,
    aligns: bool = False,
) -> torch.Tensor:
    """Read one token [n] in each of the first n slots, at positions [n] → hidden states [n, D].

    Args:
        length: more than every position; how much of the caches is read.
        aligns: whether to store the alignment heads' queries, for the times of words.
    """
    decoder = weights.decoder
    x = _embedded(decoder, tokens) + decoder.positions[positions]  # [n, D]
    kernel, cross = decoder.kernel, cache.cross
    if kernel and kernel.takes(len(tokens)) and isinstance(cross, QuantizedKeysAndValues):
        made = kernel.run(x, positions, cache.own, cross.tables(len(tokens)))
        made = made.unflatten(2, (decoder.heads, -1))  # [layers, n, H, S]
        queries = [made[layer, :, head] for layer, head in decoder.aligning] if aligns else []
    else:
        x, queries = _through_layers(decoder, cache, x, positions, length, aligns)
    if aligns:
        count = len(tokens)
        rows = cache.queries[:count].flatten(0, 1)  # [n positions, heads, S]
        own_rows = torch.arange(count, device=x.device) * cache.positions
        rows.index_copy_(0, own_rows + positions, torch.stack(queries, dim=1))
    return _normed(x, decoder.norm)


def _through_layers(
    decoder: DecoderWeights,
    cache: KVCache,
    x: torch.Tensor,
    positions: torch.Tensor,
    length: int,
    aligns: bool,
) -> tuple[torch.Tensor, list[torch.Tensor]]:
    """Run all layers → hidden states [n, D], and the alignment heads' queries, [n, S] each."""
    count, heads = len(x), decoder.heads
    queries = []
    places = (cache.places[:count] + positions[:, None, None]).flatten()  # [n 2 H]
    lengths = None
    if decoder.layers[0].query_key_value.packing is Packing.INT8:
        lengths = [_read_length(cache, position) for position in positions.tolist()]
        length = max(lengths)
    later = torch.arange(length, device=x.device) > positions[:, None, None, None]
    mask = torch.zeros_like(later, dtype=x.dtype).masked_fill_(later, -torch.inf)  # [n, 1, 1, L]
    for number, (layer, own) in enumerate(zip(decoder.layers, cache.own, strict=True)):
        projected = linear(_normed(x, layer.attention_norm), layer.query_key_value)  # [n, 3 D]
        query, key_value = projected.tensor_split([x.shape[1]], dim=1)
        size = x.shape[1] // heads
        own.view(-1, size).index_copy_(0, places, key_value.reshape(-1, size))
        query = query.reshape(count, heads, 1, size)
        if lengths is None:
            past = own[:, :count, :, :length]
            attended = attend(query, past[0], past[1], mask)
        else:
            attended = _attend_to_own(query, own, lengths, mask)
        x = x + linear(attended.squeeze(1), layer.attention_out)
        query = linear(_normed(x, layer.cross_norm), layer.cross_query)
        query = query.view(count, heads, 1, size)
        attended = cache.cross.attend(number, query, slice(count))
        x = x + linear(attended.squeeze(1), layer.cross_out)
        x = _fed(layer, x)
        if aligns:
            queries += [query[:, head, 0] for at, head in decoder.aligning if at == number]
    return x, queries


def _read_length(cache: KVCache, position: int) -> int:
    """Return how many positions a row reads that is at this one."""
    return min((position // READ_AT_ONCE + 1) * READ_AT_ONCE, cache.positions)


def _attend_to_own(
    query: torch.Tensor, own: torch.Tensor, lengths: Sequence[int], mask: torch.Tensor
) -> torch.Tensor:
    """Attend from each row's query [n, H, 1, S] to its own past → [n, 1, D].

    The last bits of a product depend on how many positions it has, and a number that int8 rounds
    the other way is off by more. So a row reads as many as its own length asks for, whatever the
    others are.

    Args:
        own: [2, slots, H, positions, S].
        lengths: how many positions of each row are read.
        mask: [n, 1, 1, the longest of them], added to the scores.
    """
    each, start = [], 0
    for length, same in itertools.groupby(lengths):
        rows = slice(start, start := start + len(list(same)))
        keys, values = own[:, rows].flatten(1, 2)[:, :, :length]  # [r H, L, S] each, of r rows
        scores = torch.bmm(query[rows].flatten(0, 1), keys.transpose(1, 2))  # [r H, 1, L]
        scores = scores.unflatten(0, (-1, query.shape[1])) + mask[rows, ..., :length]
        each.append(torch.bmm(scores.softmax(dim=-1).flatten(0, 1), values))  # [r H, 1, S]
    return torch.cat(each).view(len(query), 1, -1)


def _embedded(decoder: DecoderWeights, tokens: torch.Tensor) -> torch.Tensor:
    """Look tokens up, [...] → [..., D]."""
    rows, dtype = decoder.tokens[tokens], decoder.positions.dtype
    return (byte_rows.unpack(rows) if rows.dtype is torch.uint8 else rows).to(dtype)


def _fed(layer: EncoderLayer | DecoderLayer, x: torch.Tensor) -> torch.Tensor:
    """Add what the feed-forward layers give, [..., L, D] → [..., L, D]: in int8 to `x` itself."""
    most = int8.rows_at_once()
    if layer.widen.packing is not Packing.INT8:
        return x + _feed(layer, x)
    for part in x.split(most, dim=-2):
        part += _feed(layer, part)
    return x


def _feed(layer: EncoderLayer | DecoderLayer, x: torch.Tensor) -> torch.Tensor:
    return linear(linear(_normed(x, layer.feed_norm), layer.widen, gelu=True), layer.narrow)


def _normed(x: torch.Tensor, norm: Norm) -> torch.Tensor:
    return F.layer_norm(x, norm.weight.shape, norm.weight, norm.bias, norm.epsilon)
