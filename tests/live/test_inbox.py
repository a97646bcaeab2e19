"""What a client sends waits in order, and in bounded memory."""

import pytest

from asr.errors import Overloaded
from asr.live.inbox import JOINED_BYTES, MOST_BYTES, MOST_COMMANDS, Commit, Finish, Inbox


async def test_audio_and_commands_come_in_the_order_in_which_they_were_sent():
    inbox = Inbox()
    inbox.append(b"ab")
    inbox.append(b"c")
    inbox.put(Commit("one"))
    inbox.append(b"d")
    assert [await inbox.next() for _ in range(3)] == [b"abc", Commit("one"), b"d"]


async def test_single_bytes_are_joined():
    inbox = Inbox()
    for _ in range(JOINED_BYTES + 1):
        inbox.append(b"x")
    assert [len(await inbox.next()), len(await inbox.next())] == [JOINED_BYTES, 1]


async def test_more_audio_than_there_is_room_for_is_refused_until_some_is_read():
    inbox = Inbox()
    inbox.append(bytes(MOST_BYTES))
    with pytest.raises(Overloaded, match="32 MiB of audio are not read yet: send audio no faster"):
        inbox.append(b"x")
    inbox.read(1)
    inbox.append(b"x")


async def test_a_flood_of_commands_is_refused_but_never_the_end():
    inbox = Inbox()
    for _ in range(MOST_COMMANDS):
        inbox.put(Commit(None))
    with pytest.raises(Overloaded, match="10000 commands are not read yet"):
        inbox.put(Commit(None))
    inbox.put(Finish())
