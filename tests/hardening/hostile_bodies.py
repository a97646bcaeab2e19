"""Bodies that are made to hold a server's event loop, each with the head of its request."""

from __future__ import annotations

import base64
import gzip
from collections.abc import Callable
from dataclasses import dataclass

from tests.conftest import tone, wav

BOUNDARY = "e"
FORM = f"multipart/form-data; boundary={BOUNDARY}"
LONG_BOUNDARY = "b" * 69 + "c"
URL_FORM = "application/x-www-form-urlencoded"
JSON = "application/json"
FILE_HEAD = b'--e\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n'
FIELD_HEAD = b'--e\r\nContent-Disposition: form-data; name="languages"\r\n\r\n'
END = b"\r\n--e--\r\n"
CHUNK_BYTES = 65_536


@dataclass(frozen=True)
class Hostile:
    """A request as it goes over the wire."""

    head: bytes
    body: bytes


def request(
    kind: str, body: bytes, *headers: str, path: str = "/asr", length: int | None = None
) -> Hostile:
    lines = [
        f"POST {path} HTTP/1.1",
        "Host: x",
        "Connection: close",
        f"Content-Type: {kind}",
        *headers,
    ]
    if not any(line.startswith("Transfer-Encoding") for line in headers):
        lines.append(f"Content-Length: {len(body) if length is None else length}")
    return Hostile("\r\n".join([*lines, "", ""]).encode(), body)


def in_chunks(kind: str, body: bytes, size: int = CHUNK_BYTES, path: str = "/asr") -> Hostile:
    parts = (body[at : at + size] for at in range(0, len(body), size))
    framed = b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in parts) + b"0\r\n\r\n"
    return request(kind, framed, "Transfer-Encoding: chunked", path=path)


def packed(kind: str, body: bytes, encoding: str = "gzip") -> Hostile:
    return request(kind, gzip.compress(body, 6), f"Content-Encoding: {encoding}")


