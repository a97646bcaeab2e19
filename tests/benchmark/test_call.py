"""A call is made of two recordings, a channel each, the second one later."""

import numpy as np
import pytest
import soundfile
from click.testing import CliRunner

from asr.pcm import SAMPLE_RATE
from benchmark import call as command
from benchmark.call import joined


def test_the_second_voice_begins_later_and_nothing_is_cut():
    left, right = np.ones(SAMPLE_RATE, np.float32), np.ones(2 * SAMPLE_RATE, np.float32)
    call = joined(left, right, late=0.5)
    assert call.shape == (SAMPLE_RATE * 5 // 2, 2)
    assert call[:, 0].tolist() == [1.0] * SAMPLE_RATE + [0.0] * (SAMPLE_RATE * 3 // 2)
    assert call[:, 1].tolist() == [0.0] * (SAMPLE_RATE // 2) + [1.0] * (2 * SAMPLE_RATE)
    assert joined(right, left, late=0.0).shape == (2 * SAMPLE_RATE, 2)


@pytest.mark.parametrize("is_named", [False, True])
def test_the_call_is_written_where_it_is_told_and_never_into_the_current_folder(
    tmp_path, monkeypatch, is_named
):
    async def untranscribed(_):
        return []

    here, voices, temporary = (tmp_path / name for name in ("here", "voices", "temporary"))
    for folder in (here, voices, temporary):
        folder.mkdir()
    monkeypatch.chdir(here)
    monkeypatch.setattr("tempfile.tempdir", str(temporary))
    monkeypatch.setattr(command, "transcribed", untranscribed)
    for name in ("left.wav", "right.wav"):
        soundfile.write(voices / name, np.zeros(SAMPLE_RATE, np.float32), SAMPLE_RATE)
    named = ["-o", str(voices / "both.flac")] if is_named else []
    arguments = [str(voices / "left.wav"), str(voices / "right.wav"), *named]
    result = CliRunner().invoke(command.main, arguments, catch_exceptions=False)
    [made] = [*voices.glob("both.flac"), *temporary.glob("*/call.flac")]
    assert result.output == f"{made}: 3.0 s, two channels\n"
    assert soundfile.info(made).channels == 2
    assert list(here.iterdir()) == []
