"""Tells Home Assistant what this server is: its program, its model and the languages."""

from __future__ import annotations

from collections.abc import Sequence

from wyoming.info import AsrModel, AsrProgram, Attribution, Info

import asr
from asr.capabilities import EngineInfo, ServerInfo

PROGRAM = "asr-api"  # Home Assistant shows this name in its list of speech-to-text engines.
HUB = "https://huggingface.co/"  # A model's id behind it is its page.


def described(info: EngineInfo, server: ServerInfo) -> Info:
    """The answer to `describe`."""
    return Info(
        asr=[
            AsrProgram(
                name=PROGRAM,
                attribution=Attribution(name=PROGRAM, url=""),
                installed=True,
                description="Automatic speech recognition: one engine for all callers",
                version=asr.__version__,
                models=[_model(info, _languages(info, server))],
                supports_transcript_streaming=True,
                requires_external_vad=True,
            )
        ]
    )


def _model(info: EngineInfo, languages: Sequence[str]) -> AsrModel:
    owner, slash, name = info.model_id.partition("/")
    is_on_hub = bool(owner and slash and name) and "/" not in name and not owner.startswith(".")
    return AsrModel(
        name=info.model_id,
        attribution=Attribution(
            name=owner if is_on_hub else PROGRAM, url=HUB + info.model_id if is_on_hub else ""
        ),
        installed=True,
        description=f"{info.model_id} on {info.engine}",
        version=None,
        languages=list(languages),
    )


def _languages(info: EngineInfo, server: ServerInfo) -> list[str]:
    """The codes among which a voice assistant chooses its own."""
    if server.forced_language is not None:
        return [server.forced_language]
    return sorted(info.languages)
