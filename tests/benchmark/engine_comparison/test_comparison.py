"""Tests of the comparison of engines: that all do the same work, and that it is counted right."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import WhisperFeatureExtractor, WhisperForConditionalGeneration

from benchmark import recordings
from benchmark.engine_comparison import environments, formats, plan, roofline, tables
from benchmark.engine_comparison.checkpoints import SIZES, TEXT_TOKENS, build_tokenizer
from benchmark.engine_comparison.contender import (
    ENTRIES,
    LANGUAGE,
    CannotRun,
    Entry,
    Load,
    RoundOutput,
    Settings,
    Task,
)
from benchmark.engine_comparison.contender_process import ContenderProcess, Round
from benchmark.engine_comparison.contenders import ours, transformers_pipeline
from benchmark.engine_comparison.contenders.ggml import ggml_name, mel_filters
from benchmark.engine_comparison.rounds import Level, Results, compare, figures
from benchmark.load import stages
from benchmark.speakers import evaluation
from tests.conftest import tone, wav

ENTRY = Entry("nobody", "nothing", ("json",))
H200 = roofline.Peak(790e12, 4.3e12)


class Scripted(ContenderProcess):
    """Takes the seconds that it is given, or gives the reason why it cannot."""

    def __init__(self, name: str, seconds: Sequence[float], reason: str | None = None) -> None:
        settings = Settings(Path(), Path(), "cpu", "float32", 1)
        entry = dataclasses.replace(ENTRY, name=name)
        process: Any = None
        super().__init__(entry, settings, {}, process)
        self._seconds = list(seconds)
        self._reason = reason

    def transcribe(self, load: Load, windows: Path, limits: Sequence[int] | None) -> Round:  # noqa: ARG002
        if self._reason is not None:
            raise CannotRun(self._reason)
        seconds = self._seconds.pop(0)
        written = list(limits or [0])
        return Round(seconds, seconds, written, [seconds] * len(written), 100.0)


@pytest.fixture
def level(tmp_path: Path) -> Level:
    return Level.of("file 7", "file", np.zeros((3, 160), np.float32), [7] * 3, tmp_path)


def settings(checkpoint: Path) -> Settings:
    return Settings(checkpoint, checkpoint, "cpu", "float32", 1)


def sound(seconds: float, count: int) -> Any:
    return recordings.clips(recordings.made_up(60), count, seconds)


@pytest.mark.parametrize(
    ("decoder_layers", "multiples"),
    [(32, (504, 2130, 2539)), (4, (2226, 6657, 7392)), (2, (2944, 7848, 8561))],
)
def test_the_roofline_of_a_known_card(decoder_layers: int, multiples: tuple[int, ...]) -> None:
    shape = roofline.Shape(1280, 5120, 32, decoder_layers, 128, 51_866)
    found = [30 / roofline.window_seconds(shape, H200, rows, 130, 2) for rows in (1, 16, 64)]
    assert [round(multiple) for multiple in found] == list(multiples)


@pytest.mark.parametrize(("name", "size"), [("tiny", 51_865), ("large-v3", 51_866)])
def test_special_tokens_have_the_published_numbers(name: str, size: int) -> None:
    tokenizer = build_tokenizer(SIZES[name])
    assert len(tokenizer) == size
    shift = size - 51_865
    numbers = {
        "<|endoftext|>": 50_257,
        "<|startoftranscript|>": 50_258,
        "<|en|>": 50_259,
        "<|transcribe|>": 50_359 + shift,
        "<|notimestamps|>": 50_363 + shift,
        "<|0.00|>": 50_364 + shift,
    }
    assert {token: tokenizer.convert_tokens_to_ids(token) for token in numbers} == numbers


@pytest.mark.parametrize("limits", [[11, 11, 11], [5, 30, 9], [1, 2, 440]])
def test_our_engine_writes_as_many_tokens_as_are_set(checkpoint: Path, limits: list[int]) -> None:
    engine = ours.load(settings(checkpoint))
    output = RoundOutput()
    engine.transcribe(Task("file", sound(30, 3), limits), output, 0.0)
    assert output.tokens == limits
    assert len(output.finished) == 3


def test_our_engine_stops_at_the_first_window_where_only_that_is_waited_for(
    checkpoint: Path,
) -> None:
    engine = ours.load(settings(checkpoint))
    output = RoundOutput()
    engine.transcribe(Task("first", sound(30, 40), [30] * 40), output, 0.0)
    assert 1 <= len(output.finished) < 40
    again = RoundOutput()
    engine.transcribe(Task("clips", sound(5, 2), [4, 4]), again, 0.0)
    assert again.tokens == [4, 4], "what was dropped is gone"


@pytest.mark.parametrize("beams", [1, None])
def test_the_plain_pipeline_writes_as_many_tokens_as_are_set(
    checkpoint: Path, beams: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = WhisperForConditionalGeneration
    monkeypatch.setattr(model, "generate", model.generate)  # put back what is put before it
    output = RoundOutput()
    engine = transformers_pipeline.load(settings(checkpoint), beams)
    engine.transcribe(Task("clips", sound(5, 2), [6, 6]), output, 0.0)
    assert output.tokens == [6, 6]


def test_random_weights_write_text_alone_and_never_end_it(checkpoint: Path) -> None:
    model = WhisperForConditionalGeneration.from_pretrained(checkpoint)
    features = torch.randn(1, 80, 3000, generator=torch.Generator().manual_seed(0))
    options = {"language": LANGUAGE, "task": "transcribe", "force_unique_generate_call": True}
    written = model.generate(features, num_beams=1, max_new_tokens=200, **options)[0, 4:]
    assert len(written) == 200
    assert int(written.max()) < TEXT_TOKENS
    assert len(set(written.tolist())) > 10


def test_contenders_that_cannot_run_are_listed_with_their_reason(level: Level) -> None:
    contenders = [Scripted("a", [9, 1, 3, 2]), Scripted("b", [], reason="it has no GPU")]
    results = compare(level, contenders, 3, lambda _: None)
    assert results.skipped == {"b float32": "it has no GPU"}
    [found] = results.figures
    assert (found.seconds, found.rounds, found.spread) == (2, 3, 1.0)
    assert "left out: b float32: it has no GPU" in tables.table(results)


def test_a_contender_far_behind_is_not_waited_for_again(level: Level) -> None:
    results = compare(level, [Scripted("a", [10] * 4), Scripted("b", [99])], 3, lambda _: None)
    assert [(one.contender, one.rounds) for one in results.figures] == [
        ("a float32", 3),
        ("b float32", 1),
    ]


def test_a_contender_that_wrote_less_is_named(level: Level) -> None:
    done = Round(1.0, 1.0, [7, 6, 7], [1.0] * 3, 0.0)
    found = figures(level, "a", [done])
    assert not found.wrote_as_asked
    assert "not as asked: a wrote 6.7 tokens" in tables.table(Results(level, [found]))


def test_drawn_lengths_are_the_same_every_time_and_possible() -> None:
    lengths = recordings.drawn_lengths(400)
    assert lengths == recordings.drawn_lengths(400)
    assert 8 <= min(lengths) < 60
    assert 200 < max(lengths) <= 224
    assert abs(np.mean(lengths) - 130) < 6


def test_a_recording_is_cut_into_whole_windows() -> None:
    recording = recordings.made_up(95)
    assert recordings.windows(recording).shape == (3, 480_000)
    assert 0.1 < float(np.abs(recording).max()) <= 1


@pytest.mark.parametrize("encode", [recordings.wav, recordings.mp3])
def test_files_hold_the_whole_recording(encode: Any) -> None:
    blocks = asyncio.run(stages.decoded(encode(recordings.made_up(3))))
    assert sum(map(len, blocks)) == pytest.approx(3 * recordings.SAMPLE_RATE, abs=2000)


def test_every_stage_outside_the_model_has_its_cost() -> None:
    costs = asyncio.run(stages.measure(wav(tone(2.0))))
    one_by_one = ["decode", "cut", "join", "json"]
    detection = {vad: costs[f"speech, VAD={vad}"] for vad in ("energy", "silero")}
    assert costs.keys() > set(one_by_one)
    rest = sum(costs[stage] for stage in one_by_one)
    for vad, cost in detection.items():
        assert costs[f"all with VAD={vad}"] == pytest.approx(rest + cost)
    assert detection["silero"] > detection["energy"] >= 0


def test_a_dtype_in_which_this_cpu_does_not_multiply_is_left_out(checkpoint: Path) -> None:
    for dtype in ("float16", *({"bfloat16", "int8"} - set(formats.supported()))):
        with pytest.raises(CannotRun, match=f"does not multiply in {dtype}"):
            ours.load(dataclasses.replace(settings(checkpoint), dtype=dtype))


def test_the_choice_of_a_model_is_one_of_its_candidates(checkpoint: Path) -> None:
    choice = formats.choice(checkpoint)
    assert choice.name in choice.candidates
    assert "GFLOP/s" in choice.reason
    assert set(choice.candidates) <= set(formats.supported())


def test_every_environment_is_pinned() -> None:
    pins = environments.pins(environments.PINS.read_text())
    entries = (*ENTRIES, evaluation.ENVIRONMENT, evaluation.SHERPA)
    assert set(pins) == {entry.environment for entry in entries if entry.environment}
    everything = [pin for requirements in pins.values() for pin in requirements]
    assert all("==" in pin for pin in everything)
    assert {pin for pin in everything if pin.startswith("torch=")} == {"torch==2.13.0"}


def test_what_is_not_installed_is_named() -> None:
    entry = dataclasses.replace(ENTRY, packages=("json", "not_a_package"))
    with pytest.raises(CannotRun, match="not_a_package not installed"):
        environments.program(entry, {})
    assert environments.program(ENTRY, {})


def test_a_contenders_process_tells_why_it_did_not_load() -> None:
    order = {"module": "nothing", "settings": settings(Path()).plain(), "options": {}}
    command = [sys.executable, "-m", "benchmark.engine_comparison.worker", json.dumps(order)]
    ended = subprocess.run(
        command, cwd=environments.ROOT, capture_output=True, text=True, check=False
    )
    assert "ModuleNotFoundError" in json.loads(ended.stdout)["failed"]


def test_the_command_line_becomes_a_plan() -> None:
    asked = plan.read(["--weights", "random:tiny", "--tokens", "17,drawn", "--dtype", "bf16"])
    assert asked is not None
    assert asked.is_random
    assert asked.dtypes_of(ENTRIES[0]) == ["bfloat16"]
    assert all(asked.wants(entry) for entry in ENTRIES)
    assert plan.read(["--install"]) is None


def test_no_engine_is_loaded_where_whole_requests_alone_are_wanted(tmp_path: Path) -> None:
    asked = plan.read(
        ["--minutes", "0", "--clips", "", "--http", "--files", "5,30", "--callers", "64"]
    )
    assert asked is not None
    assert plan.levels(asked, tmp_path) == []
    assert (asked.files, asked.callers) == ([5, 30], [64])


def test_names_and_filters_of_the_ggml_file() -> None:
    assert ggml_name("model.decoder.layers.3.encoder_attn.q_proj.weight") == (
        "decoder.blocks.3.cross_attn.query.weight"
    )
    assert ggml_name("model.encoder.layer_norm.bias") == "encoder.ln_post.bias"
    assert ggml_name("model.decoder.layers.0.final_layer_norm.weight") == (
        "decoder.blocks.0.mlp_ln.weight"
    )
    assert ggml_name("model.decoder.embed_positions.weight") == "decoder.positional_embedding"
    for mels in (80, 128):
        published = WhisperFeatureExtractor(feature_size=mels).mel_filters.T
        assert np.abs(mel_filters(mels) - published).max() < 1e-6
