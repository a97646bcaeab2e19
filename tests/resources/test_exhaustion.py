"""What has run out is told as a failure that may be over soon."""

from __future__ import annotations

import errno
import math
import os
import resource

import psutil
import pytest

from asr.errors import Failure
from asr.resources.exhaustion import max_descriptors, require_descriptors, run_out
from tests.support.faults import limited


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.EMFILE, "Too many open files"),
        BlockingIOError(errno.EAGAIN, "Resource temporarily unavailable"),
        OSError(errno.ENOMEM, "Cannot allocate memory"),
        MemoryError(),
        RuntimeError("can't start new thread"),
    ],
)
def test_a_caller_is_told_to_try_again(error: Exception) -> None:
    found = run_out(error, "the audio cannot be decoded")
    assert found is not None
    failure = Failure.of(found)
    assert (failure.status, failure.code) == (503, "out_of_resources")
    assert 5 <= (failure.retry_after or 0) <= 7.5
    assert f"try again in {math.ceil(failure.retry_after or 0)} s" in failure.message


@pytest.mark.parametrize("error", [OSError(errno.ENOENT, "none"), RuntimeError("broken")])
def test_what_has_not_run_out_is_not_called_so(error: Exception) -> None:
    assert run_out(error, "the audio cannot be decoded") is None


def test_descriptors_are_known_to_be_there_and_none_is_kept() -> None:
    before = psutil.Process().num_fds()
    with limited(resource.RLIMIT_NOFILE, before + 20):
        assert max_descriptors() == before + 20
        require_descriptors(6)
        with pytest.raises(OSError, match=os.strerror(errno.EMFILE)):
            require_descriptors(40)
    assert psutil.Process().num_fds() == before
