"""A burst counts what each caller got, and judges answers and memory."""

from __future__ import annotations

import socket
import threading

import pytest

from benchmark.load.burst import Burst, Caller, send
from benchmark.process_usage import MIB

REFUSAL = b"HTTP/1.1 429 Too Many\r\nRetry-After: 2\r\nContent-Length: 2\r\n\r\n{}"
GOOD = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"


def answered(data: bytes) -> Caller:
    with socket.socket() as link:
        return Caller(link, memoryview(b""), bytearray(data), seconds=0.01)


@pytest.mark.parametrize(
    ("answers", "peak", "is_good"),
    [
        ([GOOD, REFUSAL], 100, True),
        ([GOOD, REFUSAL], 300, False),
        ([REFUSAL.replace(b"Retry-After", b"X")], 100, False),
        ([b""], 100, False),
    ],
)
def test_a_burst_is_good_where_all_can_use_their_answers_and_memory_stays_small(
    answers: list[bytes], peak: float, is_good: bool
) -> None:
    burst = Burst([answered(data) for data in answers], before=50 * MIB, peak=peak * MIB)
    assert burst.is_good is is_good
    assert ("MISSED" in str(burst)) is (peak == 300)


def test_every_caller_has_its_answer_though_the_server_does_not_read_all() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            for _ in range(5):
                caller, _ = server.accept()
                with caller:
                    caller.recv(100)
                    caller.sendall(REFUSAL)

        thread = threading.Thread(target=serve)
        thread.start()
        callers = send(server.getsockname()[1], b"POST / HTTP/1.1\r\n\r\n" + bytes(MIB), 5)
        thread.join()
    assert [one.status for one in callers] == [429] * 5
    assert all(one.has_header(b"retry-after") for one in callers)
