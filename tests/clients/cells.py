"""What is asked of the server, once by each client: a cell of the table for each."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path
from typing import Any, Literal

from asr.config.config import DEMO_MODEL

Route = Literal["transcriptions", "translations", "models", "listen", "webservice", "wyoming"]

KEY = "sk-of-the-table"
MODEL = "demo"
SPEECH = {  # four English sentences; three Spanish ones
    "transcriptions": DEMO_MODEL.parent / "samples" / "en-several.flac",
    "translations": DEMO_MODEL.parent / "samples" / "es-several.flac",
    "listen": DEMO_MODEL.parent / "samples" / "en-several.flac",
    "webservice": DEMO_MODEL.parent / "samples" / "en-several.flac",
    "wyoming": DEMO_MODEL.parent / "samples" / "en-several.flac",
}
NO_AUDIO = Path(__file__)  # this text
SHOWN_CHARS = 60  # of a field in the table
FORMATS = ("json", "verbose_json", "text", "srt", "vtt", "tsv")
GRANULARITIES = ((), ("segment",), ("word",), ("segment", "word"))


@dataclass(frozen=True)
class Refusal:
    """What the clients raise."""

    name: str = "BadRequestError"
    status: int = 400
    param: str | None = None
    code: str = "bad_request"


@dataclass(frozen=True)
class Cell:
    route: Route
    fields: Mapping[str, Any] = field(default_factory=dict)  # of the form, as clients name them
    refusal: Refusal | None = None  # what is to come of it, if not an answer
    file: Path | None = None
    key: str = KEY

    @property
    def response_format(self) -> str:
        return str(self.fields.get("response_format", "json"))

    @property
    def granularities(self) -> tuple[str, ...]:
        return tuple(self.fields.get("timestamp_granularities", ()))

    @property
    def is_streamed(self) -> bool:
        return bool(self.fields.get("stream"))

    @property
    def wants_logprobs(self) -> bool:
        return "logprobs" in self.fields.get("include", ())

    @property
    def others(self) -> str:
        """What the table has no columns for."""
        known = {"response_format", "timestamp_granularities", "stream"}
        parts = [
            f"{name}={value}"[:SHOWN_CHARS]
            for name, value in self.fields.items()
            if name not in known
        ]
        if self.file == NO_AUDIO:
            parts.append("no audio")
        if self.key != KEY:
            parts.append("wrong key")
        return " ".join(parts)


def cells() -> list[Cell]:
    """Every format, granularity and stream, and what is refused."""
    spoken = (*_transcriptions(), *_logprobs(), *_strategies(), *_translations())
    return [*spoken, *_refused(), *_models()]


def _transcriptions() -> Iterator[Cell]:
    speech = SPEECH["transcriptions"]
    formats = (*FORMATS, "diarized_json")
    for response_format, granularities, stream in product(formats, GRANULARITIES, (False, True)):
        fields: dict[str, Any] = {"response_format": response_format}
        if granularities:
            fields["timestamp_granularities"] = list(granularities)
        if stream:
            fields["stream"] = True
        yield Cell("transcriptions", fields, file=speech)


def _logprobs() -> Iterator[Cell]:
    """Tokens beside the text; OpenAI has them in json alone."""
    for stream in ({}, {"stream": True}):
        fields = {"response_format": "json", "include": ["logprobs"], **stream}
        yield Cell("transcriptions", fields, file=SPEECH["transcriptions"])


def _strategies() -> Iterator[Cell]:
    """The one field that is an object."""
    vad = {"threshold": 0.5, "prefix_padding_ms": 300, "silence_duration_ms": 300}
    for strategy in ("auto", {"type": "server_vad", **vad}):
        yield Cell("transcriptions", {"chunking_strategy": strategy}, file=SPEECH["transcriptions"])


def _translations() -> Iterator[Cell]:
    """The clients have neither granularities nor streams here."""
    for response_format in FORMATS:
        fields = {"response_format": response_format}
        yield Cell("translations", fields, file=SPEECH["translations"])


def _refused() -> Iterator[Cell]:
    speech = SPEECH["transcriptions"]
    unauthorized = Refusal("AuthenticationError", 401, None, "invalid_api_key")
    for stream in ({}, {"stream": True}):
        for name, value in (
            ("response_format", "docx"),
            ("language", "tlh"),
            ("temperature", 7),
            ("timestamp_granularities", ["letter"]),
            ("chunking_strategy", {"type": "server_vad", "threshold": 7}),
        ):
            yield Cell("transcriptions", {name: value, **stream}, Refusal(param=name), speech)
        yield Cell("transcriptions", stream, Refusal(code="bad_audio"), NO_AUDIO)
        yield Cell("transcriptions", stream, unauthorized, speech, "sk-of-someone-else")
    yield Cell("translations", {"temperature": 7}, Refusal(param="temperature"), speech)


def _models() -> Iterator[Cell]:
    missing = Refusal("NotFoundError", 404, "model", "not_found")
    yield Cell("models")
    yield Cell("models", {"model": MODEL})
    yield Cell("models", {"model": "whisper-1"})
    yield Cell("models", {"model": "whisper-9"}, missing)
