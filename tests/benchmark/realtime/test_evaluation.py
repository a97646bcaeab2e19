"""The benchmark plays recordings to a server, here one that tells what it is told to tell."""

import json
import time

import aiohttp
import pytest
from aiohttp import web

from benchmark.demo import read_samples
from benchmark.paths import SAMPLES
from benchmark.realtime import client, evaluation, ramp
from benchmark.realtime.client import BUFFER, ITEM, play
from benchmark.realtime.context import COUNTER
from benchmark.realtime.speech import PIECE_SECONDS, RATE, Speech, pcm, read

WORDS = [{"word": " no", "start": 0.0, "end": 0.1}]


class Stub:
    """A server that has one utterance in each session, and refuses those beyond some."""

    def __init__(self, transcript=" no", most=100):
        self.transcript = transcript
        self.most = most
        self.open, self.sent, self.jobs = 0, [], {}
        self.unsure = 7  # utterances that were decoded again

    def app(self):
        app = web.Application()
        app.router.add_get("/v1/realtime", self.realtime)
        app.router.add_post("/v1/audio/transcriptions", self.whole)
        app.router.add_post("/jobs", self.submit)
        app.router.add_get("/jobs", self.running)
        app.router.add_route("*", "/jobs/{id}", self.job)
        app.router.add_get("/metrics", self.metrics)
        return app

    async def metrics(self, _):
        return web.Response(text=f"# TYPE asr_x counter\n{COUNTER}{self.unsure}.0\n")

    async def realtime(self, request):
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        self.open += 1
        if self.open > self.most:
            self.open -= 1
            await socket.close(code=1013, message=b"too many")
            return socket
        async for message in socket:
            event = json.loads(message.data)
            self.sent.append(event["type"])
            if event["type"] == f"{BUFFER}.commit":
                for answer in self.utterance():
                    await socket.send_json({"item_id": "a", **answer})
            elif event["type"] == f"{BUFFER}.clear":
                await socket.send_json({"type": f"{BUFFER}.cleared"})
        self.open -= 1
        return socket

    def utterance(self):
        yield {"type": f"{BUFFER}.committed"}
        yield {"type": f"{ITEM}.delta", "delta": " no"}
        yield {"type": f"{ITEM}.completed", "transcript": self.transcript, "words": WORDS}

    async def whole(self, request):
        assert b"a.flac" in await request.read()
        return web.json_response({"text": " no"})

    async def submit(self, request):
        assert len(await request.read()) > 1000
        self.jobs[f"job{len(self.jobs)}"] = 0.0
        return web.json_response({"id": f"job{len(self.jobs) - 1}"}, status=202)

    async def running(self, _):
        return web.json_response({"jobs": list(self.jobs)})

    async def job(self, request):
        name = request.match_info["id"]
        if request.method == "DELETE":
            del self.jobs[name]
            return web.json_response({})
        self.jobs[name] += 1.0
        return web.json_response({"progress": {"done": self.jobs[name]}})


@pytest.fixture
def speech(tmp_path, monkeypatch):
    """A recording of a fifth of a second, with no silence behind it."""
    monkeypatch.setattr("benchmark.realtime.speech.TAIL_SECONDS", 0.0)
    monkeypatch.setattr("benchmark.realtime.jobs.MINUTES", 0.01)
    audio = tmp_path / "a.flac"
    audio.write_bytes(b"flac")
    return Speech(audio, "no", bytes(round(RATE * 0.2) * 2))


async def measured(aiohttp_server, stub, speech, *arguments):
    url = str((await aiohttp_server(stub.app())).make_url(""))
    options = evaluation._parser().parse_args(["--url", url, "--seconds", "0.1", *arguments])
    return await evaluation._measured(url, [speech], options), options


async def test_all_tables_are_printed_and_jobs_are_cancelled(aiohttp_server, speech, capsys):
    stub = Stub(most=2)
    found, options = await measured(aiohttp_server, stub, speech, "--jobs", "2")
    assert [(rung.sessions, rung.is_held) for rung in found.alone] == [
        (1, True),
        (2, True),
        (4, False),
    ]
    assert ramp.held(found.beside) == 2
    assert stub.jobs == {}
    assert found.is_sound
    printed = capsys.readouterr().out
    assert "words taken back: 0 of 1" in printed
    assert "sessions alone: 2 held" in printed
    assert "closed with 1013: too many" in printed
    assert "jobs meanwhile: " in printed
    written = json.loads(json.dumps(evaluation._written(found, options)))
    assert (written["held_alone"], written["held_beside_jobs"]) == (2, 2)


async def test_a_word_that_is_taken_back_fails_the_measurement(aiohttp_server, speech):
    found, _ = await measured(aiohttp_server, Stub(" yes"), speech, "--sessions", "")
    assert found.latency.taken_back == 1
    assert not found.is_sound
    assert found.alone == []


async def test_utterances_that_are_decoded_again_have_a_row_of_their_own(
    aiohttp_server, speech, capsys
):
    class Unsure(Stub):
        def utterance(self):
            self.unsure += self.open == 1
            yield from super().utterance()

    found, _ = await measured(aiohttp_server, Unsure(), speech, "--sessions", "")
    assert found.latency.in_context == found.latency.whole != []
    assert "of unsure short utterances" in capsys.readouterr().out
    found, _ = await measured(aiohttp_server, Stub(), speech, "--sessions", "")
    assert found.latency.in_context == []
    assert "of unsure short utterances" not in capsys.readouterr().out


async def test_audio_is_sent_when_it_is_spoken_and_the_end_is_awaited(aiohttp_server, speech):
    stub = Stub()
    server = await aiohttp_server(stub.app())
    started = time.monotonic()
    async with aiohttp.ClientSession(server.make_url("/")) as session:
        [played] = await play(session, [speech])
    assert time.monotonic() - started >= 0.2
    assert stub.sent == [
        "session.update",
        *[f"{BUFFER}.append"] * 2,
        f"{BUFFER}.commit",
        f"{BUFFER}.clear",
    ]
    assert len(played.late) == round(speech.seconds / PIECE_SECONDS)
    assert [event["type"] for _, event in played.events][-1] == f"{BUFFER}.cleared"
    assert played.failure is None


async def test_a_text_that_never_comes_is_a_failure(aiohttp_server, speech, monkeypatch):
    class Silent(Stub):
        def utterance(self):
            yield {"type": f"{BUFFER}.committed"}

    monkeypatch.setattr(client, "REST_SECONDS", 0.1)
    server = await aiohttp_server(Silent().app())
    async with aiohttp.ClientSession(server.make_url("/")) as session:
        [played, *others] = await play(session, [speech, speech])
    assert played.failure == "TimeoutError"
    assert others == []


async def test_a_server_that_is_not_there_is_a_failure(speech, unused_tcp_port):
    async with aiohttp.ClientSession(f"http://127.0.0.1:{unused_tcp_port}") as session:
        [played] = await play(session, [speech])
    assert "Cannot connect" in played.failure


def test_samples_are_read_as_the_socket_takes_them():
    every = read(None, 2)
    listed = read_samples(SAMPLES)[:2]
    assert [one.text for one in every] == [one.text for one in listed]
    assert every[0].seconds == pytest.approx(4.0)
    assert sum(map(len, every[0].pieces())) == len(every[0].pcm) + 2 * round(1.5 * RATE)
    assert pcm(listed[0].audio) == every[0].pcm


def test_what_is_wrong_is_a_line_and_code_1(tmp_path, capsys):
    assert evaluation.main(["--folder", str(tmp_path), "--url", "http://a"]) == 1
    assert "has no recording with its text" in capsys.readouterr().err
