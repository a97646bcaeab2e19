"""The pipelines of pyannote.audio, for those who have its package, a hub and a token."""

from __future__ import annotations

import logging
import os
import threading
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from huggingface_hub.constants import ENDPOINT
from huggingface_hub.errors import (
    GatedRepoError,
    HFValidationError,
    LocalEntryNotFoundError,
    RepositoryNotFoundError,
)

from asr.config.config import Config
from asr.diarization.diarizer import Diarization, Voice, VoiceTurn
from asr.diarization.processors import device_of
from asr.errors import ConfigError
from asr.options import SpeakerOptions
from asr.pcm import SAMPLE_RATE, Samples
from asr.resources.spool import Spool

log = logging.getLogger(__name__)

DEFAULT_PIPELINE = "pyannote/speaker-diarization-community-1"
DESCRIPTION = "config.yaml"  # A directory with a pipeline has a file of this name.
NO_VOICE: Voice = (0.0,)  # Pipelines that give no embeddings have this for every voice.
# pyannote.audio sends the length of each recording to its makers unless this variable is 0.
TELEMETRY = "PYANNOTE_METRICS_ENABLED"

Turns = dict[str, list[tuple[float, float]]]  # start and end in seconds, by pyannote's labels


def open_pipeline(config: Config) -> PyannoteDiarizer:
    """Load the pipeline that DIARIZER_MODEL names, from a directory, the cache or the hub.

    The hub's library reads HF_TOKEN itself.

    Raises:
        ConfigError: the package, the token or the pipeline is missing.
    """
    name = config.diarizer_model or DEFAULT_PIPELINE
    asked = f"DIARIZER='pyannote' with DIARIZER_MODEL={name!r}"
    pipeline_class = _pipeline_class()
    try:
        pipeline = pipeline_class.from_pretrained(name, cache_dir=config.cache_dir)
    except Exception as error:  # files of others make their library raise errors of any kind
        log.debug("the pipeline cannot be loaded", exc_info=True)
        raise ConfigError(f"{asked}: {_reason(error, name, config)}") from error
    if pipeline is None:
        raise ConfigError(f"{asked}: {ENDPOINT} has no pipeline of that name")
    pipeline.to(device_of(config))
    return PyannoteDiarizer(pipeline)


def _pipeline_class() -> Any:
    os.environ[TELEMETRY] = "0"  # read when the package is imported
    try:
        from pyannote.audio import Pipeline
    except (ImportError, OSError, RuntimeError) as error:  # the latter two: of its libraries in C
        raise ConfigError(
            f"DIARIZER='pyannote' cannot import pyannote.audio ({_first_line(error)}): pip install "
            "-r images/pyannote.txt, use an image …-pyannote, or DIARIZER=builtin"
        ) from error
    return Pipeline


def _reason(error: Exception, name: str, config: Config) -> str:
    """Say why a pipeline cannot be loaded, and what helps."""
    if Path(name).exists():
        if isinstance(error, FileNotFoundError):
            return f"there is no {DESCRIPTION} of a pipeline in that directory"
        return f"{_first_line(error)} (LOG_LEVEL=DEBUG shows where)"
    if isinstance(error, GatedRepoError):
        return f"it is gated: accept its terms at {ENDPOINT} and set HF_TOKEN"
    if isinstance(error, RepositoryNotFoundError):
        return f"{ENDPOINT} has no such model, or it is private: correct the name or set HF_TOKEN"
    if isinstance(error, HFValidationError):
        return "it is neither a directory nor a name at the hub, such as " + DEFAULT_PIPELINE
    if isinstance(error, LocalEntryNotFoundError | ConnectionError):
        return (
            f"it is not in CACHE_DIR={config.cache_dir!r}, and {ENDPOINT} cannot be reached "
            f"({_first_line(error.__cause__ or error)}): name a directory with the pipeline, set "
            "HF_ENDPOINT to another hub, or use DIARIZER=builtin, which needs no hub"
        )
    return f"{_first_line(error)} (LOG_LEVEL=DEBUG shows where)"


def _first_line(error: BaseException) -> str:
    return next(iter(str(error).strip().splitlines()), type(error).__name__)


