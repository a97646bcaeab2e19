"""A live session of a server, over its socket at /v1/realtime."""

from __future__ import annotations

import base64
import contextlib
import json
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any

import aiohttp

from asr.cli.client import (
    CONNECT_SECONDS,
    Refused,
    Unreachable,
    key_headers,
    refusal,
    unreachable,
    url_of,
)
from asr.errors import BadRequest, TranscriptionFailed
from asr.live.events import (
    Cleared,
    CommandRefused,
    Committed,
    Completed,
    Delta,
    Failed,
    Hypothesis,
    LiveEvent,
    SpeechStarted,
    SpeechStopped,
)
from asr.options import Options
from asr.transcript import Word

ROUTE = "/v1/realtime"
HEARTBEAT_SECONDS = 30.0  # A server that answers no ping for so long is lost.
MOST_BYTES = 16 * 2**20  # A larger message of the server ends the session.
INCLUDE = ("hypothesis", "words")  # Extensions of this server that are asked for.
TRANSCRIPTION = "item.input_audio_transcription"
SETTING, LAST = "listen-session", "listen-last"  # ids of events that may be answered by an error

Json = dict[str, Any]
Read = Callable[[Mapping[str, Any]], LiveEvent]


@contextlib.asynccontextmanager
async def opened(
    server: str, api_key: str | None, rate: int, options: Options
) -> AsyncIterator[RemoteSession]:
    """A session of the server at this URL, for audio of so many samples per second.

    Raises:
        click.UsageError: it is no URL of a server.
        Unreachable: nothing answers there.
        Refused: the server does not open a session.
    """
    url = url_of(server)
    timeout = aiohttp.ClientTimeout(None, sock_connect=CONNECT_SECONDS)
    async with contextlib.AsyncExitStack() as stack:
        client = await stack.enter_async_context(
            aiohttp.ClientSession(
                headers=key_headers(api_key), timeout=timeout, middlewares=(_refused,)
            )
        )
        try:
            connecting = client.ws_connect(
                url + ROUTE,
                params={"intent": "transcription"},
                heartbeat=HEARTBEAT_SECONDS,
                max_msg_size=MOST_BYTES,
            )
            socket = await stack.enter_async_context(connecting)
        except aiohttp.WSServerHandshakeError as error:
            raise Refused(f"{url} has no live transcription: {error.message}") from error
        except (aiohttp.ClientConnectionError, TimeoutError) as error:
            raise unreachable(url, error, "name another with --server") from error
        session = RemoteSession(socket)
        await session.configure(rate, options)
        yield session


