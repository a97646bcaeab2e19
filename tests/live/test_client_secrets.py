"""Client secrets: who can read them, for how long, and that nobody can make one."""

from __future__ import annotations

import pytest

from asr.config.keys import ApiKey
from asr.errors import Invalid, Unauthorized
from asr.live.client_secrets import PREFIX, ClientSecret, ClientSecrets

ALICE, BOB = ApiKey("alice", "a-key"), ApiKey("bob", "b-key", 4)
SESSION = {"audio": {"input": {"turn_detection": None}}}


def test_a_secret_says_who_made_it_and_how_sessions_are_set_up() -> None:
    value, expires_at = ClientSecrets([ALICE, BOB], lambda: 1000.5).make("bob", 60, SESSION)
    assert value.startswith(PREFIX)
    other_server = ClientSecrets([BOB, ALICE], lambda: 1059.0)
    assert other_server.read(value) == ClientSecret("bob", 1060, SESSION)
    assert expires_at == 1060


@pytest.mark.parametrize("keys", [[ALICE], [ALICE, ApiKey("bob", "c-key")], [], [BOB]])
def test_servers_with_other_keys_do_not_take_it(keys: list[ApiKey]) -> None:
    value, _ = ClientSecrets([ALICE, BOB]).make("bob", 60, {})
    with pytest.raises(Unauthorized, match="is not valid here: make one"):
        ClientSecrets(keys).read(value)


def test_processes_without_keys_do_not_take_each_others_secrets() -> None:
    one, other = ClientSecrets([]), ClientSecrets([])
    value, _ = one.make("", 60, {})
    assert one.read(value).client == ""
    with pytest.raises(Unauthorized):
        other.read(value)


def test_it_expires() -> None:
    now = 1000.0
    secrets = ClientSecrets([ALICE], lambda: now)
    value, expires_at = secrets.make("alice", 10, {})
    now = expires_at - 0.1
    assert secrets.read(value).client == "alice"
    now = expires_at
    with pytest.raises(Unauthorized, match="has expired: make a new one"):
        secrets.read(value)


def test_every_changed_letter_is_seen() -> None:
    secrets = ClientSecrets([ALICE])
    value, _ = secrets.make("alice", 60, {})
    for place in range(len(PREFIX), len(value) - 1):  # the last letter has unused bits
        forged = value[:place] + ("A" if value[place] != "A" else "B") + value[place + 1 :]
        with pytest.raises(Unauthorized):
            secrets.read(forged)


@pytest.mark.parametrize("value", ["ek_", "ek_a", "ek_a.b", "ek_\udcff.é", "ek_" + "a" * 10_000])
def test_what_is_no_secret_is_refused(value: str) -> None:
    with pytest.raises(Unauthorized):
        ClientSecrets([ALICE]).read(value)


def test_a_configuration_that_fits_in_no_header_is_refused() -> None:
    prompt = "".join(chr(0x4E00 + number) for number in range(5000))
    with pytest.raises(Invalid, match="shorten its prompt"):
        ClientSecrets([ALICE]).make("alice", 60, {"prompt": prompt})
    value, _ = ClientSecrets([ALICE]).make("alice", 60, {"prompt": "well said " * 1000})
    assert len(value) < 1000  # it is compressed
