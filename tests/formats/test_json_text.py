"""Long JSON: the same bytes as of one call, none of which gets more than a piece."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asr.formats import json_text as written

PLAIN = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text()
VALUES = st.recursive(
    PLAIN, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=20
)


@given(VALUES, st.booleans())
def test_the_text_is_that_of_one_call(value, ensure_ascii):
    expected = json.dumps(value, ensure_ascii=ensure_ascii)
    assert written.json_text(value, ensure_ascii) == expected


@pytest.mark.parametrize("count", [0, 1, 500, 501, 1000, 1750])
def test_no_call_writes_more_than_a_piece(monkeypatch, count):
    answer = {"output": {"text": "é", "chunks": [{"timestamp": [n, n + 1]} for n in range(count)]}}
    expected = json.dumps(answer, ensure_ascii=False)
    lengths = []

    def noted(value, **how):
        lengths.append(len(value) if isinstance(value, list) else 0)
        return dumps(value, **how)

    dumps = json.dumps
    monkeypatch.setattr(written.json, "dumps", noted)
    found = written.json_text(answer, ensure_ascii=False)
    monkeypatch.undo()
    assert found == expected
    assert sum(lengths) == count
    assert max(lengths) <= written.AT_ONCE
