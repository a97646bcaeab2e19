"""Read generation_config.json, and derive from config and tokenizer what it does not say."""

from __future__ import annotations

import logging
from typing import Any

from transformers import GenerationConfig
from transformers.models.whisper.tokenization_whisper import LANGUAGES
from transformers.utils.hub import cached_file

from asr.config.config import Config
from asr.engines.model_files import GENERATION_FILE, TOKENIZER_FILE, reading, unusable

log = logging.getLogger(__name__)

ENGLISH_VOCABULARY = 51_864  # Models that know English only have this many tokens.
FIRST_TIME_LIMIT = 50  # A text begins within its window's first 50 steps of 20 ms, as published.
TASKS = ("transcribe", "translate")


def read(config: Config, settings: Any, tokenizer: Any) -> GenerationConfig:
    """Read the settings of generation; a model without the file has those that can be derived.

    Args:
        settings: the model's `WhisperConfig`.

    Raises:
        ConfigError: the file is broken, or the tokenizer lacks tokens that every Whisper model has.
    """
    place, cache = config.model_path, config.cache_dir
    with reading(config, GENERATION_FILE):
        is_there = cached_file(
            place,
            GENERATION_FILE,
            cache_dir=cache,
            _raise_exceptions_for_missing_entries=False,
        )
        if is_there:
            found = GenerationConfig.from_pretrained(place, cache_dir=cache)
        else:
            found = GenerationConfig.from_model_config(settings)
            log.warning(
                "%s has no %s: languages and tasks are taken from its tokenizer; the times of "
                "words are less exact, and only those tokens are suppressed that config.json names",
                config.model_id,
                GENERATION_FILE,
            )
    complete(found, config, settings, tokenizer)
    return found


def complete(
    found: GenerationConfig,
    config: Config,
    settings: Any,
    tokenizer: Any,
    file: str = TOKENIZER_FILE,
) -> None:
    """Fill in, in place, what a Whisper model needs and `found` does not have.

    Args:
        file: that has the tokenizer.

    Raises:
        ConfigError: the tokenizer lacks tokens that every Whisper model has.
    """
    is_outdated = getattr(found, "no_timestamps_token_id", None) is None
    needed = {
        "decoder_start_token_id": _required(config, tokenizer, "<|startoftranscript|>", file),
        "no_timestamps_token_id": _required(config, tokenizer, "<|notimestamps|>", file),
        "prev_sot_token_id": _required(config, tokenizer, "<|startofprev|>", file),
        "eos_token_id": _required(config, tokenizer, "<|endoftext|>", file),
    }
    _check_agreement(found, config, needed)
    if is_outdated:
        needed["max_initial_timestamp_index"] = FIRST_TIME_LIMIT
    _fill(found, needed)
    languages = {code: token_id(tokenizer, f"<|{code}|>") for code in LANGUAGES}
    tasks = {task: token_id(tokenizer, f"<|{task}|>") for task in TASKS}
    is_multilingual = (
        settings.vocab_size != ENGLISH_VOCABULARY
        and any(languages.values())
        and all(tasks.values())
    )
    _fill(found, {"is_multilingual": is_multilingual})
    if found.is_multilingual:
        known = {f"<|{code}|>": number for code, number in languages.items() if number}
        _fill(found, {"lang_to_id": known, "task_to_id": tasks})


def token_id(tokenizer: Any, token: str) -> int | None:
    """Return the id of a special token, or None where the tokenizer does not know it."""
    number = tokenizer.convert_tokens_to_ids(token)
    is_known = number is not None and tokenizer.convert_ids_to_tokens(number) == token
    return int(number) if is_known else None


def _required(config: Config, tokenizer: Any, token: str, file: str) -> int:
    number = token_id(tokenizer, token)
    if number is None:
        reason = f"is missing or is not this model's: it has no token {token}"
        raise unusable(config, file, reason)
    return number


def _check_agreement(found: GenerationConfig, config: Config, needed: dict[str, Any]) -> None:
    """Refuse a tokenizer of another model: it numbers the tokens otherwise."""
    for name in ("decoder_start_token_id", "no_timestamps_token_id"):
        there = getattr(found, name, None)
        if there not in {None, needed[name]}:
            reason = (
                f"is missing or does not fit {GENERATION_FILE}: the token {name} is "
                f"{needed[name]} here and {there} there"
            )
            raise unusable(config, TOKENIZER_FILE, reason)


def _fill(found: GenerationConfig, values: dict[str, Any]) -> None:
    for name, value in values.items():
        if getattr(found, name, None) is None:
            setattr(found, name, value)
