"""The image's health check: exit code 0 when ``/healthz`` answers 200, else 1 and what it answered.

The standard library only, so that it starts in a moment and needs nothing of what it checks.
"""

import os
import sys
import urllib.error
import urllib.request

TIMEOUT_S = 4
DEFAULT_PORT = "6066"


def main() -> int:
    """Ask the worker in this container, on the port that it was told to listen on."""
    port = os.environ.get("REVIEWS_WORKER_PORT") or DEFAULT_PORT
    if not port.isdecimal():  # a Kubernetes service of that name sets it to an address
        port = DEFAULT_PORT
    try:
        # No proxy, whatever the environment says: this is the same machine.
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(f"http://127.0.0.1:{port}/healthz", timeout=TIMEOUT_S) as answer:
            said, healthy = answer.read(2000).decode(), True
    except urllib.error.HTTPError as error:
        said, healthy = error.read(2000).decode(), False
    except OSError as error:
        said, healthy = str(error), False
    sys.stdout.write(f"{said.strip()}\n")
    return 0 if healthy else 1


if __name__ == "__main__":
    sys.exit(main())
