"""Every setting, read once from the environment; a bad value stops the start and is named."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import Field, dataclass, field, fields, replace
from pathlib import Path
from typing import Any, Literal

TimestampRule = Literal["auto", "none", "segments"]  # auto: as the request asks

DEMO_MODEL = Path(__file__).resolve().parent.parent / "models" / "demo" / "weights"
ENGINES = ("auto", "whisper", "pipeline")
DTYPES = {
    "auto": "auto",
    "float32": "float32",
    "fp32": "float32",
    "float16": "float16",
    "fp16": "float16",
    "float": "float32",
    "half": "float16",
    "bfloat16": "bfloat16",
    "bf16": "bfloat16",
}
WITHOUT_EFFECT = {  # variables of other servers that this one takes and need not heed
    "VLLM_ATTENTION_BACKEND": "the attention kernel is chosen by the hardware",
    "VLLM_KV_CACHE_DTYPE": "the cache has the model's dtype",
    "VLLM_USE_FLASHINFER": "FlashInfer is not used",
    "WHISPER_SAMPLING_RATE": "audio of any rate becomes the 16000 Hz that models hear",
}


class ConfigError(ValueError):
    """A setting whose value cannot be used."""


def _text(value: str) -> str:
    return value


def _flag(value: str) -> bool:
    return value.strip().lower() in {"1", "true", "yes", "on"}


def _exactly_one(value: str) -> bool:
    return value.strip() == "1"


def _count(value: str) -> int:
    try:
        number = int(value)
    except ValueError:
        raise ConfigError("is not a whole number") from None
    if number < 1:
        raise ConfigError("is not at least 1")
    return number


def _port(value: str) -> int:
    number = _count(value)
    if number > 65_535:
        raise ConfigError("is not a port number (1 to 65535)")
    return number


def _amount(value: str) -> float:
    try:
        number = float(value)
    except ValueError:
        raise ConfigError("is not a number") from None
    if not math.isfinite(number) or number < 0:
        raise ConfigError("is not a number of at least 0")
    return number


def _positive(value: str) -> float:
    number = _amount(value)
    if number == 0:
        raise ConfigError("is not more than 0")
    return number


def _dtype(value: str) -> str:
    try:
        return DTYPES[value.strip().lower()]
    except KeyError:
        raise ConfigError(f"is not one of {', '.join(DTYPES)}") from None


def _engine(value: str) -> str:
    name = value.strip().lower()
    if name not in ENGINES:
        raise ConfigError(f"is not one of {', '.join(ENGINES)}")
    return name


def _device(value: str) -> str:
    kind, _, index = value.strip().lower().partition(":")
    if kind not in {"auto", "cpu", "cuda"} or (index and not index.isdigit()):
        raise ConfigError("is not auto, cpu, cuda or cuda:N")
    return value.strip().lower()


def _timestamp_rule(value: str) -> TimestampRule:
    rules: dict[str, TimestampRule] = {"auto": "auto", "none": "none", "segments": "segments"}
    try:
        return rules[value.strip().lower()]
    except KeyError:
        raise ConfigError(f"is not one of {', '.join(rules)}") from None


def _directory(value: str) -> Path:
    path = Path(value).resolve()
    if not path.is_dir():
        raise ConfigError("is not a directory")
    return path


def _setting(default: Any, parse: Callable[[str], Any], effect: str, *others: str) -> Any:
    """A setting; `others` are variables that are read where its own is not set."""
    metadata = {"parse": parse, "effect": effect, "others": others}
    return field(default=default, metadata=metadata)


@dataclass(frozen=True)
class Config:
    """The settings of one process; the environment name is the field's name in capitals."""

    host: str = _setting(
        "*", _text, "Address to listen on; `*` is every IPv4 and IPv6 address", "INTERFACE"
    )
    port: int = _setting(8000, _port, "Port to listen on")
    model_id: str = _setting(
        "openai/whisper-large-v3",
        _text,
        "Hub id or local directory of any speech recognition model, or `demo`",
        "HF_MODEL",
    )
    mounted_model: Path = _setting(
        Path("/repository"),
        Path,
        "Directory whose model is used when `MODEL_ID` is unset and it holds a `config.json`",
    )
    cache_dir: str = _setting("/data", _text, "Directory that caches downloaded models")
    engine: str = _setting(
        "auto",
        _engine,
        "`whisper`: the in-flight engine; `pipeline`: Transformers' own; `auto`: `whisper` for "
        "Whisper models, `pipeline` for all others",
    )
    device: str = _setting("auto", _device, "`auto`, `cpu`, `cuda` or `cuda:N`")
    dtype: str = _setting(
        "auto",
        _dtype,
        "`auto` (float16 on a GPU, float32 on a CPU), `float16`, `bfloat16` ...",
        "VLLM_DTYPE",
    )
    flash_attention_2: bool = _setting(
        False, _exactly_one, "`1` asks for FlashAttention-2; needs compute capability 8.0"
    )
    batch_size: int = _setting(16, _count, "Windows that the pipeline engine takes in one step")
    max_new_tokens: int | None = _setting(
        None, _count, "Most tokens for one window; unset: the model's own limit"
    )
    chunk_length_s: float = _setting(
        30.0, _positive, "Longest window, in seconds", "WHISPER_SEGMENT_DURATION_SEC"
    )
    stride_length_s: float | None = _setting(
        None,
        _amount,
        "Overlap on each side of a window, in seconds; unset: windows are cut at pauses, without",
    )
    language_force: str | None = _setting(
        None, _text, "Language that is heard whatever a request asks: a code or an English name"
    )
    timestamps: TimestampRule = _setting(
        "auto",
        _timestamp_rule,
        "`auto`: segments are timed as requests ask; `none`: never; `segments`: always",
    )
    stream_heartbeat_s: float = _setting(
        15.0, _positive, "Longest silence of a streamed answer, in seconds"
    )
    max_body_mb: float = _setting(1024.0, _positive, "Largest upload or download, in MiB")
    max_audio_seconds: float = _setting(
        14_400.0, _amount, "Longest audio of one request; 0: no limit"
    )
    max_queue_seconds: float | None = _setting(
        None,
        _positive,
        "Audio waiting, all callers together, from which on 429 is answered; unset: 16 times "
        "what the engine holds",
    )
    body_timeout_s: float = _setting(300.0, _positive, "Longest time that an upload may take")
    fetch_timeout_s: float = _setting(300.0, _positive, "Longest time that a download may take")
    decoders: int = _setting(
        64, _count, "ffmpeg processes that may run at once, one for each request being decoded"
    )
    drain_timeout_s: float = _setting(
        30.0, _positive, "Time that requests in flight are given after SIGTERM"
    )
    audio_root: Path | None = _setting(
        None, _directory, "Directory whose files `url` may name; unset: local paths are refused"
    )
    allow_private_urls: bool = _setting(
        False, _flag, "`1` lets `url` name loopback, private and link-local addresses"
    )
    api_key: str | None = _setting(
        None, _text, "Key wanted as `Authorization: Bearer` or `x-admin-api-key`"
    )
    salad_machine_id: str = _setting("", _text, "Sent back as `X-Salad-Machine-ID`")
    salad_container_group_id: str = _setting("", _text, "Sent back as `X-Salad-Container-Group-ID`")
    log_level: str = _setting("INFO", _text, "`DEBUG`, `INFO`, `WARNING` or `ERROR`")

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> Config:
        """Read every setting; an empty value counts as unset.

        Raises:
            ConfigError: a value cannot be used; the message names variable, value and reason.
        """
        values = {}
        for setting in fields(cls):
            names = (environment_name(setting), *setting.metadata["others"])
            name = next((name for name in names if environment.get(name)), None)
            if name is None:
                continue
            try:
                values[setting.name] = setting.metadata["parse"](environment[name])
            except ConfigError as error:
                raise ConfigError(f"{name}={environment[name]!r} {error}") from None
        config = cls(**values)
        if not environment.get("MODEL_ID") and (config.mounted_model / "config.json").is_file():
            config = replace(config, model_id=str(config.mounted_model))
        config.check()
        return config

    def check(self) -> None:
        """Raise `ConfigError` where settings contradict each other."""
        if self.stride_length_s is not None and 2 * self.stride_length_s >= self.chunk_length_s:
            raise ConfigError(
                f"STRIDE_LENGTH_S={self.stride_length_s:g} overlaps on both sides and leaves "
                f"nothing of CHUNK_LENGTH_S={self.chunk_length_s:g}; use less than half of it"
            )

    @property
    def max_body_bytes(self) -> int:
        return int(self.max_body_mb * 2**20)

    @property
    def model_path(self) -> str:
        """Where the weights are: a hub id or a directory."""
        return str(DEMO_MODEL) if self.model_id == "demo" else self.model_id


def environment_name(setting: Field[Any]) -> str:
    return setting.name.upper()


def without_effect(environment: Mapping[str, str]) -> list[str]:
    """What to tell of variables that are set and mean nothing here."""
    return [
        f"{name}={environment[name]!r} has no effect: {reason}"
        for name, reason in WITHOUT_EFFECT.items()
        if environment.get(name)
    ]
