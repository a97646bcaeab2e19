"""Tokenizer, model configuration and generation configuration, built by hand."""

import json
import random
from pathlib import Path

from tokenizers import Tokenizer, models, pre_tokenizers, trainers
from transformers import (
    GenerationConfig,
    WhisperConfig,
    WhisperFeatureExtractor,
    WhisperForConditionalGeneration,
    WhisperProcessor,
    WhisperTokenizer,
)

from models.demo.world import LANGUAGES, draw

SPECIALS = (
    "<|startoftranscript|>",
    *(f"<|{language}|>" for language in LANGUAGES),
    "<|translate|>",
    "<|transcribe|>",
    "<|startoflm|>",
    "<|startofprev|>",
    "<|nospeech|>",
    "<|notimestamps|>",
)  # after <|endoftext|>; the order is load-bearing for generation
TIMESTAMPS = 1501  # 0.00 to 30.00 seconds
TIMESTAMP_STEP = 0.02  # seconds
MAX_TOKENS = 448


def build_tokenizer() -> WhisperTokenizer:
    """Byte-level BPE in which every word of the world is one token."""
    vocabulary, merges = _byte_pairs()
    tokenizer = WhisperTokenizer(vocab=vocabulary, merges=merges, pad_token="<|endoftext|>")
    tokenizer.add_special_tokens({"additional_special_tokens": list(SPECIALS)})
    tokenizer.add_tokens([f"<|{index * TIMESTAMP_STEP:.2f}|>" for index in range(TIMESTAMPS)])
    tokenizer.set_prefix_tokens()  # again, now that its tokens exist
    return tokenizer


def _byte_pairs() -> tuple[dict[str, int], list[tuple[str, str]]]:
    rng = random.Random(0)
    pieces: set[str] = set()
    splitter = pre_tokenizers.ByteLevel(add_prefix_space=False)
    for _ in range(60_000):
        for language in LANGUAGES:
            text = " " + draw(rng, language, held_out=False).text
            pieces.update(piece for piece, _ in splitter.pre_tokenize_str(text))
    bpe = Tokenizer(models.BPE())
    trainer = trainers.BpeTrainer(
        vocab_size=10_000,
        min_frequency=1,
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    bpe.train_from_iterator(sorted(pieces), trainer)
    model = json.loads(bpe.to_str())["model"]
    pieces_in_order = sorted(model["vocab"], key=model["vocab"].__getitem__)
    vocabulary = {piece: index for index, piece in enumerate([*pieces_in_order, "<|endoftext|>"])}
    return vocabulary, [(left, right) for left, right in model["merges"]]


def build_model(tokenizer: WhisperTokenizer) -> WhisperForConditionalGeneration:
    """An untrained model whose configuration fits the tokenizer."""
    identity = tokenizer.convert_tokens_to_ids
    end, start = identity("<|endoftext|>"), identity("<|startoftranscript|>")
    config = WhisperConfig(
        vocab_size=len(tokenizer),
        num_mel_bins=80,
        d_model=160,
        encoder_layers=3,
        encoder_attention_heads=2,
        encoder_ffn_dim=640,
        decoder_layers=2,
        decoder_attention_heads=4,
        decoder_ffn_dim=640,
        max_source_positions=1500,
        max_target_positions=MAX_TOKENS,
        dropout=0.0,
        attention_dropout=0.0,
        activation_dropout=0.0,
        pad_token_id=end,
        bos_token_id=end,
        eos_token_id=end,
        decoder_start_token_id=start,
        begin_suppress_tokens=None,
        suppress_tokens=None,
    )
    model = WhisperForConditionalGeneration(config)
    model.generation_config = GenerationConfig(
        decoder_start_token_id=start,
        pad_token_id=end,
        bos_token_id=end,
        eos_token_id=end,
        is_multilingual=True,
        lang_to_id={f"<|{language}|>": identity(f"<|{language}|>") for language in LANGUAGES},
        task_to_id={task: identity(f"<|{task}|>") for task in ("transcribe", "translate")},
        no_timestamps_token_id=identity("<|notimestamps|>"),
        prev_sot_token_id=identity("<|startofprev|>"),
        alignment_heads=[[1, 0], [1, 1]],  # the heads that training guides
        max_length=MAX_TOKENS,
        return_timestamps=False,
    )
    return model


def save(model: WhisperForConditionalGeneration, tokenizer: WhisperTokenizer, folder: Path) -> None:
    """Write everything that `from_pretrained` needs, with the older file names too."""
    model.save_pretrained(folder)
    extractor = WhisperFeatureExtractor(feature_size=80)
    WhisperProcessor(extractor, tokenizer).save_pretrained(folder)
    extractor.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    (folder / "model.safetensors").chmod(0o644)
