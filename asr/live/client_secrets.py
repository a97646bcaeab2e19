"""Client secrets: keys for a short time, which a browser may have where the API key must not be.

No server keeps them. What a secret says is in it, signed with a key that is made of all API keys:
servers with the same keys accept each other's secrets, and no client can make one.
"""

from __future__ import annotations

import hashlib
import secrets
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from itsdangerous import BadData, URLSafeSerializer

from asr.config.keys import ApiKey
from asr.errors import Invalid, Unauthorized

PREFIX = "ek_"  # OpenAI's secrets begin with it.
SALT = "client secret"  # Signatures of other things with the same key are not taken for secrets.
# A longer secret is refused when it is made: a header has at most 8,190 bytes, and a browser
# sends two protocols more in it.
MOST_CHARS = 7_000
KEY_BYTES = 32  # The key of a process without API keys has so many random bytes.


@dataclass(frozen=True)
class ClientSecret:
    """What a secret allows."""

    client: str  # the name of the API key that it was made with; "": it has none
    expires_at: int  # seconds since 1970
    session: Mapping[str, object]  # how live sessions are set up, in the words of its dialect


class ClientSecrets:
    """Makes and reads client secrets."""

    def __init__(self, keys: Sequence[ApiKey], clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._serializer = URLSafeSerializer(
            _signing_key(keys),
            salt=SALT,
            signer_kwargs={"digest_method": hashlib.sha256, "key_derivation": "hmac"},
        )

    def make(self, client: str, seconds: int, session: Mapping[str, object]) -> tuple[str, int]:
        """A secret that lasts for so many seconds, and when it expires (seconds since 1970).

        Raises:
            Invalid: the session's configuration is too long to be in it.
        """
        expires_at = int(self._clock()) + seconds
        signed = self._serializer.dumps([client, expires_at, session])
        value = PREFIX + (signed if isinstance(signed, str) else signed.decode())
        if len(value) > MOST_CHARS:
            raise Invalid(
                f"session: it is too long for a client secret, which has at most {MOST_CHARS} "
                "characters: shorten its prompt and keywords, or send them by session.update",
                "session",
            )
        return value, expires_at

    def read(self, value: str) -> ClientSecret:
        """What the secret allows.

        Raises:
            Unauthorized: it has expired, or no server with these keys has made it.
        """
        try:
            signed = value.removeprefix(PREFIX).encode("utf-8", "surrogateescape")
            client, expires_at, session = self._serializer.loads(signed)
        except BadData as error:
            raise Unauthorized(
                "the client secret is not valid here: make one with POST /v1/realtime/"
                "client_secrets of this server, or of one with the same API keys"
            ) from error
        if expires_at <= self._clock():
            raise Unauthorized(
                "the client secret has expired: make a new one with POST "
                "/v1/realtime/client_secrets"
            )
        return ClientSecret(client, expires_at, session)


def _signing_key(keys: Sequence[ApiKey]) -> bytes:
    """A key that only those know who know all API keys; a random one where there are none."""
    if not keys:
        return secrets.token_bytes(KEY_BYTES)
    digests = (hashlib.sha256(f"{each.client}={each.key}".encode()).digest() for each in keys)
    return hashlib.sha256(b"".join(sorted(digests))).digest()
