"""Many files in one process: all at once, each for itself, and whole."""

import contextlib
from dataclasses import replace

import pytest

from asr.cli.batch import Batch
from asr.cli.recordings import find
from asr.config.config import Config
from asr.engines.engine import WindowResult
from asr.metrics import Metrics
from asr.options import Options, SpeakerOptions
from asr.transcription.service import open_service
from tests.conftest import tone, wav
from tests.support.fake_engine import FakeEngine, transcribed
from tests.support.spoken import dialogue, worded

CONFIG = Config(vad="off", jobs_share=1.0)


@pytest.fixture
def recordings(tmp_path):
    for number, name in enumerate(("a", "b", "c"), 1):
        (tmp_path / f"{name}.wav").write_bytes(wav(tone(number)))
    return find([tmp_path], ["text"], tmp_path / "out")


async def test_a_bad_file_is_reported_and_the_others_are_written(recordings, engine):
    recordings[1].audio.write_text("no audio")
    async with open_service(CONFIG, Metrics(), lambda _: engine) as service:
        batch = Batch(service, Options())
        results = {each.file.stem: each async for each in batch.results(recordings) if each}
    assert {name: each.status for name, each in results.items()} == {
        "a": "written",
        "b": "failed",
        "c": "written",
    }
    assert results["b"].error
    assert recordings[0].outputs["text"].read_text() == "1.00 s\n"
    assert not recordings[1].outputs["text"].exists()
    assert (batch.done, batch.total) == (4.0, 4.0)


async def test_several_files_share_a_batch(recordings, engine):
    engine.gate.clear()
    async with open_service(CONFIG, Metrics(), lambda _: engine) as service:
        async for result in Batch(service, Options()).results(recordings):
            missing = service.scheduler.missing_job_windows  # of four, and one to come
            if result is None and missing == 2:  # all three are cut
                engine.gate.set()
    assert len(engine.steps) <= 2
    assert sum(map(len, engine.steps)) == 3


async def test_what_is_interrupted_leaves_whole_files_only(recordings):
    def last(window) -> WindowResult:
        engine.gate.clear()  # the next step does not end
        return transcribed(window)

    engine = FakeEngine(capacity=1, transcribe=last)
    async with open_service(CONFIG, Metrics(), lambda _: engine) as service:
        async with contextlib.aclosing(Batch(service, Options()).results(recordings)) as results:
            async for result in results:
                if result is not None:
                    break
        engine.gate.set()
    out = recordings[0].outputs["text"].parent
    assert [path.name for path in out.iterdir()] == ["a.txt"]
    assert recordings[0].is_done


async def test_who_speaks_is_written_where_it_is_asked(tmp_path, diarizer):
    (tmp_path / "talk.wav").write_bytes(wav(dialogue(2.0, 2.0)))
    info = replace(FakeEngine.info, has_words=True)
    engine = FakeEngine(transcribe=worded, info=info)
    talk = find([tmp_path], ["srt"], tmp_path / "out")
    load = lambda _: diarizer  # noqa: E731
    async with open_service(CONFIG, Metrics(), lambda _: engine, load) as service:
        batch = Batch(service, Options(speakers=SpeakerOptions(count=2)))
        assert [each.status async for each in batch.results(talk) if each] == ["written"]
    assert diarizer.begun == [SpeakerOptions(count=2)]
    cues = talk[0].outputs["srt"].read_text()
    assert cues.index("SPEAKER_00") < cues.index("w03") < cues.index("SPEAKER_01")
