"""Tests lie where the modules lie that they test, and every module has its tests."""

from pathlib import Path

import pytest

from tests.conftest import ROOT

SUITE, HOUSE = ROOT / "tests", ROOT / "asr"
NO_MIRROR = {"behaviour", "benchmark", "clients", "hardening", "images", "models", "node"}
NO_MIRROR |= {"real", "support", "web"}
OF_THE_HOUSE = {  # tests of no single module
    "test_layers.py": "all imports of the house",
    "test_mirror.py": "where all tests lie",
    "jobs/test_kill.py": "stores whose servers are killed",
    "jobs/test_store_contract.py": "what every store of jobs promises",
    "engines/whisper/test_gpu.py": "the whole engine on an NVIDIA GPU",
}
TESTED_ELSEWHERE = {
    "__main__.py": "by cli/test_transcribe, which runs it",
    "capabilities.py": "data alone",
    "options.py": "data alone",
    "transcript.py": "data alone",
    "engines/engine.py": "what each engine's tests hold it to",
    "http/app_keys.py": "keys alone",
    "config/jobs.py": "by test_config, setting by setting",
    "config/live.py": "by test_config, setting by setting",
    "config/keys.py": "by test_config, setting by setting",
    "config/wyoming.py": "by test_config, setting by setting",
    "jobs/job.py": "data alone",
    "jobs/store.py": "by jobs/test_store_contract, of each store",
    "jobs/database/postgres_queue.py": "by jobs/test_store_contract and jobs/test_postgres_store",
    "jobs/database/postgres_rows.py": "by jobs/test_store_contract and jobs/test_postgres_store",
    "jobs/database/rows.py": "by jobs/test_store_contract, field by field",
    "config/setting.py": "by test_config, setting by setting",
    "config/parsers.py": "by test_config, setting by setting",
    "config/diarizer.py": "by test_config, setting by setting",
    "diarization/diarizer.py": "what each diarizer's tests hold it to",
    "errors.py": "by behaviour, message by message",
    "metrics.py": "by api/test_health",
    "server/start.py": "by behaviour/test_process, which starts it",
    "cli/serve.py": "by cli/test_app",
    "cli/options.py": "by cli/test_app",
    "cli/settings.py": "by cli/test_transcribe",
    "api/asr_schemas.py": "by api/native/test_routes",
    "api/insanely_fast/schemas.py": "by api/insanely_fast/test_routes",
    "api/insanely_fast/openapi.py": "by server/test_docs",
    "api/insanely_fast/dialect.py": "data alone",
    "api/fastapi_problem.py": "by api/insanely_fast/test_routes",
    "api/insanely_fast/answers.py": "by api/insanely_fast/test_routes",
    "api/jigsaw.py": "by api/insanely_fast/test_routes",
    "api/jigsaw_jobs.py": "by api/insanely_fast/test_routes",
    "transcription/channels/channel.py": "by transcription/channels/test_channel_set",
    "transcription/channels/previous_text.py": "by behaviour/test_previous_text",
    "api/deepgram/dialect.py": "data alone",
    "api/wyoming/means.py": "data alone",
    "api/deepgram/openapi.py": "by server/test_docs",
    "api/deepgram/plan.py": "by api/deepgram/test_routes",
    "api/deepgram/problem.py": "by api/deepgram/test_routes",
    "api/deepgram/schemas.py": "by api/deepgram/test_routes",
    "api/deepgram/webhook.py": "by api/deepgram/test_routes",
    "api/whisper_asr/schemas.py": "by api/whisper_asr/test_routes",
    "api/whisper_asr/openapi.py": "by server/test_docs",
    "api/whisper_asr/dialect.py": "data alone",
    "api/whisper_asr/plan.py": "by api/whisper_asr/test_routes",
    "api/whisper_asr/problem.py": "by api/whisper_asr/test_routes",
    "api/wyoming/sender.py": "by api/wyoming/test_connection",
    "api/truss/schemas.py": "by api/truss/test_routes",
    "api/truss/openapi.py": "by server/test_docs",
    "api/truss/dialect.py": "data alone",
    "api/truss/problem.py": "by api/truss/test_routes",
    "api/truss/webhook.py": "by api/truss/test_routes",
    "api/openai/schemas.py": "by api/openai/test_routes and behaviour/test_openai_client",
    "api/asr_answer.py": "by api/native/test_routes and api/jobs/test_routes",
    "api/job_answer.py": "by api/jobs/test_routes",
    "api/job_submission.py": "by api/jobs/test_routes",
    "api/jobs/dialect.py": "data alone",
    "api/jobs/openapi.py": "by server/test_docs",
    "api/jobs/webhook.py": "by api/jobs/test_routes",
    "http/job_audio.py": "by api/jobs/test_routes",
    "live/decoding/finals.py": "by live/decoding/test_transcriber",
    "live/decoding/partials.py": "by live/decoding/test_transcriber",
    "live/decoding/windows.py": "by live/decoding/test_transcriber",
    "jobs/attempt.py": "by jobs/test_worker",
    "jobs/progress.py": "by jobs/test_worker",
    "server/jobs.py": "by jobs/test_opening and api/jobs/test_routes",
    "api/native/openapi.py": "by server/test_docs",
    "api/openai/openapi.py": "by server/test_docs",
    "transcription/admission/scheduled_window.py": "by transcription/test_scheduled_request",
    "transcription/run.py": "by transcription/test_transcriber",
    "transcription/setup.py": "by transcription/test_transcriber",
    "transcription/window_stream.py": "by transcription/test_transcriber",
    "engines/pipeline/generic.py": "by engines/pipeline/test_engine",
    "engines/pipeline/weights.py": "by engines/test_model_files, damage by damage",
    "engines/whisper/layouts/binary_file.py": "by layouts/test_ggml, damage by damage",
    "engines/whisper/layouts/ctranslate2_names.py": "by layouts/test_describe, tensor by tensor",
    "engines/whisper/layouts/description.py": "data alone",
    "engines/whisper/layouts/openai_names.py": "by layouts/test_describe, tensor by tensor",
    "engines/whisper/layouts/sizes.py": "by layouts/test_ggml, damage by damage",
    "engines/whisper/layouts/transformers_files.py": "by engines/test_model_files",
    "engines/whisper/compatibility.py": "by engines/test_model_files, damage by damage",
    "engines/whisper/generation_settings.py": "by engines/test_model_files",
    "engines/whisper/shapes.py": "by engines/test_model_files, damage by damage",
    "engines/whisper/load.py": "by engines/test_load",
    "engines/whisper/encoding/queue.py": "by engines/whisper/test_engine",
    "engines/whisper/decoding/attempt.py": "by engines/whisper/test_result",
    "http/bodies/long_string.py": "by http/bodies/test_json_object",
    "http/openapi.py": "by server/test_docs",
    "api/native/dialect.py": "data alone",
    "api/openai/dialect.py": "data alone",
    "api/openai/realtime/older_dialect.py": "by realtime/test_routes and test_client_events",
    "api/openai/realtime/openapi.py": "by server/test_docs",
    "api/openai/realtime/schemas.py": "by realtime/test_configuration, field by field",
    "api/openai/realtime/sender.py": "by realtime/test_connection",
    "api/openai/realtime/server_events.py": "by realtime/test_routes, against OpenAI's types",
    "api/openai/realtime/socket.py": "by realtime/test_connection",
    "api/openai/realtime/utterances.py": "by realtime/test_routes and test_connection",
    "api/openai/chunking_strategy.py": "by api/openai/test_plan",
    "api/openai/problem.py": "by behaviour/test_bad_requests",
}


