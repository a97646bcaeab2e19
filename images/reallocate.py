"""Once the engine of the server beside it has ended, ask SaladCloud for another machine.

Opt-in: `python companion.py python reallocate.py` as the command of a container group. A dead GPU
ends the engine and /hc answers 503; the instance metadata service is then asked to reallocate, at
once and with the reason, where a liveness probe would restart the container on the same machine.
"""

from __future__ import annotations

import json
import logging
import os
import time
from urllib.error import HTTPError
from urllib.request import Request, urlopen

log = logging.getLogger("reallocate")

METADATA = os.environ.get("SALAD_METADATA_URL") or "http://169.254.169.254"
HEALTH = f"http://localhost:{os.environ.get('PORT') or 8000}/hc"
POLL_S = float(os.environ.get("REALLOCATE_POLL_S") or 5)
TIMEOUT_S = 5
STRIKES = 2  # failures in a row that are believed


def main() -> None:
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    strikes = 0
    while True:
        reason = failure()
        strikes = strikes + 1 if reason else 0
        if reason and strikes % STRIKES == 0:
            reallocate(reason)
        time.sleep(POLL_S)


def failure() -> str:
    """Why the engine has ended; empty while it lives, is loading or does not answer at all."""
    try:
        with urlopen(HEALTH, timeout=TIMEOUT_S):
            return ""
    except HTTPError as error:
        return error.read().decode(errors="replace")[:500] if error.code == 503 else ""
    except OSError:  # the probes judge a server that does not answer
        return ""


def reallocate(reason: str) -> None:
    log.error("asking for another machine: %s", reason)
    request = Request(
        f"{METADATA}/v1/reallocate",
        data=json.dumps({"reason": reason}).encode(),
        headers={"Content-Type": "application/json", "Metadata": "true"},
    )
    try:
        with urlopen(request, timeout=TIMEOUT_S):
            pass
    except OSError as error:
        log.error("the metadata service at %s: %s", METADATA, error)


if __name__ == "__main__":
    main()