class PyannoteDiarizer:
    """Keeps a recording until its end, and hands it to the pipeline in one piece."""

    name = "pyannote"

    def __init__(self, pipeline: Any) -> None:
        self._pipeline = pipeline
        self._lock = threading.Lock()  # a pipeline is not made for several threads

    def begin(self, speakers: SpeakerOptions) -> PyannoteSession:
        return PyannoteSession(self, speakers)

    def voice(self, samples: Samples) -> Voice | None:
        found = self.diarize(samples, SpeakerOptions(count=1))
        return found.voices[0] if found.voices else None

    def diarize(self, samples: Samples, speakers: SpeakerOptions) -> Diarization:
        """Diarize a whole recording, float32 [n] at 16 kHz; its turns do not overlap.

        Where people speak at once, words belong to the one whom the pipeline prefers.
        """
        asked = {
            "num_speakers": speakers.count,
            "min_speakers": speakers.least,
            "max_speakers": speakers.most,
        }
        audio = {"waveform": torch.from_numpy(samples)[None], "sample_rate": SAMPLE_RATE}
        numbers = {name: value for name, value in asked.items() if value is not None}
        with self._lock, torch.inference_mode(), _same_precision():
            output = self._pipeline(audio, **numbers)
        return _diarization(output)


class PyannoteSession:
    """One recording; its samples are in a temporary file, float32, until it is complete."""

    # Nothing waits in memory, and nobody can hurry the work by waiting: all is done at the end.
    waiting = 0.0

    def __init__(self, diarizer: PyannoteDiarizer, speakers: SpeakerOptions) -> None:
        self._diarizer = diarizer
        self._speakers = speakers
        self._spool = Spool()
        self._count = 0  # samples
        self._close = weakref.finalize(self, Spool.__exit__, self._spool, None, None, None)

    def push(self, samples: Samples) -> None:
        """Keep the next samples.

        Raises:
            StorageFull, StorageFailed: the disk does not take them.
        """
        self._spool.write(np.ascontiguousarray(samples, np.float32).data.cast("B"))
        self._count += len(samples)

    def complete(self) -> None:
        """Do nothing: `finish` takes what there is."""

    def advance(self) -> bool:
        return False

    def finish(self) -> Diarization:
        """Run the pipeline on the file, mapped into memory: ten hours are 2.3 GB of it."""
        if not self._count:
            return Diarization()
        samples = np.memmap(self._spool.file, np.float32, "c", shape=(self._count,))
        try:
            return self._diarizer.diarize(np.asarray(samples), self._speakers)
        finally:
            self._close()


@contextmanager
def _same_precision() -> Iterator[None]:
    """Undo what pyannote.audio sets for the whole process: TensorFloat-32 off."""
    backends: tuple[Any, ...] = (torch.backends.cuda.matmul, torch.backends.cudnn)
    before = [backend.allow_tf32 for backend in backends]
    try:
        yield
    finally:
        for backend, allowed in zip(backends, before, strict=True):
            if backend.allow_tf32 != allowed:
                backend.allow_tf32 = allowed


def _diarization(output: Any) -> Diarization:
    """Convert a pipeline's output: a `DiarizeOutput`, or an `Annotation` of older ones."""
    whole = getattr(output, "speaker_diarization", output)
    exclusive = getattr(output, "exclusive_speaker_diarization", None)
    turns = _turns(whole if exclusive is None else exclusive)
    order = sorted(turns, key=lambda label: turns[label])
    vectors = getattr(output, "speaker_embeddings", None)
    row = {str(label): number for number, label in enumerate(whole.labels())}
    voices = [NO_VOICE if vectors is None else _unit(vectors[row[label]]) for label in order]
    found = [
        VoiceTurn(start, end, voice)
        for voice, label in enumerate(order)
        for start, end in turns[label]
    ]
    return Diarization(tuple(sorted(found, key=lambda one: (one.start, one.end))), tuple(voices))


def _turns(annotation: Any) -> Turns:
    turns: Turns = {}
    for segment, _, label in annotation.itertracks(yield_label=True):
        turns.setdefault(str(label), []).append((float(segment.start), float(segment.end)))
    return {label: sorted(found) for label, found in turns.items()}


def _unit(vector: npt.NDArray[np.floating[Any]]) -> Voice:
    """Scale a vector to length 1; one that is not known stays zero and is like no other."""
    finite = np.nan_to_num(np.asarray(vector, np.float64))
    length = float(np.linalg.norm(finite))
    return tuple((finite / length if length else finite).tolist())
