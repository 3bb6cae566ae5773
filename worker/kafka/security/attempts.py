"""What became of the latest attempt to connect to each broker. aiokafka itself says it only in its log.

One for the process: an attempt is made deep inside of some client, in some thread, and who wants to know is elsewhere.
"""

from __future__ import annotations

import time

from aiokafka.conn import collect_hosts

from worker.kafka.security.failures import ConnectError

RECENT_S = 60.0
REFUSED_PAUSE_S = 1.0

_starts: set[tuple[str, int]] = set()
_failures: dict[tuple[str, int], tuple[float, ConnectError]] = {}


def start_from(bootstrap_servers: str) -> None:
    """Clients are told to start from these."""
    _starts.update((host, port) for host, port, _ in collect_hosts(bootstrap_servers))


def place(host: str, port: int) -> str:
    """An address for a person, and where it is known from."""
    advertised = " (the address that the broker advertises)" if _starts and (host, port) not in _starts else ""
    return f"{host}:{port}{advertised}"


def failed(host: str, port: int, failure: ConnectError) -> None:
    """The latest attempt has failed."""
    _failures[host, port] = (time.monotonic(), failure)


def succeeded(host: str, port: int) -> None:
    """The latest attempt has not."""
    _failures.pop((host, port), None)


def pause_s(host: str, port: int) -> float:
    """How long to wait before the next attempt: who was refused does not knock all the time, or a user gets locked."""
    at, failure = _failures.get((host, port), (0.0, None))
    return max(0.0, at + REFUSED_PAUSE_S - time.monotonic()) if failure is not None and failure.hopeless else 0.0


def failure_since(moment: float) -> ConnectError | None:
    """Why no broker could be connected to since `moment` (monotonic seconds): the latest, hopeless ones first."""
    noted = [entry for entry in list(_failures.values()) if entry[0] >= moment]
    latest = max(noted, key=lambda entry: (entry[1].hopeless, entry[0]), default=None)
    return latest[1] if latest else None


def recent_failure() -> ConnectError | None:
    """The same for a client that has been connecting for a while."""
    return failure_since(time.monotonic() - RECENT_S)
