"""Defines the counters and histograms of Prometheus, in one registry for each app."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

# The upper bounds of the histogram of a stage's time, in seconds.
STAGE_BUCKETS = (0.001, 0.005, 0.01, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300)

# The upper bounds of the histogram of the time that jobs wait, in seconds: up to a day.
JOB_WAIT_BUCKETS = (0.1, 1, 5, 15, 60, 300, 900, 3600, 14_400, 86_400)


class Metrics:
    """Holds every metric of one app; all times are in seconds."""

    def __init__(self) -> None:
        registry = CollectorRegistry()
        self.registry = registry
        self.requests = Counter(
            "asr_requests", "Requests answered", ["route", "status"], registry=registry
        )
        self.audio_seconds = Counter(
            "asr_audio_seconds", "Audio decoded, in seconds", registry=registry
        )
        self.queue_seconds = Gauge(
            "asr_queue_audio_seconds",
            "Audio accepted and not yet transcribed, in seconds",
            registry=registry,
        )
        self.engine_windows = Gauge(
            "asr_engine_windows", "Windows that the engine holds", registry=registry
        )
        self.engine_capacity = Gauge(
            "asr_engine_capacity_windows", "Windows that the engine can hold", registry=registry
        )
        self.engine_up = Gauge(
            "asr_engine_up", "1 while the engine runs, else 0", registry=registry
        )
        self.windows_skipped = Counter(
            "asr_windows_skipped",
            "Windows skipped because they contain no speech",
            registry=registry,
        )
        self.gaps_redecoded = Counter(
            "asr_gaps_heard_again",
            "Windows decoded again because speech had no text",
            registry=registry,
        )
        self.texts_rejected = Counter(
            "asr_texts_rejected", "Texts dropped, by reason", ["reason"], registry=registry
        )
        self.stage_seconds = Histogram(
            "asr_stage_seconds",
            "Time of a request's stages: fetch, decode, queue, model, diarization",
            ["stage"],
            buckets=STAGE_BUCKETS,
            registry=registry,
        )
        self._add_diarization(registry)
        self._add_jobs(registry)
        self._add_live(registry)

    def _add_diarization(self, registry: CollectorRegistry) -> None:
        self.diarizations = Gauge(
            "asr_diarizations", "Recordings whose speakers are told apart now", registry=registry
        )
        self.diarization_seconds = Counter(
            "asr_diarization_seconds",
            "Processor time of the diarizer's thread, in seconds",
            registry=registry,
        )
        self.diarized_seconds = Counter(
            "asr_diarized_audio_seconds",
            "Audio whose speakers were told apart, in seconds",
            registry=registry,
        )

    def _add_jobs(self, registry: CollectorRegistry) -> None:
        self.jobs_queued = Gauge("asr_jobs_queued", "Jobs that wait to be run", registry=registry)
        self.jobs_running = Gauge(
            "asr_jobs_running", "Jobs that this server runs", registry=registry
        )
        self.jobs_ended = Counter(
            "asr_jobs_ended", "Jobs that this server ended, by state", ["state"], registry=registry
        )
        self.jobs_attempts = Counter(
            "asr_jobs_attempts", "Attempts at jobs that this server began", registry=registry
        )
        self.jobs_wait_seconds = Histogram(
            "asr_jobs_wait_seconds",
            "Time from a job's submission to its first attempt",
            buckets=JOB_WAIT_BUCKETS,
            registry=registry,
        )
        self.webhook_attempts = Counter(
            "asr_webhook_attempts",
            "Attempts to deliver webhooks: delivered, again (another follows), failed (for good)",
            ["verdict"],
            registry=registry,
        )

    def _add_live(self, registry: CollectorRegistry) -> None:
        self.live_sessions = Gauge(
            "asr_live_sessions", "Live sessions that are open", registry=registry
        )
        self.live_utterances = Counter(
            "asr_live_utterances", "Utterances of live sessions", registry=registry
        )
        self.live_in_context = Counter(
            "asr_live_windows_in_context",
            "Short windows, decoded again behind what was said before as the model was unsure",
            registry=registry,
        )
        self.live_text_seconds = Histogram(
            "asr_live_text_seconds",
            "Time from the end of an utterance, its silence included, to its whole text",
            buckets=STAGE_BUCKETS,
            registry=registry,
        )
