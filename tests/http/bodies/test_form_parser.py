"""Multipart forms are cut into their parts, and what a form cannot have is refused early."""

from __future__ import annotations

import base64
import quopri

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asr.errors import BadRequest
from asr.http.bodies.form_parser import (
    AROUND_BYTES,
    HEADER_BYTES,
    HEADER_LINES,
    MAX_PARTS,
    Event,
    FormParser,
    FormPart,
    PartEnd,
)

TYPE = "multipart/form-data; boundary=e"
DISPOSITION = "Content-Disposition: form-data; "


def form(*parts: tuple[str, bytes], before: bytes = b"", after: bytes = b"") -> bytes:
    """Return a form of parts with these header lines and bytes."""
    whole = b"".join(b"--e\r\n%b\r\n\r\n%b\r\n" % (head.encode(), data) for head, data in parts)
    return before + whole + b"--e--\r\n" + after


def parts(data: bytes, size: int = 10**9, kind: str = TYPE) -> list[tuple[str, str | None, bytes]]:
    """Return name, file name and bytes of each part of a form that arrives in pieces."""
    parser, events = FormParser(kind), list[Event]()
    for at in range(0, len(data), size):
        events += parser.feed(data[at : at + size])
    parser.finish()
    found: list[tuple[str, str | None, bytes]] = []
    for event in events:
        if isinstance(event, FormPart):
            found.append((event.name, event.filename, b""))
        elif isinstance(event, bytes):
            name, file, data = found.pop()
            found.append((name, file, data + event))
        else:
            assert event is PartEnd.END
    return found


def refused(data: bytes, size: int = 1000, kind: str = TYPE) -> str:
    with pytest.raises(BadRequest) as error:
        parts(data, size, kind)
    assert "b'" not in str(error.value)
    return str(error.value)


@given(
    st.lists(st.binary(max_size=60) | st.text("\r\n-e", max_size=60).map(str.encode), max_size=4),
    st.integers(1, 80),
)
def test_parts_are_whole_however_the_form_is_cut(texts: list[bytes], size: int) -> None:
    texts = [text for text in texts if b"\r\n--e" not in b"\r\n" + text + b"\r\n"]
    data = form(*[(f'{DISPOSITION}name="f"; filename="a"', text) for text in texts])
    assert parts(data, size) == [("f", "a", text) for text in texts]


HEADS = {
    'name="file"; filename="a.wav"': ("file", "a.wav"),
    'name=file; filename="a.wav"': ("file", "a.wav"),
    'name="file"; filename=""': ("file", ""),
    'name="file"': ("file", None),
    'name=""': ("", None),
    'name="naïve"; filename="größe.wav"': ("naïve", "größe.wav"),
    "name=\"file\"; filename*=UTF-8''gr%C3%B6%C3%9Fe.wav": ("file", "größe.wav"),
    'name="file"; filename="a;b.wav"': ("file", "a;b.wav"),
    'name="a\\"b"': ('a"b', None),
}


@pytest.mark.parametrize("told", HEADS)
@pytest.mark.parametrize("size", [1, 1000])
def test_names_and_file_names_are_read_as_clients_write_them(told: str, size: int) -> None:
    [(name, file, data)] = parts(form((DISPOSITION + told, b"x")), size)
    assert (name, file, data) == (*HEADS[told], b"x")


def test_other_header_lines_and_their_case_do_not_matter() -> None:
    head = f'CONTENT-type:audio/wav\r\n{DISPOSITION.lower()}name="a"\r\nX-Other: b'
    assert parts(form((head, b"x"))) == [("a", None, b"x")]


@pytest.mark.parametrize("size", [1, 1000])
def test_bytes_around_the_form_are_ignored(size: int) -> None:
    data = form((DISPOSITION + "name=a", b"x"), before=b"hello\r\n-- e\r\n", after=b"bye\r\n" * 99)
    assert parts(data, size) == [("a", None, b"x")]
    assert parts(data.removesuffix(b"\r\n" + b"bye\r\n" * 99)) == [("a", None, b"x")]


ENCODED = {
    "base64": base64.encodebytes(bytes(range(256))),
    "quoted-printable": quopri.encodestring(bytes(range(256))),
    "binary": bytes(range(256)),
    "8bit": bytes(range(256)),
}


