"""Writes a transcript in each format, and a file whole or not at all."""

from __future__ import annotations

import contextlib
import json
import os
from pathlib import Path
from typing import Literal

from asr.capabilities import EngineInfo
from asr.formats import openai_json, writers
from asr.formats.captions import Layout
from asr.options import Options
from asr.transcript import Transcript

Format = Literal["text", "srt", "vtt", "tsv", "json", "verbose_json"]


def rendered(
    transcript: Transcript, output_format: Format, options: Options, info: EngineInfo
) -> str:
    """The transcript in a format, as the file's text."""
    if output_format == "json":
        return _json(openai_json.plain_json(transcript))
    if output_format == "verbose_json":
        code = "en" if options.task == "translate" else transcript.language
        name = info.languages.get(code or "", code or "")
        timed = {"segment", options.timestamps} - {"none"}
        temperature = options.temperature
        return _json(openai_json.verbose_json(transcript, options.task, name, timed, temperature))
    text = writers.written(transcript.segments, output_format, Layout())
    return text if text.endswith("\n") or not text else text + "\n"


def _json(answer: object) -> str:
    return json.dumps(answer, ensure_ascii=False) + "\n"


def write_whole(path: Path, content: str) -> None:
    """Write a file so that nobody, at no time, sees a part of it.

    Raises:
        OSError: it cannot be written; what was there before is still there.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with part.open("w", encoding="utf-8", newline="") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            part.unlink()
        raise
