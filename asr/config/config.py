"""Reads every setting once from the environment; a bad value stops the start."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from asr.config import parsers as config_parsers
from asr.config.diarizer import DiarizerSettings
from asr.config.jobs import JobSettings
from asr.config.keys import KeySettings
from asr.config.live import LiveSettings
from asr.config.parsers import TimestampRule, has_file
from asr.config.setting import MODEL_FILE, read
from asr.config.setting import setting as _setting
from asr.config.wyoming import WyomingSettings
from asr.errors import ConfigError
from asr.options import Thresholds

__all__ = ["DEMO_MODEL", "Config", "ConfigError", "TimestampRule"]

DEMO_MODEL = Path(__file__).resolve().parents[2] / "models" / "demo" / "weights"
SHORTEST_STEP = 0.5  # With STRIDE_LENGTH_S, windows begin at least so many seconds apart.


@dataclass(frozen=True)
class Config(DiarizerSettings, JobSettings, KeySettings, LiveSettings, WyomingSettings):
    """The settings of one process; the environment name is the field's name in capitals."""

    host: str = _setting(
        "*",
        config_parsers.text,
        "Address on which the server accepts connections; `*`: every IPv4 and IPv6 address",
        "INTERFACE",
    )
    port: int = _setting(8000, config_parsers.port, "Port on which the server accepts connections")
    model_id: str = _setting(
        "openai/whisper-large-v3",
        config_parsers.text,
        "The model: its id on the Hugging Face hub, a local directory or file, or `demo`",
        "HF_MODEL",
    )
    mounted_model: Path = _setting(
        Path("/repository"),
        Path,
        "The model in this directory is used if `MODEL_ID` is unset and the directory has a "
        "`config.json`",
    )
    cache_dir: str = _setting(
        "/data", config_parsers.text, "Downloaded models are kept in this directory"
    )
    engine: str = _setting(
        "auto",
        config_parsers.engine,
        "`whisper`: this server's own engine, for Whisper models; `pipeline`: Transformers' "
        "code, for every model; `auto`: `whisper` for Whisper models, `pipeline` for all "
        "others",
    )
    device: str = _setting(
        "auto",
        config_parsers.device,
        "Where the model runs: `cpu`, `cuda`, `cuda:N`, or `auto` (a GPU if there is one)",
    )
    dtype: str = _setting(
        "auto",
        config_parsers.dtype,
        "Number format of the model: `float32`, `float16`, `bfloat16`, `int8` (matrices of the "
        "`whisper` engine on a CPU), or `auto`: float16 on a GPU; on a CPU the fastest that is as "
        "accurate, [measured](models.md#number-formats-on-a-cpu) at the first start, or float32 "
        "in the `pipeline` engine",
        "VLLM_DTYPE",
    )
    flash_attention_2: bool = _setting(
        False,
        config_parsers.exactly_one,
        "`1`: the `pipeline` engine uses FlashAttention-2, if the GPU has compute capability "
        "8.0 or more",
    )
    batch_size: int = _setting(
        16,
        config_parsers.whole(1, 4096),
        "The `pipeline` engine transcribes at most this many windows in one batch",
    )
    max_new_tokens: int | None = _setting(
        None,
        config_parsers.whole(1, 100_000),
        "The model writes at most this many tokens for one window; unset: the model's own limit",
    )
    chunk_length_s: float = _setting(
        30.0,
        config_parsers.number(1, 3600),
        "A window is at most this many seconds long",
        "WHISPER_SEGMENT_DURATION_SEC",
    )
    stride_length_s: float | None = _setting(
        None,
        config_parsers.number(0, 1800),
        "Neighbouring windows share this many seconds on each side; unset: windows are cut "
        "at pauses and do not overlap",
    )
    language_force: str | None = _setting(
        None,
        config_parsers.text,
        "All speech is transcribed as this language, whatever a request asks for: a code or "
        "an English name; unset: the request decides",
    )
    timestamps: TimestampRule = _setting(
        "auto",
        config_parsers.timestamp_rule,
        "`auto`: a request chooses if its text has timestamps; `none`: no answer has them; "
        "`segments`: every answer has them",
    )
    vad: config_parsers.Vad = _setting(
        "auto",
        config_parsers.vad,
        "How speech is detected: `silero` (a neural network), `energy` (changes of "
        "loudness), `off` (not at all), or `auto` (`silero` on a CPU, the faster `energy` on "
        "a GPU)",
    )
    logprob_threshold: float | None = _setting(
        -1.0,
        config_parsers.logprob,
        "A window's text is unlikely if the mean log-probability of its tokens is below "
        "this; `none`: no text counts as unlikely",
    )
    compression_ratio_threshold: float | None = _setting(
        2.4,
        config_parsers.ratio,
        "A window's text is repetitive if its compression ratio is above this; `none`: no text "
        "counts as repetitive",
    )
    no_speech_threshold: float | None = _setting(
        0.6,
        config_parsers.probability,
        "An unlikely text is dropped if the model's probability of no speech is above this; "
        "`none`: no text is dropped",
    )
    temperature_fallback: bool = _setting(
        True,
        config_parsers.flag,
        "`1`: a window with unlikely or repetitive text is decoded again at higher "
        "temperatures; `0`: only where a request sets thresholds",
    )
    condition_on_previous_text: bool = _setting(
        False,
        config_parsers.flag,
        "`1`: the text before a window is its prompt, unless a request says otherwise: the windows "
        "of a recording go one after the other",
    )
    stream_heartbeat_s: float = _setting(
        15.0,
        config_parsers.seconds,
        "A streamed answer sends a heartbeat after this many seconds without an event",
    )
    max_body_mb: float = _setting(
        1024.0,
        config_parsers.positive,
        "An upload or a download of more MiB than this is answered 413",
    )
    max_audio_seconds: float = _setting(
        14_400.0,
        config_parsers.number(1, 10**9, or_zero=True),
        "Audio of more seconds than this is answered 413; 0: no limit",
    )
    max_queue_seconds: float | None = _setting(
        None,
        config_parsers.number(1, 10**9),
        "At most this many seconds of decoded audio wait, all requests together, and long ones "
        "leave a quarter to short ones; others get 429; unset: 16 times what the engine takes",
    )
    max_memory_mb: float | None = _setting(
        None,
        config_parsers.positive,
        "Requests and live sessions take at most this many MiB together; unset: what the model "
        "leaves, less a tenth",
    )
    body_timeout_s: float = _setting(
        300.0,
        config_parsers.seconds,
        "An upload that takes more seconds than this is answered 408",
    )
    send_timeout_s: float = _setting(
        60.0,
        config_parsers.seconds,
        "A caller who reads no byte of an answer for this many seconds is disconnected",
    )
    fetch_timeout_s: float = _setting(
        300.0,
        config_parsers.seconds,
        "A download that takes more seconds than this is answered 504",
    )
    decoders: int = _setting(
        64,
        config_parsers.whole(1, 4096),
        "At most this many ffmpeg processes run at once, one for each request that is being "
        "decoded; uploads that are still arriving may use half of them, but at least one",
    )
    drain_timeout_s: float = _setting(
        30.0,
        config_parsers.seconds,
        "After SIGTERM, requests in flight have this many seconds to finish",
    )
    audio_root: Path | None = _setting(
        None,
        config_parsers.directory,
        "`url` may name files in this directory; unset: local paths are refused",
    )
    allow_private_urls: bool = _setting(
        False,
        config_parsers.flag,
        "`1`: `url` may lead to loopback, private and link-local addresses",
    )
    allowed_hosts: tuple[str, ...] | None = _setting(
        None,
        config_parsers.hosts,
        "Requests for other host names are answered 421: names with commas between them, "
        "`*.example.com` for all below one; unset: every name is served",
        protects=True,
    )
    cors_origins: tuple[str, ...] | None = _setting(
        None,
        config_parsers.origins,
        "Pages of these origins may use the server, besides its own: as "
        "`https://example.com`, with commas between them, or `*` for every page",
    )
    keepalive_timeout_s: float = _setting(
        75.0,
        config_parsers.seconds,
        "A connection is closed after this many seconds without a whole request head",
    )
    salad_machine_id: str = _setting(
        "", config_parsers.header, "Value of the answer's header `X-Salad-Machine-ID`"
    )
    salad_container_group_id: str = _setting(
        "", config_parsers.header, "Value of the answer's header `X-Salad-Container-Group-ID`"
    )
    log_level: str = _setting(
        "INFO",
        config_parsers.log_level,
        "Messages below this level are not logged: `DEBUG`, `INFO`, `WARNING`, `ERROR` or "
        "`CRITICAL`",
    )

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> Config:
        """Read every setting; an empty value counts as unset, or is refused where it protects.

        Raises:
            ConfigError: a value cannot be used; the message names variable, value and reason.
        """
        config = cls(**read(cls, environment))
        if not environment.get("MODEL_ID") and has_file(config.mounted_model, MODEL_FILE):
            config = replace(config, model_id=str(config.mounted_model))
        if config.jobs_dir is None:
            config = replace(config, jobs_dir=Path(config.cache_dir) / "jobs")
        config.check()
        return config

    def check(self) -> None:
        """Raise `ConfigError` where settings contradict each other."""
        self.check_keys()
        self.check_wyoming(self.port, bool(self.client_keys))
        longest = (self.chunk_length_s - SHORTEST_STEP) / 2
        if self.stride_length_s and self.stride_length_s > longest:
            raise ConfigError(
                f"STRIDE_LENGTH_S={self.stride_length_s:g} is too long for "
                f"CHUNK_LENGTH_S={self.chunk_length_s:g}, because windows overlap on both sides; "
                f"use less than half of it, at most {longest:g}"
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
        """The place of the weights: a hub id, a directory or a file."""
        return str(DEMO_MODEL) if self.model_id == "demo" else self.model_id
