"""`python -m asr listen`: what it prints, for whom, and how it ends."""

import asyncio
import errno
import io
import json
import os
import re
import signal
import sys
from functools import partial

import pytest
import soundfile

from asr.cli import listen
from asr.cli.app import run
from asr.cli.listen import open_service
from asr.errors import BadRequest
from asr.live.events import Completed, Delta, Failed, Hypothesis, SpeechStarted
from benchmark.demo import plain_words, words_wrong
from tests.cli.live.test_microphone import Device
from tests.conftest import ROOT, tone, wav
from tests.support.fake_engine import FakeEngine

SAMPLES = ROOT / "models/demo/samples"
SHORT, SEVERAL = SAMPLES / "en-short.flac", SAMPLES / "en-several.flac"
ALLOWED = 0.1  # Live text may differ from batch text in this share of its words.
EVENTS = [
    SpeechStarted("a", 1.25),
    Hypothesis("a", " We"),
    Delta("a", " We"),
    Hypothesis("a", " traveled"),
    Delta("a", " travel."),
    Completed("a", " We travel.", 1.25, 2.0, "en"),
]


class ScriptedSessions:
    """Tells the same events whatever is said, and records what it is asked."""

    told = EVENTS

    def __init__(self, *_):
        self.seconds, self.ended = 0.0, None
        self.heard = b""
        self.finished = asyncio.Event()
        type(self).last = self

    def open(self, options):
        self.options = options
        return self

    async def __aenter__(self):
        return self

    async def __aexit__(self, *_):
        return None

    def append(self, data):
        self.heard += data

    def finish(self):
        self.finished.set()

    async def events(self):
        for event in self.told:
            yield event
        await self.finished.wait()


@pytest.fixture
def starts(monkeypatch):
    """Let the command have the fake engine; return the settings of each start."""
    configs = []

    def open_with_fake_engine(config, metrics):
        configs.append(config)
        return open_service(config, metrics, lambda _: FakeEngine())

    monkeypatch.setattr(listen, "open_service", open_with_fake_engine)
    monkeypatch.setenv("VAD", "off")
    return configs


@pytest.fixture
def scripted(starts, monkeypatch):  # noqa: ARG001
    class Sessions(ScriptedSessions):
        pass

    monkeypatch.setattr(listen, "LiveSessions", Sessions)
    return Sessions


@pytest.fixture
def sound(tmp_path):
    file = tmp_path / "a.wav"
    file.write_bytes(wav(tone(0.5)))
    return str(file)


def read_on(terminal):
    """Read what the terminal has got next; it passes a program's output on in parts."""
    try:
        return terminal.read(65_536)
    except OSError as error:
        if error.errno != errno.EIO:
            raise
        return b""  # the program has closed its side, and all is read


@pytest.fixture
def in_terminal(monkeypatch):
    """Return a function that runs the command in a terminal, and returns what it shows."""

    def shown(*arguments, name="xterm"):
        ours, theirs = os.openpty()
        with os.fdopen(theirs, "w", buffering=1) as stdout, monkeypatch.context() as patched:
            patched.setenv("TERM", name)
            patched.setattr(sys, "stdout", stdout)
            assert run(["listen", *arguments]) == 0
        with os.fdopen(ours, "rb", buffering=0) as written:
            return b"".join(iter(partial(read_on, written), b"")).decode()

    return shown


def test_live_text_is_the_batch_text_of_the_same_file(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("MODEL_ID", "demo")
    assert run(["transcribe", str(SEVERAL), "-o", str(tmp_path), "--quiet"]) == 0
    capsys.readouterr()
    assert run(["listen", str(SEVERAL), "--fast", "--quiet"]) == 0
    live, batch = capsys.readouterr().out, (tmp_path / "en-several.txt").read_text()
    assert len(live.splitlines()) > 1  # an utterance each
    assert words_wrong(batch, live) <= ALLOWED * len(plain_words(batch))


@pytest.mark.usefixtures("scripted")
def test_words_are_dim_in_a_terminal_until_they_stay(sound, in_terminal):
    written = in_terminal(sound, "--fast", "--quiet", "--timestamps")
    assert "[0:01.2] \x1b[2mWe\x1b[0m" in written
    assert "[0:01.2] We\x1b[2m traveled\x1b[0m" in written
    assert written.replace("\x1b[K", "").endswith("\r[0:01.2] We travel.\r\n\x1b[J")


@pytest.mark.usefixtures("scripted")
def test_a_terminal_that_moves_no_cursor_gets_lines(sound, in_terminal):
    assert in_terminal(sound, "--fast", "--quiet", name="dumb") == "We travel.\r\n"


@pytest.mark.usefixtures("scripted")
def test_elsewhere_a_line_is_an_utterance_and_stderr_says_what_goes_on(sound, capsys):
    assert run(["listen", sound, "--fast", "--model", "demo", "--timestamps"]) == 0
    assert capsys.readouterr() == (
        "[0:01.2] We travel.\n",
        "loading the model demo\nlistening: Ctrl-C ends\n",
    )


@pytest.mark.usefixtures("scripted")
def test_json_has_a_line_for_each_event(sound, capsys):
    assert run(["listen", sound, "--fast", "--json", "--quiet"]) == 0
    out, err = capsys.readouterr()
    kinds = [json.loads(line)["type"] for line in out.splitlines()]
    assert kinds == ["speech_started", "hypothesis", "delta", "hypothesis", "delta", "completed"]
    assert err == ""


def test_an_utterance_that_fails_is_an_error_at_the_end(scripted, sound, capsys):
    scripted.told = [Failed("a", BadRequest("the model failed")), *EVENTS]
    assert run(["listen", sound, "--fast", "--quiet"]) == 1
    assert capsys.readouterr() == ("We travel.\n", "the model failed\n")


def test_settings_and_options_reach_the_engine_and_the_session(scripted, starts, sound):
    options = [
        "--language",
        "English",
        "--languages",
        "en,es",
        "--prompt",
        "Lima",
        "--hotwords",
        "Oslo,Rom",
    ]
    assert run(["listen", sound, "--fast", "--device", "cpu", "--quiet", *options]) == 0
    asked = scripted.last.options
    assert (asked.audio.encoding, asked.audio.rate) == ("pcm", 16_000)
    assert (asked.options.language, asked.options.languages) == ("en", ("en", "es"))
    assert asked.options.prompt == "Lima"
    assert asked.options.vocabulary == ("Oslo", "Rom")
    [config] = starts
    assert (config.device, config.jobs_share) == ("cpu", 1.0)


def test_a_file_is_sent_whole(scripted, sound):
    assert run(["listen", sound, "--fast", "--quiet"]) == 0
    assert len(scripted.last.heard) == 2 * 8000


def test_standard_input_is_raw_audio_of_a_rate_of_its_own(scripted, monkeypatch):
    reading, writing = os.pipe()
    os.write(writing, bytes(3200))
    os.close(writing)
    with os.fdopen(reading, "rb") as file:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(file))
        assert run(["listen", "-", "--rate", "8000", "--quiet"]) == 0
    assert scripted.last.options.audio.rate == 8000
    assert scripted.last.heard == bytes(3200)


