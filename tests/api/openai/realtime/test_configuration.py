"""A session's configuration: updates of single fields, and what each of them means."""

from __future__ import annotations

from typing import Any

import pytest

from asr.api.openai.realtime.configuration import Configuration, initial, updated
from asr.capabilities import EngineInfo, ServerInfo
from asr.errors import BadRequest, CallerError, Invalid
from asr.live.options import LiveAudio, LiveOptions, TurnDetection
from asr.options import Options, SpeakerOptions

INFO = EngineInfo(
    "openai/whisper-tiny",
    "whisper",
    "",
    "",
    {"en": "english", "es": "spanish"},
    can_translate=True,
    can_prompt=True,
    has_logprobs=True,
    has_words=True,
)
SERVER = ServerInfo()


def configured(**given: Any) -> Configuration:
    return initial({"audio": {"input": given}}, INFO, SERVER)


def test_the_defaults_are_those_of_the_api() -> None:
    found = initial({}, INFO, SERVER)
    assert found.live == LiveOptions()
    assert found.warnings == ()


def test_every_field_has_its_meaning() -> None:
    found = initial(
        {
            "type": "transcription",
            "audio": {
                "input": {
                    "format": {"type": "audio/pcm", "rate": 16_000},
                    "transcription": {
                        "model": "gpt-4o-transcribe",
                        "languages": ["English", "es-MX"],
                        "keywords": ["Lima", "Lisbon"],
                        "prompt": "A journey.",
                        "delay": "xhigh",
                        "task": "translate",
                    },
                    "turn_detection": {
                        "type": "server_vad",
                        "threshold": 0.7,
                        "prefix_padding_ms": 100,
                        "silence_duration_ms": 900,
                        "create_response": True,
                        "interrupt_response": False,
                        "idle_timeout_ms": None,
                    },
                }
            },
            "include": ["item.input_audio_transcription.logprobs"],
        },
        INFO,
        SERVER,
    )
    assert found.live == LiveOptions(
        LiveAudio("pcm", 16_000),
        TurnDetection(0.7, 0.1, 0.9),
        Options(
            languages=("en", "es"),
            task="translate",
            prompt="A journey.",
            vocabulary=("Lima", "Lisbon"),
            logprobs=True,
        ),
        hold_back=1.5,
    )
    assert found.warnings == ()


@pytest.mark.parametrize(
    ("kind", "audio"),
    [
        ("audio/pcm", LiveAudio("pcm", 24_000)),
        ("audio/pcmu", LiveAudio("pcmu", 8_000)),
        ("audio/pcma", LiveAudio("pcma", 8_000)),
    ],
)
def test_formats(kind: str, audio: LiveAudio) -> None:
    assert configured(format={"type": kind}).live.audio == audio


@pytest.mark.parametrize(
    ("eagerness", "silence"),
    [({}, 1.0), ({"eagerness": "low"}, 2.0), ({"eagerness": "high"}, 0.5)],
)
def test_semantic_vad_is_the_nearest_server_vad(eagerness: dict[str, str], silence: float) -> None:
    found = configured(turn_detection={"type": "semantic_vad", **eagerness})
    assert found.live.turns == TurnDetection(silence=silence)
    assert found.echo("m")["audio"]["input"]["turn_detection"]["type"] == "semantic_vad"


def test_only_the_fields_of_an_update_change() -> None:
    first = configured(
        transcription={"language": "en", "prompt": "a"}, turn_detection={"threshold": 0.9}
    )
    second = updated(first, {"audio": {"input": {"transcription": {"prompt": "b"}}}}, INFO, SERVER)
    assert second.live.options == Options(language="en", prompt="b")
    assert second.live.turns == TurnDetection(threshold=0.9)
    turned = {"type": "semantic_vad"}
    third = updated(second, {"audio": {"input": {"turn_detection": turned}}}, INFO, SERVER)
    assert third.live.turns == TurnDetection(silence=1.0)
    last = updated(
        third, {"audio": {"input": {"turn_detection": {"type": "server_vad"}}}}, INFO, SERVER
    )
    assert last.live.turns == TurnDetection()  # another type begins anew


def test_null_turns_off_or_asks_for_the_default() -> None:
    first = configured(
        transcription={"language": "en"},
        turn_detection={"threshold": 0.9},
        noise_reduction={"type": "far_field"},
    )
    names = ("transcription", "turn_detection", "noise_reduction", "format")
    nulls = {"audio": {"input": dict.fromkeys(names)}}
    second = updated(first, nulls, INFO, SERVER)
    assert second.live == LiveOptions(turns=None)
    shown = second.echo("m")["audio"]["input"]
    assert (shown["turn_detection"], shown["noise_reduction"]) == (None, None)
    on = updated(second, {"audio": {"input": {"turn_detection": {}}}}, INFO, SERVER)
    assert on.live.turns == TurnDetection()


