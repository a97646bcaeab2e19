"""Make Whisper checkpoints with random weights in the published sizes.

Speed depends on the weights' shapes and on how many tokens are written, not on what the weights
are. So that every engine writes the same number, these models never end a text and never write a
timestamp: the decoder's last norm points away from all special tokens. Their texts are meaningless.
"""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from transformers import (
    GenerationConfig,
    WhisperConfig,
    WhisperFeatureExtractor,
    WhisperForConditionalGeneration,
    WhisperProcessor,
    WhisperTokenizer,
)
from transformers.models.whisper.tokenization_whisper import LANGUAGES

FRAMES = 1500  # The encoder has so many positions, for 30 s.
POSITIONS = 448  # The decoder has so many positions.
# Text tokens are 256 bytes, then pairs of bytes where the published vocabulary has words.
TEXT_TOKENS = 50_257
TIMESTAMPS = 1501  # So many tokens stand for 0.00 to 30.00 s.
SUPPRESSED_APART = 600  # One in so many tokens is suppressed: about as many as published.
SPREAD = 8.0  # Logits have about this standard deviation: the best token is clearly best.
FORBIDDING = 20.0  # The last norm's bias has this length, along one direction.
FORBIDDEN = -5.0  # Special tokens have this part along it: their logits are near -100.
# The decoder's positions have this standard deviation: they outweigh the tokens, so that none
# repeats itself.
PLACE_SPREAD = 8.0
INNER_SPREAD = 0.02  # All other weights have this deviation, as when Whisper's training began.
MEMORY = Path("/dev/shm")  # This file system is in memory, where it exists.
# So many bytes must be free there: large-v3 and turbo in half precision, twice.
ROOM_BYTES = 12 * 2**30
# These special tokens follow those of the languages, in the published order.
TASK_TOKENS = (
    "<|translate|>",
    "<|transcribe|>",
    "<|startoflm|>",
    "<|startofprev|>",
    "<|nospeech|>",
    "<|notimestamps|>",
)


@dataclass(frozen=True)
class Size:
    """Holds the sizes of a published checkpoint."""

    width: int
    encoder_layers: int
    decoder_layers: int
    heads: int
    mels: int = 80
    languages: int = 99

    @property
    def specials(self) -> tuple[str, ...]:
        """Return the special tokens after the end of text, in the published order."""
        languages = (f"<|{code}|>" for code in list(LANGUAGES)[: self.languages])
        return ("<|startoftranscript|>", *languages, *TASK_TOKENS)

    @property
    def vocabulary(self) -> int:
        return TEXT_TOKENS + 1 + len(self.specials) + TIMESTAMPS


SIZES = {
    "tiny": Size(384, 4, 4, 6),
    "base": Size(512, 6, 6, 8),
    "small": Size(768, 12, 12, 12),
    "large-v3": Size(1280, 32, 32, 20, mels=128, languages=100),
    "large-v3-turbo": Size(1280, 32, 4, 20, mels=128, languages=100),
    "distil-large-v3.5": Size(1280, 32, 2, 20, mels=128, languages=100),
}


