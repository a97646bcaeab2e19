"""What a live session tells its client."""

import pytest

from asr.live.events import Completed


def test_an_utterance_lasts_from_its_start_to_its_end():
    completed = Completed("item", " Hello.", 2.5, 4.0, "en")
    assert completed.seconds == pytest.approx(1.5)
