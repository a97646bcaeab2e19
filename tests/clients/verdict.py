"""Whether the answers are right, each by itself and all of them together."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any, get_args

import jiwer
import pydantic
from openai.types import Model
from openai.types.audio import (
    Transcription,
    TranscriptionDiarized,
    TranscriptionVerbose,
    Translation,
    TranslationVerbose,
)
from openai.types.audio.transcription_stream_event import TranscriptionStreamEvent

from benchmark.demo import plain_words
from tests.clients.cells import SPEECH, Cell
from tests.clients.official import Answer
from tests.clients.readers import Unreadable, readings

TYPES: Mapping[tuple[str, str], type[pydantic.BaseModel]] = {
    ("transcriptions", "json"): Transcription,
    ("transcriptions", "verbose_json"): TranscriptionVerbose,
    ("transcriptions", "diarized_json"): TranscriptionDiarized,
    ("translations", "json"): Translation,
    ("translations", "verbose_json"): TranslationVerbose,
}
EVENTS = {
    event.model_fields["type"].annotation.__args__[0]: event  # Literal["transcript.text.done"]
    for event in get_args(get_args(TranscriptionStreamEvent)[0])
}
NONSENSE = 0.3  # of the words wrong


class Wrong(Exception):
    """What is wrong with an answer."""


@dataclass(frozen=True)
class Row:
    """One line of the table."""

    client: str
    cell: Cell
    said: str = ""  # what there is to say of an answer that is right
    problem: str | None = None
    words: tuple[str, ...] | None = None  # where the answer has some
    text: str | None = None  # of the answer, as it is written in its format


def judge(client: str, cells: Sequence[Cell], answers: Sequence[Answer]) -> list[Row]:
    """A row for each cell, in their order."""
    return [_row(client, cell, answer) for cell, answer in zip(cells, answers, strict=True)]


def compare(rows: Sequence[Row]) -> list[Row]:
    """The rows again: whoever has other words than the first, or another text, is wrong."""
    first: dict[str, Row] = {}
    texts: dict[tuple[object, ...], Row] = {}
    return [replace(row, problem=_difference(row, first, texts)) for row in rows]


def _difference(
    row: Row, first: dict[str, Row], texts: dict[tuple[object, ...], Row]
) -> str | None:
    if row.problem or row.words is None:
        return row.problem
    known = first.setdefault(row.cell.route, row)
    if row is known:
        return _nonsense(row)
    if row.words != known.words:
        return f"other words than {_name(known)}: {' '.join(row.words)}"
    written_alike = (row.cell.route, row.cell.response_format, "word" in row.cell.granularities)
    same = texts.setdefault(written_alike, row)
    return None if row.text == same.text else f"not written as {_name(same)}"


def _nonsense(row: Row) -> str | None:
    listed = json.loads((SPEECH["transcriptions"].parent / "samples.json").read_text())
    [sample] = [one for one in listed if one["file"] == SPEECH[row.cell.route].name]
    said = sample["translation" if row.cell.route == "translations" else "text"]
    plain = [" ".join(plain_words(text)) for text in (said, " ".join(row.words or ()))]
    wrong = jiwer.wer(*plain)
    return f"{100 * wrong:.0f} % of the words are wrong" if wrong > NONSENSE else None


def _name(row: Row) -> str:
    stream = ", streamed" if row.cell.is_streamed else ""
    return f"{row.cell.response_format}{stream}, of {row.client}"


def _row(client: str, cell: Cell, answer: Answer) -> Row:
    try:
        if cell.refusal is not None or answer.error is not None:
            return Row(client, cell, _refused(cell, answer))
        if cell.route == "models":
            return Row(client, cell, _models(answer.body))
        text = _streamed(cell, answer.events) if cell.is_streamed else _whole(cell, answer.body)
        words = _words(cell, text)
        return Row(client, cell, f"{len(words)} words", words=tuple(words), text=text)
    except (Wrong, Unreadable, pydantic.ValidationError) as error:
        return Row(client, cell, problem=" ".join(str(error).split()))


def _refused(cell: Cell, answer: Answer) -> str:
    """Right if it is the error that was to come, with all that OpenAI's errors have."""
    if cell.refusal is None:
        raise Wrong(f"refused: {answer.error}")
    expected = {
        "name": cell.refusal.name,
        "status": cell.refusal.status,
        "type": "invalid_request_error",
        "param": cell.refusal.param,
        "code": cell.refusal.code,
    }
    if answer.error != expected:
        raise Wrong(f"not {expected} but {answer.error or 'an answer'}")
    return f"{cell.refusal.status} {cell.refusal.name}"


def _models(body: Any) -> str:
    models = [Model.model_validate(each) for each in (body if isinstance(body, list) else [body])]
    if len(models) != 1:
        raise Wrong("not the one model that is served")
    return models[0].id


