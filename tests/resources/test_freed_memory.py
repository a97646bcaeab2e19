"""The C library's function that gives freed memory back is found."""

import sys

import pytest

from asr.resources.freed_memory import trim_function


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="glibc is Linux's")
def test_glibc_has_the_function_that_gives_memory_back() -> None:
    assert trim_function()(0) in {0, 1}
