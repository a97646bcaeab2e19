"""One core: the caller's thread alone is limited."""

import threading

import torch

from asr.diarization.processors import OneCore


def test_the_threads_of_others_are_left_alone():
    torch.set_num_threads(before := max(2, torch.get_num_threads()))  # in this thread of the tests
    seen = []

    def work():
        with OneCore().limit():
            seen.append(torch.get_num_threads())
            limited.set()
            checked.wait()
        seen.append(torch.get_num_threads())

    limited, checked = threading.Event(), threading.Event()
    thread = threading.Thread(target=work)
    thread.start()
    limited.wait()
    beside = torch.get_num_threads()
    checked.set()
    thread.join()
    assert seen == [1, before]
    assert beside == before
    assert torch.get_num_threads() == before
