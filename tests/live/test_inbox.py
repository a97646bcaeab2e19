"""What a client sends waits in order, and in bounded memory."""

import pytest

from asr.errors import Overloaded
from asr.live.inbox import (
    JOINED_BYTES,
    MOST_BYTES,
    MOST_COMMANDS,
    Clear,
    Commit,
    Configure,
    Finish,
    Inbox,
)
from asr.live.options import LiveOptions
from asr.options import Options


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


async def test_commands_count_with_the_texts_that_their_client_has_chosen():
    inbox = Inbox()
    vocabulary = tuple("a name of a place" for _ in range(500))
    options = LiveOptions(options=Options(prompt="x" * 10_000, languages=("en",) * 500))
    inbox.put(Configure(LiveOptions(options=Options(vocabulary=vocabulary))))
    assert inbox.held > 17 * 500
    await inbox.next()
    inbox.put(Configure(options))
    count = MOST_BYTES // inbox.held
    assert count < MOST_COMMANDS
    for _ in range(count - 1):
        inbox.put(Configure(options))
    with pytest.raises(Overloaded, match=f"{count} commands are not read yet"):
        inbox.put(Configure(options))
    inbox = Inbox()
    for command in (Commit("a" * 512), Clear(None), Configure(options), Finish()):
        inbox.put(command)
        assert inbox.held > 0
    inbox.append(b"abc")
    for _ in range(5):
        await inbox.next()
    assert (inbox.held, inbox.waiting) == (3, 3)  # it is being read
    inbox.read(3)
    assert inbox.held == 0
