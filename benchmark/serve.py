"""Our server with its engine or with a mute one, in a process of its own.

The mute one hears nothing and answers at once: what is left is the work outside the model.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

from asr import engine
from asr.app import create_app
from asr.config import Config
from asr.serving import run
from asr.start import Start
from asr.transcript import EngineInfo, Segment
from asr.windows import Window, WindowResult

MUTE = "mute"  # the name that asks for it
WORDS = " word" * 75  # of a 30 s window of English
MUTE_WINDOWS = 64


class Mute:
    """Knows what everyone says without listening."""

    info = EngineInfo("mute", "mute", "none", "none", languages={"en": "english"})

    @property
    def capacity(self) -> int:
        return MUTE_WINDOWS

    def free(self) -> int:
        return MUTE_WINDOWS

    def held(self) -> int:
        return 0

    def drop(self, window: Window) -> None:
        """Nothing is held."""

    def prepare(self) -> bool:
        return False

    def step(self, admitted: Sequence[Window]) -> list[WindowResult]:
        return [
            WindowResult(window, (Segment(0.0, window.seconds, WORDS),), "en")
            for window in admitted
        ]


def main() -> None:
    config = Config.from_environment(os.environ)
    app = create_app(config, (lambda _: Mute()) if sys.argv[1] == MUTE else engine.load)
    run(app, config, Start.of_process())


if __name__ == "__main__":
    main()
