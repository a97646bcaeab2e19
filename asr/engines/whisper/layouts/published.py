"""What OpenAI published of its models and wrote into none of their files."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from transformers.models.whisper.tokenization_whisper import LANGUAGES

from asr.engines.whisper.generation_settings import ENGLISH_VOCABULARY, token_id

Heads = tuple[tuple[int, int], ...]  # (decoder layer, head)

END_OF_TEXT = "<|endoftext|>"  # The special tokens begin with this one.
TIMESTAMPS = 1501  # The last tokens are the times from 0.00 to 30.00 s, in steps of 0.02 s.
MULTILINGUAL = 51_865  # Models of 99 languages have this many tokens.
WITH_CANTONESE = 51_866  # large-v3 and what is made of it has this many tokens, of 100 languages.
TEXT_TOKENS = {ENGLISH_VOCABULARY: 50_256, MULTILINGUAL: 50_257, WITH_CANTONESE: 50_257}
# These heads follow the speech, as openai/whisper's __init__.py lists them. large-v1 and large-v2
# have the same sizes: those of large-v2 are used for both.
ALIGNMENT_HEADS: dict[tuple[int, int, int], Heads] = {  # by decoder layers, width and tokens
    (4, 384, ENGLISH_VOCABULARY): (
        (1, 0), (2, 0), (2, 5), (3, 0), (3, 1), (3, 2), (3, 3), (3, 4),
    ),
    (4, 384, MULTILINGUAL): ((2, 2), (3, 0), (3, 2), (3, 3), (3, 4), (3, 5)),
    (6, 512, ENGLISH_VOCABULARY): ((3, 3), (4, 7), (5, 1), (5, 5), (5, 7)),
    (6, 512, MULTILINGUAL): (
        (3, 1), (4, 2), (4, 3), (4, 7), (5, 1), (5, 2), (5, 4), (5, 6),
    ),
    (12, 768, ENGLISH_VOCABULARY): (
        (6, 6), (7, 0), (7, 3), (7, 8), (8, 2), (8, 5), (8, 7), (9, 0), (9, 4), (9, 8), (9, 10),
        (10, 0), (10, 1), (10, 2), (10, 3), (10, 6), (10, 11), (11, 2), (11, 4),
    ),
    (12, 768, MULTILINGUAL): (
        (5, 3), (5, 9), (8, 0), (8, 4), (8, 7), (8, 8), (9, 0), (9, 7), (9, 9), (10, 5),
    ),
    (24, 1024, ENGLISH_VOCABULARY): (
        (11, 4), (14, 1), (14, 12), (14, 14), (15, 4), (16, 0), (16, 4), (16, 9), (17, 12),
        (17, 14), (18, 7), (18, 10), (18, 15), (20, 0), (20, 3), (20, 9), (20, 14), (21, 12),
    ),
    (24, 1024, MULTILINGUAL): ((13, 15), (15, 4), (15, 15), (16, 1), (20, 0), (23, 4)),
    (32, 1280, MULTILINGUAL): (
        (10, 12), (13, 17), (16, 11), (16, 12), (16, 13), (17, 15), (17, 16), (18, 4), (18, 11),
        (18, 19), (19, 11), (21, 2), (21, 3), (22, 3), (22, 9), (22, 12), (23, 5), (23, 7),
        (23, 13), (25, 5), (26, 1), (26, 12), (27, 15),
    ),
    (32, 1280, WITH_CANTONESE): (
        (7, 0), (10, 17), (12, 18), (13, 12), (16, 1), (17, 14), (19, 11), (21, 4), (24, 1),
        (25, 6),
    ),
    (4, 1280, WITH_CANTONESE): ((2, 4), (2, 11), (3, 3), (3, 6), (3, 11), (3, 14)),
}  # fmt: skip
# A text never has these signs, which captions set around what is not speech: openai/whisper
# suppresses those of a single token, and of notes the first token, each with and without a space.
SIGNS = (
    *'"#()*+/:;<=>@[\\]^_`{|}~「」『』',
    "<<", ">>", "<<<", ">>>", "--", "---", "-(", "-[", "('", '("', "((", "))", "(((", ")))",
    "[[", "]]", "{{", "}}", "♪♪", "♪♪♪",
)  # fmt: skip
NOTES = "♩♪♫♬♭♮♯"  # Whatever their number of tokens, the first one is suppressed.
DASHES = (" -", " '")  # The first tokens of these are suppressed: inside a word they are others.
CONTROLS = ("transcribe", "translate", "startoftranscript", "startofprev", "startoflm")


def specials(vocabulary: int, text: int) -> list[str] | None:
    """Return the special tokens in order, times aside, of a model with so many tokens.

    Args:
        text: how many of the tokens are text; the special ones follow them.

    Returns:
        None where they cannot be: the numbers do not fit each other.
    """
    ends = ("translate", "transcribe", "startoflm", "startofprev", "nospeech", "notimestamps")
    languages = vocabulary - text - TIMESTAMPS - len(ends) - 2
    if not 0 <= languages <= len(LANGUAGES) or TEXT_TOKENS.get(vocabulary, text) != text:
        return None
    codes = list(LANGUAGES)[:languages]
    names = [f"<|{name}|>" for name in ("startoftranscript", *codes, *ends)]
    return [END_OF_TEXT, *names]


def alignment_heads(settings: Any) -> Heads | None:
    """Return the published alignment heads of a model with these sizes, if there are some."""
    return ALIGNMENT_HEADS.get((settings.decoder_layers, settings.d_model, settings.vocab_size))


def suppressed(tokenizer: Any, vocabulary: int) -> tuple[list[int] | None, list[int] | None]:
    """Return the tokens that a text never has, and those that it never begins with.

    Returns:
        None for both where the vocabulary is not one of OpenAI's.
    """
    if vocabulary not in TEXT_TOKENS:
        return None, None

    def tokens(text: str) -> Sequence[int]:
        return list(tokenizer.encode(text, add_special_tokens=False))

    found = {tokens(dash)[0] for dash in DASHES}
    for sign in (*SIGNS, *NOTES):
        for written in (tokens(sign), tokens(f" {sign}")):
            if len(written) == 1 or sign in NOTES:
                found.add(written[0])
    controls = [token_id(tokenizer, f"<|{name}|>") for name in CONTROLS]
    no_speech = vocabulary - TIMESTAMPS - 2
    found |= {no_speech, *(number for number in controls if number is not None)}
    return sorted(found), [tokens(" ")[0], TEXT_TOKENS[vocabulary]]
