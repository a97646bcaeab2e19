"""A tokenizer is made of whatever a checkpoint has of it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from transformers import WhisperTokenizer

from asr.config.config import DEMO_MODEL
from asr.engines.model_files import UnusableFile
from asr.engines.whisper.layouts import tokenizer_files
from tests.support.layouts import Model, write_tiktoken

TEXTS = (
    " We travel from Lima to Lisbon in September.",
    "¿Cuántos días hay en un año? ¡Muchos!",
    " naïve — 東京 🙂 and  two spaces\n",
)


@pytest.fixture(scope="module")
def demo() -> Model:
    return Model.demo()


@pytest.fixture(scope="module")
def expected() -> Any:
    return WhisperTokenizer.from_pretrained(str(DEMO_MODEL))


def write(directory: Path, name: str, demo: Model) -> None:
    if name == "tokenizer.json":
        shutil.copy(DEMO_MODEL / name, directory)
    if name == "vocab.json":
        model = json.loads((DEMO_MODEL / "tokenizer.json").read_text())["model"]
        (directory / name).write_text(json.dumps(model["vocab"]))
        (directory / "merges.txt").write_text("\n".join(map(" ".join, model["merges"])))
    if name == "vocabulary.json":
        (directory / name).write_text(json.dumps(demo.tokens))
    if name == "vocabulary.txt":
        (directory / name).write_text("".join(f"{token}\n" for token in demo.tokens))
    if name == "demo.tiktoken":
        write_tiktoken(directory / name, demo)


@pytest.mark.parametrize(
    "name",
    ["tokenizer.json", "vocab.json", "vocabulary.json", "vocabulary.txt", "demo.tiktoken"],
)
def test_each_file_gives_the_same_tokens(
    name: str, demo: Model, expected: Any, tmp_path: Path
) -> None:
    write(tmp_path, name, demo)
    assert tokenizer_files.name_in(tmp_path, demo.settings.vocab_size) == name
    found = tokenizer_files.read(tmp_path / name, demo.settings.vocab_size)
    for text in TEXTS:
        tokens = expected.encode(text, add_special_tokens=False)
        assert found.encode(text, add_special_tokens=False) == tokens
        assert found.decode(tokens) == text
    assert found.eos_token_id == expected.eos_token_id


@pytest.mark.parametrize("name", ["tokenizer.json", "vocabulary.json", "vocabulary.txt"])
def test_special_tokens_that_a_file_names_keep_their_numbers(
    name: str, demo: Model, expected: Any, tmp_path: Path
) -> None:
    write(tmp_path, name, demo)
    found = tokenizer_files.read(tmp_path / name, demo.settings.vocab_size)
    for token in demo.tokens[demo.tokens.index("<|endoftext|>") :]:
        assert found.convert_tokens_to_ids(token) == expected.convert_tokens_to_ids(token)
    assert found.decode([demo.tokens.index("<|es|>")], skip_special_tokens=True) == ""


def test_special_tokens_without_names_are_the_published_ones(demo: Model, tmp_path: Path) -> None:
    path = write_tiktoken(tmp_path / "demo.tiktoken", demo)
    found = tokenizer_files.read(path, demo.settings.vocab_size)
    end = demo.tokens.index("<|endoftext|>")
    assert [found.convert_ids_to_tokens(end + n) for n in (0, 1, 2, 4, 9)] == [
        "<|endoftext|>",
        "<|startoftranscript|>",
        "<|en|>",
        "<|translate|>",
        "<|notimestamps|>",
    ]


def test_an_empty_directory_has_no_tokenizer(tmp_path: Path) -> None:
    assert tokenizer_files.name_in(tmp_path, 51_865) is None


def test_ranks_of_another_vocabulary_are_passed_over(demo: Model, tmp_path: Path) -> None:
    write_tiktoken(tmp_path / "demo.tiktoken", demo)
    assert tokenizer_files.name_in(tmp_path, 51_865) is None


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("vocabulary.json", b"{}", "is not a list of tokens"),
        ("vocabulary.json", b"[1, 2]", "is not a list of tokens"),
        ("vocabulary.txt", b"a\nb\nc\n", "has 3 tokens of text, which does not fit"),
        ("vocabulary.txt", b"a\na\n<|endoftext|>\n<|startoftranscript|>\n", "the same token twice"),
        ("x.tiktoken", b"YQ== 0\nYg== 2\n", "has ranks that do not follow each other"),
        ("x.tiktoken", b"YQ== zero\n", "is not a list of tokens with their ranks"),
        ("x.tiktoken", b"\xff\xff 0\n", "is not a list of tokens with their ranks"),
    ],
)
def test_a_damaged_file_says_why(name: str, content: bytes, reason: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UnusableFile, match=reason):
        tokenizer_files.read(tmp_path / name, 51_865)


def test_the_tokenizer_of_another_model_is_refused(tmp_path: Path) -> None:
    shutil.copy(DEMO_MODEL / "tokenizer.json", tmp_path)
    with pytest.raises(UnusableFile, match=r"<\|notimestamps\|> is token 1392, and 50363 is"):
        tokenizer_files.read(tmp_path / "tokenizer.json", 51_865)
