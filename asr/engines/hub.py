"""Find the files of MODEL_ID: in a directory, as one file, in the cache or at the hub."""

from __future__ import annotations

from pathlib import Path

from huggingface_hub import HfApi, hf_hub_download, snapshot_download
from huggingface_hub.constants import ENDPOINT
from huggingface_hub.errors import (
    EntryNotFoundError,
    GatedRepoError,
    HFValidationError,
    LocalEntryNotFoundError,
    RepositoryNotFoundError,
)

from asr.config.config import Config
from asr.config.setting import MODEL_FILE
from asr.engines.model_files import check_settings_files, first_line, is_directory, is_file
from asr.engines.model_layout import (
    TRANSFORMERS,
    CheckpointLayout,
    ModelSource,
    UnknownLayout,
    in_directory,
    is_transformers,
    layout_of,
)
from asr.errors import ConfigError

ENDINGS = (".pt", ".bin")  # Names of files at the hub that may hold a whole model end with these.
DESCRIPTIONS = ("*.json", "*.txt", "*.tiktoken")  # These lie beside weights and are downloaded.
WEIGHTS = "model.bin"  # CTranslate2 gives its weights this name.
KINDS = (
    "name the directory of a Transformers or CTranslate2 model, an openai/whisper .pt file or a "
    "whisper.cpp ggml .bin file"
)


def locate(config: Config) -> ModelSource:
    """Find the model's files and their layout; download them where they are missing.

    Of a model in Transformers' layout this downloads the description alone.

    Raises:
        ConfigError: there is no model, it is broken, or the hub cannot be reached.
    """
    asked = f"MODEL_ID={config.model_id!r}"
    if is_directory(config):
        return _in_directory(config, Path(config.model_path))
    if is_file(config):
        return _single(config, Path(config.model_path))
    if Path(config.model_path).is_absolute():
        raise ConfigError(f"{asked}: there is no such directory or file")
    try:
        return _at_hub(config)
    except HFValidationError as error:
        reason = f"{asked} is neither a directory nor a model's name, such as openai/whisper-tiny"
        raise ConfigError(reason) from error
    except (OSError, EntryNotFoundError) as error:
        raise ConfigError(f"{asked}: {_reason(error, config)}") from error


def _in_directory(config: Config, directory: Path) -> ModelSource:
    """Return the one model of a directory."""
    asked = f"MODEL_ID={config.model_id!r}"
    try:
        found = in_directory(directory)
    except UnknownLayout as error:
        raise ConfigError(f"{asked}: {error}") from error
    except OSError as error:
        reason = f"{asked}: {error.filename} cannot be read ({error.strerror})"
        raise ConfigError(f"{reason}; give the server access to it") from error
    if len(found) > 1:
        names = ", ".join(source.path.name for source in found)
        raise ConfigError(f"{asked} is a directory with several models: name one of {names}")
    if found and found[0].layout is not CheckpointLayout.TRANSFORMERS:
        return found[0]
    description = directory / MODEL_FILE
    if not found and description.is_file():
        raise ConfigError(
            f"{asked}: {description} is not of Transformers (it has no model_type), and no file "
            f"beside it begins as CTranslate2's {WEIGHTS} does: {KINDS}"
        )
    if not found:
        raise ConfigError(f"{asked} is a directory without {MODEL_FILE} or a model's file: {KINDS}")
    check_settings_files(config)
    return TRANSFORMERS


def _single(config: Config, path: Path) -> ModelSource:
    """Return the model that lies in one file."""
    asked = f"MODEL_ID={config.model_id!r}"
    try:
        layout = layout_of(path)
    except UnknownLayout as error:
        raise ConfigError(f"{asked} {error}") from error
    except OSError as error:
        reason = f"{asked} cannot be read ({error.strerror}); give the server access to it"
        raise ConfigError(reason) from error
    if layout is None:
        raise ConfigError(f"{asked} is a file that holds no Whisper model by itself: {KINDS}")
    return ModelSource(layout, path)


def _at_hub(config: Config) -> ModelSource:
    """Return the model of a repository, or of one file in it: `owner/name/file.bin`."""
    owner, _, rest = config.model_path.partition("/")
    name, _, file = rest.partition("/")
    if file.endswith(ENDINGS):
        path = hf_hub_download(f"{owner}/{name}", file, cache_dir=config.cache_dir)
        return _single(config, Path(path))
    try:
        description = _fetch(config)
    except LocalEntryNotFoundError:  # nobody answers
        cached = _cached(config)
        if cached is None:
            raise
        return _in_directory(config, cached)
    except EntryNotFoundError:
        return _in_directory(config, _snapshot(config, _only_weights(config)))
    if is_transformers(description):
        return TRANSFORMERS
    return _in_directory(config, _snapshot(config, WEIGHTS))


def _fetch(config: Config) -> Path:
    """Take the description from the cache, or from the hub where the cache lacks it."""

    name, cache = config.model_path, config.cache_dir
    try:
        return Path(hf_hub_download(name, MODEL_FILE, cache_dir=cache, local_files_only=True))
    except LocalEntryNotFoundError:
        return Path(hf_hub_download(name, MODEL_FILE, cache_dir=cache))


def _only_weights(config: Config) -> str:
    """Return the one file of a repository that may hold a whole model.

    Raises:
        ConfigError: there are several.
        EntryNotFoundError: there is none.
    """
    names = HfApi().list_repo_files(config.model_path)
    found = [name for name in names if name.endswith(ENDINGS) and "/" not in name]
    if len(found) > 1:
        shown = ", ".join(f"{config.model_id}/{name}" for name in found)
        raise ConfigError(f"MODEL_ID={config.model_id!r} has several models: name one of {shown}")
    if not found:
        raise EntryNotFoundError(MODEL_FILE)
    return found[0]


def _snapshot(config: Config, weights: str) -> Path:
    """Download weights and what describes them; return the directory."""
    wanted = [weights, *DESCRIPTIONS]
    where = config.cache_dir
    return Path(snapshot_download(config.model_path, allow_patterns=wanted, cache_dir=where))


def _cached(config: Config) -> Path | None:
    """Return the directory of a repository that was downloaded before, without asking the hub."""
    repository = Path(config.cache_dir) / ("models--" + config.model_path.replace("/", "--"))
    try:
        directory = repository / "snapshots" / (repository / "refs" / "main").read_text().strip()
    except OSError:
        return None
    return directory if directory.is_dir() else None


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
        return (
            f"{ENDPOINT} has no {MODEL_FILE} for it, nor a file {' or '.join(ENDINGS)}: it is not "
            "a model that can be loaded"
        )
    return f"it cannot be downloaded into {cache}: {first_line(error)}"
