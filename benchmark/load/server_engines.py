"""Our server with its engine or with a mute one, in a process of its own.

The mute one answers at once, whatever the sound: what is left is the work outside the model.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import cycle

from asr.capabilities import EngineInfo
from asr.config import Config
from asr.engines import load
from asr.engines.engine import Engine, Window, WindowResult
from asr.server.app import create_app
from asr.server.run import run
from asr.startup import StartupTimer
from asr.transcript import Segment
from benchmark.recordings import drawn_lengths

MUTE = "mute"  # The first argument has this value for the mute engine.
# The first argument has this value for as many tokens as are drawn for each window.
DRAWN = "drawn"
# The mute engine writes this text, as long as that of a 30 s window of English.
WORDS = " word" * 75
MUTE_WINDOWS = 64
LENGTHS = 1000  # After so many windows the drawn lengths come again.


class Mute:
    """Answers with the same words, whatever the sound."""

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


class Drawn:
    """An engine whose windows get as many tokens as are drawn for them, whoever asks."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._lengths = cycle(drawn_lengths(LENGTHS))
        self._limited: dict[Window, Window] = {}  # as submitted → as the engine gets it
        self._submitted: dict[Window, Window] = {}  # and back
        self.info = engine.info
        self.free = engine.free
        self.held = engine.held
        self.prepare = engine.prepare

    @property
    def capacity(self) -> int:
        return self._engine.capacity

    def drop(self, window: Window) -> None:
        if window in self._limited:
            limited = self._limited.pop(window)
            del self._submitted[limited]
            self._engine.drop(limited)

    def step(self, admitted: Sequence[Window]) -> list[WindowResult]:
        for window in admitted:
            options = replace(window.options, max_new_tokens=next(self._lengths))
            limited = replace(window, options=options)
            self._limited[window], self._submitted[limited] = limited, window
        found = self._engine.step([self._limited[window] for window in admitted])
        return [self._as_submitted(result) for result in found]

    def _as_submitted(self, result: WindowResult) -> WindowResult:
        limited = result.window
        window = self._submitted[limited]
        if result.is_final:
            del self._submitted[limited], self._limited[window]
        return replace(result, window=window)


def main() -> None:
    config = Config.from_environment(os.environ)
    app = create_app(config, LOADERS.get(sys.argv[1], load.load))
    run(app, config, StartupTimer.of_process())


LOADERS: dict[str, Callable[[Config], Engine]] = {
    MUTE: lambda _: Mute(),
    DRAWN: lambda config: Drawn(load.load(config)),
}


if __name__ == "__main__":
    main()
