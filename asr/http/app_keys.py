"""Where the app keeps what its handlers share."""

from collections.abc import AsyncIterator, Sequence

from aiohttp import web

from asr.config.config import Config
from asr.engines.engine import Engine
from asr.http.dialect import Dialect
from asr.http.queue_place import QueuePlace
from asr.jobs.clients import Clients
from asr.jobs.service import JobService
from asr.live.client_secrets import ClientSecret, ClientSecrets
from asr.live.sessions import LiveSessions
from asr.metrics import Metrics
from asr.outbound.fetch import Outbound
from asr.resources.memory_budget import BodyMemory, Reservation
from asr.resources.spool import SpoolCheck
from asr.transcription.scheduler import Scheduler
from asr.transcription.transcriber import Transcriber

CLIENTS = web.AppKey("CLIENTS", Clients)
CONFIG = web.AppKey("CONFIG", Config)
DIALECTS: web.AppKey[Sequence[Dialect]] = web.AppKey("DIALECTS")
ENGINE: web.AppKey[Engine] = web.AppKey("ENGINE")
JOBS = web.AppKey("JOBS", JobService)
LIVE = web.AppKey("LIVE", LiveSessions)
MEMORY = web.AppKey("MEMORY", BodyMemory)
METRICS = web.AppKey("METRICS", Metrics)
OUTBOUND = web.AppKey("OUTBOUND", Outbound)
SCHEDULER = web.AppKey("SCHEDULER", Scheduler)
SECRETS = web.AppKey("SECRETS", ClientSecrets)
SPOOL_CHECK = web.AppKey("SPOOL_CHECK", SpoolCheck)
STARTED = web.AppKey("STARTED", int)  # seconds since 1970
TRANSCRIBER = web.AppKey("TRANSCRIBER", Transcriber)
# The body from its first byte, where its beginning has been read ahead.
BODY: web.RequestKey[AsyncIterator[bytes]] = web.RequestKey("BODY")
CLIENT = web.RequestKey("CLIENT", str)  # the name of the API key; "": it has none
EXPECTED = web.RequestKey("EXPECTED", str)  # the header Expect, which aiohttp does not see
CLIENT_SECRET = web.RequestKey("CLIENT_SECRET", ClientSecret)  # where the key was one
QUEUE_PLACE = web.RequestKey("QUEUE_PLACE", QueuePlace)
RESERVATION = web.RequestKey("RESERVATION", Reservation)
REQUEST_ID = web.RequestKey("REQUEST_ID", str)