def filled(pattern: bytes, size: int, before: bytes = b"", after: bytes = b"") -> bytes:
    return before + pattern * (size // len(pattern)) + after


def part_heads(count: int, head: bytes) -> bytes:
    return b"".join(b"--e\r\n" + head + b"\r\n\r\nx\r\n" for _ in range(count)) + b"--e--\r\n"


def forms(size: int) -> dict[str, Callable[[], Hostile]]:
    odd_name = b'Content-Disposition: form-data; name="' + b";" * 8000 + b'"'
    near = b"\r\n--" + LONG_BOUNDARY[:-1].encode() + b"x"
    long_head = FILE_HEAD.replace(b"--e", b"--" + LONG_BOUNDARY.encode())
    preamble = filled(b"a\r\n", size)
    bodies = {
        "preamble of lines": preamble,
        "preamble of line feeds": filled(b"\n", size),
        "preamble of CRLF": filled(b"\r\n", size),
        "preamble of one line": filled(b"a", size),
        "preamble of dashes": filled(b"\r\n-", size),
        "preamble of almost the boundary": filled(b"\r\n--ex", size),
        "header lines": filled(b"X: y\r\n", size, b"--e\r\n"),
        "one header line": filled(b"y", size, b"--e\r\nX: "),
        "header names without an end": filled(b"y", size, b"--e\r\n"),
        "names of semicolons": part_heads(99, odd_name),
        "names of quotes": part_heads(99, odd_name.replace(b";" * 8000, b'\\"' * 4000)),
        "names of percent signs": part_heads(
            99, b"Content-Disposition: form-data; name*=utf-8''" + b"%41" * 2600
        ),
        "tiny parts": filled(FIELD_HEAD + b"x\r\n", size),
        "parts without heads": filled(b"--e\r\n\r\n", size),
        "epilogue": filled(b"a\r\n", size, FIELD_HEAD + b"en" + END),
        "forms in forms": filled(b"--e\r\nContent-Type: multipart/mixed; boundary=e\r\n\r\n", size),
        "CRLF in the file": filled(b"\r\n", size, FILE_HEAD, END),
        "carriage returns in the file": filled(b"\r", size, FILE_HEAD, END),
        "almost the boundary in the file": filled(b"\r\n--ex", size, FILE_HEAD, END),
        "half the boundary in the file": filled(b"\r\n--", size, FILE_HEAD, END),
        "commas in a field": filled(b",", 2**20 - 10, FIELD_HEAD, END),
        "values in a field": filled(b"a,", 2**20 - 10, FIELD_HEAD, END),
        "a text field of megabytes": filled(b"a", size, FIELD_HEAD, END),
        "a file as base64": filled(
            b"====",
            size,
            FILE_HEAD.replace(b"\r\n\r\n", b"\r\nContent-Transfer-Encoding: base64\r\n\r\n"),
            END,
        ),
    }
    made = {name: (lambda body=body: request(FORM, body)) for name, body in bodies.items()}
    return made | {
        "preamble in chunks": lambda: in_chunks(FORM, preamble),
        "preamble as gzip": lambda: packed(FORM, preamble),
        "file as gzip": lambda: packed(FORM, filled(b"\0", size, FILE_HEAD, END)),
        "almost a long boundary": lambda: request(
            f"multipart/form-data; boundary={LONG_BOUNDARY}", filled(near, size, long_head)
        ),
        "OpenAI's form, values in a field": lambda: request(
            FORM, filled(b"a,", 2**20 - 10, FIELD_HEAD, END), path="/v1/audio/transcriptions"
        ),
        "OpenAI's form, preamble": lambda: request(FORM, preamble, path="/v1/audio/transcriptions"),
    }


def objects(size: int) -> dict[str, Callable[[], Hostile]]:
    size = min(size, 31 * 2**20)
    uri = base64.b64encode(bytes(size // 4 * 3 // 3 * 3))
    bodies = {
        "nested lists": filled(b"[", size, b'{"a":'),
        "nested objects": filled(b'{"a":', size),
        "commas": filled(b"0,", size, b'{"a":[', b"0]}"),
        "empty lists": filled(b"[],", 2**20 - 10, b'{"a":[', b"0]}"),
        "values of a list that are checked": b'{"url":"a","languages":[' + b"0," * 990 + b"0]}",
        "temperatures": b'{"url":"a","temperature":[' + b"0," * 990 + b"0]}",
        "keys": b"{" + b"".join(b'"%d":1,' % n for n in range(990)) + b'"url":"a"}',
        "one text": filled(b"a", size, b'{"url":"', b'"}'),
        "escapes": filled(b"\\n", size, b'{"url":"', b'"}'),
        "small escapes": filled(b"\\u00e9", 2**20 - 100, b'{"url":"', b'"}'),
        "digits": filled(b"9", size, b'{"url":"a","x":', b"}"),
        "decimals": filled(b"9", 2**20 - 100, b'{"url":"a","x":0.', b"}"),
        "white space before": filled(b" ", size),
        "white space inside": filled(b" ", size, b"{", b"}"),
        "data URI": b'{"url":"data:audio/wav;base64,' + uri + b'"}',
        "data URI of escapes": filled(b"\\u0041", size, b'{"url":"data:;base64,', b'"}'),
        "data URI of percents": filled(b"%41", size, b'{"url":"data:,', b'"}'),
        "data URI of percent signs": filled(b"%", size, b'{"url":"data:,', b'"}'),
        "data URI without a comma": filled(b"a", size, b'{"url":"data:', b'"}'),
        "data URI without an end": filled(b"a", size, b'{"url":"data:,'),
        "data URI of quotes": filled(b'\\"', size, b'{"url":"data:,', b'"}'),
    }
    made = {name: (lambda body=body: request(JSON, body)) for name, body in bodies.items()}
    return made | {
        "data URI as gzip": lambda: packed(JSON, bodies["data URI"]),
        "white space as gzip": lambda: packed(JSON, bodies["white space before"]),
        "one text as gzip": lambda: packed(JSON, bodies["one text"]),
    }


def url_forms(size: int) -> dict[str, Callable[[], Hostile]]:
    size = min(size, 31 * 2**20)
    bodies = {
        "ampersands": filled(b"&", size, b"url=a"),
        "percent signs": filled(b"%", size, b"url="),
        "percents": filled(b"%41", size, b"url="),
        "plus signs": filled(b"+", size, b"url="),
        "equals signs": filled(b"=", size, b"url="),
        "no UTF-8": filled(b"\xff", size, b"url=data:,"),
        "values": filled(b"a,", 2**20, b"languages="),
        "one name": filled(b"a", size),
    }
    made = {name: (lambda body=body: request(URL_FORM, body)) for name, body in bodies.items()}
    return made | {"as gzip": lambda: packed(URL_FORM, bodies["percents"])}


def others(size: int) -> dict[str, Callable[[], Hostile]]:
    count = size // 8  # chunks of a byte each
    audio = wav(tone(count / 32_000))[:count]
    return {
        "audio in chunks of a byte": lambda: in_chunks("audio/wav", audio, 1),
        "white space in chunks of a byte": lambda: in_chunks(JSON, b" " * count, 1),
        "JSON in chunks of a byte": lambda: in_chunks(
            JSON, filled(b"a", count, b'{"url":"', b'"}'), 1
        ),
        "a form in chunks of a byte": lambda: in_chunks(FORM, filled(b"a\r\n", count), 1),
        "a file in chunks of a byte": lambda: in_chunks(
            FORM, filled(b"\r\n--ex", count, FILE_HEAD, END), 1
        ),
        "chunks of a byte that nobody reads": lambda: in_chunks(JSON, b" " * count, 1, "/nowhere"),
        "audio that is text": lambda: request("audio/wav", filled("ü".encode(), size)),
        "white space": lambda: request("audio/wav", filled(b"\n", size)),
        "silence as gzip": lambda: packed("audio/wav", wav(tone(1.0)) + bytes(size)),
        "silence as brotli": lambda: packed("audio/wav", wav(tone(1.0)) + bytes(size), "br"),
        "empty members of gzip": lambda: request(
            "audio/wav", filled(gzip.compress(b""), size // 4), "Content-Encoding: gzip"
        ),
        "no gzip": lambda: request("audio/wav", bytes(size), "Content-Encoding: gzip"),
    }


def hostile(size: int) -> dict[str, Callable[[], Hostile]]:
    """Return every body by its name; those that may be endless have about `size` bytes."""
    kinds = {"form": forms, "JSON": objects, "URL form": url_forms, "body": others}
    return {
        f"{kind}: {name}": make
        for kind, bodies in kinds.items()
        for name, make in bodies(size).items()
    }
