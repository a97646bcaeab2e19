"""The jobs of an app: their service, and what works on them until the server ends."""

from __future__ import annotations

import asyncio
import contextlib
import uuid
from collections.abc import AsyncIterator
from functools import partial

from aiohttp import web

from asr.concurrency import end_tasks
from asr.http import app_keys
from asr.http.local_files import open_inside
from asr.http.sources import BodyLimits
from asr.jobs.attempt import JobMeans
from asr.jobs.expiry import Expiry
from asr.jobs.job import JobState
from asr.jobs.opening import JobOpener, is_opened_at_start, open_place
from asr.jobs.service import JobPlace, JobService
from asr.jobs.webhooks.message import WebhookBodies
from asr.jobs.webhooks.runner import Post, WebhookRunner
from asr.jobs.worker import Worker, WorkerLimits
from asr.outbound.fetch import FetchLimits, Outbound
from asr.outbound.webhook import WebhookSender

HOUR = 3600.0  # seconds
DECODERS_SHARE = 2  # Jobs run at most one decoder of so many: the others are for requests.


class JobWork:
    """What works on the jobs of an app: the worker, and what removes old ones."""

    def __init__(self, app: web.Application) -> None:
        self._app = app
        self._worker: Worker | None = None  # as long as the place of jobs is open
        self._webhooks: WebhookRunner | None = None  # likewise

    def wake(self) -> None:
        """Tell both that there is news of a job."""
        if self._worker is not None:
            self._worker.wake()
        self.wake_webhooks()

    def wake_webhooks(self) -> None:
        """Tell the delivery of webhooks that a job may have ended."""
        if self._webhooks is not None:
            self._webhooks.wake()

    async def drain(self, seconds: float) -> None:
        """Give running jobs so many seconds; then put them back, for another server."""
        if self._worker is not None:
            await self._worker.drain(seconds)
            await self._worker.stop()
        self._app[app_keys.JOBS].end()

    @contextlib.asynccontextmanager
    async def on(self, place: JobPlace) -> AsyncIterator[None]:
        """Work on the jobs of `place`."""
        config, metrics = self._app[app_keys.CONFIG], self._app[app_keys.METRICS]
        scheduler = self._app[app_keys.SCHEDULER]
        most = min(scheduler.most_jobs, max(1, config.decoders // DECODERS_SHARE))
        limits = WorkerLimits(most, self._app[app_keys.CLIENTS].excluded)
        worker = Worker(place, scheduler, self._means(), metrics, limits, self.wake_webhooks)
        expiry = Expiry(place, config.jobs_ttl_hours * HOUR, metrics, self.wake)
        expiring = asyncio.create_task(expiry.run())
        self._worker = worker
        worker.start()
        try:
            async with self._deliveries(place):
                yield
        finally:
            self._worker = None
            await end_tasks(expiring)
            await worker.stop()

    @contextlib.asynccontextmanager
    async def _deliveries(self, place: JobPlace) -> AsyncIterator[None]:
        """Deliver webhooks, with lookups of names that no download waits for."""
        config = self._app[app_keys.CONFIG]
        outbound = Outbound(FetchLimits(0, config.webhook_timeout_s, config.allow_private_urls))
        await outbound.open()
        try:
            post = WebhookSender(outbound, config.webhook_timeout_s).post
            self._webhooks = self._webhook_runner(place, post)
            async with self._webhooks.running():
                yield
        finally:
            self._webhooks = None
            await outbound.close()

    def _webhook_runner(self, place: JobPlace, post: Post) -> WebhookRunner:
        app = self._app
        config, service = app[app_keys.CONFIG], app[app_keys.JOBS]
        bodies = {
            dialect.name: dialect.webhook_body
            for dialect in app[app_keys.DIALECTS]
            if dialect.webhook_body is not None
        }
        return WebhookRunner(
            place.store,
            f"webhooks-{uuid.uuid4().hex}",
            post,
            WebhookBodies(bodies, service.transcript).make,
            config.webhook_secret,
            count=lambda verdict: app[app_keys.METRICS].webhook_attempts.labels(verdict).inc(),
        )

    def _means(self) -> JobMeans:
        config = self._app[app_keys.CONFIG]
        check_size = BodyLimits(config.max_body_bytes, config.body_timeout_s).check
        return JobMeans(
            self._app[app_keys.TRANSCRIBER],
            self._app[app_keys.OUTBOUND].fetch,
            partial(open_inside, config.audio_root, check_size=check_size),
        )


JOB_WORK = web.AppKey("JOB_WORK", JobWork)


async def jobs(app: web.Application) -> AsyncIterator[None]:
    """Keep jobs as long as the app runs; nothing is opened before it is needed.

    Raises:
        ConfigError: the settings name a place for jobs that cannot be used.
    """
    config, metrics = app[app_keys.CONFIG], app[app_keys.METRICS]
    work = JobWork(app)
    opener = JobOpener(partial(open_place, config), work.on)

    def count_ended(state: JobState) -> None:
        metrics.jobs_ended.labels(state).inc()

    app[JOB_WORK] = work
    app[app_keys.JOBS] = JobService(opener.place, work.wake, count_ended, config.allow_private_urls)
    try:
        if is_opened_at_start(config):
            await opener.open()
        yield
    finally:
        await opener.aclose()
