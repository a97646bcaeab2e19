"""The settings of live transcription and of the web page."""

from __future__ import annotations

from dataclasses import dataclass

from asr.config import parsers as config_parsers
from asr.config.setting import setting as _setting


@dataclass(frozen=True)
class LiveSettings:
    """Those settings of `Config` that only live sessions and the page have."""

    max_live_sessions: int | None = _setting(
        None,
        config_parsers.whole(0, 100_000),
        "At most this many live sessions are open at once, others get 429; 0: none at all; unset: "
        "as many as the engine takes windows",
    )
    max_live_session_s: float = _setting(
        3600.0,
        config_parsers.seconds,
        "A live session is closed after this many seconds",
    )
    page: bool = _setting(
        True, config_parsers.flag, "`1`: `GET /` is a web page that transcribes; `0`: it is not"
    )
