"""How a live session listens: the format of its audio, where utterances end, what is asked."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from asr.options import Options

Encoding = Literal["pcm", "pcmu", "pcma"]


@dataclass(frozen=True)
class LiveAudio:
    """The format of the bytes that a client sends: one channel, no header."""

    encoding: Encoding = "pcm"  # 16-bit little-endian, or G.711's μ-law or A-law
    rate: int = 24_000  # samples per second

    @property
    def bytes_per_second(self) -> int:
        return self.rate * (2 if self.encoding == "pcm" else 1)


@dataclass(frozen=True)
class TurnDetection:
    """How utterances are detected; the defaults are those of OpenAI's server_vad."""

    threshold: float = 0.5  # probability from which on a sound is speech
    prefix_padding: float = 0.3  # seconds before the speech that belong to the utterance
    silence: float = 0.5  # seconds of silence that end it; less than 0.2 count as 0.2


@dataclass(frozen=True)
class LiveOptions:
    """What a session is set to; a change holds from the audio on that comes after it."""

    audio: LiveAudio = LiveAudio()
    turns: TurnDetection | None = TurnDetection()  # None: the client commits each utterance
    options: Options = Options()  # language, languages, task, prompt, logprobs
    hold_back: float = 0.5  # Words that end so many seconds before the last sample may change.
