"""Exit 0 when the server in this container answers ``/health``. Standard library only, without site-packages: it runs
every few seconds beside the calls, and this way it takes a tenth of the server's own start."""

import http.client
import os
import sys

port = int(os.environ.get("ANTIPHON_PORT", "8000"))
connection = http.client.HTTPConnection("127.0.0.1", port, timeout=2.5)
try:
    connection.request("GET", os.environ.get("ANTIPHON_HEALTHCHECK", "/health"))
    status = connection.getresponse().status
except OSError as error:
    sys.exit(f"no answer on port {port}: {error}")
if status != 200:
    sys.exit(f"answered {status}")
