"""Run our server with its own engine or with a mute one.

The mute engine answers at once, whatever the sound: what is left is the work outside the model.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import cycle

from asr.capabilities import EngineInfo
from asr.config.config import Config
from asr.engines import load
from asr.engines.engine import Engine, Window, WindowResult
from asr.server.app import create_app
from asr.server.run import run
from asr.startup import StartupTimer
from asr.transcript import Segment
from benchmark.recordings import drawn_lengths

MUTE = "mute"  # The first argument has this value for the mute engine.
# The first argument has this value where each window gets a drawn number of tokens.
DRAWN = "drawn"
PACED = "paced"  # The first argument has this value for the mute engine with a pace.
PACE = 100.0  # The paced engine takes so many seconds of audio in a second.
# The mute engine writes this text, as long as that of a 30 s window of English.
WORDS = " word" * 75
MUTE_WINDOWS = 64  # The mute engine takes so many windows at once.
LENGTHS = 1000  # After so many windows the drawn lengths come again.


class Mute:
    """Answers with the same words, whatever the sound."""

    info = EngineInfo("mute", "mute", "none", "none", languages={"en": "english"})

    @property
    def capacity(self) -> int:
        return MUTE_WINDOWS

    def free(self, _is_live: bool = False) -> int:
        return MUTE_WINDOWS

    def held(self) -> int:
        return 0

    def drop(self, window: Window) -> None:
        """Do nothing: no window is held."""

    def prepare(self) -> bool:
        return False

    def step(self, admitted: Sequence[Window]) -> list[WindowResult]:
        return [
            WindowResult(window, (Segment(0.0, window.seconds, WORDS),), "en")
            for window in admitted
        ]


class Paced(Mute):
    """Answers like the mute engine, but as slowly as a model would."""

    def step(self, admitted: Sequence[Window]) -> list[WindowResult]:
        time.sleep(sum(window.seconds for window in admitted) / PACE)
        return super().step(admitted)


class Drawn:
    """Gives each window a drawn number of tokens, whatever the request asks for."""

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
        results = self._engine.step([self._limited[window] for window in admitted])
        return [self._as_submitted(result) for result in results]

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


# The first argument selects one of these; any other value selects the server's own engine.
LOADERS: dict[str, Callable[[Config], Engine]] = {
    MUTE: lambda _: Mute(),
    PACED: lambda _: Paced(),
    DRAWN: lambda config: Drawn(load.load(config)),
}


if __name__ == "__main__":
    main()
