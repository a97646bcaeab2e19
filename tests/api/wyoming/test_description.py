"""What Home Assistant is told of the server."""

from __future__ import annotations

import pytest
from wyoming.info import Describe, Info

import asr
from asr.api.wyoming.description import described
from asr.capabilities import EngineInfo, ServerInfo

LANGUAGES = {"es": "spanish", "en": "english"}


def model(name: str) -> EngineInfo:
    return EngineInfo(name, "whisper", "CUDA is not available", "cpu", LANGUAGES)


async def test_a_client_is_told_the_program_its_model_and_the_languages(client):
    await client.write_event(Describe().event())
    info = Info.from_event(await client.read_event())
    [program] = info.asr
    assert (program.name, program.version, program.installed) == (
        "asr-api",
        asr.__version__,
        True,
    )
    assert program.supports_transcript_streaming
    assert program.requires_external_vad
    [known] = program.models
    assert (known.name, known.languages, known.installed) == ("fake", ["en", "es"], True)


@pytest.mark.parametrize(
    ("model_id", "name", "url"),
    [
        ("openai/whisper-base", "openai", "https://huggingface.co/openai/whisper-base"),
        ("demo", "asr-api", ""),
        ("/models/whisper", "asr-api", ""),
        ("ggerganov/whisper.cpp/ggml-base.bin", "asr-api", ""),
    ],
)
def test_a_model_of_the_hub_is_attributed_to_its_owner(model_id, name, url):
    [known] = described(model(model_id), ServerInfo()).asr[0].models
    assert (known.attribution.name, known.attribution.url) == (name, url)


def test_a_forced_language_is_the_only_one():
    info = described(model("demo"), ServerInfo(forced_language="es"))
    assert info.asr[0].models[0].languages == ["es"]
