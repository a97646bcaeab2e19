"""The health routes and the metrics say how the server is."""

import asr
from asr.http.app_keys import SPOOL_CHECK
from tests.conftest import tone, wav

SPEECH = wav(tone(2.0))


async def test_hc_says_ok_with_the_version(client):
    response = await client.get("/hc")
    assert response.status == 200
    assert await response.json() == {"status": "ok", "version": asr.__version__}


async def test_hc_tells_what_runs_when_asked(client):
    answer = await (await client.get("/hc?verbose=1")).json()
    assert answer["engine"]["model_id"] == "fake"
    assert answer["engine"]["languages"] == {"en": "english", "es": "spanish"}


async def test_health_is_empty(client):
    for method in ("get", "head"):
        response = await getattr(client, method)("/health")
        assert response.status == 200
        assert await response.read() == b""


async def test_a_dead_engine_turns_every_health_route_to_503(client, engine):
    def end(_):
        raise RuntimeError("CUDA error: an illegal memory access was encountered")

    engine.transcribe = end
    assert (await client.post("/asr", data=SPEECH)).status == 503
    response = await client.get("/hc")
    assert response.status == 503
    assert "illegal memory access" in (await response.json())["error"]
    assert (await client.get("/health")).status == 503
    assert (await client.post("/asr", data=SPEECH)).status == 503


async def test_hc_stays_ready_and_warns_where_large_uploads_cannot_be_stored(client, monkeypatch):
    check = client.app[SPOOL_CHECK]
    monkeypatch.setattr("asr.resources.spool._problem", lambda: "the disk of TMPDIR=/tmp is full")
    await check.run()
    response = await client.get("/hc")
    assert response.status == 200
    answer = await response.json()
    assert answer["status"] == "ok"
    assert answer["warnings"] == ["large uploads are refused: the disk of TMPDIR=/tmp is full"]


async def test_metrics_count_what_happened(client):
    await client.post("/asr", data=SPEECH)
    await client.post("/asr", data=b"")
    await client.get("/asr")
    await client.post("/v1/models/fake")
    await client.get("/nowhere")
    text = await (await client.get("/metrics")).text()
    assert 'asr_requests_total{route="/asr",status="200"} 1.0' in text
    assert 'asr_requests_total{route="/asr",status="400"} 1.0' in text
    assert 'asr_requests_total{route="/asr",status="405"} 1.0' in text
    assert 'asr_requests_total{route="/v1/models/{id}",status="405"} 1.0' in text
    assert 'asr_requests_total{route="unknown",status="404"} 1.0' in text
    assert "asr_audio_seconds_total 2.0" in text
    assert "asr_queue_audio_seconds 0.0" in text
    assert "asr_engine_up 1.0" in text
    assert "asr_engine_capacity_windows 4.0" in text
    for stage in ("fetch", "decode", "queue", "model"):
        assert f'asr_stage_seconds_count{{stage="{stage}"}} 1.0' in text
