"""Percent-encoding and URL-encoded forms are decoded in pieces, as the standard library does it."""

from __future__ import annotations

from urllib.parse import parse_qsl, unquote_to_bytes

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asr.errors import BadRequest
from asr.http.bodies import percent
from asr.http.bodies.percent import FORM_FIELDS, form_fields, unquoted

TEXTS = st.text("%41aü+&=; \0", max_size=60).map(str.encode)


@pytest.fixture
def small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(percent, "PIECE_BYTES", 5)


@given(TEXTS, st.integers(1, 9))
def test_pieces_are_decoded_as_the_whole(data: bytes, size: int) -> None:
    pieces = [data[at : at + size] for at in range(0, len(data), size)]
    assert b"".join(unquoted(pieces)) == unquote_to_bytes(data)


@pytest.mark.usefixtures("small_pieces")
@given(TEXTS)
def test_a_form_has_the_fields_that_the_standard_library_finds(data: bytes) -> None:
    assert form_fields(data) == parse_qsl(data.decode("utf-8", "replace"))


@pytest.mark.usefixtures("small_pieces")
def test_a_character_may_lie_in_two_pieces() -> None:
    assert form_fields(b"prompt=na%C3%AFve+ca%c3%a9") == [("prompt", "naïve caé")]


@pytest.mark.parametrize("field", [b"a=b&", b"&", b"a&"])
def test_a_form_has_a_most_of_fields(field: bytes) -> None:
    form_fields(field * FORM_FIELDS)
    with pytest.raises(BadRequest, match=f"more than {FORM_FIELDS} fields: send fewer"):
        form_fields(field * (FORM_FIELDS + 1))
