"""Questions to a broker that has not let a client in."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Mapping
from typing import Any

from aiokafka.conn import AIOKafkaConnection
from aiokafka.errors import KafkaError
from aiokafka.protocol.admin import SaslHandShakeRequest

from worker.settings.security import uses_tls

TIMEOUT_MS = 3_000
NO_MECHANISM = "ANY"
"""A name that no mechanism has: the answer lists those that there are."""


async def speaks_plaintext(host: str, port: int) -> bool:
    """Whether the broker answers a client that uses no TLS."""
    try:
        async with _connection(host, port, {"security_protocol": "PLAINTEXT"}):
            return True
    except (KafkaError, OSError):
        return False


async def offered_mechanisms(host: str, port: int, options: Mapping[str, Any]) -> list[str]:
    """The SASL mechanisms that the broker offers; none where it asks for no SASL, or says nothing."""
    plain = "SSL" if uses_tls(options["security_protocol"]) else "PLAINTEXT"
    try:
        async with _connection(
            host, port, {"security_protocol": plain, "ssl_context": options.get("ssl_context")}
        ) as connection:
            answer = await connection.send(SaslHandShakeRequest(NO_MECHANISM))
            return list(answer.enabled_mechanisms)
    except (KafkaError, OSError):
        return []


@contextlib.asynccontextmanager
async def _connection(host: str, port: int, options: Mapping[str, Any]) -> AsyncIterator[AIOKafkaConnection]:
    connection = AIOKafkaConnection(host, port, request_timeout_ms=TIMEOUT_MS, **options)
    try:
        await connection.connect()
        yield connection
    finally:
        connection.close()
