"""What all transcriptions of a server share: decoder, detector, window sizes and policy."""

from __future__ import annotations

from dataclasses import dataclass, field

from asr.audio.decoder import Decoder
from asr.capabilities import EngineInfo, ServerInfo
from asr.concurrency import ThreadPool
from asr.metrics import Metrics
from asr.options import VadOptions
from asr.resources import cpu
from asr.transcription.coverage import LOOKAHEAD, SpeechCoverage
from asr.transcription.cutter import PAUSE, Cutter
from asr.transcription.diarizing.means import DiarizationMeans
from asr.transcription.gaps import PADDING
from asr.transcription.policy import RequestPolicy
from asr.vad.detector import Detector


def _threads() -> ThreadPool:
    """Threads that cut and detect speech: half of the cores, because others need cores, too."""
    return ThreadPool(max(1, cpu.usable() // 2), "cut")


@dataclass(frozen=True)
class TranscriptionSetup:
    """What every transcription needs beside its own audio and options."""

    decoder: Decoder
    info: EngineInfo
    metrics: Metrics
    window_seconds: float = 30.0  # the engine's longest window, where that is shorter
    stride_seconds: float | None = None  # half of what windows share; None: cut at pauses
    policy: RequestPolicy = RequestPolicy()
    detector: Detector | None = None  # None: VAD is off
    diarization: DiarizationMeans | None = None  # None: DIARIZER=off
    threads: ThreadPool = field(default_factory=_threads)

    @property
    def server_info(self) -> ServerInfo:
        return ServerInfo(
            finds_speech=self.detector is not None,
            has_threshold=self.detector is not None and self.detector.has_threshold,
            cuts_at_pauses=self.stride_seconds is None,
            forced_language=self.policy.language,
            has_diarizer=self.diarization is not None,
        )

    @property
    def overlap(self) -> float:
        """Seconds that neighbouring windows share."""
        return 2 * (self.stride_seconds or 0.0)

    def coverage(self, vad: VadOptions) -> SpeechCoverage:
        """The coverage of a new recording."""
        track = None if self.detector is None else self.detector.begin(vad.threshold)
        padding = PADDING if vad.padding is None else vad.padding
        return SpeechCoverage(track, self.overlap, self.metrics, padding)

    def cutter(self, vad: VadOptions) -> Cutter:
        """The cutter of a new recording."""
        longest = min(self.window_seconds, self.info.longest_window)
        pause = PAUSE if vad.pause is None else vad.pause
        # Without VAD, too: channels are compared up to a hop after a window.
        return Cutter(longest, self.stride_seconds, pause, LOOKAHEAD)
