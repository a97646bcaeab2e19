"""Tell what of `DTYPE=int8` changes Whisper most: token agreement and logit error.

MODEL_ID=DIR python -m benchmark.accuracy.quantization --folder DIR [--most 2] [--trial clips]. The
matrices of one kind after the other are held in int8 and all others in float32; then all frames are
computed in float32 but for some of the padding. The decoder is given each recording's true text; at
each of its tokens the likeliest next token is compared with float32's, and so are all
probabilities.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import soundfile
import soxr
import torch

from asr.cli.settings import config_of
from asr.engines import hub
from asr.engines.whisper import checkpoint as checkpoints
from asr.engines.whisper.checkpoint import Checkpoint
from asr.engines.whisper.layouts.describe import describe
from asr.engines.whisper.model.alignment import frames_of
from asr.engines.whisper.model.features import log_mel
from asr.engines.whisper.model.forward import encode, prefill
from asr.engines.whisper.model.kept_frames import KeptFrames
from asr.engines.whisper.model.kv_cache import KVCache
from asr.engines.whisper.model.weights import Linear, Weights, linear
from asr.options import Options
from asr.pcm import SAMPLE_RATE
from benchmark.accuracy.contenders import SPEECH
from benchmark.accuracy.speech_folder import RECORDINGS, Sample, read
from benchmark.tables import aligned

MOST_TOKENS = 200  # So many tokens of a recording's text are given to the decoder at most.
NORMS = {  # What is balanced with a matrix in int8 belongs to it.
    "query_key_value": "attention_norm",
    "cross_query": "cross_norm",
    "widen": "feed_norm",
}
ALL = "all"  # of the matrices, and the tokens' embeddings
LONGEST = 30.0  # Longer recordings, in seconds, are left out: a window does not hold them.


@dataclass(frozen=True)
class Spoken:
    """One window and the tokens of its text."""

    features: torch.Tensor  # [1, mels, frames]
    tokens: torch.Tensor  # [1, L], the opening first
    opening: int  # so many of them are the opening
    kept: KeptFrames  # whose frames are computed where not all are


@dataclass
class Agreement:
    """How far the logits of one model are from float32's."""

    tokens: int = 0
    equal: int = 0  # whose likeliest next token is the same
    largest: float = 0.0  # difference of two logits
    squares: float = 0.0  # the sum of each token's mean squared difference
    divergence: float = 0.0  # of the probabilities, Kullback and Leibler's, in nats
    lost: float = 0.0  # of the true tokens' log probabilities

    def count(self, exact: torch.Tensor, found: torch.Tensor, true: torch.Tensor) -> None:
        """Compare logits [tokens, vocabulary].

        Args:
            true: the tokens that follow, one less: nothing follows the last.
        """
        differences = (exact - found).abs()
        self.tokens += len(exact)
        self.equal += int((exact.argmax(dim=-1) == found.argmax(dim=-1)).sum())
        self.largest = max(self.largest, float(differences.max()))
        self.squares += float(differences.square().mean(dim=-1).sum())
        expected, got = (torch.log_softmax(logits, dim=-1) for logits in (exact, found))
        self.divergence += float((expected.exp() * (expected - got)).sum())
        self.lost += float((expected - got)[:-1].gather(1, true[:, None]).sum())

    def row(self, kind: str) -> list[str]:
        share = 100 * self.equal / self.tokens
        root = (self.squares / self.tokens) ** 0.5
        means = (f"{sum_ / self.tokens:.4f}" for sum_ in (self.divergence, self.lost))
        return [kind, f"{share:.2f}", f"{self.largest:.2f}", f"{root:.3f}", *means]


def kinds(exact: Weights, quantized: Weights) -> Iterator[tuple[str, Weights]]:
    """Weights in float32 of which one kind is in int8, by the kind's name; all of them last."""
    for part in ("encoder", "decoder"):
        ours, theirs = getattr(exact, part), getattr(quantized, part)
        for name, value in vars(ours.layers[0]).items():
            if isinstance(value, Linear):
                taken = [name, *([NORMS[name]] if name in NORMS else [])]
                layers = tuple(
                    replace(layer, **{each: getattr(other, each) for each in taken})
                    for layer, other in zip(ours.layers, theirs.layers, strict=True)
                )
                yield f"{part}: {name}", replace(exact, **{part: replace(ours, layers=layers)})
    tokens = replace(exact.decoder, tokens=quantized.decoder.tokens)
    yield "decoder: tokens", replace(exact, decoder=tokens)
    with_head = replace(exact.decoder, norm=quantized.decoder.norm, head=quantized.decoder.head)
    yield "decoder: head", replace(exact, decoder=with_head)
    yield ALL, quantized


