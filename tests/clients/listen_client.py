"""Deepgram's client for Python does what it is told on stdin, and tells what it got on stdout.

It runs where pip has installed `deepgram-sdk`; the same as `tests/node/listen.mjs`.
"""

from __future__ import annotations

import json
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from deepgram import DeepgramClient
from deepgram.core.api_error import ApiError
from deepgram.environment import DeepgramClientEnvironment
from deepgram.types import ListenV1Response

SHOWN_CHARS = 100  # of the fields, in the line for a cell that is done


def answered(url: str, seconds: float, cell: dict[str, Any]) -> dict[str, Any]:
    """The answer to a cell, which fits the client's types, or what the client raises."""
    place = DeepgramClientEnvironment(base=url, production=url, agent=url, agent_rest=url)
    client = DeepgramClient(api_key=cell["key"], environment=place, timeout=seconds)
    media, fields = client.listen.v1.media, dict(cell["fields"])
    once: Any = {"request_options": {"max_retries": 0}}
    try:
        if "url" in fields:
            got = media.transcribe_url(**fields, **once)
        else:
            got = media.transcribe_file(request=Path(cell["file"]).read_bytes(), **fields, **once)
    except ApiError as error:
        told = {"name": type(error).__name__, "status": error.status_code}
        return {"error": {**told, **(error.body if isinstance(error.body, dict) else {})}}
    finally:
        print(
            f"Python: {cell['route']} {str(cell['fields'])[:SHOWN_CHARS]}",
            file=sys.stderr,
            flush=True,
        )
    body = got.model_dump(mode="json", exclude_none=True)
    if "results" in body:
        ListenV1Response.model_validate(body)
    return {"body": body}


def main() -> None:
    asked = json.load(sys.stdin)
    with ThreadPoolExecutor(asked["at_once"]) as threads:
        answers = threads.map(
            lambda cell: answered(asked["url"], asked["request_seconds"], cell), asked["cells"]
        )
        print(json.dumps(list(answers)))


main()
