"""The requests of whisper-asr-webservice's clients, Bazarr among them, and what came of them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import requests
import soundfile

from tests.clients.cells import NO_AUDIO, SPEECH, Cell, Refusal
from tests.clients.official import REQUEST_SECONDS
from tests.clients.readers import Unreadable, readings
from tests.clients.verdict import Row, Wrong

CLIENT = "Bazarr's requests"
OUTPUTS = ("txt", "vtt", "srt", "tsv", "json")
WORD_FIELDS = {"word", "start", "end", "probability"}


def webservice_cells() -> list[Cell]:
    """Every output of a file and of raw PCM, words, the language, and what is refused."""
    speech = SPEECH["webservice"]
    outputs = [
        Cell("webservice", {"response_format": output, "encode": encode}, file=speech)
        for output in OUTPUTS
        for encode in ("true", "false")
    ]
    words = {"response_format": "json", "word_timestamps": "true"}
    unknown = Refusal("", 422)
    return [
        *outputs,
        Cell("webservice", words, file=speech),
        Cell("webservice", {"response_format": "language", "encode": "false"}, file=speech),
        Cell("webservice", {"response_format": "docx"}, unknown, speech),
        Cell("webservice", {"response_format": "srt", "language": "tlh"}, unknown, speech),
        Cell("webservice", {"response_format": "srt"}, Refusal("", 400), NO_AUDIO),
        Cell("webservice", {"response_format": "srt"}, Refusal("", 401), speech, "wrong"),
    ]


def webservice_rows(url: str, cells: Sequence[Cell]) -> list[Row]:
    """A row for each cell, in their order."""
    return [_row(cell, _sent(url, cell)) for cell in cells]


def _sent(url: str, cell: Cell) -> requests.Response:
    assert cell.file is not None
    fields = {name: value for name, value in cell.fields.items() if name != "response_format"}
    audio = cell.file.read_bytes()
    if fields.get("encode") == "false":
        audio = soundfile.read(cell.file, dtype="int16")[0].tobytes()  # 16 kHz, mono
    is_language = cell.response_format == "language"
    return requests.post(
        f"{url}/whisper-asr/{'detect-language' if is_language else 'asr'}",
        params=fields if is_language else {"output": cell.response_format, **fields},
        files={"audio_file": audio},
        headers={"Authorization": f"Bearer {cell.key}"},
        timeout=REQUEST_SECONDS,
    )


def _row(cell: Cell, answer: requests.Response) -> Row:
    try:
        if cell.refusal is not None:
            return Row(CLIENT, cell, _refusal(cell.refusal, answer))
        if answer.status_code != 200:
            raise Wrong(f"refused: {answer.status_code} {answer.text}")
        if cell.response_format == "language":
            return Row(CLIENT, cell, _language(answer.json()))
        text = answer.text if cell.response_format != "json" else _whole(cell, answer.json())
        words = _words(cell, text)
        return Row(CLIENT, cell, f"{len(words)} words", words=tuple(words), text=text)
    except (Wrong, Unreadable, KeyError, ValueError) as error:
        return Row(CLIENT, cell, problem=" ".join(str(error).split()) or repr(error))


def _refusal(wanted: Refusal, answer: requests.Response) -> str:
    if answer.status_code != wanted.status or not answer.json().get("detail"):
        raise Wrong(f"not {wanted.status} but {answer.status_code} {answer.text}")
    return f"{answer.status_code} detail"


def _language(found: dict[str, Any]) -> str:
    if (found["language_code"], found["detected_language"]) != ("en", "english"):
        raise Wrong(f"another language: {json.dumps(found)}")
    if not 0.5 < found["confidence"] <= 1:
        raise Wrong(f"no confidence: {json.dumps(found)}")
    return "en"


def _whole(cell: Cell, found: dict[str, Any]) -> str:
    segments = found["segments"]
    if "".join(segment["text"] for segment in segments) != found["text"]:
        raise Wrong(f"the segments are not the text: {segments}")
    wanted = "word_timestamps" in cell.fields
    if any(("words" in segment) != wanted for segment in segments):
        raise Wrong(f"words are {'missing' if wanted else 'there unasked'}")
    for segment in segments if wanted else ():
        if any(not word.keys() >= WORD_FIELDS for word in segment["words"]):
            raise Wrong(f"words without their fields: {segment}")
    return str(found["text"])


def _words(cell: Cell, text: str) -> list[str]:
    formats = {"txt": "text", "json": "text"}
    found = readings(formats.get(cell.response_format, cell.response_format), text)
    words, *others = found.values()
    if any(other != words for other in others):
        raise Wrong(f"readers differ: {found}")
    return words
