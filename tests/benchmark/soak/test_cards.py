"""The soak's requests: every documented route is asked, and texts are read from every format."""

from __future__ import annotations

import pytest

from asr.server import docs
from asr.server.app import DIALECTS
from benchmark.soak.cards import WAYS, deck, of_events, undriven
from benchmark.soak.clips import FORMATS, speech
from benchmark.soak.live import live


def test_every_documented_route_is_asked() -> None:
    cards = [*deck(speech()), live(speech()[0])]
    assert undriven(docs.document(DIALECTS), cards) == []


def test_a_route_that_was_added_is_named() -> None:
    document = {"paths": {"/new": {"post": {}, "summary": "x"}, "/new/{id}": {"get": {}}}}
    assert undriven(document, deck(speech()[:1])) == ["POST /new", "GET /new/{id}"]


def test_every_way_and_every_format_occurs() -> None:
    cards = deck(speech())
    assert {way.path for way in WAYS} <= {card.path for card in cards}
    assert {name.rpartition(".")[2] for name in (card.name for card in cards)} >= set(FORMATS)
    assert len({card.name for card in cards}) == len(cards), "solo texts are kept by name"


@pytest.mark.parametrize(
    ("deltas", "text"), [((" a", " b"), " a b"), ((" a", " c"), " a b (streamed:  a c)")]
)
def test_streamed_parts_that_differ_from_the_whole_are_seen(
    deltas: tuple[str, str], text: str
) -> None:
    lines = [f'{{"type": "transcript.text.delta", "delta": "{delta}"}}' for delta in deltas]
    lines.append('{"type": "transcript.text.done", "text": " a b"}')
    assert of_events("\n".join(lines).encode()) == text
    assert of_events("".join(f"data: {line}\n\n" for line in lines).encode()) == text
