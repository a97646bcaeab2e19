"""The settings of jobs: where they are kept, for how long, and who is told of their end."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from asr import config_parsers
from asr.config_settings import setting as _setting


@dataclass(frozen=True)
class JobSettings:
    """Those settings of `Config` that only jobs have."""

    jobs_dir: Path | None = _setting(
        None,
        Path,
        "Jobs and their uploads are kept in this directory; unset: in `jobs` in `CACHE_DIR`",
    )
    jobs_url: str | None = _setting(
        None,
        config_parsers.postgresql,
        "A PostgreSQL database, as `postgresql://user:password@host/name`, whose jobs several "
        "servers share; unset: a file in `JOBS_DIR`",
    )
    jobs_ttl_hours: float = _setting(
        24.0,
        config_parsers.positive,
        "A job that has ended is kept, with its result, for this many hours",
    )