def random_checkpoint(size: Size, folder: Path, dtype: torch.dtype, device: str) -> Path:
    """Write a checkpoint of `size` into `folder`, unless it is there, and return `folder`."""
    if (folder / "config.json").exists():
        return folder
    unfinished = folder.with_name(f"{folder.name}.unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)
    tokenizer = build_tokenizer(size)
    model = random_model(size, dtype, device)
    model.save_pretrained(unfinished)
    extractor = WhisperFeatureExtractor(feature_size=size.mels)
    WhisperProcessor(extractor, tokenizer).save_pretrained(unfinished)
    extractor.save_pretrained(unfinished)  # preprocessor_config.json, which others look for
    tokenizer.save_pretrained(unfinished)
    shutil.rmtree(folder, ignore_errors=True)
    unfinished.rename(folder)
    return folder


@contextlib.contextmanager
def in_memory(otherwise: Path) -> Iterator[Path]:
    """Yield a folder in memory for weights, or `otherwise` where room is short.

    Several processes read the weights from it.
    """
    if not MEMORY.is_dir() or shutil.disk_usage(MEMORY).free < ROOM_BYTES:
        yield otherwise
        return
    folder = MEMORY / "asr-benchmark"  # one that was left behind is used again
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def build_tokenizer(size: Size) -> WhisperTokenizer:
    """Return a byte-level tokenizer whose special tokens have the published ids."""
    letters = _byte_letters()
    pairs = [(left, right) for left in letters for right in letters]
    merges = pairs[: TEXT_TOKENS - len(letters)]
    pieces = [*letters, *(left + right for left, right in merges), "<|endoftext|>"]
    vocabulary = {piece: number for number, piece in enumerate(pieces)}
    tokenizer = WhisperTokenizer(vocab=vocabulary, merges=merges, pad_token="<|endoftext|>")
    tokenizer.add_special_tokens({"additional_special_tokens": list(size.specials)})
    tokenizer.add_tokens([f"<|{index * 0.02:.2f}|>" for index in range(TIMESTAMPS)])
    tokenizer.set_prefix_tokens()  # again, now that its tokens exist
    assert len(tokenizer) == size.vocabulary
    return tokenizer


def random_model(size: Size, dtype: torch.dtype, device: str) -> Any:
    """Return a model of `size` with random weights that never ends a text.

    The weights are the same every time on one kind of device.
    """
    with torch.device("meta"):
        model = WhisperForConditionalGeneration(_config(size))
    model = model.to(dtype).to_empty(device=device)
    model.tie_weights()
    model.generation_config = _generation_config(size)
    torch.manual_seed(0)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            _fill(name, parameter, size)
        _forbid_specials(model.model.decoder)
    return model.eval()


def _fill(name: str, parameter: torch.Tensor, size: Size) -> None:
    if "embed_tokens" in name:
        parameter.normal_(0, SPREAD / size.width**0.5)
    elif "decoder.embed_positions" in name:
        parameter.normal_(0, PLACE_SPREAD)
    elif parameter.ndim > 1:
        parameter.normal_(0, INNER_SPREAD)
    else:
        parameter.fill_(1.0 if "norm" in name and name.endswith("weight") else 0.0)


def _forbid_specials(decoder: Any) -> None:
    """Lower the logits of the special tokens so far that none is written.

    Every logit is the last norm's output times the token's own embedding: the norm gets a bias
    along one direction, and these embeddings point against it.
    """
    direction = torch.randn_like(decoder.layer_norm.bias)
    direction /= direction.float().norm().to(direction.dtype)
    decoder.layer_norm.bias.copy_(FORBIDDING * direction)
    decoder.embed_tokens.weight[TEXT_TOKENS:] += FORBIDDEN * direction


def _config(size: Size) -> WhisperConfig:
    end = TEXT_TOKENS
    return WhisperConfig(
        vocab_size=size.vocabulary,
        num_mel_bins=size.mels,
        d_model=size.width,
        encoder_layers=size.encoder_layers,
        decoder_layers=size.decoder_layers,
        encoder_attention_heads=size.heads,
        decoder_attention_heads=size.heads,
        encoder_ffn_dim=4 * size.width,
        decoder_ffn_dim=4 * size.width,
        max_source_positions=FRAMES,
        max_target_positions=POSITIONS,
        pad_token_id=end,
        bos_token_id=end,
        eos_token_id=end,
        decoder_start_token_id=end + 1,
        suppress_tokens=None,
        begin_suppress_tokens=None,
    )


def _generation_config(size: Size) -> GenerationConfig:
    end = TEXT_TOKENS
    numbers = {token: end + 1 + place for place, token in enumerate(size.specials)}
    layers = range(size.decoder_layers // 2, size.decoder_layers)
    return GenerationConfig(
        decoder_start_token_id=end + 1,
        pad_token_id=end,
        bos_token_id=end,
        eos_token_id=end,
        is_multilingual=True,
        lang_to_id={token: numbers[token] for token in size.specials[1 : 1 + size.languages]},
        task_to_id={task: numbers[f"<|{task}|>"] for task in ("transcribe", "translate")},
        no_timestamps_token_id=numbers["<|notimestamps|>"],
        prev_sot_token_id=numbers["<|startofprev|>"],
        suppress_tokens=list(range(1, end, SUPPRESSED_APART)),
        begin_suppress_tokens=[220, end],
        alignment_heads=[[layer, head] for layer in layers for head in range(2)],
        max_initial_timestamp_index=50,
        max_length=POSITIONS,
        return_timestamps=False,
    )


def _byte_letters() -> list[str]:
    """Return the letter of each byte in a byte-level vocabulary, sorted as published."""
    from_bytes = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [byte for byte in range(256) if byte not in from_bytes]
    return [chr(byte) for byte in from_bytes] + [chr(256 + n) for n in range(len(others))]
