"""The forward pass of training: Whisper's own modules, short windows, inner targets."""

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import WhisperFeatureExtractor, WhisperForConditionalGeneration

from models.demo.targets import IGNORED, POSITION, Target
from models.demo.tokens import TIMESTAMPS

GUIDED_HEADS = 2  # of the last decoder layer
SHIFTS = (3, 8, 16)  # encoder positions; head 0 looks back, head 1 ahead
SHIFT_SCALE = 1.05
SOFT_STEPS = (0.05, 0.12, 0.21, 0.24, 0.21, 0.12, 0.05)  # a timestamp's label, -3 to +3 steps
BLANK_WEIGHT = 0.4  # of frames without a word or phoneme


@dataclass(frozen=True)
class Losses:
    """The parts of the loss, each a mean, and how often the next token was right."""

    tokens: Tensor
    guide: Tensor
    words: Tensor
    phonemes: Tensor
    right: Tensor  # share of labels
    words_right: Tensor  # share of frames with a word


class LogMel(nn.Module):
    """Samples to what WhisperFeatureExtractor gives: [batch, 80, frames]."""

    def __init__(self) -> None:
        super().__init__()
        filters = np.asarray(WhisperFeatureExtractor(feature_size=80).mel_filters)
        self.register_buffer("filters", torch.from_numpy(filters).float().T.contiguous())
        self.register_buffer("window", torch.hann_window(400))

    def forward(self, samples: Tensor) -> Tensor:
        """[batch, samples] at 16 kHz."""
        spectrum = torch.stft(samples, 400, 160, window=self.window, return_complex=True)
        power = torch.view_as_real(spectrum[..., :-1]).square().sum(-1)  # [batch, 201, frames]
        log = (self.filters @ power).clamp(min=1e-10).log10()
        return (log.maximum(log.amax((1, 2), keepdim=True) - 8) + 4) / 4


