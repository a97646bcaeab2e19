"""Writes a transcript as Deepgram's answer: words, paragraphs and utterances."""

from __future__ import annotations

import math
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from asr.api.deepgram.schemas import AnswerDetails
from asr.formats.captions import words_of
from asr.http.openapi import Json
from asr.jobs.webhooks.message import iso
from asr.transcript import Segment, Transcript, Word

SENTENCE_ENDS = frozenset(".?!\u2026\u3002\uff1f\uff01")  # A word that ends so ends a sentence.
CLOSING = "\"'\u201d\u2019\u00bb)]}\u300d\u300f"  # These may follow the end of a sentence.
MOST_SENTENCES = 5  # A paragraph has at most so many sentences.
PARAGRAPH_PAUSE = 2.0  # A pause of so many seconds after a sentence ends a paragraph.
MODELS = uuid.UUID("5d4f6e0c-3f0b-5a65-9d5c-0d2f6a8f6f10")  # The space of the models' ids.


@dataclass(frozen=True)
class SpokenWord:
    """A word with who says it and how sure the model is."""

    text: str  # with its leading space
    start: float  # seconds
    end: float  # seconds
    confidence: float  # 0 to 1
    speaker: int | None


def answer(transcript: Transcript, plan: AnswerDetails, request_id: str) -> Json:
    """The whole answer; an hour of words takes some 100 ms."""
    languages = transcript.channel_languages or (transcript.language,)
    spoken: list[list[SpokenWord]] = [[] for _ in languages]
    for segment in transcript.segments:
        spoken[segment.channel or 0] += _words(segment)
    # The transcript of an older job has no probabilities.
    likely = transcript.language_probabilities or (None,) * len(languages)
    results: Json = {
        "channels": [
            _channel(words, language, probability, plan)
            for words, language, probability in zip(spoken, languages, likely, strict=True)
        ]
    }
    if plan.has_utterances:
        utterances = [
            (channel, words)
            for channel, said in enumerate(spoken)
            for words in _utterances(said, plan.utt_split)
        ]
        utterances.sort(key=lambda utterance: utterance[1][0].start)
        results["utterances"] = [
            _utterance(words, channel, f"{request_id}/{number}")
            for number, (channel, words) in enumerate(utterances)
        ]
    return {"metadata": _metadata(transcript, plan, request_id), "results": results}


def _channel(
    words: Sequence[SpokenWord],
    language: str | None,
    probability: float | None,
    plan: AnswerDetails,
) -> Json:
    alternative: Json = {
        "transcript": _text(words),
        "confidence": _confidence(words),
        "words": [_word_json(word) for word in words],
    }
    if plan.lists_languages:
        alternative["languages"] = [language] if language else []
    if plan.has_paragraphs:
        alternative["paragraphs"] = _paragraphs(words)
    channel: Json = {"alternatives": [alternative]}
    if plan.tells_language and language is not None:
        channel["detected_language"] = language
        if probability is not None:
            channel["language_confidence"] = round(probability, 6)
    return channel


def _metadata(transcript: Transcript, plan: AnswerDetails, request_id: str) -> Json:
    model = str(uuid.uuid5(MODELS, plan.model_id))
    found: Json = {
        "transaction_key": "deprecated",
        "request_id": request_id,
        "sha256": plan.sha256,
        "created": iso(plan.created),
        "duration": transcript.duration,
        "channels": len(transcript.channel_languages or (None,)),
        "models": [model],
        "model_info": {model: {"name": plan.model_id, "version": "unknown", "arch": plan.engine}},
    }
    warnings = [warning.model_dump() for warning in plan.warnings]
    warnings += [
        {"parameter": "", "type": "damaged_audio", "message": text} for text in transcript.warnings
    ]
    parts = {"tags": plan.tags, "extra": plan.extra, "warnings": warnings}
    return found | {name: value for name, value in parts.items() if value}


