"""Say which of a model's files cannot be used, and why, whatever library finds out."""

from __future__ import annotations

import contextlib
import json
import logging
from collections.abc import Iterator
from pathlib import Path

from asr.config.config import Config
from asr.config.setting import MODEL_FILE
from asr.errors import ConfigError

log = logging.getLogger(__name__)

GENERATION_FILE = "generation_config.json"
FEATURES_FILE = "preprocessor_config.json"
TOKENIZER_FILE = "tokenizer.json"
SETTINGS_FILES = (  # Each of these holds a JSON object, where a model has it.
    MODEL_FILE,
    GENERATION_FILE,
    FEATURES_FILE,
    "processor_config.json",
    "tokenizer_config.json",
    "model.safetensors.index.json",
)
REMEDY = "download the model again, or name another one"


class UnusableFile(ValueError):
    """A model's file cannot be used; the message says why, without the file's name."""

    def __init__(self, reason: str, remedy: str = REMEDY) -> None:
        super().__init__(reason)
        self.remedy = remedy


def unusable(config: Config, name: str, reason: str, remedy: str = REMEDY) -> ConfigError:
    """Make the error that names the model, its file `name`, the reason and the remedy."""
    place = name
    if is_directory(config):
        place = str(Path(config.model_path) / name)
    elif is_file(config):
        place = str(Path(config.model_path).with_name(name))
    return ConfigError(f"MODEL_ID={config.model_id!r}: {place} {reason}; {remedy}")


def is_directory(config: Config) -> bool:
    """Whether the model lies in a directory; else it is one file, or has a name on the hub."""
    try:
        return Path(config.model_path).is_dir()
    except OSError:  # it is too long for a path, or may not be looked up
        return False


def is_file(config: Config) -> bool:
    """Whether `MODEL_ID` is the path of a file."""
    try:
        return Path(config.model_path).is_file()
    except OSError:  # as above
        return False


def check_settings_files(config: Config, directory: Path | None = None) -> None:
    """Read the small files of a model's directory, because libraries ignore some broken ones.

    Args:
        directory: of the files, where it is not `MODEL_ID` itself.

    Raises:
        ConfigError: one of them is not a JSON object.
    """
    for name in SETTINGS_FILES:
        path = (directory or Path(config.model_path)) / name
        if not path.exists():
            continue
        try:
            found = json.loads(path.read_bytes())
        except OSError as error:
            reason = f"cannot be read ({error.strerror})"
            raise unusable(config, name, reason, "give the server access to it") from error
        except (ValueError, RecursionError) as error:
            raise unusable(config, name, f"is not JSON ({first_line(error)})") from error
        if not isinstance(found, dict):
            raise unusable(config, name, "is not a JSON object")


@contextlib.contextmanager
def reading(config: Config, name: str) -> Iterator[None]:
    """Turn whatever is raised while a model's file is read into an error that names the file.

    A damaged file makes libraries raise errors of any kind. A lack of memory is not the file's
    fault, and passes.

    Raises:
        ConfigError: the file `name` cannot be used.
    """
    try:
        yield
    except (ConfigError, MemoryError):
        raise
    except UnusableFile as error:
        raise unusable(config, name, str(error), error.remedy) from error
    except Exception as error:
        if isinstance(error, RuntimeError) and _is_of_the_device(error):
            raise
        log.debug("%s cannot be used", name, exc_info=True)
        reason = f"cannot be used: {first_line(error)} (LOG_LEVEL=DEBUG shows where)"
        raise unusable(config, name, reason) from error


def first_line(error: BaseException) -> str:
    """Return the first line of an error's text, or of the kind of the error where it has none.

    What a damaged file puts into it is shown as question marks where it cannot be printed.
    """
    lines = str(error).strip().splitlines() or [type(error).__name__]
    line = lines[0].strip().rstrip(".:")
    line = "".join(letter if letter.isprintable() else "?" for letter in line)
    return f"{type(error).__name__} {line}" if isinstance(error, KeyError) else line


def _is_of_the_device(error: RuntimeError) -> bool:
    from asr.engines.memory import is_fatal, lacks_memory  # with torch, which is loaded late

    return lacks_memory(error) or is_fatal(error)
