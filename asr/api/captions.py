"""How subtitles are laid out, as callers may ask for it."""

from __future__ import annotations

from pydantic import BaseModel, Field

from asr.formats.captions import Layout


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
