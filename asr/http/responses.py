"""Headers and log lines that the answers of all dialects share."""

from __future__ import annotations

import logging
from collections.abc import Iterable

from aiohttp import web

from asr.http.app_keys import CLIENT, CONFIG, ENGINE, REQUEST_ID
from asr.transcript import Coverage
from asr.transcription.scheduled_request import Timings

log = logging.getLogger(__name__)

WARNING_CHARS = 2000  # X-Warnings is cut to so many characters.
WEBSOCKET_VERSION = "13"  # A client that speaks another one is told this (RFC 6455, section 4.4).


def caller(request: web.Request) -> str:
    """The request's id, and the client's name where it has one, as the log shows them."""
    return f"{request[REQUEST_ID]} {request[CLIENT]}".rstrip()


def log_request(request: web.Request, timings: Timings, elapsed: float) -> None:
    log_transcription(f"{caller(request)} {request.path}", timings, elapsed)


def log_transcription(name: str, timings: Timings, elapsed: float) -> None:
    log.info(
        "%s: %.1f s of audio, fetch %.2f, decode %.2f, queue %.2f, model %.2f, total %.2f s",
        name,
        timings.audio,
        timings.fetch,
        timings.decode,
        timings.queue,
        timings.model,
        elapsed,
    )


def server_headers(request: web.Request) -> dict[str, str]:
    """The headers that are known before the audio is."""
    config, info = request.app[CONFIG], request.app[ENGINE].info
    return {
        "X-Salad-Machine-ID": config.salad_machine_id,
        "X-Salad-Container-Group-ID": config.salad_container_group_id,
        "X-GPU-Name": info.device_name,
        "X-Hardware": info.hardware,
        "X-Model-ID": info.model_id,
    }


def warning_header(warnings: Iterable[str]) -> dict[str, str]:
    """What cannot be honoured, as printable ASCII, whatever the names of the fields are."""
    text = "; ".join(warnings)[:WARNING_CHARS]
    printable = "".join(letter if " " <= letter <= "~" else "?" for letter in text)
    return {"X-Warnings": printable} if printable else {}


def answer_headers(
    request: web.Request, timings: Timings, elapsed: float, coverage: Coverage | None = None
) -> dict[str, str]:
    """The headers of every whole answer about audio; times in seconds."""
    covered = {} if coverage is None else {"X-Speech-Coverage": f"{coverage.share:.3f}"}
    return {
        **covered,
        **server_headers(request),
        "X-Processing-Time": decimals(elapsed),
        "X-Audio-Length": str(round(timings.audio, 3)),
        "X-Realtime-Factor": decimals(timings.audio / elapsed),
        "X-Queue-Time": decimals(timings.queue),
    }


def decimals(figure: float) -> str:
    """A figure as headers have it, never with an exponent."""
    return f"{figure:.4f}"
