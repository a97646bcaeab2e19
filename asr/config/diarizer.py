"""The settings of speaker diarization."""

from __future__ import annotations

from dataclasses import dataclass

from asr.config import parsers as config_parsers
from asr.config.setting import setting as _setting


@dataclass(frozen=True)
class DiarizerSettings:
    """Those settings of `Config` that say who tells speakers apart."""

    diarizer: config_parsers.DiarizerName = _setting(
        "builtin",
        config_parsers.diarizer,
        "What tells speakers apart: `builtin` (weights in this repository), `pyannote` "
        "(pyannote.audio, to be installed), or `off` (requests that ask for it are answered 400)",
    )
    diarizer_model: str | None = _setting(
        None,
        config_parsers.text,
        "The pipeline of `DIARIZER=pyannote`: its id on the Hugging Face hub or a directory; "
        "unset: `pyannote/speaker-diarization-community-1`",
    )
    diarizer_preload: bool = _setting(
        False,
        config_parsers.flag,
        "`1`: the diarizer is loaded at the start, not by the first request that asks for it",
    )
