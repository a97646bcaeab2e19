"""Reads every setting once from the environment; a bad value stops the start."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import Field, dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from asr import config_parsers
from asr.config_parsers import TimestampRule
from asr.errors import ConfigError
from asr.options import Thresholds

__all__ = ["DEMO_MODEL", "Config", "ConfigError", "TimestampRule", "without_effect"]

DEMO_MODEL = Path(__file__).resolve().parent.parent / "models" / "demo" / "weights"
MODEL_FILE = "config.json"  # A directory with a file of this name holds a model.
WITHOUT_EFFECT = {  # Variables of other servers that are accepted and ignored, with the reason.
    "VLLM_ATTENTION_BACKEND": "the attention kernel is chosen by the hardware",
    "VLLM_KV_CACHE_DTYPE": "the cache has the model's dtype",
    "VLLM_USE_FLASHINFER": "FlashInfer is not used",
    "WHISPER_SAMPLING_RATE": "audio of any rate becomes the 16000 Hz that models hear",
}


def _setting(default: Any, parse: Callable[[str], Any], effect: str, *others: str) -> Any:
    """Declare a setting; `others` are variables that are read where its own is not set."""
    metadata = {"parse": parse, "effect": effect, "others": others}
    return field(default=default, metadata=metadata)


@dataclass(frozen=True)
class Config:
    """The settings of one process; the environment name is the field's name in capitals."""

    host: str = _setting(
        "*",
        config_parsers.text,
        "Address to listen on; `*` is every IPv4 and IPv6 address",
        "INTERFACE",
    )
    port: int = _setting(8000, config_parsers.port, "Port to listen on")
    model_id: str = _setting(
        "openai/whisper-large-v3",
        config_parsers.text,
        "Hub id or local directory of any speech recognition model, or `demo`",
        "HF_MODEL",
    )
    mounted_model: Path = _setting(
        Path("/repository"),
        Path,
        "Directory whose model is used when `MODEL_ID` is unset and it holds a `config.json`",
    )
    cache_dir: str = _setting(
        "/data", config_parsers.text, "Directory that caches downloaded models"
    )
    engine: str = _setting(
        "auto",
        config_parsers.engine,
        "`whisper`: the in-flight engine; `pipeline`: Transformers' own; `auto`: `whisper` for "
        "Whisper models, `pipeline` for all others",
    )
    device: str = _setting("auto", config_parsers.device, "`auto`, `cpu`, `cuda` or `cuda:N`")
    dtype: str = _setting(
        "auto",
        config_parsers.dtype,
        "`auto` (float16 on a GPU, float32 on a CPU), `float16`, `bfloat16` (on a CPU that has it "
        "1.5 times as fast) ...",
        "VLLM_DTYPE",
    )
    flash_attention_2: bool = _setting(
        False,
        config_parsers.exactly_one,
        "`1` asks for FlashAttention-2; needs compute capability 8.0",
    )
    batch_size: int = _setting(
        16, config_parsers.count, "Windows that the pipeline engine takes in one step"
    )
    max_new_tokens: int | None = _setting(
        None, config_parsers.count, "Most tokens for one window; unset: the model's own limit"
    )
    chunk_length_s: float = _setting(
        30.0, config_parsers.positive, "Longest window, in seconds", "WHISPER_SEGMENT_DURATION_SEC"
    )
    stride_length_s: float | None = _setting(
        None,
        config_parsers.amount,
        "Overlap on each side of a window, in seconds; unset: windows are cut at pauses, without",
    )
    language_force: str | None = _setting(
        None,
        config_parsers.text,
        "Language that is heard whatever a request asks: a code or an English name",
    )
    timestamps: TimestampRule = _setting(
        "auto",
        config_parsers.timestamp_rule,
        "`auto`: segments are timed as requests ask; `none`: never; `segments`: always",
    )
    vad: config_parsers.Vad = _setting(
        "auto",
        config_parsers.vad,
        "What tells speech from other sounds: `silero`, `energy` (changes of loudness) or `off`; "
        "`auto`: `silero` on a CPU, `energy` at the pace of a GPU",
    )
    logprob_threshold: float | None = _setting(
        -1.0,
        config_parsers.logprob,
        "Mean log-probability of a window's tokens below which its text is doubted; `none`: never",
    )
    compression_ratio_threshold: float | None = _setting(
        2.4,
        config_parsers.ratio,
        "Compression ratio of a window's text above which it repeats itself; `none`: never",
    )
    no_speech_threshold: float | None = _setting(
        0.6,
        config_parsers.probability,
        "Probability of no speech above which a doubted text is dropped; `none`: never",
    )
    temperature_fallback: bool = _setting(
        True,
        config_parsers.flag,
        "`1`: a doubted text is written again at higher temperatures; `0`: nothing is doubted "
        "unless a request says so",
    )
    stream_heartbeat_s: float = _setting(
        15.0, config_parsers.positive, "Longest silence of a streamed answer, in seconds"
    )
    max_body_mb: float = _setting(
        1024.0, config_parsers.positive, "Largest upload or download, in MiB"
    )
    max_audio_seconds: float = _setting(
        14_400.0, config_parsers.amount, "Longest audio of one request; 0: no limit"
    )
    max_queue_seconds: float | None = _setting(
        None,
        config_parsers.positive,
        "Audio that is decoded and not heard yet, all callers together, from which on 429 is "
        "answered; unset: 16 times what the engine holds",
    )
    body_timeout_s: float = _setting(
        300.0, config_parsers.positive, "Longest time that an upload may take"
    )
    fetch_timeout_s: float = _setting(
        300.0, config_parsers.positive, "Longest time that a download may take"
    )
    decoders: int = _setting(
        64,
        config_parsers.count,
        "ffmpeg processes that may run at once, one for each request being decoded; half of them, "
        "but at least one, for bodies that still arrive",
    )
    drain_timeout_s: float = _setting(
        30.0, config_parsers.positive, "Time that requests in flight are given after SIGTERM"
    )
    audio_root: Path | None = _setting(
        None,
        config_parsers.directory,
        "Directory whose files `url` may name; unset: local paths are refused",
    )
    allow_private_urls: bool = _setting(
        False, config_parsers.flag, "`1` lets `url` name loopback, private and link-local addresses"
    )
    api_key: str | None = _setting(
        None, config_parsers.secret, "Key wanted as `Authorization: Bearer` or `x-admin-api-key`"
    )
    salad_machine_id: str = _setting("", config_parsers.header, "Sent back as `X-Salad-Machine-ID`")
    salad_container_group_id: str = _setting(
        "", config_parsers.header, "Sent back as `X-Salad-Container-Group-ID`"
    )
    log_level: str = _setting(
        "INFO", config_parsers.log_level, "`DEBUG`, `INFO`, `WARNING`, `ERROR` or `CRITICAL`"
    )

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
                raise ConfigError(
                    f"{name}={environment[name]!r} {error}; {_remedy(setting)}"
                ) from None
        config = cls(**values)
        if not environment.get("MODEL_ID") and (config.mounted_model / MODEL_FILE).is_file():
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
    def thresholds(self) -> Thresholds:
        """The thresholds of temperature fallback where a request gives none."""
        if not self.temperature_fallback:
            return Thresholds()
        return Thresholds(
            self.logprob_threshold, self.compression_ratio_threshold, self.no_speech_threshold
        )

    @property
    def max_body_bytes(self) -> int:
        return int(self.max_body_mb * 2**20)

    @property
    def model_path(self) -> str:
        """The place of the weights: a hub id or a directory."""
        return str(DEMO_MODEL) if self.model_id == "demo" else self.model_id


def environment_name(setting: Field[Any]) -> str:
    return setting.name.upper()


def _remedy(setting: Field[Any]) -> str:
    if setting.default in (None, ""):
        return "correct it or leave it unset"
    default = setting.default
    shown = f"{default:g}" if isinstance(default, bool | float) else str(default)
    return f"correct it or leave it unset, which means {shown}"


def without_effect(environment: Mapping[str, str]) -> list[str]:
    """List the variables that are set and have no effect, a sentence each."""
    reasons = dict(WITHOUT_EFFECT)
    if environment.get("FLASH_ATTENTION_2") not in {"0", "1"}:
        reasons["FLASH_ATTENTION_2"] = "only 1 asks for it"
    mounted = environment.get("MOUNTED_MODEL")
    if mounted and not environment.get("MODEL_ID") and not (Path(mounted) / MODEL_FILE).is_file():
        reasons["MOUNTED_MODEL"] = f"it holds no {MODEL_FILE}"
    return [
        f"{name}={environment[name]!r} has no effect: {reason}"
        for name, reason in reasons.items()
        if environment.get(name)
    ]
