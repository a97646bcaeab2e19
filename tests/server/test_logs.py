"""The log: no secrets of URLs, and repeated errors counted instead of written."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest

from asr.server.logs import RepeatedErrors, SafeFormatter, redacted

SIGNED = "https://me:secret@host.example/a.mp3?X-Amz-Signature=secret&X-Amz-Date=secret"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (f"cannot fetch '{SIGNED}': try again", "cannot fetch 'https://host.example/a.mp3?…': try"),
        (f"GET {SIGNED} failed", "GET https://host.example/a.mp3?… failed"),
        ("there is no file at a.wav?sig=secret: check", "there is no file at a.wav?…"),
        ("there is no route /asr&url=secret; see /docs", "there is no route /asr?…"),
        ("a;jsessionid=secret", "a?…"),
        ("url='https://a.example/?k=secret')", "url='https://a.example/?…')"),
        ("'realtime, openai-insecure-api-key.secret'", "'realtime, openai-insecure-api-key.…'"),
        ("the key ek_secret.secret-_x is", "the key ek_… is"),
    ],
)
def test_what_may_be_secret_is_taken_out(text: str, expected: str) -> None:
    assert redacted(text).startswith(expected)
    assert "secret" not in redacted(text)


@pytest.mark.parametrize(
    "text",
    [
        "PORT='80': address already in use; stop the program that uses it",
        'the body is text: send {"url": "..."} or the bytes of an audio file',
        "abc /asr: 1.0 s of audio, fetch 0.00, total 0.10 s",
        "is it so? DECODERS=4 would do",
        "a_week_ek: a seek_bar is no key",
    ],
)
def test_other_messages_stay_as_they_are(text: str) -> None:
    assert redacted(text) == text


def test_a_traceback_is_as_clean() -> None:
    try:
        raise OSError(f"cannot connect to {SIGNED}")
    except OSError as error:
        raised = (OSError, error, error.__traceback__)
    record = logging.LogRecord("asr", logging.ERROR, "x.py", 1, "failed", None, raised)
    text = SafeFormatter().format(record)
    assert "Traceback" in text
    assert "host.example" in text
    assert "secret" not in text


class Kept(logging.Handler):
    """Keeps what is logged."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(record.getMessage())


class Watched:
    """A logger with the filter, and a clock that a test moves."""

    def __init__(self) -> None:
        self.now = 0.0
        self.errors = RepeatedErrors(60, lambda: self.now)
        self.kept = Kept()
        self.log = logging.getLogger("tests.repeated")
        self.log.setLevel(logging.INFO)
        self.log.propagate = False
        self.log.addFilter(self.errors)
        self.log.addHandler(self.kept)

    def fail(self, kind: type[Exception] = OSError, detail: str = "") -> None:
        try:
            raise kind(24, "Too many open files")
        except kind:
            self.log.exception(f"out of resource\nsocket: {detail}")  # as asyncio writes it


@pytest.fixture
def watched() -> Iterator[Watched]:
    watched = Watched()
    yield watched
    watched.log.removeFilter(watched.errors)
    watched.log.removeHandler(watched.kept)


def test_a_repeated_error_is_logged_once_a_minute_with_its_count(watched: Watched) -> None:
    for second in range(60):
        watched.now = second
        for number in range(100):
            watched.fail(detail=f"<socket {number}>")
    assert len(watched.kept.lines) == 1
    watched.now = 60
    watched.fail()
    assert watched.kept.lines[1] == "out of resource: 5999 times more within a minute"
    assert len(watched.kept.lines) == 3


def test_the_count_is_logged_when_the_error_does_not_come_again(watched: Watched) -> None:
    watched.fail()
    watched.fail()
    watched.errors.report()
    assert len(watched.kept.lines) == 1
    watched.now = 61
    watched.errors.report()
    watched.errors.report()
    assert watched.kept.lines[1:] == ["out of resource: 1 times more within a minute"]


def test_different_errors_are_all_logged(watched: Watched) -> None:
    watched.fail()
    watched.fail(PermissionError)
    watched.log.error("something else")
    watched.log.info("something else")
    watched.log.info("something else")
    assert len(watched.kept.lines) == 5