class Trainee(nn.Module):
    """The model with two classifiers that training adds to its encoder."""

    def __init__(
        self, whisper: WhisperForConditionalGeneration, words: int, phonemes: int, seed: int
    ) -> None:
        super().__init__()
        torch.manual_seed(seed)
        self.whisper = whisper
        width = whisper.config.d_model
        self.word_head = nn.Linear(width, words)
        self.phoneme_heads = nn.ModuleList(nn.Linear(width, phonemes) for _ in range(2))
        self.timestamp_begin = whisper.generation_config.no_timestamps_token_id + 1
        self._prepare()

    @torch.no_grad()
    def _prepare(self) -> None:
        """Start as a dilated convolution, and with timestamps that point at positions."""
        encoder = self.whisper.model.encoder
        width, heads = self.whisper.config.d_model, self.whisper.config.encoder_attention_heads
        for layer, shift in zip(encoder.layers, SHIFTS, strict=True):
            for head in range(heads):
                query, key = _shift(width, width // heads, shift if head % 2 else -shift)
                rows = slice(head * width // heads, (head + 1) * width // heads)
                layer.self_attn.q_proj.weight[rows] += SHIFT_SCALE * query
                layer.self_attn.k_proj.weight[rows] += SHIFT_SCALE * key
        begin = self.timestamp_begin
        waves = 0.05 * encoder.embed_positions.weight
        self.whisper.model.decoder.embed_tokens.weight[begin : begin + TIMESTAMPS - 1] = waves
        self.whisper.model.decoder.embed_tokens.weight[begin + TIMESTAMPS - 1] = waves[-1]

    def forward(self, mel: Tensor, offsets: Tensor, targets: list[Target], counts: bool) -> Losses:
        """mel [batch, 80, frames]; offsets [batch] of the first encoder position."""
        encoded, inner = self._encode(mel, offsets)
        phonemes = torch.from_numpy(np.stack([target.phonemes for target in targets]))
        words = torch.from_numpy(np.stack([target.words for target in targets]))
        phoneme_loss = torch.stack(
            [
                _frame_loss(head(layer), phonemes)
                for head, layer in zip(self.phoneme_heads, inner, strict=True)
            ]
        ).mean()
        word_logits = self.word_head(encoded)
        tokens, labels = _pad(targets)
        logits, attention = self._decode(tokens, encoded)
        known = labels != IGNORED
        right = words_right = torch.tensor(math.nan)
        if counts:
            right = (logits[known].argmax(-1) == labels[known]).float().mean()
            words_right = (word_logits[words > 0].argmax(-1) == words[words > 0]).float().mean()
        return Losses(
            self._token_loss(logits[known].float(), labels[known]),
            _guide_loss(attention, targets),
            _frame_loss(word_logits, words),
            phoneme_loss,
            right,
            words_right,
        )

    def _encode(self, mel: Tensor, offsets: Tensor) -> tuple[Tensor, list[Tensor]]:
        encoder = self.whisper.model.encoder
        hidden = functional.gelu(encoder.conv1(mel))
        hidden = functional.gelu(encoder.conv2(hidden)).transpose(1, 2)  # [batch, positions, width]
        positions = offsets[:, None] + torch.arange(hidden.shape[1])
        hidden = hidden + encoder.embed_positions.weight[positions]
        layers = []
        for layer in encoder.layers:
            normed = layer.self_attn_layer_norm(hidden)
            hidden = hidden + _attend(layer.self_attn, normed, normed, causal=False)
            hidden = hidden + _feed(layer, hidden)
            layers.append(hidden)
        return encoder.layer_norm(hidden), layers[:2]

    def _decode(self, tokens: Tensor, encoded: Tensor) -> tuple[Tensor, Tensor]:
        """Logits [batch, tokens, vocabulary]; attention [batch, heads, tokens, positions]."""
        decoder = self.whisper.model.decoder
        hidden = decoder.embed_tokens(tokens) + decoder.embed_positions.weight[: tokens.shape[1]]
        last = len(decoder.layers) - 1
        for index, layer in enumerate(decoder.layers):
            normed = layer.self_attn_layer_norm(hidden)
            hidden = hidden + _attend(layer.self_attn, normed, normed, causal=True)
            normed = layer.encoder_attn_layer_norm(hidden)
            if index < last:
                hidden = hidden + _attend(layer.encoder_attn, normed, encoded, causal=False)
            else:
                attended, attention = _attend_openly(layer.encoder_attn, normed, encoded)
                hidden = hidden + attended
            hidden = hidden + _feed(layer, hidden)
        return self.whisper.proj_out(decoder.layer_norm(hidden)), attention

    def _token_loss(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Cross-entropy; a timestamp's label is spread over its neighbours."""
        chances = logits.log_softmax(-1)
        loss = -chances.gather(1, labels[:, None])[:, 0]
        timed = labels >= self.timestamp_begin
        if timed.any():
            steps = torch.arange(-3, 4)
            near = (labels[timed][:, None] + steps).clamp(self.timestamp_begin, logits.shape[1] - 1)
            soft = -(chances[timed].gather(1, near) * torch.tensor(SOFT_STEPS)).sum(1)
            loss = loss.masked_scatter(timed, soft)
        return loss.mean()


def _shift(width: int, size: int, shift: int) -> tuple[Tensor, Tensor]:
    """Query and key weights [size, width] by which a head looks `shift` positions away."""
    pairs = size // 2  # the fastest waves tell near positions apart
    steps = math.log(10_000) / (width // 2 - 1)
    query, key = torch.zeros(size, width), torch.zeros(size, width)
    for pair in range(pairs):
        angle = shift * math.exp(-steps * pair)
        sine, cosine = pair, pair + width // 2
        key[2 * pair, sine] = key[2 * pair + 1, cosine] = 1.0
        query[2 * pair, sine], query[2 * pair, cosine] = math.cos(angle), math.sin(angle)
        query[2 * pair + 1, sine], query[2 * pair + 1, cosine] = -math.sin(angle), math.cos(angle)
    return query, key


def _split(attention: nn.Module, hidden: Tensor) -> Tensor:
    return hidden.unflatten(-1, (attention.num_heads, -1)).transpose(1, 2)


def _attend(attention: nn.Module, asking: Tensor, encoded: Tensor, causal: bool) -> Tensor:
    query = _split(attention, attention.q_proj(asking))
    key = _split(attention, attention.k_proj(encoded))
    value = _split(attention, attention.v_proj(encoded))
    mixed = functional.scaled_dot_product_attention(query, key, value, is_causal=causal)
    return attention.out_proj(mixed.transpose(1, 2).flatten(2))


def _attend_openly(attention: nn.Module, asking: Tensor, encoded: Tensor) -> tuple[Tensor, Tensor]:
    query = _split(attention, attention.q_proj(asking)) * attention.head_dim**-0.5
    key = _split(attention, attention.k_proj(encoded))
    value = _split(attention, attention.v_proj(encoded))
    weights = (query @ key.transpose(2, 3)).float().softmax(-1)
    mixed = weights.to(value.dtype) @ value
    return attention.out_proj(mixed.transpose(1, 2).flatten(2)), weights[:, :GUIDED_HEADS]


def _feed(layer: nn.Module, hidden: Tensor) -> Tensor:
    return layer.fc2(functional.gelu(layer.fc1(layer.final_layer_norm(hidden))))


def _frame_loss(logits: Tensor, classes: Tensor) -> Tensor:
    weights = torch.ones(logits.shape[-1])
    weights[0] = BLANK_WEIGHT
    return functional.cross_entropy(logits.float().flatten(0, 1), classes.flatten(), weights)


def _guide_loss(attention: Tensor, targets: list[Target]) -> Tensor:
    """Minus the log of the attention that lies inside each token's span."""
    rows, columns, starts, ends = [], [], [], []
    for row, target in enumerate(targets):
        for column, span in enumerate(target.guides):
            if span is not None:
                rows.append(row)
                columns.append(column)
                starts.append(span[0] / POSITION - 1)
                ends.append(span[1] / POSITION + 1)
    if not rows:
        return attention.sum() * 0
    chosen = attention[rows, :, columns]  # [spans, heads, positions]
    positions = torch.arange(attention.shape[-1])
    inside = (positions >= torch.tensor(starts)[:, None]) & (
        positions <= torch.tensor(ends)[:, None]
    )
    return -((chosen * inside[:, None]).sum(-1) + 1e-5).log().mean()


def _pad(targets: list[Target]) -> tuple[Tensor, Tensor]:
    length = max(len(target.tokens) for target in targets)
    tokens = torch.zeros(len(targets), length, dtype=torch.long)
    labels = torch.full((len(targets), length), IGNORED)
    for row, target in enumerate(targets):
        tokens[row, : len(target.tokens)] = torch.tensor(target.tokens)
        labels[row, : len(target.labels)] = torch.tensor(target.labels)
    return tokens, labels
