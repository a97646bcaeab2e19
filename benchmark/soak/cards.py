"""Describe the requests of the soak: every route, way of sending, format, option and stream."""

from __future__ import annotations

import base64
import io
import json
import re
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import cycle
from typing import Any

import aiohttp

from benchmark.soak.clips import Clip, broken

TRANSCRIPTIONS, TRANSLATIONS = "/v1/audio/transcriptions", "/v1/audio/translations"
PART_BYTES = 16_384  # A chunked upload comes in parts of so many bytes.
OK = frozenset({200})
FAULTY = frozenset({200, 400})  # Half a file may still have some text.
BARE = ("/hc", "/health", "/metrics", "/docs", "/openapi.json", "/v1/models", "/tasks", "/jobs")


def of_object(body: bytes) -> str:
    return str(json.loads(body)["text"])


def of_output(body: bytes) -> str:
    return str(json.loads(body)["output"]["text"])


def of_language(body: bytes) -> str:
    return str(json.loads(body)["language"])


def of_detection(body: bytes) -> str:
    return str(json.loads(body)["language_code"])


def of_speakers(body: bytes) -> str:
    return str(json.loads(body)["segments"])


def of_channels(body: bytes) -> str:
    channels = json.loads(body)["results"]["channels"]
    return str([channel["alternatives"][0]["transcript"] for channel in channels])


def of_text(body: bytes) -> str:
    return body.decode()


def of_events(body: bytes) -> str:
    """Return the streamed text; where its parts say something else, both."""
    lines = [line.removeprefix("data: ") for line in body.decode().splitlines()]
    events = [json.loads(line) for line in lines if line.startswith("{")]
    parts = "".join(e["delta"] for e in events if e["type"] == "transcript.text.delta")
    whole = str(events[-1].get("text"))
    return whole if parts.strip() == whole.strip() else f"{whole} (streamed: {parts})"


def of_nothing(_: bytes) -> str:
    return ""


@dataclass(frozen=True)
class Card:
    """Describes one request, the statuses that are right for it, and how to read its text."""

    name: str
    path: str
    method: str = "POST"
    statuses: frozenset[int] = OK
    read: Callable[[bytes], str] = of_object
    body: Callable[[], dict[str, Any]] = dict  # makes the arguments of aiohttp's request anew

    async def send(self, session: aiohttp.ClientSession, url: str) -> Reply:
        """Send the request and read its answer.

        Raises:
            aiohttp.ClientError, OSError, TimeoutError: there was none.
        """
        async with session.request(self.method, url + self.path, **self.body()) as reply:
            content = await reply.read()
        retry_after = reply.headers.get("Retry-After", "")
        text = self.read(content) if reply.status == 200 else ""
        return Reply(
            reply.status,
            text,
            content[:200].decode(errors="replace") if reply.status >= 400 else "",
            float(retry_after) if re.fullmatch(r"\d+(\.\d+)?", retry_after) else 1.0,
        )


@dataclass(frozen=True)
class Reply:
    """Holds what of an answer is judged."""

    status: int
    text: str
    error: str  # the start of an error's body
    retry_after: float  # seconds


@dataclass(frozen=True)
class Way:
    """Describes one way to ask for a clip's text; each clip takes the next one."""

    path: str
    pack: Callable[[Clip, Mapping[str, str]], dict[str, Any]]
    fields: Mapping[str, str] = field(default_factory=dict)
    read: Callable[[bytes], str] = of_object

    def card(self, clip: Clip, statuses: frozenset[int] = OK) -> Card:
        options = " ".join(f"{name}={value}" for name, value in self.fields.items())
        name = " ".join(filter(None, [self.path, self.pack.__name__, options, clip.name]))
        return Card(
            name, self.path, "POST", statuses, self.read, lambda: self.pack(clip, self.fields)
        )


def raw(clip: Clip, _: Mapping[str, str]) -> dict[str, Any]:
    return {"data": io.BytesIO(clip.data)}


def chunked(clip: Clip, _: Mapping[str, str]) -> dict[str, Any]:
    async def parts() -> AsyncIterator[bytes]:
        for start in range(0, len(clip.data), PART_BYTES):
            yield clip.data[start : start + PART_BYTES]

    return {"data": parts()}


def form(clip: Clip, fields: Mapping[str, str]) -> dict[str, Any]:
    made = aiohttp.FormData(default_to_multipart=True)
    for name, value in fields.items():
        made.add_field(name, value)
    made.add_field("file", io.BytesIO(clip.data), filename=clip.name)
    return {"data": made}


def audio_file(clip: Clip, _: Mapping[str, str]) -> dict[str, Any]:
    """Return the form of whisper-asr-webservice, whose options are in the query."""
    made = aiohttp.FormData(default_to_multipart=True)
    made.add_field("audio_file", io.BytesIO(clip.data), filename=clip.name)
    return {"data": made}


def uri(clip: Clip, fields: Mapping[str, str]) -> dict[str, Any]:
    encoded = base64.b64encode(clip.data).decode()
    return {"json": {"url": f"data:audio/x;base64,{encoded}", **fields}}


