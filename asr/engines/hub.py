"""Check that MODEL_ID names a model in a directory, in the cache or at the hub."""

from __future__ import annotations

from pathlib import Path

from huggingface_hub import hf_hub_download
from huggingface_hub.constants import ENDPOINT
from huggingface_hub.errors import (
    EntryNotFoundError,
    GatedRepoError,
    HFValidationError,
    LocalEntryNotFoundError,
    RepositoryNotFoundError,
)

from asr.config import Config
from asr.config_parsers import has_file
from asr.config_settings import MODEL_FILE
from asr.engines.model_files import check_settings_files, first_line, is_directory
from asr.errors import ConfigError


def check(config: Config) -> None:
    """Look for the model's description; download it where it is missing.

    Raises:
        ConfigError: there is none, it is broken, or the hub cannot be reached.
    """
    asked, directory = f"MODEL_ID={config.model_id!r}", Path(config.model_path)
    if is_directory(config):
        if not has_file(directory, MODEL_FILE):
            raise ConfigError(
                f"{asked} is a directory without {MODEL_FILE}: name a model's directory"
            )
        check_settings_files(config)
        return
    if directory.is_absolute():
        raise ConfigError(f"{asked}: there is no such directory")
    try:
        _fetch(config)
    except HFValidationError as error:
        reason = f"{asked} is neither a directory nor a model's name, such as openai/whisper-tiny"
        raise ConfigError(reason) from error
    except (OSError, EntryNotFoundError) as error:
        raise ConfigError(f"{asked}: {_reason(error, config)}") from error


def _fetch(config: Config) -> None:
    """Take the description from the cache, or from the hub where the cache lacks it."""
    for is_offline in (True, False):
        try:
            hf_hub_download(
                config.model_path,
                MODEL_FILE,
                cache_dir=config.cache_dir,
                local_files_only=is_offline,
            )
            return
        except LocalEntryNotFoundError:
            if not is_offline:
                raise


def _reason(error: Exception, config: Config) -> str:
    cache = f"CACHE_DIR={config.cache_dir!r}"
    if isinstance(error, GatedRepoError):
        return f"{config.model_id} is gated: accept its terms at {ENDPOINT} and set HF_TOKEN"
    if isinstance(error, RepositoryNotFoundError):
        return f"{ENDPOINT} has no such model, or it is private: correct the name or set HF_TOKEN"
    if isinstance(error, LocalEntryNotFoundError):
        why = first_line(error.__cause__ or error)
        return (
            f"it is not in {cache}, and {ENDPOINT} cannot be reached ({why}): check the name and "
            "the network, set HF_ENDPOINT to another hub, or name a directory with the model"
        )
    if isinstance(error, EntryNotFoundError):
        return f"{ENDPOINT} has no {MODEL_FILE} for it: it is not a model that can be loaded"
    return f"it cannot be downloaded into {cache}: {first_line(error)}"
