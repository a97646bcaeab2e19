"""What Deepgram's clients are asked, and whether what they got is right."""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any

from tests.clients.cells import NO_AUDIO, SPEECH, Cell, Refusal
from tests.clients.official import Answer
from tests.clients.verdict import Row, Wrong

HOOK = "https://receiver.invalid/done"  # A name that nobody has: RFC 2606.
ASKED: Sequence[Mapping[str, Any]] = (
    {},
    {"model": "nova-3", "smart_format": True, "punctuate": True},
    {"language": "en-US"},
    {"language": "multi"},
    {"detect_language": True},
    {"utterances": True},
    {"utterances": True, "utt_split": 0.3},
    {"paragraphs": True},
    {"diarize": True, "utterances": True, "paragraphs": True},
    {"diarize_model": "latest"},
    {"tag": ["calls", "of today"], "extra": ["case:17", "page:a:b"]},
    {"redact": "pci", "summarize": "v2"},
    {"encoding": "flac"},
)


def listen_cells() -> list[Cell]:
    """Every feature, by the bytes and by URL, a callback, and what is refused."""
    speech = SPEECH["listen"]
    uri = "data:audio/flac;base64," + base64.b64encode(speech.read_bytes()).decode()
    asked = [Cell("listen", fields, file=speech) for fields in ASKED]
    return [
        *asked,
        Cell("listen", {"url": uri, "utterances": True}),
        Cell("listen", {"callback": HOOK}, file=speech),
        *_refused(),
    ]


def _refused() -> Iterator[Cell]:
    speech = SPEECH["listen"]
    bad = Refusal(code="Bad Request")
    for fields in (
        {"language": "tlh"},
        {"utt_split": -1},
        {"encoding": "linear16"},
        {"extra": ["alone"]},
        {"callback": "ftp://receiver.invalid"},
    ):
        yield Cell("listen", fields, bad, speech)
    yield Cell("listen", {}, bad, NO_AUDIO)
    yield Cell("listen", {"url": "nowhere"}, Refusal("", 403, None, "INSUFFICIENT_PERMISSIONS"))
    yield Cell("listen", {}, Refusal("", 401, None, "INVALID_AUTH"), speech, "another key")


def listen_rows(client: str, cells: Sequence[Cell], answers: Sequence[Answer]) -> list[Row]:
    """A row for each cell, in their order."""
    return [_row(client, cell, answer) for cell, answer in zip(cells, answers, strict=True)]


def _row(client: str, cell: Cell, answer: Answer) -> Row:
    try:
        if cell.refusal is not None or answer.error is not None:
            return Row(client, cell, _refusal(cell, answer))
        if "callback" in cell.fields:
            return Row(client, cell, _accepted(answer.body))
        text = _transcript(cell, answer.body)
        words = tuple(text.split())
        return Row(client, cell, f"{len(words)} words", words=words, text=text)
    except (Wrong, KeyError) as error:
        return Row(client, cell, problem=" ".join(str(error).split()) or repr(error))


def _refusal(cell: Cell, answer: Answer) -> str:
    if cell.refusal is None:
        raise Wrong(f"refused: {answer.error}")
    found = answer.error or {}
    is_told = found.get("err_msg") and found.get("request_id")
    same = (found.get("status"), found.get("err_code")) == (cell.refusal.status, cell.refusal.code)
    if not same or not is_told or cell.refusal.name not in {"", found.get("name")}:
        raise Wrong(f"not {cell.refusal} but {found or 'an answer'}")
    return f"{found['status']} {found['name']}"


def _accepted(body: Mapping[str, Any]) -> str:
    if list(body) != ["request_id"] or not body["request_id"]:
        raise Wrong(f"not an id alone: {body}")
    return "accepted"


def _transcript(cell: Cell, body: Mapping[str, Any]) -> str:
    """The text, which its words, paragraphs and utterances are."""
    fields, results = cell.fields, body["results"]
    [channel] = results["channels"]
    [found] = channel["alternatives"]
    text, words = str(found["transcript"]), found["words"]
    _check_words(words, text, body["metadata"]["duration"])
    _check_metadata(fields, body["metadata"])
    _same("speakers", _is_diarized(fields), all("speaker" in word for word in words))
    _same("the detected language", "detect_language" in fields, "detected_language" in channel)
    if "detect_language" in fields and not 0 < channel.get("language_confidence", 0) <= 1:
        raise Wrong(f"a language_confidence that is no probability: {channel}")
    _same("languages", fields.get("language") == "multi", found.get("languages") == ["en"])
    _same("paragraphs", "paragraphs" in fields, "paragraphs" in found)
    _same("utterances", "utterances" in fields, "utterances" in results)
    for said in (
        [each["text"] for p in _paragraphs(found) for each in p["sentences"]],
        [each["transcript"] for each in results.get("utterances", ())],
        [
            word["punctuated_word"]
            for each in results.get("utterances", ())
            for word in each["words"]
        ],
    ):
        if said and " ".join(said) != text:
            raise Wrong(f"the parts are not the text: {said}")
    return text


def _check_words(words: Sequence[Mapping[str, Any]], text: str, duration: float) -> None:
    if " ".join(word["punctuated_word"] for word in words) != text:
        raise Wrong(f"the words are not the text: {words}")
    plain = [word["punctuated_word"].strip(".,?!").lower() for word in words]
    if [word["word"] for word in words] != plain:
        raise Wrong(f"words with capitals or punctuation: {words}")
    if not all(0 < word["confidence"] <= 1 for word in words):
        raise Wrong(f"confidences that are no probabilities: {words}")
    times = [time for word in words for time in (word["start"], word["end"])]
    if any(after < before for before, after in pairwise([0.0, *times, duration])):
        raise Wrong(f"times that go back, or outside the audio: {times}")


def _check_metadata(fields: Mapping[str, Any], metadata: Mapping[str, Any]) -> None:
    if metadata.get("tags", []) != fields.get("tag", []):
        raise Wrong(f"tags: {metadata.get('tags')}")
    pairs = dict(pair.split(":", 1) for pair in fields.get("extra", ()))
    if metadata.get("extra", {}) != pairs:
        raise Wrong(f"extra: {metadata.get('extra')}")
    warned = {each["parameter"] for each in metadata.get("warnings", ())}
    if warned != {"redact", "summarize"} & set(fields):
        raise Wrong(f"warnings: {metadata.get('warnings')}")
    if not all(metadata[name] for name in ("request_id", "sha256", "created", "models")):
        raise Wrong(f"metadata: {metadata}")


def _is_diarized(fields: Mapping[str, Any]) -> bool:
    return "diarize" in fields or "diarize_model" in fields


def _paragraphs(found: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
    paragraphs: Sequence[Mapping[str, Any]] = found.get("paragraphs", {}).get("paragraphs", ())
    return paragraphs


def _same(what: str, wanted: bool, there: bool) -> None:
    if wanted != there:
        raise Wrong(f"{what} {'are missing' if wanted else 'are there unasked'}")
