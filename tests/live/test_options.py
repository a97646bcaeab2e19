"""The format of a live session's audio."""

from asr.live.options import LiveAudio


def test_sixteen_bit_samples_have_two_bytes_and_those_of_telephones_one():
    assert LiveAudio().bytes_per_second == 48_000
    assert LiveAudio("pcmu", 8_000).bytes_per_second == 8_000
