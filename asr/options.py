"""Options of a transcription: what a caller asks for."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

Task = Literal["transcribe", "translate"]
Timestamps = Literal["segment", "word", "none"]
# All channels as one, each by itself, or the one with this number, from 0.
Channels = Literal["mix", "split"] | int


@dataclass(frozen=True)
class Thresholds:
    """Limits beyond which a window is decoded again, as in openai/whisper (temperature fallback).

    In a request None means the server's setting; for an engine it means: no such limit.
    """

    avg_logprob: float | None = None  # a mean below it: the text is unlikely
    compression_ratio: float | None = None  # a ratio above it: the text repeats itself
    no_speech: float | None = None  # a no_speech_prob above it: an unlikely text is no speech


@dataclass(frozen=True)
class VadOptions:
    """How speech is detected and where audio is cut; None: the server's default."""

    threshold: float | None = None  # probability from which on a sound is speech
    padding: float | None = None  # seconds before a gap that are decoded again with it
    pause: float | None = None  # seconds of quiet, in the middle of which audio is cut


@dataclass(frozen=True)
class KnownSpeaker:
    """A person whose voice is known."""

    name: str
    voice: tuple[float, ...]  # the unit vector that the server's diarizer made of a reference


@dataclass(frozen=True)
class SpeakerOptions:
    """What is known of those who speak; None: nothing."""

    count: int | None = None  # speakers
    least: int | None = None  # speakers, at least
    most: int | None = None  # speakers, at most
    known: tuple[KnownSpeaker, ...] = ()  # whose names are given where their voices are heard
    # False: each stretch of speech has a voice of its own, which the caller recognises.
    are_grouped: bool = True


@dataclass(frozen=True)
class AudioPart:
    """The part of a recording that is transcribed; its times stay those of the whole."""

    start: float = 0.0  # seconds
    end: float | None = None  # seconds; None: to the end of the recording

    def seconds(self, whole: float | None) -> float | None:
        """How many it has of a recording of `whole` seconds; None where that is unknown."""
        if self.end is not None:
            whole = self.end if whole is None else min(whole, self.end)
        return None if whole is None else max(0.0, whole - self.start)


@dataclass(frozen=True)
class Options:
    """How a caller wants the audio transcribed; equal options may share a batch."""

    language: str | None = None  # code such as "en"; None: detect it
    languages: tuple[str, ...] = ()  # codes that may be detected; none: all that the model knows
    task: Task = "transcribe"
    timestamps: Timestamps = "segment"
    prompt: str | None = None
    vocabulary: tuple[str, ...] = ()  # names that may be spoken, in the prompt of every window
    # Words that the window's text begins with: the result is what follows them. Not None, perhaps
    # empty: without timestamp tokens, in one segment.
    prefix: str | None = None
    temperature: float = 0.0  # 0: greedy at first, then temperature fallback
    seed: int | None = None  # of the sampling at a temperature above 0
    logprobs: bool = False  # whether each token's text and logprob are wanted
    max_new_tokens: int | None = None  # of each window; None: the server's limit
    thresholds: Thresholds = Thresholds()
    vad: VadOptions = VadOptions()  # for the transcriber alone: no engine reads it
    audio_track: int | None = None  # among those of the file, from 0; for the decoder alone
    part: AudioPart | None = None  # likewise; None: the whole recording
    channels: Channels = "mix"  # likewise
    # Likewise: whether a window's prompt is the text before it; None: the server's setting.
    condition_on_previous_text: bool | None = None
    speakers: SpeakerOptions | None = None  # likewise; None: nobody asks who speaks
    segment_length: float | None = None  # likewise: seconds of a sentence; None: nothing is merged
    is_streamed: bool = field(default=False, compare=False)  # a caller waits for the first words
    is_job: bool = field(default=False, compare=False)  # nobody waits: all others go first
    is_live: bool = field(default=False, compare=False)  # somebody is speaking: it goes first
