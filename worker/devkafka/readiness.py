"""Whether a cluster answers: its metadata is asked for, an open port is not enough."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from worker.devkafka import external

PAUSE_S = 0.1
PORT_TIMEOUT_S = 1.0
ANSWER_TIMEOUT_S = 5.0


def wait(
    bootstrap_servers: str,
    enough: Callable[[set[int]], bool],
    timeout_s: float,
    give_up: Callable[[], None] = lambda: None,
    client_options: Mapping[str, Any] | None = None,
) -> set[int] | None:
    """Block until the ids of the brokers that are up are `enough`; returns the last ids seen, None without an answer.

    `give_up` is called before every try and may raise to end the wait. `client_options` are more arguments of aiokafka.
    """
    deadline = time.monotonic() + timeout_s
    seen: set[int] | None = None
    while True:
        give_up()
        answer = _broker_ids(bootstrap_servers, client_options or {})
        seen = seen if answer is None else answer
        if answer is not None and enough(answer):
            return answer
        if time.monotonic() >= deadline:
            return seen
        time.sleep(PAUSE_S)


def port_is_open(address: str) -> bool:
    """Whether something listens at ``host:port``."""
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host.strip("[]"), int(port)), PORT_TIMEOUT_S).close()
    except (OSError, ValueError):
        return False
    return True


def _broker_ids(bootstrap_servers: str, client_options: Mapping[str, Any]) -> set[int] | None:
    # The client logs each refused connection as an error: ask only where something listens.
    listening = [address.strip() for address in bootstrap_servers.split(",") if port_is_open(address.strip())]
    if not listening:
        return None
    # The caller's thread may have an event loop running, in which another cannot.
    with ThreadPoolExecutor(1, "devkafka-metadata") as apart:
        return apart.submit(_ask, ",".join(listening), client_options).result()


def _ask(bootstrap_servers: str, client_options: Mapping[str, Any]) -> set[int] | None:
    async def answer() -> set[int]:
        return await asyncio.wait_for(external.broker_ids(bootstrap_servers, client_options), ANSWER_TIMEOUT_S)

    try:
        return asyncio.run(answer())
    except (external.ClientError, OSError, TimeoutError):
        return None
