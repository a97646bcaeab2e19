"""Our server with the engine that is named: a process of its own, for whole HTTP requests.

`mute` hears nothing and answers at once: what is left is the work outside the model.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence

import torch
from aiohttp import web

from asr import pipeline
from asr.app import create_app
from asr.config import Config
from asr.engine import Engine
from asr.hardware import Machine, choose
from asr.transcript import EngineInfo, Segment
from asr.whisper import engine as whisper
from asr.windows import Window, WindowResult

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

    def step(self, admitted: Sequence[Window]) -> list[WindowResult]:
        return [
            WindowResult(window, (Segment(0.0, window.seconds, WORDS),), "en")
            for window in admitted
        ]


def main() -> None:
    config = Config.from_environment(os.environ)
    app = create_app(config, LOADERS[sys.argv[1]])
    web.run_app(app, host=config.host, port=config.port, access_log=None, print=None)


def load_whisper(config: Config) -> Engine:
    chosen = choose(config, Machine.probe(config.device))
    device = torch.device(chosen.device)
    return whisper.load(config, device, chosen.dtype, chosen.device_name, chosen.reason)


def load_pipeline(config: Config) -> Engine:
    return pipeline.load(config, choose(config, Machine.probe(config.device)))


LOADERS: dict[str, Callable[[Config], Engine]] = {
    "mute": lambda _: Mute(),
    "whisper": load_whisper,
    "pipeline": load_pipeline,
}

if __name__ == "__main__":
    main()