def _whole(cell: Cell, body: Any) -> str:
    shape = TYPES.get((cell.route, cell.response_format))
    if shape is None:
        if not isinstance(body, str):
            raise Wrong(f"not text but {type(body).__name__}")
        return body
    shape.model_validate(body, strict=True)
    if cell.response_format == "verbose_json":
        _check_verbose(cell, body)
    if cell.response_format == "diarized_json":
        _check_diarized(body)
    _check_logprobs(cell, body)
    return str(body["text"])


def _check_verbose(cell: Cell, body: Mapping[str, Any]) -> None:
    wanted = cell.granularities or ("segment",)
    for granularity, name in (("segment", "segments"), ("word", "words")):
        if (granularity in wanted) != (name in body):
            raise Wrong(f"{name} are {'there unasked' if name in body else 'missing'}")
    for name, text in (("segments", "text"), ("words", "word")):
        parts = body.get(name) or ()
        _check_times([(part["start"], part["end"]) for part in parts], body["duration"])
        said = " ".join(part[text] for part in parts).split()
        if name in body and said != body["text"].split():
            raise Wrong(f"the {name} are not the text: {said}")
    for segment in body.get("segments") or ():
        _check_segment(segment)


def _check_diarized(body: Mapping[str, Any]) -> None:
    """All of the text is somebody's, from the first speaker on."""
    segments = body["segments"]
    _check_times([(each["start"], each["end"]) for each in segments], body["duration"])
    if "".join(each["text"] for each in segments).split() != body["text"].split():
        raise Wrong(f"the segments are not the text: {segments}")
    if segments[0]["speaker"] != "A" or not all(each["speaker"] for each in segments):
        raise Wrong(f"nobody speaks, or not from A on: {segments}")


def _check_segment(segment: Mapping[str, Any]) -> None:
    """Nothing in it is made up to fill OpenAI's fields."""
    computed = {
        "tokens": len(segment["tokens"]) > 0,
        "avg_logprob": -10 < segment["avg_logprob"] < 0,
        "no_speech_prob": 0 < segment["no_speech_prob"] < 1,
        "compression_ratio": segment["compression_ratio"] > 0,
        "temperature": 0 <= segment["temperature"] <= 1,
        "seek": 0 <= segment["seek"] <= 100 * segment["start"],
    }
    if not all(computed.values()):
        raise Wrong(f"not computed: {[n for n, right in computed.items() if not right]}: {segment}")


def _check_logprobs(cell: Cell, answer: Mapping[str, Any]) -> None:
    """The tokens' bytes are the text, each token with its probability."""
    if cell.wants_logprobs != bool(answer.get("logprobs")):
        raise Wrong(f"logprobs are {'missing' if cell.wants_logprobs else 'there unasked'}")
    tokens = answer.get("logprobs") or ()
    spelled = bytes(int(byte) for token in tokens for byte in token["bytes"]).decode()
    if tokens and spelled.split() != answer["text"].split():
        raise Wrong(f"the tokens are not the text: {spelled}")
    if any(token["logprob"] > 0 for token in tokens):
        raise Wrong("a token is more than certain")


def _check_times(times: Sequence[tuple[float, float]], duration: float) -> None:
    if not all(0 <= start <= end <= duration + 0.01 for start, end in times):
        raise Wrong(f"times outside the audio of {duration} s: {times}")
    if any(after[0] < before[0] for before, after in pairwise(times)):
        raise Wrong(f"times that go back: {times}")


def _streamed(cell: Cell, events: Sequence[Any] | None) -> str:
    parts = list(_valid(events or ()))
    *before, done = parts
    deltas = [event["delta"] for event in before if event["type"] == "transcript.text.delta"]
    if done["type"] != "transcript.text.done" or len(deltas) < 2:
        raise Wrong(f"not deltas and an end: {[event['type'] for event in parts]}")
    if "".join(deltas) != done["text"]:
        raise Wrong("the deltas are not the text of the end")
    segments = [event for event in before if event["type"] == "transcript.text.segment"]
    said = "".join(segment["text"] for segment in segments).split()
    if said != _words(cell, done["text"]):
        raise Wrong(f"the segments have other words: {said}")
    if any(("words" in segment) != ("word" in cell.granularities) for segment in segments):
        raise Wrong("words are where they were not asked, or missing")
    _check_logprobs(cell, done)
    return str(done["text"])


def _valid(events: Sequence[Any]) -> Iterator[Mapping[str, Any]]:
    for event in events:
        if event.get("type") not in EVENTS:
            raise Wrong(f"no event of OpenAI's: {event}")
        EVENTS[event["type"]].model_validate(event, strict=True)
        yield event


def _words(cell: Cell, text: str) -> list[str]:
    """The same to all readers of the format."""
    text_format = "text" if "json" in cell.response_format else cell.response_format
    found = readings(text_format, text)
    words, *others = found.values()
    if any(other != words for other in others):
        raise Wrong(f"readers differ: {found}")
    return words
