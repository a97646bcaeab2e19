"""The place of jobs is opened when it is needed, and its failure stops nothing else."""

import asyncio
import contextlib
import logging
import sys
from dataclasses import replace

import pytest

from asr.config.config import Config
from asr.errors import ConfigError, StoreUnavailable
from asr.jobs import postgres_store
from asr.jobs.opening import JobOpener, is_opened_at_start, open_place
from asr.jobs.service import JobService
from asr.jobs.sqlite_store import open_store
from tests.conftest import tone, wav
from tests.support.jobs import asked


def default(tmp_path):
    """Settings whose directory of jobs nobody has chosen."""
    return Config.from_environment({"CACHE_DIR": str(tmp_path)})


@contextlib.asynccontextmanager
async def no_work(_):
    yield


@contextlib.asynccontextmanager
async def opened(config):
    opener = JobOpener(lambda: open_place(config), no_work)
    try:
        yield JobService(opener.place)
    finally:
        await opener.aclose()


async def test_a_chosen_directory_keeps_jobs_from_one_process_to_the_next(tmp_path):
    config = Config(jobs_dir=tmp_path / "mine")
    assert is_opened_at_start(config)
    async with opened(config) as jobs:
        job = await jobs.submit(asked())
    async with opened(config) as jobs:
        assert (await jobs.get(job.id, "")).id == job.id
    assert (tmp_path / "mine" / "jobs.db").exists()


async def test_nothing_is_made_before_the_first_job(tmp_path):
    config = default(tmp_path)
    assert not is_opened_at_start(config)
    async with opened(config) as jobs:
        assert list(tmp_path.iterdir()) == []
        await jobs.submit(asked())
    assert is_opened_at_start(config)  # a job waits there


async def test_without_any_directory_jobs_are_temporary(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    assert not is_opened_at_start(Config())
    async with opened(Config()) as jobs:
        await jobs.submit(asked())
        assert len(list(tmp_path.iterdir())) == 1
    assert list(tmp_path.iterdir()) == []


async def test_a_default_directory_that_another_server_has_is_replaced_with_a_warning(
    tmp_path, caplog
):
    config = default(tmp_path)
    async with open_store(config.jobs_dir), opened(config) as jobs:
        with caplog.at_level(logging.WARNING):
            await jobs.submit(asked())
    assert "jobs are lost when this server ends" in caplog.text
    assert "used by another server" in caplog.text


async def test_a_chosen_directory_that_another_server_has_stops_the_start(tmp_path):
    config = replace(default(tmp_path), jobs_dir=tmp_path / "mine")
    async with open_store(config.jobs_dir):
        opener = JobOpener(lambda: open_place(config), no_work)
        with pytest.raises(ConfigError, match="used by another server"):
            await opener.open()
        await opener.aclose()


@pytest.mark.parametrize("shared", [False, True])
async def test_servers_that_share_jobs_and_no_uploads_are_warned(
    tmp_path, caplog, monkeypatch, shared
):
    monkeypatch.setattr(postgres_store, "open_store", lambda _: open_store(tmp_path / "jobs"))
    uploads = str(tmp_path / "uploads") if shared else None
    config = replace(default(tmp_path), jobs_url="postgresql://h/d", uploads_url=uploads)
    async with open_place(config):
        assert ("UPLOADS_URL is unset" in caplog.text) is not shared


async def test_a_place_that_cannot_be_opened_is_tried_again(tmp_path):
    config = Config(jobs_dir=tmp_path / "mine")
    async with opened(config) as jobs:
        async with open_store(config.jobs_dir):
            with pytest.raises(StoreUnavailable):
                await jobs.submit(asked())
        await jobs.submit(asked())


async def test_a_caller_who_leaves_does_not_stop_the_opening(tmp_path):
    async with opened(Config(jobs_dir=tmp_path / "mine")) as jobs:
        leaving = asyncio.create_task(jobs.submit(asked()))
        await asyncio.sleep(0)
        leaving.cancel()
        await asyncio.gather(leaving, return_exceptions=True)
        await jobs.submit(asked())


async def test_audio_is_transcribed_while_jobs_cannot_be_kept(make_client, tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "nowhere"))
    client = await make_client()
    speech = wav(tone(1.0))
    response = await client.post("/jobs", data=speech)
    assert response.status == 503
    assert int(response.headers["Retry-After"]) > 0
    assert (await client.post("/asr", data=speech)).status == 200
    assert (await client.get("/hc")).status == 200


@pytest.mark.parametrize("url", ["nowhere://me:s3cr3t@bucket/path", "s3://s3cr3t@bucket/path"])
async def test_a_place_for_uploads_that_cannot_be_used_stops_the_start(tmp_path, url, monkeypatch):
    monkeypatch.setitem(sys.modules, "s3fs", None)  # it is not installed
    config = replace(default(tmp_path), uploads_url=url)
    assert is_opened_at_start(config)
    opener = JobOpener(lambda: open_place(config), no_work)
    kind = url.partition("://")[0]
    with pytest.raises(ConfigError, match=f"UPLOADS_URL={kind}://… cannot be used") as raised:
        await opener.open()
    assert "s3cr3t" not in str(raised.value)
    await opener.aclose()
