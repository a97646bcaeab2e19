"""One core: the caller's thread alone is limited. Memory: what is freed is kept."""

import platform
import resource
import threading

import pytest
import torch

from asr.diarization.processors import OneCore, keep_freed_memory

MANY = 5 * 2**19  # numbers: 10 MB, as a convolution needs for a moment; 2,560 pages


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


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="other libraries keep memory or not")
def test_memory_that_was_freed_is_used_again():
    keep_freed_memory()
    pages = []
    for _ in range(6):
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
        blocks = [torch.ones(MANY) for _ in range(4)]
        del blocks
        pages.append(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
    assert min(pages) < 1_000
