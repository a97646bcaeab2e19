"""Clients' events are read whole, however large, and no more of them than is allowed."""

from __future__ import annotations

import base64
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asr.api.openai.realtime import client_events as module
from asr.api.openai.realtime.client_events import (
    APPEND,
    AppendEvent,
    RefusedEvent,
    UpdateEvent,
    decoded,
    read_event,
)
from asr.errors import Invalid, TooLarge
from asr.http.bodies.long_string import PIECE_BYTES


def append(audio: str, **fields: object) -> bytes:
    return json.dumps({"type": APPEND, "audio": audio, **fields}).encode()


@given(st.binary(max_size=300), st.integers(1, 50))
def test_base64_in_pieces_of_any_length_is_what_was_written(data: bytes, length: int) -> None:
    text = base64.b64encode(data).decode()
    pieces = [text[place : place + length] for place in range(0, len(text), length)]
    assert b"".join(decoded(pieces)) == data


@pytest.mark.parametrize(
    "pieces", [["QUJ"], ["QUI=", "QUJD"], ["QU", "I=QUJD"], ["QU JD"], ["-_-_"]]
)
def test_what_is_not_base64_is_refused(pieces: list[str]) -> None:
    with pytest.raises(Invalid, match=r"is not base64 .* with padding"):
        decoded(pieces)


@pytest.mark.parametrize("write", [str, lambda text: text.replace("/", "\\/")])  # as PHP
def test_a_large_append_is_read_in_pieces(write) -> None:
    data = b"\xff" * 3 * 2**20
    sent = write(append(base64.b64encode(data).decode(), event_id="e").decode()).encode()
    event, event_id = read_event(sent)
    assert isinstance(event, AppendEvent)
    assert (b"".join(event.pieces), event_id) == (data, "e")
    assert max(map(len, event.pieces)) <= PIECE_BYTES


def test_no_append_has_more_than_fifteen_mib() -> None:
    most = base64.b64encode(bytes(module.AUDIO_BYTES)).decode()
    event, _ = read_event(append(most))
    assert isinstance(event, AppendEvent)
    assert sum(map(len, event.pieces)) == module.AUDIO_BYTES
    with pytest.raises(RefusedEvent) as refused:
        read_event(append(most + "AAAA", event_id="too-much"))
    assert isinstance(refused.value.error, TooLarge)
    assert refused.value.event_id == "too-much"


def test_nothing_but_audio_may_be_large() -> None:
    for body in (
        {"type": "session.update", "session": {"prompt": "a" * 2**20}},
        {"type": APPEND, "audio": "", "x": "a" * 2**20},
        {"type": APPEND, "x": {"audio": "a" * 2**20}},
    ):
        with pytest.raises(RefusedEvent, match="at most 1 MiB besides its audio"):
            read_event(json.dumps(body).encode())
    many = {"type": "session.update", "session": {"include": [0] * 2000}}
    with pytest.raises(RefusedEvent, match="more than 1000 values: send fewer"):
        read_event(json.dumps(many).encode())


def test_a_long_id_is_refused_and_cut_in_the_answer() -> None:
    with pytest.raises(RefusedEvent, match="at most 512 characters") as refused:
        read_event(append("", event_id="a" * 1000))
    assert refused.value.event_id == "a" * 512


def test_text_that_is_no_utf_8_is_refused() -> None:
    with pytest.raises(RefusedEvent, match="is not UTF-8"):
        read_event(b'{"type": "\xff"}')


def test_flat_fields_are_read_in_both_updates() -> None:
    session = {"input_audio_format": "g711_alaw", "turn_detection": None, "include": []}
    for kind in ("session.update", "transcription_session.update"):
        event, _ = read_event(json.dumps({"type": kind, "session": session}).encode())
        given = {"format": {"type": "audio/pcma"}, "turn_detection": None}
        expected = {"include": [], "audio": {"input": given}}
        assert event == UpdateEvent(expected, kind == "transcription_session.update")
    wrong = {"type": "session.update", "session": {"input_audio_format": "mp3"}}
    with pytest.raises(RefusedEvent, match="cannot be 'mp3': use pcm16, g711_ulaw, g711_alaw"):
        read_event(json.dumps(wrong).encode())


@pytest.mark.parametrize("value", ["NaN", "1e999", '"a\\u0000b"'])
def test_a_value_that_no_field_may_have_is_refused_with_its_place(value: str) -> None:
    sent = f'{{"type": "session.update", "event_id": "e", "session": {{"x": [{value}]}}}}'
    with pytest.raises(
        RefusedEvent, match=r"^session\.x\.0: must (be a finite|have no null)"
    ) as caught:
        read_event(sent.encode())
    assert caught.value.event_id == "e"
