"""Print the words of recordings by faster-whisper, a line of JSON for each recording.

It runs in the environment of faster-whisper: MODEL LANGUAGE FILE...; an empty language is detected.
"""

from __future__ import annotations

import json
import sys

from faster_whisper import WhisperModel


def main() -> None:
    name, language, *files = sys.argv[1:]
    model = WhisperModel(name, compute_type="float32")
    for file in files:
        segments, _ = model.transcribe(
            file, language=language or None, beam_size=1, word_timestamps=True
        )
        words = [(w.word, w.start, w.end) for segment in segments for w in segment.words or ()]
        print(json.dumps(words), flush=True)


if __name__ == "__main__":
    main()
