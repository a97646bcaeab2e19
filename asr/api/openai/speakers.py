"""Speakers in OpenAI's forms: whether they are told apart, and how many there are."""

from __future__ import annotations

from collections.abc import Callable

from asr.api.openai.schemas import AudioForm
from asr.capabilities import ServerInfo
from asr.errors import BadRequest
from asr.options import SpeakerOptions

ALWAYS_DIARIZED = {"diarized_json", "rttm"}
WITH_SPEAKERS = {*ALWAYS_DIARIZED, "verbose_json", "srt", "vtt", "lrc"}


def speakers_asked(
    form: AudioForm, server: ServerInfo, add: Callable[[str, str], None]
) -> SpeakerOptions | None:
    """What is known of the speakers; None where the answer does not tell them apart.

    Args:
        add: takes each field that has no effect, and the reason.

    Raises:
        BadRequest: they cannot be told apart as the form asks.
    """
    wanted = form.response_format
    if wanted == "rttm" and form.stream:
        raise BadRequest("rttm has no stream: leave 'stream' out", "response_format")
    if wanted in ALWAYS_DIARIZED:
        return form.speaker_options(server, "response_format", wanted)
    if form.diarize and (wanted in WITH_SPEAKERS or form.stream):
        return form.speaker_options(server, "diarize")
    for name in [*form.sent_counts, *form.sent_known]:
        add(name, "has no effect, because the answer has no speakers: ask for diarized_json")
    if form.diarize:
        add("diarize", f"has no effect on {wanted}: ask for diarized_json")
    return None