async def test_a_server_transcribes_what_is_said(make_client, tmp_path, capsys):
    samples, rate = soundfile.read(SHORT, stop=24_000)
    soundfile.write(tmp_path / "a.wav", samples, rate)
    client = await make_client()
    arguments = ["listen", str(tmp_path / "a.wav"), "--quiet", "--timestamps"]
    server = ["--server", str(client.make_url(""))]
    assert await asyncio.to_thread(run, [*arguments, *server]) == 0
    assert re.fullmatch(r"\[0:00\.\d\] 1\.\d\d s\n", capsys.readouterr().out)


@pytest.mark.parametrize("piece_events", [[], [Failed("a", BadRequest("no"))]])
def test_ctrl_c_ends_the_microphone_and_that_is_how_it_ends(
    scripted, monkeypatch, capsys, piece_events
):
    monkeypatch.setitem(sys.modules, "sounddevice", Device())

    class Interrupted(scripted):
        async def events(self):
            os.kill(os.getpid(), signal.SIGINT)
            await self.finished.wait()
            for event in [*piece_events, *EVENTS]:
                yield event

    monkeypatch.setattr(listen, "LiveSessions", Interrupted)
    assert run(["listen", "--model", "demo"]) == len(piece_events)
    out, err = capsys.readouterr()
    assert out == "We travel.\n"
    assert "listening to Desk: Ctrl-C ends\n" in err


def test_ctrl_c_ends_a_file_with_what_was_said_so_far_and_130(scripted, sound, monkeypatch, capsys):
    class Interrupted(scripted):
        def append(self, data):
            super().append(data)
            os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr(listen, "LiveSessions", Interrupted)
    assert run(["listen", sound, "--quiet"]) == 130
    assert capsys.readouterr().out == "We travel.\n"
    assert len(Interrupted.last.heard) == 3200


def test_a_second_ctrl_c_ends_the_command(scripted, sound, monkeypatch, capsys):
    class Stuck(scripted):
        def append(self, _):
            os.kill(os.getpid(), signal.SIGINT)

        def finish(self):
            os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr(listen, "LiveSessions", Stuck)
    assert run(["listen", sound, "--quiet"]) == 130
    assert "interrupted" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (["/nowhere/a.wav"], 2, "there is no file '/nowhere/a.wav'"),
        (["--fast"], 2, "--fast is for a file"),
        ([str(SHORT), "--fast", "--server", "http://a"], 2, "--fast is for a file"),
        ([str(SHORT), "--model", "demo", "--server", "http://a"], 2, "--model is for this process"),
        ([str(SHORT), "--server", "ftp://a"], 2, "is no URL of a server"),
        ([str(SHORT), "--server", "http://127.0.0.1:1"], 3, "no server can be reached at"),
        ([str(SHORT), "--rate", "1000"], 2, "1000 is not in the range"),
        ([str(SHORT), "--language", "klingon"], 2, "does not know the language 'klingon'"),
        ([str(SHORT), "--languages", "xx"], 2, "does not know the language 'xx'"),
        ([__file__, "--fast", "--quiet"], 1, "test_listen.py: "),
        ([], 1, "`pip install sounddevice`"),
    ],
)
@pytest.mark.usefixtures("starts")
def test_what_cannot_be_done_is_a_sentence_and_a_code(monkeypatch, capsys, arguments, code, told):
    monkeypatch.setitem(sys.modules, "sounddevice", None)
    assert run(["listen", *arguments]) == code
    assert told in capsys.readouterr().err