class RemoteSession:
    """Sends audio as base64, and reads the server's events."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse[bool]) -> None:
        self._socket = socket
        self._open: set[str] = set()  # items that are committed and whose text is to come
        self._starts: dict[str, float] = {}  # seconds, by item
        self._ends: dict[str, float] = {}
        self._is_finishing = False
        self._is_last = False  # no more items will come

    async def configure(self, rate: int, options: Options) -> None:
        """Set the audio's rate, the language and what else is asked."""
        asked: Json = {
            "language": options.language,
            "languages": list(options.languages),
            "prompt": options.prompt,
            "keywords": list(options.vocabulary),
            "task": None if options.task == "transcribe" else options.task,  # an extension
        }
        audio = {
            "format": {"type": "audio/pcm", "rate": rate},
            "transcription": {name: value for name, value in asked.items() if value},
            "turn_detection": {"type": "server_vad"},
        }
        include = [f"{TRANSCRIPTION}.{name}" for name in INCLUDE]
        session = {"type": "transcription", "audio": {"input": audio}, "include": include}
        await self._send({"type": "session.update", "event_id": SETTING, "session": session})

    async def append(self, data: bytes) -> None:
        """Send 16-bit PCM; waits while the connection is full."""
        audio = base64.b64encode(data).decode()
        await self._send({"type": "input_audio_buffer.append", "audio": audio})

    async def finish(self) -> None:
        """Let the server end what is there; what it then clears says that no item follows."""
        self._is_finishing = True
        await self._send({"type": "input_audio_buffer.commit", "event_id": LAST})
        await self._send({"type": "input_audio_buffer.clear"})

    async def events(self) -> AsyncIterator[LiveEvent]:
        """Each event as it comes, until all audio is transcribed.

        Raises:
            Refused: the server has ended the session, or sends what is no event.
            Unreachable: the connection is lost.
        """
        while not (self._is_last and not self._open):
            event = self._read(await self._message())
            if event is not None:
                yield event

    async def _send(self, event: Json) -> None:
        """Send an event; where the connection has ended, who reads events is told."""
        with contextlib.suppress(aiohttp.ClientConnectionError):
            await self._socket.send_str(json.dumps(event))

    async def _message(self) -> Json:
        message = await self._socket.receive()
        if message.type is not aiohttp.WSMsgType.TEXT:
            raise self._ending(message)
        try:
            found: Json = json.loads(message.data)
            assert isinstance(found, dict)
        except (ValueError, AssertionError) as error:
            raise Refused("the server sent what is no event") from error
        return found

    def _ending(self, message: Any) -> Refused | Unreachable:
        """What is raised for a message that is no text."""
        code = self._socket.close_code
        if message.type is not aiohttp.WSMsgType.CLOSE or code in (None, 1006):
            return Unreachable("the connection to the server was lost")
        said = f": {message.extra}" if message.extra else ""
        return Refused(f"the server has ended the session ({code}){said}")

    def _read(self, event: Json) -> LiveEvent | None:
        """The event in our words; None for one that tells nothing of the text.

        Raises:
            Refused: it lacks what events of its type have, or refuses the session's settings.
        """
        read = self._readers().get(str(event.get("type")))
        try:
            found = None if read is None else read(event)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise Refused("the server sent what is no event") from error
        if isinstance(found, CommandRefused) and found.tag == SETTING:
            raise Refused(f"the server refuses: {found.error}")
        if isinstance(found, CommandRefused) and found.tag == LAST:
            return None  # no audio was left
        return self._counted(found)

    def _counted(self, event: LiveEvent | None) -> LiveEvent | None:
        match event:
            case Committed():
                self._open.add(event.item_id)
            case Completed() | Failed():
                self._open.discard(event.item_id)
            case Cleared():
                self._is_last = self._is_finishing
                return None
        return event

    def _readers(self) -> Mapping[str, Read]:
        buffer, item = "input_audio_buffer", f"conversation.{TRANSCRIPTION}"
        return {
            f"{buffer}.speech_started": self._started,
            f"{buffer}.speech_stopped": self._stopped,
            f"{buffer}.committed": lambda event: Committed(
                event["item_id"], event.get("previous_item_id")
            ),
            f"{buffer}.cleared": lambda _: Cleared(),
            f"{item}.delta": lambda event: Delta(event["item_id"], _text(event["delta"])),
            f"{item}.hypothesis": lambda event: Hypothesis(event["item_id"], _text(event["text"])),
            f"{item}.completed": self._completed,
            f"{item}.failed": lambda event: Failed(
                event["item_id"], TranscriptionFailed(_text(event["error"]["message"]))
            ),
            "error": lambda event: CommandRefused(
                BadRequest(_text(event["error"]["message"])), event["error"].get("event_id")
            ),
        }

    def _started(self, event: Mapping[str, Any]) -> SpeechStarted:
        self._starts[event["item_id"]] = start = float(event["audio_start_ms"]) / 1000
        return SpeechStarted(event["item_id"], start)

    def _stopped(self, event: Mapping[str, Any]) -> SpeechStopped:
        self._ends[event["item_id"]] = end = float(event["audio_end_ms"]) / 1000
        return SpeechStopped(event["item_id"], end)

    def _completed(self, event: Mapping[str, Any]) -> Completed:
        item = event["item_id"]
        start, end = self._starts.pop(item, 0.0), self._ends.pop(item, 0.0)
        return Completed(
            item,
            _text(event["transcript"]),
            float(event.get("start", start)),
            float(event.get("end", end)),
            event.get("language"),
            words=tuple(map(_word, event.get("words") or ())),
        )


def _word(word: Mapping[str, Any]) -> Word:
    return Word(
        _text(word["word"]), float(word["start"]), float(word["end"]), word.get("probability")
    )


def _text(text: str) -> str:
    """The text without halves of surrogate pairs, which nobody can print."""
    return text.encode("utf-8", "replace").decode()


async def _refused(
    request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
) -> aiohttp.ClientResponse:
    """Raise what a refusal says: the socket's own error does not."""
    answer = await handler(request)
    if answer.status >= 400:
        raise await refusal(answer)
    return answer