WAYS = (
    Way("/asr", raw),
    Way(TRANSCRIPTIONS, form, {"response_format": "json"}),
    Way("/asr?timestamps=word", chunked),
    Way(TRANSCRIPTIONS, form, {"response_format": "verbose_json", "prompt": "Good morning."}),
    Way("/asr?stream=true", raw, read=of_events),
    Way(TRANSCRIPTIONS, form, {"response_format": "srt"}, of_text),
    Way("/asr", form, {"timestamps": "none"}),
    Way(TRANSCRIPTIONS, form, {"stream": "true", "response_format": "json"}, of_events),
    Way("/asr", uri, {"temperature": "0.4", "seed": "7"}),
    Way(TRANSCRIPTIONS, form, {"response_format": "vtt", "max_line_width": "30"}, of_text),
    Way(TRANSLATIONS, form, {"response_format": "text"}, of_text),
    Way("/detect-language", raw, read=of_language),
    Way(TRANSCRIPTIONS, form, {"stream": "true", "response_format": "verbose_json"}, of_events),
    Way("/v1/audio/language", form, read=of_language),
    Way(TRANSCRIPTIONS, form, {"response_format": "tsv", "chunking_strategy": "auto"}, of_text),
    Way("/", uri, {"batch_size": "24", "language": "None"}, of_output),
    Way("/production/predict", uri, {"language": "", "timestamp": "Chunk"}),
    Way("/upload", form, {"timestamp": "word"}, of_output),
    Way("/v1/audio/speakers", raw, read=of_speakers),
    Way("/asr?output=srt", audio_file, read=of_text),
    Way("/asr", audio_file, read=of_text),
    Way("/whisper-asr/asr?output=json&word_timestamps=true", audio_file),
    Way("/whisper-asr/detect-language", audio_file, read=of_detection),
    Way("/v1/listen?utterances=true&model=nova-3", raw, read=of_channels),
)


def deck(clips: Sequence[Clip]) -> list[Card]:
    """Return all requests that the server is to answer: clips, bare paths and faulty ones."""
    spoken = [way.card(clip) for clip, way in zip(clips, cycle(WAYS), strict=False)]
    others = [*(bare(path) for path in BARE), secret()]
    return [*spoken, *others, *later(clips[0]), *faulty(clips[0])]


def bare(path: str, status: int = 200, method: str = "GET") -> Card:
    return Card(f"{method} {path}", path, method, frozenset({status}), of_nothing)


def secret() -> Card:
    """Return a request for a secret that opens live sessions."""
    path = "/v1/realtime/client_secrets"
    return Card(path, path, read=of_nothing, body=lambda: {"json": {}})


def later(clip: Clip) -> list[Card]:
    """Return requests for jobs, whose texts nobody fetches."""
    accepted = frozenset({202})

    def predict() -> dict[str, Any]:
        return {"json": {"model_input": uri(clip, {})["json"]}}

    path = "/production/async_predict"
    return [
        Card(f"{path} {clip.name}", path, "POST", accepted, of_nothing, predict),
        Way("/jobs", raw, read=of_nothing).card(clip, accepted),
    ]


def faulty(clip: Clip) -> list[Card]:
    """Return requests that the server must refuse, or answer with little text."""
    ways = (WAYS[0], WAYS[1])
    damaged = [way.card(one, FAULTY) for one, way in zip(broken(clip), cycle(ways), strict=False)]
    return [
        *damaged,
        Way("/asr?language=klingon", raw).card(clip, frozenset({400})),
        Way(TRANSCRIPTIONS, form, {"response_format": "pdf"}).card(clip, frozenset({400})),
        Card("a private URL", "/asr", statuses=frozenset({403}), body=_private),
        bare("/v1/models/whisper-1", 404),
        bare("/nothing", 404),
        *(bare(f"/jobs/nothing{end}", 404) for end in ("", "/result", "/events")),
        bare("/jobs/nothing", 404, "DELETE"),
        bare("/jobs/nothing/redeliver", 404, "POST"),
        bare("/status/nothing", 404),
        bare("/cancel/nothing", 404, "DELETE"),
        bare("/asr", 405),
    ]


def _private() -> dict[str, Any]:
    return {"json": {"url": "http://169.254.169.254/latest/meta-data"}}


def undriven(document: Mapping[str, Any], cards: Iterable[Card]) -> list[str]:
    """Return the documented routes that no card asks for: a route that was added since."""
    driven = {(card.method, card.path.partition("?")[0]) for card in cards}

    def is_driven(method: str, path: str) -> bool:
        pattern = re.sub(r"\\{[^}]*\\}", ".+", re.escape(path))
        return any(method == m and re.fullmatch(pattern, p) for m, p in driven)

    return [
        f"{method.upper()} {path}"
        for path, operations in document["paths"].items()
        for method in operations
        if method in {"get", "post", "put", "patch", "delete"}
        and not is_driven(method.upper(), path)
    ]
