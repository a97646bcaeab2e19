"""Writes long JSON in pieces: one call would hold the GIL, and with it the event loop."""

from __future__ import annotations

import json
from collections.abc import Mapping

AT_ONCE = 500  # So many elements of a list are written by one call, which takes about 2 ms.


def json_text(value: object, ensure_ascii: bool = True) -> str:
    """Return what `json.dumps` returns, whose long lists may be 100 ms of work.

    To be called in a thread.

    Args:
        value: a value of JSON; long lists are found in it and in its objects, not in lists.
        ensure_ascii: whether other letters are escaped.
    """
    if isinstance(value, Mapping):
        parts = (
            f"{json.dumps(name, ensure_ascii=ensure_ascii)}: {json_text(each, ensure_ascii)}"
            for name, each in value.items()
        )
        return "{" + ", ".join(parts) + "}"
    if not isinstance(value, list):
        return json.dumps(value, ensure_ascii=ensure_ascii)
    starts = range(0, len(value), AT_ONCE)
    pieces = (json.dumps(value[n : n + AT_ONCE], ensure_ascii=ensure_ascii) for n in starts)
    return "[" + ", ".join(piece[1:-1] for piece in pieces) + "]"