def module_of(test: Path) -> Path:
    """The module that a test file is named after, both relative to their folders."""
    return test.with_name(test.name.removeprefix("test_"))


def mirror_of(module: Path) -> Path:
    return module.with_name(f"test_{module.name}")


def faults(suite: Path, house: Path) -> list[str]:
    """What breaks the rule, a line each."""
    tests = {
        path
        for path in (each.relative_to(suite) for each in suite.rglob("test_*.py"))
        if path.parts[0] not in NO_MIRROR
    }
    modules = {path.relative_to(house) for path in house.rglob("*.py") if path.stem != "__init__"}
    elsewhere = {Path(name) for name in TESTED_ELSEWHERE}
    of_the_house = {Path(name) for name in OF_THE_HOUSE}
    untested = modules - elsewhere - {module_of(test) for test in tests}
    needless = {module for module in elsewhere if mirror_of(module) in tests}
    return [
        *(
            f"{test} names no module"
            for test in tests - of_the_house - set(map(mirror_of, modules))
        ),
        *(f"{module} has no test file" for module in untested),
        *(f"{module} is listed and has a test file" for module in needless),
        *(f"{module} is listed and is no module" for module in elsewhere - modules),
        *(f"{test} is listed and is no test file" for test in of_the_house - tests),
    ]


def test_tests_lie_where_their_modules_lie():
    assert faults(SUITE, HOUSE) == []


@pytest.mark.parametrize(
    ("added", "removed", "fault"),
    [
        ("tests/vad/test_voices.py", None, "vad/test_voices.py names no module"),
        ("tests/test_energy.py", None, "test_energy.py names no module"),
        ("asr/vad/marblenet.py", None, "vad/marblenet.py has no test file"),
        (None, "tests/vad/test_energy.py", "vad/energy.py has no test file"),
        (None, "asr/vad/energy.py", "vad/test_energy.py names no module"),
        ("tests/test_errors.py", None, "errors.py is listed and has a test file"),
        (None, "asr/errors.py", "errors.py is listed and is no module"),
        (None, "tests/test_layers.py", "test_layers.py is listed and is no test file"),
        ("tests/behaviour/test_voices.py", None, None),
    ],
)
def test_what_is_planted_is_seen(tmp_path, added, removed, fault):
    for folder in (SUITE, HOUSE):
        for path in folder.rglob("*.py"):
            copy = tmp_path / path.relative_to(ROOT)
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.touch()
    if added:
        (tmp_path / added).touch()
    if removed:
        (tmp_path / removed).unlink()
    planted = set(faults(tmp_path / "tests", tmp_path / "asr")) - set(faults(SUITE, HOUSE))
    assert planted == ({fault} if fault else set())
