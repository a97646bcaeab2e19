"""whisper-asr-webservice's dialect: paths that others have too, its marks, and its failures.

https://github.com/ahmetoner/whisper-asr-webservice, version 1.9.
"""

from asr.api.whisper_asr import openapi, routes
from asr.api.whisper_asr.problem import problem
from asr.api.whisper_asr.schemas import AUDIO_FILE
from asr.http.dialect import Dialect, Marks, Route

DIALECT = Dialect(
    prefixes=(),
    routes=(
        Route(
            "POST",
            "/whisper-asr/asr",
            routes.transcribe,
            openapi.transcription,
            aliases=("/asr",),
        ),
        Route(
            "POST",
            "/whisper-asr/detect-language",
            routes.detect,
            openapi.detection,
            aliases=("/detect-language",),
        ),
    ),
    problem=problem,
    marks=Marks(
        query=frozenset({"encode", "initial_prompt", "output", "vad_filter", "word_timestamps"}),
        files=frozenset({AUDIO_FILE}),
    ),
)
