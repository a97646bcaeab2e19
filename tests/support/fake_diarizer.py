"""Stand in for a diarizer: whoever is loud is one voice, whoever is quiet is another."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from asr.diarization.diarizer import Diarization, Voice, VoiceTurn
from asr.options import SpeakerOptions
from asr.pcm import SAMPLE_RATE, Samples

FRAME = SAMPLE_RATE // 10  # Loudness is measured over this many samples.
SILENT = 0.01  # Nobody speaks where no sample is above this.
LOUD = 0.25  # The voice is LOUD_VOICE where a sample is above this; a test's tone has 0.5.
LOUD_VOICE: Voice = (1.0, 0.0)
QUIET_VOICE: Voice = (0.0, 1.0)
GATE_SECONDS = 120  # A piece that is still held back after so many seconds goes on.


@dataclass
class FakeDiarizer:
    """Gives the turns of `table`, each (start, end, voice), or turns by the samples' loudness.

    Each piece is a second of audio. A piece waits while `gate` is cleared. What `failing` names
    ("begin", "advance", "finish" or "voice") raises a RuntimeError.
    """

    table: Sequence[tuple[float, float, int]] | None = None
    failing: str = ""
    gate: threading.Event = field(default_factory=threading.Event)
    begun: list[SpeakerOptions] = field(default_factory=list)  # what each session was begun with
    alive: weakref.WeakSet[FakeSession] = field(default_factory=weakref.WeakSet)  # sessions in use
    threads: set[int] = field(default_factory=set)  # that called a session
    order: list[int] = field(default_factory=list)  # the number of the session of each piece
    name: str = "fake"

    def __post_init__(self) -> None:
        self.gate.set()

    def begin(self, speakers: SpeakerOptions) -> FakeSession:
        self.fail_at("begin")
        self.begun.append(speakers)
        session = FakeSession(self, len(self.begun) - 1)
        self.alive.add(session)
        return session

    def voice(self, samples: Samples) -> Voice | None:
        self.fail_at("voice")
        number = _voice(samples)
        return None if number is None else (LOUD_VOICE, QUIET_VOICE)[number]

    def fail_at(self, place: str) -> None:
        if self.failing == place:
            raise RuntimeError("the network is broken")


class FakeSession:
    """One recording of the fake diarizer."""

    def __init__(self, diarizer: FakeDiarizer, number: int) -> None:
        self._diarizer = diarizer
        self._number = number
        self._samples = np.zeros(0, np.float32)
        self._worked = 0  # samples
        self._is_complete = False

    @property
    def waiting(self) -> float:
        return (len(self._samples) - self._worked) / SAMPLE_RATE

    def push(self, samples: Samples) -> None:
        self._note_thread()
        self._samples = np.concatenate([self._samples, samples])

    def complete(self) -> None:
        self._note_thread()
        self._is_complete = True

    def advance(self) -> bool:
        self._note_thread()
        self._diarizer.fail_at("advance")
        if self._has_piece:
            self._diarizer.gate.wait(GATE_SECONDS)
            self._worked = min(len(self._samples), self._worked + SAMPLE_RATE)
            self._diarizer.order.append(self._number)
        return self._has_piece

    def finish(self) -> Diarization:
        self._note_thread()
        self._diarizer.fail_at("finish")
        assert self._is_complete
        assert self.waiting == 0
        return _diarization(self._turns())

    @property
    def _has_piece(self) -> bool:
        return self.waiting >= 1 or (self._is_complete and self.waiting > 0)

    def _note_thread(self) -> None:
        self._diarizer.threads.add(threading.get_ident())

    def _turns(self) -> list[tuple[float, float, int]]:
        seconds = len(self._samples) / SAMPLE_RATE
        if self._diarizer.table is not None:
            return [
                (start, min(end, seconds), voice)
                for start, end, voice in self._diarizer.table
                if start < seconds
            ]
        turns: list[tuple[float, float, int]] = []
        for place in range(0, len(self._samples), FRAME):
            voice = _voice(self._samples[place : place + FRAME])
            start, end = place / SAMPLE_RATE, min(seconds, (place + FRAME) / SAMPLE_RATE)
            if voice is None:
                continue
            if turns and turns[-1][1:] == (start, voice):
                start = turns.pop()[0]
            turns.append((start, end, voice))
        return turns


def _voice(samples: Samples) -> int | None:
    loudest = float(np.max(np.abs(samples), initial=0.0))
    return None if loudest < SILENT else int(loudest < LOUD)


def _diarization(turns: Sequence[tuple[float, float, int]]) -> Diarization:
    """The turns with their voices in the order of their first turns."""
    ordered = sorted(turns)
    voices = list(dict.fromkeys(voice for _, _, voice in ordered))
    vectors = [(LOUD_VOICE, QUIET_VOICE)[voice] if voice < 2 else _other(voice) for voice in voices]
    return Diarization(
        tuple(VoiceTurn(start, end, voices.index(voice)) for start, end, voice in ordered),
        tuple(vectors),
    )


def _other(voice: int) -> Voice:
    angle = 1.0 / voice
    return (float(np.cos(angle)), -float(np.sin(angle)))
