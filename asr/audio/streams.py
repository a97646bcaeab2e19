"""Where audio comes from."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import BinaryIO

Source = AsyncIterator[bytes] | BinaryIO  # a stream, or an open file that can seek