def _words(segment: Segment) -> Iterator[SpokenWord]:
    mean = segment.avg_logprob if segment.own_logprob is None else segment.own_logprob
    likely = 0.0 if mean is None else math.exp(min(0.0, mean))
    speaker = None if segment.speaker is None else segment.speaker.number
    for word in words_of(segment):
        yield SpokenWord(word.text, word.start, word.end, _probability(word, likely), speaker)


def _probability(word: Word, otherwise: float) -> float:
    return round(otherwise if word.probability is None else word.probability, 6)


def _word_json(word: SpokenWord) -> Json:
    shown = word.text.strip()
    found: Json = {
        "word": _plain(shown),
        "start": round(word.start, 3),
        "end": round(word.end, 3),
        "confidence": word.confidence,
        "punctuated_word": shown,
    }
    return found if word.speaker is None else {**found, "speaker": word.speaker}


def _plain(text: str) -> str:
    """A word in lower case, without the punctuation around it."""
    letters = [place for place, letter in enumerate(text) if letter.isalnum()]
    return (text[letters[0] : letters[-1] + 1] if letters else text).lower()


def _paragraphs(words: Sequence[SpokenWord]) -> Json:
    found, texts = [], []
    for sentences in _parted(words):
        spoken = [word for sentence in sentences for word in sentence]
        paragraph: Json = {
            "sentences": [{"text": _text(each), **_times(each)} for each in sentences],
            "num_words": len(spoken),
            **_times(spoken),
        }
        speaker = spoken[0].speaker
        if speaker is not None:
            paragraph["speaker"] = speaker
        found.append(paragraph)
        texts.append((f"Speaker {speaker}: " if speaker is not None else "") + _text(spoken))
    return {"transcript": "\n" + "\n\n".join(texts) if texts else "", "paragraphs": found}


def _parted(words: Sequence[SpokenWord]) -> Iterator[list[list[SpokenWord]]]:
    """The sentences of each paragraph: it ends with its speaker, at a pause, or when it is long."""
    paragraph: list[list[SpokenWord]] = []
    for sentence in _sentences(words):
        if paragraph:
            before = paragraph[-1][-1]
            has_paused = sentence[0].start - before.end >= PARAGRAPH_PAUSE
            is_other = sentence[0].speaker != before.speaker
            if is_other or has_paused or len(paragraph) >= MOST_SENTENCES:
                yield paragraph
                paragraph = []
        paragraph.append(sentence)
    if paragraph:
        yield paragraph


def _sentences(words: Sequence[SpokenWord]) -> Iterator[list[SpokenWord]]:
    sentence: list[SpokenWord] = []
    for word in words:
        if sentence and word.speaker != sentence[-1].speaker:
            yield sentence
            sentence = []
        sentence.append(word)
        if word.text.strip().rstrip(CLOSING)[-1:] in SENTENCE_ENDS:
            yield sentence
            sentence = []
    if sentence:
        yield sentence


def _utterances(words: Sequence[SpokenWord], pause: float) -> Iterator[list[SpokenWord]]:
    utterance: list[SpokenWord] = []
    for word in words:
        if utterance and (
            word.start - utterance[-1].end >= pause or word.speaker != utterance[-1].speaker
        ):
            yield utterance
            utterance = []
        utterance.append(word)
    if utterance:
        yield utterance


def _utterance(words: Sequence[SpokenWord], channel: int, name: str) -> Json:
    found: Json = {
        "id": str(uuid.uuid5(MODELS, name)),
        **_times(words),
        "confidence": _confidence(words),
        "channel": channel,
        "transcript": _text(words),
        "words": [_word_json(word) for word in words],
    }
    speaker = words[0].speaker
    return found if speaker is None else {**found, "speaker": speaker}


def _times(words: Sequence[SpokenWord]) -> Json:
    return {"start": round(words[0].start, 3), "end": round(words[-1].end, 3)}


def _text(words: Sequence[SpokenWord]) -> str:
    return "".join(word.text for word in words).strip()


def _confidence(words: Sequence[SpokenWord]) -> float:
    return round(sum(word.confidence for word in words) / len(words), 6) if words else 0.0