@pytest.mark.parametrize("encoding", ENCODED)
@pytest.mark.parametrize("size", [1, 7, 1000])
def test_a_transfer_encoding_is_undone(encoding: str, size: int) -> None:
    head = f"{DISPOSITION}name=a\r\nContent-Transfer-Encoding: {encoding}"
    [(_, _, data)] = parts(form((head, ENCODED[encoding])), size)
    assert data.rstrip(b"\n") == bytes(range(256))


def test_a_transfer_encoding_that_is_wrong_is_refused() -> None:
    head = f"{DISPOSITION}name=a\r\nContent-Transfer-Encoding: "
    assert "Content-Transfer-Encoding" in refused(form((head + "base64", b"AAAAA")))
    assert "Content-Transfer-Encoding" in refused(form((head + "rot13", b"AAAA")))


def test_what_comes_before_and_after_a_form_is_bounded() -> None:
    for filler in (b"a\r\n", b"\r\n", b"a", b"\r\n-", b"\r\n--", b"\r\n--a"):
        assert "does not begin with the boundary --e" in refused(filler * 2 * AROUND_BYTES)
        end = form(after=filler * 2 * AROUND_BYTES)
        assert "follow the form's last boundary" in refused(end)


def test_header_lines_are_bounded() -> None:
    head = DISPOSITION + "name=a"
    lines = "\r\nX: y" * (HEADER_LINES - 1)
    assert parts(form((head + lines, b"")))
    for longer in ("\r\nX: y" + lines, "\r\nX: " + "y" * HEADER_BYTES, "\r\n" + "X" * 9000 + ": y"):
        found = refused(form((head + longer, b"")))
        assert f"more than {HEADER_LINES} header lines" in found, longer
        assert f"{HEADER_BYTES} bytes" in found


def test_parts_are_counted() -> None:
    part = (DISPOSITION + "name=a", b"")
    assert len(parts(form(*[part] * MAX_PARTS))) == MAX_PARTS
    assert f"more than {MAX_PARTS} parts: send fewer" in refused(form(*[part] * (MAX_PARTS + 1)))


def test_a_part_needs_a_name_and_holds_no_others() -> None:
    for head in ("X: y", "Content-Disposition: form-data", "Content-Type: multipart/mixed"):
        assert "has no name or contains other parts" in refused(form((head, b"")))
    head = f"{DISPOSITION}name=a\r\nContent-Type: Multipart/Mixed; boundary=i"
    assert "has no name or contains other parts" in refused(form((head, b"")))


BROKEN = {
    b"--e\r\nno colon\r\n\r\nx\r\n--e--": "in the header lines of a part",
    b"--e\r\n: y\r\n\r\nx\r\n--e--": "in the header lines of a part",
    b"--e\r\nX: y\rz\r\n\r\nx\r\n--e--": "in the header lines of a part",
    b"--e no line\r\n": "after a boundary",
    b"--e\rx\r\n": "after a boundary",
    b"--e-x": "after a boundary",
}


@pytest.mark.parametrize("data", BROKEN)
def test_a_broken_form_is_refused_in_plain_words(data: bytes) -> None:
    found = refused(data)
    assert f"broken {BROKEN[data]}" in found
    assert "let your HTTP library build it" in found


@pytest.mark.parametrize("length", range(20))
def test_a_form_that_was_cut_off_is_refused(length: int) -> None:
    data = form((DISPOSITION + "name=a", b"x" * 20))
    found = refused(data[: len(data) * length // 20])
    assert "cut off" in found or "does not begin with the boundary" in found


KINDS = [
    "multipart/form-data",
    'multipart/form-data; boundary=""',
    "multipart/form-data; boundary=" + "b" * 71,
    "multipart/form-data; boundary*=utf-8''%ff",
    "",
]


@pytest.mark.parametrize("kind", KINDS)
def test_a_boundary_has_1_to_70_characters(kind: str) -> None:
    assert "boundary" in refused(form(), kind=kind)
    long = "b" * 70
    data = form((DISPOSITION + "name=a", b"x")).replace(b"--e", b"--" + long.encode())
    assert parts(data, kind=f'multipart/form-data; boundary="{long}"; charset=utf-8')


def test_what_callers_send_is_not_logged(caplog: pytest.LogCaptureFixture) -> None:
    for data in BROKEN:
        refused(data)
    assert not caplog.records
