"""The settings of jobs: where they are kept, for how long, and who is told of their end."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from asr.config import parsers as config_parsers
from asr.config.setting import setting as _setting


@dataclass(frozen=True)
class JobSettings:
    """Those settings of `Config` that only jobs have, and the dialects that make them."""

    fly_machine_id: str = _setting(
        "",
        config_parsers.header,
        "Value of `fly_machine_id` in answers and webhooks of Insanely Fast Whisper's routes; "
        "unset: they do not have it",
    )
    truss_errors_as_200: bool = _setting(
        False,
        config_parsers.flag,
        "`1`: failures of `/production/predict` and `/predict` have the status 200, as on Truss, "
        "and `error` in their JSON",
    )
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
        hidden=True,
    )
    jobs_ttl_hours: float = _setting(
        72.0,  # Attempts at a webhook go on for up to 56 hours.
        config_parsers.positive,
        "A job that has ended is kept, with its result, for this many hours",
    )
    uploads_url: str | None = _setting(
        None,
        config_parsers.text,
        "Audio of jobs and very long results are kept here: a directory that all servers share, or "
        "a bucket as `s3://name/path`; unset: `uploads` in `JOBS_DIR`",
        hidden=True,
    )
    jobs_share: float = _setting(
        0.25,
        config_parsers.number(0.01, 1),
        "Jobs hold at most this share of the engine, and at least one window of it: with more, "
        "they are done sooner and slow other requests more",
    )
    webhook_secret: str | None = _setting(
        None,
        config_parsers.webhook_secret,
        "Webhooks of jobs without a `webhook_secret` are signed with this secret, base64 of 24 to "
        "64 bytes, by Standard Webhooks; unset: they are not signed",
        hidden=True,
    )
    webhook_timeout_s: float = _setting(
        15.0,
        config_parsers.seconds,
        "An attempt to deliver a webhook may take this many seconds; after it comes the next one",
    )
