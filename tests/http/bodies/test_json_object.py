"""A JSON object is read whole, however large its data URI, and nothing else in it may be large."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from asr.errors import BadRequest, CallerError, TooLarge
from asr.http.bodies import long_string as module
from asr.http.bodies.json_object import DataUri, json_object
from asr.http.bodies.long_string import JSON_COMMAS, REST_BYTES

LONG = "data:audio/wav;base64," + "QUJD+/09" * (REST_BYTES // 8)


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "REST_BYTES", 100)
    monkeypatch.setattr(module, "PIECE_BYTES", 7)


@pytest.mark.parametrize(
    "written",
    [
        json.dumps,
        lambda text: json.dumps(text).replace("/", "\\/"),  # as PHP
        lambda text: json.dumps(text).replace("+", "\\u002B"),  # as .NET
        lambda text: '"DATA' + json.dumps(text)[5:],
    ],
)
def test_a_large_data_uri_is_read_as_it_is(written: object) -> None:
    text = written(LONG)  # type: ignore[operator]
    data = f' {{"language": "en", "url":\n{text} , "strict": true}}'.encode()
    assert joined(json_object(data)) == json.loads(data)


def joined(found: dict[str, object]) -> dict[str, object]:
    """Return an object with its data URI as one text."""
    uri = found["url"]
    assert isinstance(uri, DataUri)
    assert max(map(len, uri.pieces)) <= module.PIECE_BYTES
    return {**found, "url": "".join(uri.pieces)}


@pytest.mark.usefixtures("small")
@given(st.text(max_size=200), st.text(max_size=30))
def test_what_is_read_in_pieces_is_what_is_read_at_once(uri: str, other: str) -> None:
    for ascii_only in (True, False):
        found = {"url": "data:" + "a" * 100 + uri, "prompt": other}
        data = json.dumps(found, ensure_ascii=ascii_only)
        try:
            read = joined(json_object(data.encode()))
        except CallerError:
            assert len(json.dumps(other)) > 50 or "data:" in other
            continue
        except ValidationError:
            assert "\0" in uri + other
            continue
        assert read["prompt"] == other
        assert _characters(str(read["url"])) == found["url"]


def _characters(text: str) -> str:
    """Join the halves of surrogate pairs that lay in two pieces: no data URI has such."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


@pytest.mark.parametrize(
    "data",
    [
        b'{"url": "' + b"a" * REST_BYTES + b'"}',
        b'{"url": "data:,", "x": "' + b"a" * REST_BYTES + b'"}',
        b'{"x": "' + b"a" * REST_BYTES + b'", "url": "data:,"}',
        b"{" + b" " * REST_BYTES + b'"url": "data:,"}',
        b'{"url": {"a": "data:,' + b"a" * REST_BYTES + b'"}}',
        b'{"data:' + b"a" * REST_BYTES + b'": 1}',
        b'{"audio": "data:,' + b"a" * REST_BYTES + b'"}',
    ],
)
def test_all_but_a_data_uri_is_small(data: bytes) -> None:
    with pytest.raises(TooLarge, match="1 MiB besides a data URI: send the audio's bytes"):
        json_object(data)


REASONS = {
    b'{"url": "\xff"}': "byte 9 is not UTF-8",
    b'{"a":' * 10_000: "it is nested too deep",
    b'{"a": ' + b"9" * 10_000 + b"}": "a number in it has too many digits",
    b'{"url" "a"}': "Expecting ':' delimiter: line 1 column 8",
    b'{"url": "data:,' + b"a" * REST_BYTES: "a string in it has no end",
    b'{"url": "data:,' + b"a" * REST_BYTES + b'\\x"}': "Invalid \\escape",
    b'{"url": "data:,' + b"a" * REST_BYTES + b'\\u12"}': "a string in it",
    b'{"url": "data:,' + b"a" * REST_BYTES + b'\0"}': "Invalid control character",
    b'{"url": "data:,' + b"a" * REST_BYTES + b'\xff"}': "bytes that are not UTF-8",
    b'{"url": "data:,' + b"a" * REST_BYTES + b'"': "Expecting ',' delimiter",
}


@pytest.mark.parametrize("data", REASONS, ids=range(len(REASONS)))
def test_what_is_no_json_is_answered_with_its_reason(data: bytes) -> None:
    with pytest.raises(BadRequest) as error:
        json_object(data)
    assert REASONS[data] in str(error.value)
    assert 'send {"url": "..."}' in str(error.value)


def test_an_object_has_a_most_of_values() -> None:
    with pytest.raises(TooLarge, match=f"more than {JSON_COMMAS} values: send fewer"):
        json_object(b'{"a": [' + b"0," * (JSON_COMMAS + 1) + b"0]}")