def logits(weights: Weights, spoken: Spoken, is_whole: bool = True) -> torch.Tensor:
    """Return the logits behind each token of the text, [tokens, vocabulary], float32.

    Args:
        is_whole: compute all frames of the padding.
    """
    with torch.inference_mode():
        cache = KVCache.allocate(weights, 1)
        if is_whole:
            cache.cross.store(0, encode(weights.encoder, spoken.features))
        else:
            _store_kept(cache, encode(weights.encoder, spoken.features, spoken.kept), spoken.kept)
        hidden = prefill(weights, cache, 0, spoken.tokens)[0, spoken.opening - 1 :]
        return linear(hidden, weights.decoder.head).float()


def _store_kept(cache: KVCache, encoded: torch.Tensor, kept: KeptFrames) -> None:
    """Store the kept frames of a window, each as often as it counts where all are stored."""
    if cache.cross.takes_kept_frames:
        cache.cross.store(0, encoded, kept)
        return
    counts = kept.log_counts.exp().round().int()
    cache.cross.store(0, encoded.repeat_interleave(counts, dim=1))


def spoken_in(sample: Sample, checkpoint: Checkpoint) -> Spoken:
    """Read a recording and the tokens of its text."""
    data, rate = soundfile.read(sample.audio, dtype="float32", always_2d=True)
    samples = soxr.resample(data.mean(axis=1), rate, SAMPLE_RATE)
    features = log_mel(checkpoint.log_mel.pad([samples]), checkpoint.log_mel)
    opening = checkpoint.vocabulary.opening(Options(timestamps="none"), sample.language)
    text = checkpoint.tokenizer.encode(f" {sample.text}", add_special_tokens=False)
    tokens = torch.tensor([[*opening, *text[:MOST_TOKENS]]])
    frames = checkpoint.weights.encoder.positions.shape[0]
    kept = KeptFrames.of(frames_of(len(samples) / SAMPLE_RATE), frames)
    return Spoken(features, tokens, len(opening), kept)


def loaded(quantizes: bool) -> Checkpoint:
    """Load the model of MODEL_ID in float32 or in int8."""
    config = config_of(None, "cpu", "float32")
    said = describe(config, hub.locate(config))
    return checkpoints.read(config, said, torch.device("cpu"), torch.float32, quantizes)


def measure(folder: Path, trial: str, most: int | None) -> list[list[str]]:
    """Return the table's rows."""
    exact, quantized = loaded(False), loaded(True)
    samples = [s for s in read(folder, [trial], most) if s.seconds <= LONGEST]
    windows = [spoken_in(sample, exact) for sample in samples]
    expected = [logits(exact.weights, window) for window in windows]
    rows = []
    each = [(*kind, True) for kind in kinds(exact.weights, quantized.weights)]
    each += [("padding", exact.weights, False), (f"{ALL}, padding", quantized.weights, False)]
    for kind, weights, is_whole in each:
        agreement = Agreement()
        for window, right in zip(windows, expected, strict=True):
            true = window.tokens[0, window.opening :]
            agreement.count(right, logits(weights, window, is_whole), true)
        rows.append(agreement.row(kind))
    print(f"{len(windows)} recordings, {sum(map(len, expected))} tokens")
    return rows


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--most", type=int, default=2, help="recordings of each language")
    parser.add_argument("--trial", choices=SPEECH, default=RECORDINGS)
    asked = parser.parse_args(arguments)
    header = ["in int8", "same next token, %", "largest logit error", "root mean square"]
    header += ["divergence, nats", "log probability lost"]
    print(*aligned([header, *measure(asked.folder, asked.trial, asked.most)]), sep="\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
