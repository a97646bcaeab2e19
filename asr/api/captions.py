"""How subtitles are laid out and how long segments are, as callers may ask for it."""

from __future__ import annotations

from pydantic import BaseModel, Field

from asr.formats.captions import Layout

LONGEST_SEGMENT = 30.0  # Segments are merged into sentences of so many seconds at most.


class SegmentParameters(BaseModel):
    """How long the segments of the text are."""

    segment_length_s: float | None = Field(
        None,
        ge=1,
        le=LONGEST_SEGMENT,
        allow_inf_nan=False,
        description=(
            "Short segments are merged into sentences of at most so many seconds; never across "
            "two seconds of silence or a change of the speaker. Unset: segments are the model's"
        ),
    )


class CaptionParameters(BaseModel):
    """The limits of a caption's text."""

    max_line_width: int = Field(
        42, ge=1, le=1000, description="Maximum number of characters in a line of srt, vtt and lrc"
    )
    max_line_count: int = Field(
        2, ge=1, le=100, description="Maximum number of lines in a cue of srt and vtt; lrc has one"
    )

    @property
    def layout(self) -> Layout:
        return Layout(self.max_line_width, self.max_line_count)