def test_what_has_no_effect_is_named_and_not_kept() -> None:
    found = initial(
        {
            "voice": "alloy",
            "audio": {
                "output": {"voice": "alloy"},
                "input": {"noise_reduction": {"type": "near_field"}, "turn_detection": {"x": 1}},
            },
            "include": ["everything"],
        },
        INFO,
        ServerInfo(forced_language="es"),
    )
    assert found.warnings == (
        "session.voice has no effect here: leave it out",
        "session.audio.output has no effect here: leave it out",
        "session.audio.input.turn_detection.x has no effect here: leave it out",
        "session.include: everything has no effect here: leave it out",
        "session.audio.input.noise_reduction has no effect: the model takes noise as it is",
    )
    shown = found.echo("m")
    assert shown["warnings"] == list(found.warnings)
    assert "voice" not in shown
    assert shown["audio"]["input"]["noise_reduction"] == {"type": "near_field"}
    forced = initial(
        {"audio": {"input": {"transcription": {"language": "en"}}}},
        INFO,
        ServerInfo(forced_language="es"),
    )
    assert forced.warnings == ("language has no effect: the server has LANGUAGE_FORCE=es",)


@pytest.mark.parametrize(
    ("given", "param", "says", "kind"),
    [
        ({"format": {"type": "audio/mp3"}}, "format", "one of audio/pcm, audio/pcmu", Invalid),
        ({"format": {"rate": 7999}}, "format.rate", "must be at least 8000", Invalid),
        ({"format": {"rate": "x"}}, "format.rate", "must be a whole number", Invalid),
        ({"format": 5}, "format", "", Invalid),
        ({"transcription": 5}, "transcription", "must be an object", Invalid),
        ({"transcription": {"language": "tlh"}}, "transcription.language", "tlh", BadRequest),
        ({"transcription": {"languages": ["tlh"]}}, "transcription.languages", "tlh", BadRequest),
        ({"transcription": {"delay": "none"}}, "transcription.delay", "one of minimal", Invalid),
        ({"transcription": {"prompt": "a" * 10_001}}, "transcription.prompt", "10000", Invalid),
        (
            {"transcription": {"keywords": ["a"] * 501}},
            "transcription.keywords",
            "has 501 names, and may have 500: leave some out",
            Invalid,
        ),
        ({"turn_detection": {"type": "x"}}, "turn_detection", "one of server_vad", Invalid),
        ({"turn_detection": {"threshold": 1.1}}, "turn_detection.threshold", "at most 1", Invalid),
        (
            {"turn_detection": {"silence_duration_ms": -1}},
            "turn_detection.silence_duration_ms",
            "at least 0",
            Invalid,
        ),
        (
            {"turn_detection": {"type": "semantic_vad", "eagerness": "no"}},
            "turn_detection.eagerness",
            "one of low, medium, high, auto",
            Invalid,
        ),
        ({"noise_reduction": {"type": "x"}}, "noise_reduction.type", "one of near_field", Invalid),
    ],
)
def test_a_field_that_cannot_be_used_is_named(
    given: dict[str, Any], param: str, says: str, kind: type[CallerError]
) -> None:
    with pytest.raises(kind) as refused:
        configured(**given)
    assert refused.value.param == f"session.audio.input.{param}"
    assert says in refused.value.message


def test_what_the_model_cannot_do_is_refused() -> None:
    english = EngineInfo("tiny.en", "whisper", "", "")
    with pytest.raises(BadRequest, match="cannot translate") as refused:
        initial({"audio": {"input": {"transcription": {"task": "translate"}}}}, english, SERVER)
    assert refused.value.param == "session.audio.input.transcription.task"


def test_a_deep_object_is_passed_over() -> None:
    deep: dict[str, Any] = {}
    for _ in range(900):
        deep = {"a": deep}
    assert initial({"x": deep}, INFO, SERVER).warnings == (
        "session.x has no effect here: leave it out",
    )


@pytest.mark.parametrize(
    "transcription",
    [{"model": "gpt-4o-transcribe-diarize"}, {"model": "whisper-1", "diarize": True}],
)
def test_the_diarizing_model_or_a_field_asks_who_speaks(transcription: dict[str, Any]) -> None:
    found = initial(
        {"audio": {"input": {"transcription": transcription}}},
        INFO,
        ServerInfo(has_diarizer=True),
    )
    assert found.live.options.speakers == SpeakerOptions()
    assert found.warnings == ()
    shown = found.echo(INFO.model_id)["audio"]["input"]["transcription"]
    assert "diarize" in str(shown)
    other = {"audio": {"input": {"transcription": {"model": "whisper-1", "diarize": False}}}}
    assert updated(found, other, INFO, SERVER).live.options.speakers is None


@pytest.mark.parametrize(
    ("transcription", "name", "remedy"),
    [
        ({"model": "gpt-4o-transcribe-diarize"}, "model", "name another model"),
        ({"diarize": True}, "diarize", "leave it out"),
    ],
)
def test_a_server_without_diarizer_says_so(
    transcription: dict[str, Any], name: str, remedy: str
) -> None:
    with pytest.raises(BadRequest, match=r"\(DIARIZER=off\)") as refused:
        configured(transcription=transcription)
    assert refused.value.param == f"session.audio.input.transcription.{name}"
    assert f"{remedy}, or start the server with DIARIZER=builtin" in refused.value.message
