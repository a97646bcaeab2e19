"""Official clients get every answer right, from a server process: -s prints the table."""

import socket
from collections.abc import Iterator

import pytest

from tests.clients import official
from tests.clients.cells import KEY, SPEECH, Cell, Refusal
from tests.clients.listen import listen_rows
from tests.clients.official import Absent, Answer
from tests.clients.table import CLIENTS, asked, shown
from tests.clients.verdict import Row, compare, judge
from tests.conftest import Server, free_port, start_server

JSON = Cell("transcriptions", {"response_format": "json"}, file=SPEECH["transcriptions"])
SRT = Cell("transcriptions", {"response_format": "srt"}, file=SPEECH["transcriptions"])
STREAM = Cell("transcriptions", {"stream": True, "timestamp_granularities": ["segment"]})
SAID = (
    "We travel from Lima to Lisbon in September. On Wednesday Martin sings at the station. "
    "It is very hot in Rome today. Laura found the box this morning."
)
VERBOSE = Cell("transcriptions", {"response_format": "verbose_json"})
LOGPROBS = Cell("transcriptions", {"include": ["logprobs"]})
CUE = "1\n00:00:00,400 --> 00:00:09,000\n"


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory, needs_demo_model: None) -> Iterator[Server]:  # noqa: ARG001
    """A server process with the demo model and a key."""
    port = {"WYOMING_PORT": str(free_port()), "WYOMING_HOST": "127.0.0.1"}
    running = start_server(tmp_path_factory.mktemp("clients") / "log", API_KEY=KEY, **port)
    yield running
    running.stop()


@pytest.fixture(scope="module")
def rows() -> Iterator[list[Row]]:
    """The rows of all clients, printed when the last one is done."""
    found: list[Row] = []
    yield found
    print(f"\n{shown(compare(found))}")


@pytest.mark.parametrize("client", CLIENTS)
def test_every_format_granularity_and_stream_has_the_same_words(
    guarded: Server, rows: list[Row], client: str
) -> None:
    try:
        rows += asked(client, guarded)
    except Absent as reason:
        pytest.skip(str(reason))
    wrong = [row for row in compare(rows) if row.problem]
    assert not wrong, f"\n{shown(wrong)}"


def delta(text: str) -> dict[str, str]:
    return {"type": "transcript.text.delta", "delta": text}


def segment(text: str) -> dict[str, object]:
    times = {"start": 0.0, "end": 1.0, "speaker": ""}
    return {"type": "transcript.text.segment", "id": "seg_0", "text": text, **times}


def end(text: str) -> dict[str, str]:
    return {"type": "transcript.text.done", "text": text}


def verbose(**others: object) -> Answer:
    known = {"tokens": [1], "avg_logprob": -0.1, "no_speech_prob": 0.1, "compression_ratio": 1.0}
    place = {"id": 0, "seek": 0, "start": 0.4, "end": 9.0, "temperature": 0.0, "text": " " + SAID}
    usage = {"type": "duration", "seconds": 11}
    head = {"language": "english", "duration": 11.0, "text": SAID, "usage": usage}
    return Answer({**head, "segments": [{**place, **known, **others}]})


def with_tokens(*texts: str) -> Answer:
    tokens = [{"token": t, "logprob": -0.1, "bytes": list(t.encode())} for t in texts]
    return Answer({"text": SAID, "logprobs": tokens})


@pytest.mark.parametrize(
    ("cell", "answer", "problem"),
    [
        (JSON, Answer({"text": SAID, "usage": {"type": "duration", "seconds": 11}}), None),
        (JSON, Answer({"transcript": SAID}), "text Field required"),
        (JSON, Answer(SAID), "Input should be"),
        (JSON, Answer({"text": "Something else"}), "100 % of the words are wrong"),
        (JSON, Answer(error={"name": "InternalServerError"}), "refused"),
        (Cell("transcriptions", refusal=Refusal()), Answer({"text": SAID}), "but an answer"),
        (
            Cell("transcriptions", refusal=Refusal()),
            Answer(error={"name": "InternalServerError", "status": 500}),
            "but {'name': 'InternalServerError'",
        ),
        (VERBOSE, verbose(), None),
        (VERBOSE, verbose(avg_logprob=0.0), "not computed: ['avg_logprob']"),
        (VERBOSE, verbose(tokens=[]), "not computed: ['tokens']"),
        (VERBOSE, verbose(end=12.0), "times outside the audio"),
        (VERBOSE, verbose(text=" Other words"), "the segments are not the text"),
        (VERBOSE, verbose(seek="0"), "Input should be a valid integer"),
        (LOGPROBS, with_tokens(SAID[:9], SAID[9:]), None),
        (LOGPROBS, with_tokens(SAID[:9]), "the tokens are not the text"),
        (LOGPROBS, Answer({"text": SAID}), "logprobs are missing"),
        (JSON, with_tokens(SAID), "logprobs are there unasked"),
        (SRT, Answer(f"{CUE}{SAID}\n\n"), None),
        (SRT, Answer(f"{CUE}{SAID}"), None),
        (SRT, Answer(f"{SAID}\n\n"), "srt: "),
        (SRT, Answer(f"7{CUE[1:]}{SAID}\n\n"), "not numbered from 1"),
        (STREAM, Answer(events=[delta("a"), segment("a"), delta(" b"), end("a b")]), "segments"),
        (STREAM, Answer(events=[delta("a"), delta(" b"), end("a c")]), "not the text of the end"),
        (STREAM, Answer(events=[delta("a b"), end("a b")]), "not deltas and an end"),
        (STREAM, Answer(events=[{"object": "transcription.chunk"}]), "no event of OpenAI's"),
    ],
)
def test_a_wrong_answer_is_reported(cell: Cell, answer: Answer, problem: str | None) -> None:
    [row] = compare(judge("a client", [cell], [answer]))
    assert (row.problem is None) if problem is None else (problem in (row.problem or "")), row


