"""Ends with 0 when the server of this container is ready: the image's HEALTHCHECK."""

import os
import sys
from http.client import HTTPConnection

TIMEOUT_S = 4

if __name__ == "__main__":
    host = os.environ.get("HOST") or "*"
    connection = HTTPConnection(
        "localhost" if host in {"*", "0.0.0.0", "::"} else host,
        int(os.environ.get("PORT") or 8000),
        timeout=TIMEOUT_S,
    )
    try:
        connection.request("GET", "/hc")
        sys.exit(connection.getresponse().status != 200)
    except OSError as error:
        sys.exit(f"/hc does not answer: {error}")
