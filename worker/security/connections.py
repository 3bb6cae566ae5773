"""How every Kafka client of this process opens its connections, and asks for topics.

aiokafka 0.14 keeps a password for the life of a client, takes an OAUTHBEARER server's refusal for success (RFC 7628,
3.2.3), tells nobody why it could not connect, and does not expect the errors of gssapi. Its clients open
connections through one function of `aiokafka.client`, which `install` replaces; the rest is as before.

They also let the broker create every topic that they ask for (``auto.create.topics.enable``, on by default): one whose
name was mistyped, and one that was deleted a moment ago. `install` forbids that too.
"""

from __future__ import annotations

import asyncio
import functools
from typing import Any

import aiokafka.client
from aiokafka.conn import AIOKafkaConnection, OAuthAuthenticator
from aiokafka.protocol.metadata import MetadataRequest

from worker.exhaustion import exhausted, tell
from worker.security import attempts
from worker.security.failures import NO_TLS, ConnectError, closed_by_broker, explained
from worker.security.files import SettingFile
from worker.security.probe import speaks_plaintext
from worker.security_rules import uses_tls

CONNECT_TIMEOUT_S = 15.0
"""aiokafka waits for as long as for any answer (40 s), and a client opens one connection at a time."""


class _CheckedOAuth(OAuthAuthenticator):  # type: ignore[misc]  # aiokafka's types are Any here and below
    """Asks the broker for its error where it has answered the token with anything but nothing."""

    async def step(self, payload: bytes | None) -> tuple[bytes, bool] | None:
        if self._token_sent and payload:
            return b"\x01", True  # as RFC 7628 has it; the answer is the error
        message: tuple[bytes, bool] | None = await super().step(payload)
        return message


class _Connection(AIOKafkaConnection):  # type: ignore[misc]
    """Reads user and password when it is made."""

    def __init__(self, *args: Any, sasl_plain_username: Any, sasl_plain_password: Any, **options: Any) -> None:
        super().__init__(
            *args,
            sasl_plain_username=_now(sasl_plain_username),
            sasl_plain_password=_now(sasl_plain_password),
            **options,
        )

    def authenticator_oauth(self) -> _CheckedOAuth:
        return _CheckedOAuth(sasl_oauth_token_provider=self._sasl_oauth_token_provider)


async def open_connection(host: str, port: int, **options: Any) -> AIOKafkaConnection:
    """What `aiokafka.conn.create_conn` does; raises ConnectError."""
    options = {"sasl_plain_username": None, "sasl_plain_password": None, **options}
    await asyncio.sleep(attempts.pause_s(host, port))
    try:
        connection = _Connection(host, port, **options)
        async with asyncio.timeout(CONNECT_TIMEOUT_S):
            await connection.connect()
    except Exception as error:
        if (used_up := exhausted(error)) is not None:  # aiokafka takes it for a broker that is away
            tell(used_up)
            failure = ConnectError(f"{host}:{port}: {used_up}", hopeless=True, used_up=used_up)
        else:
            failure = await _why(error, host, port, options)
        attempts.failed(host, port, failure)
        raise failure from error
    attempts.succeeded(host, port)
    return connection


def install() -> None:
    """Let all clients of this process open their connections so, and create no topic by asking for it."""
    aiokafka.client.create_conn = open_connection
    aiokafka.client.MetadataRequest = functools.partial(MetadataRequest, allow_auto_topic_creation=False)


async def _why(error: Exception, host: str, port: int, options: dict[str, Any]) -> ConnectError:
    place = attempts.place(host, port)
    tls = uses_tls(options.get("security_protocol", "PLAINTEXT"))
    if tls and closed_by_broker(error) and await speaks_plaintext(host, port):
        return ConnectError(f"{place}: {NO_TLS}", hopeless=True)
    return explained(error, place, options)


def _now(value: Any) -> Any:
    return value.read_text() if isinstance(value, SettingFile) else value
