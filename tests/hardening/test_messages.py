"""What callers read names the parameter and the reason, in no programmer's words."""

from __future__ import annotations

import io
import json
import re
from typing import Any

import pytest
from aiohttp import FormData

from asr.api.asr_schemas import AsrRequest
from asr.api.language import DetectionParameters
from asr.api.openai.chunking_strategy import ServerVad
from asr.api.openai.schemas import AudioForm
from tests.conftest import tone, wav

CLIP = wav(tone(0.1))
LONGEST_QUERY = 7000  # A URL with more characters is refused before it is parsed.
TELLTALES = re.compile(  # of Python, of pydantic, of aiohttp
    r"Input should|valid (string|number|integer|boolean|list|dictionary)|unable to|Unable to"
    r"|Value error|<class|NoneType|\bb'|\bb\"|\\|\bTrue\b|\bFalse\b|\bNone\b|Error\b|Exception"
    r"|Traceback|pydantic|codec|recursion|sys\.|discriminator|object at 0x|dict\b|tuple\b|\bself\b"
)
ODD: list[Any] = [
    None, True, -1, 1.5, 10**30, 10**400, float("nan"), float("-inf"), "", "x", "1e999", "nan",
    "9" * 5000, "caf\u00e9", "caf\udce9", "nul\0", "line\nbreak", "it's", '"', [], [1], [None],
    [[1]], {}, {"a": 1}, {"type": "x"}, {"type": None}, {"type": "server_vad", "threshold": []},
    "a" * 20_000, '{"type": 1}', "[1]", "x,y",
]  # fmt: skip
SENT = [value for value in ODD if isinstance(value, str) and max(value, default="") < "\ud800"]


def assert_plain(message: str, value: object) -> None:
    """Check a message, apart from the caller's own value that it may quote."""
    quoted = str(value) if isinstance(value, str) and len(value) > 1 else "\0"
    found = TELLTALES.search(message.replace(quoted, ""))
    assert not found, (value, message)
    assert message.isprintable(), message


def assert_named(name: str, status: int, message: str, value: object) -> None:
    assert status < 500, (name, value, message)
    if status < 400:
        return
    assert_plain(message, value)
    if name != "url" or status == 422:  # what is wrong with an address is said of the address
        for word in re.findall(r"\w+", name):
            assert word in message, (name, value, message)


async def answered(response: Any) -> tuple[int, str]:
    if response.status < 400:
        return response.status, ""
    found = (await response.json())["error"]
    return response.status, found["message"] if isinstance(found, dict) else found


@pytest.mark.parametrize(
    ("path", "name"),
    [
        *(("/asr", name) for name in AsrRequest.model_fields),
        *(("/detect-language", name) for name in DetectionParameters.model_fields),
    ],
)
async def test_json_of_every_type_is_refused_in_plain_words(
    client: Any, path: str, name: str
) -> None:
    for value in ODD:
        fields = {"url": "data:,a", "strict": True, name: value}
        response = await client.post(path, data=json.dumps(fields))
        status, message = await answered(response)
        if "cannot be decoded" not in message:  # the parameter is fine, the audio is not
            assert_named(name, status, message, value)


@pytest.mark.parametrize("name", AsrRequest.model_fields)
async def test_a_query_is_refused_in_plain_words(client: Any, name: str) -> None:
    for value in SENT:
        if len(value) > LONGEST_QUERY:
            continue
        response = await client.post("/asr", params={"strict": "1", name: value}, data=CLIP)
        assert_named(name, *await answered(response), value)


@pytest.mark.parametrize(
    "name",
    [
        *AudioForm.model_fields,
        "languages[]",
        *(f"chunking_strategy[{name}]" for name in ServerVad.model_fields),
        "chunking_strategy[odd\tkey]",
        "odd\tkey",
        "beam_size",
    ],
)
async def test_a_form_is_refused_in_plain_words(client: Any, name: str) -> None:
    for value in SENT:
        fields = {"strict": "true", "chunking_strategy[type]": "server_vad", name: value}
        if name == "chunking_strategy":
            del fields["chunking_strategy[type]"]
        data = FormData(fields)
        data.add_field("file", io.BytesIO(CLIP), filename="a.wav")
        response = await client.post("/v1/audio/transcriptions", data=data)
        shown = name.replace("\t", "\ufffd")
        assert_named(shown, *await answered(response), value)


BODIES = [
    b"{",
    b'{"url": tru}',
    b'{"url": "\xff"}',
    b'{"a":' * 10_000 + b"1" + b"}" * 10_000,
    b'{"url": "a", "x": ' + b"9" * 10_000 + b"}",
    b'{"url": "a\\u0000c"}',
    b'{"url": "\\udce9.wav"}',
    b'{"url": "data:,a", "odd\\nkey\\udce9": 1, "strict": true}',
    b'{"url": "data:;base64,A"}',
    b'{"url": "data:;base64,!"}',
    b'{"url": "http://[::1/a"}',
    b'{"url": "http://caf\\u00e9\\n.wav:99999999/"}',
    b'{"url": "ftp://a\\tb/"}',
    b'{"url": "file:///caf%ff.wav"}',
    b'{"url": "file://[/a"}',
    b'{"url": "file:///a%00c"}',
    b"[]",
    b"null",
    b"None",
    b"hello",
]


@pytest.mark.parametrize("number", range(len(BODIES)))
async def test_an_odd_body_is_refused_in_plain_words(
    make_client: Any, tmp_path: Any, number: int
) -> None:
    client = await make_client(audio_root=tmp_path)
    response = await client.post("/asr", data=io.BytesIO(BODIES[number]))
    status, message = await answered(response)
    assert 400 <= status < 500
    assert_plain(message, None)