def heard(text: str = SAID, word: str = "we", **results: object) -> Answer:
    """Return an answer of Deepgram's shape, with its words where they are right."""
    times = [(n / 10, (n + 1) / 10) for n in range(len(SAID.split()))]
    words = [
        {"word": w.strip(".").lower(), "punctuated_word": w, "start": s, "end": e, "confidence": 1}
        for w, (s, e) in zip(SAID.split(), times, strict=True)
    ]
    words[0]["word"] = word
    known = {"request_id": "a", "sha256": "b", "created": "c", "models": ["d"], "duration": 11.0}
    channel = {"alternatives": [{"transcript": text, "words": words}]}
    return Answer({"metadata": known, "results": {"channels": [channel], **results}})


LISTEN = Cell("listen", file=SPEECH["listen"])
NO_LANGUAGE = Cell("listen", refusal=Refusal(code="Bad Request"))
BAD = {"name": "BadRequestError", "status": 400, "err_code": "Bad Request", "request_id": "a"}


@pytest.mark.parametrize(
    ("cell", "answer", "problem"),
    [
        (LISTEN, heard(), None),
        (LISTEN, heard(SAID[:-5]), "the words are not the text"),
        (LISTEN, heard(word="We"), "capitals or punctuation"),
        (LISTEN, heard(utterances=[]), "utterances are there unasked"),
        (LISTEN, Answer({"results": {}}), "channels"),
        (LISTEN, Answer(error=BAD), "refused"),
        (Cell("listen", {"diarize": True}), heard(), "speakers are missing"),
        (Cell("listen", {"tag": ["a"]}), heard(), "tags"),
        (Cell("listen", {"redact": "pci"}), heard(), "warnings"),
        (Cell("listen", {"callback": "https://a"}), heard(), "not an id alone"),
        (NO_LANGUAGE, Answer(error={**BAD, "err_msg": "language: …"}), None),
        (NO_LANGUAGE, Answer(error=BAD), "but {"),
        (NO_LANGUAGE, heard(), "but an answer"),
    ],
)
def test_a_wrong_answer_to_deepgrams_clients_is_reported(
    cell: Cell, answer: Answer, problem: str | None
) -> None:
    [row] = compare(listen_rows("a client", [cell], [answer]))
    assert (row.problem is None) if problem is None else (problem in (row.problem or "")), row


def test_an_answer_with_other_words_than_the_others_is_reported() -> None:
    answers = [Answer({"text": SAID}), Answer(f"{CUE}{SAID[:-5]}\n\n")]
    right, wrong = compare(judge("a client", [JSON, SRT], answers))
    assert right.problem is None
    assert "other words than json, of a client" in (wrong.problem or "")


def test_a_stream_that_is_written_otherwise_than_the_whole_is_reported() -> None:
    fields = {"response_format": "text"}
    cells = [Cell("transcriptions", fields), Cell("transcriptions", {**fields, "stream": True})]
    events = [delta(SAID[:9]), segment(SAID), delta(SAID[9:]), end(SAID)]
    answers = [Answer(SAID + "\n"), Answer(events=events)]
    json, whole, streamed = compare(judge("a", [JSON, *cells], [Answer({"text": SAID}), *answers]))
    assert (json.problem, whole.problem) == (None, None)
    assert streamed.problem == "not written as text, of a"


def test_an_answer_that_does_not_come_is_waited_for_so_long_and_each_cell_is_reported(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(official, "REQUEST_SECONDS", 0.3)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/v1"
        answers = official.ask_python(url, [JSON, SRT])
    assert [(answer.error or {})["name"] for answer in answers] == ["APITimeoutError"] * 2
    shown = sorted(capfd.readouterr().err.splitlines())
    assert shown == [
        f"Python: transcriptions {{'response_format': '{f}'}}" for f in ("json", "srt")
    ]
