"""aiokafka's client beneath every consumer, producer and admin of this process: it finds brokers that have moved.

aiokafka 0.14 asks the bootstrap servers once, at the start, and after that only brokers that it has learnt of. Where
all of these have got other addresses (node ports, addresses of pods, a replaced cluster) it never finds them again.
"""

from __future__ import annotations

import asyncio
import logging
import time
from typing import Any, ClassVar

import aiokafka.admin.client
import aiokafka.consumer.consumer
import aiokafka.producer.producer
from aiokafka.client import AIOKafkaClient
from aiokafka.errors import KafkaError
from aiokafka.protocol.metadata import MetadataRequest

from worker.kafka.security.connections import open_connection

logger = logging.getLogger(__name__)

PATIENCE_S = 15.0
"""Brokers that all say nothing for so long are asked no further: those behind addresses that are gone do not refuse."""
PAUSE_S = 1.0
"""Between two questions of one client to the bootstrap servers."""


class Client(AIOKafkaClient):  # type: ignore[misc]  # aiokafka's types are Any
    """Starts over from the bootstrap servers when no broker that it knows answers."""

    _asked_at = float("-inf")
    _told: ClassVar[str] = ""
    """Addresses that the log has; a worker has many clients."""

    async def _metadata_update(self, cluster_metadata: Any, topics: Any) -> bool:
        try:
            async with asyncio.timeout(PATIENCE_S):
                if await super()._metadata_update(cluster_metadata, topics):
                    return True
        except TimeoutError:
            logger.debug("no known broker answers within %g s", PATIENCE_S)
        await asyncio.sleep(self._asked_at + PAUSE_S - time.monotonic())
        self._asked_at = time.monotonic()
        for host, port, _ in self.hosts:
            try:
                async with asyncio.timeout(PATIENCE_S):
                    metadata = await self._ask(host, port, MetadataRequest(list(topics) if topics else None, False))
            except (KafkaError, OSError, TimeoutError) as error:
                logger.debug("no metadata from %s:%s: %s", host, port, error)
                continue
            if metadata.brokers:
                self._move(cluster_metadata, metadata)
                return True
        return False

    async def _ask(self, host: str, port: int, request: Any) -> Any:
        connection = await open_connection(
            host,
            port,
            client_id=self._client_id,
            request_timeout_ms=self._request_timeout_ms,
            ssl_context=self._ssl_context,
            security_protocol=self._security_protocol,
            max_idle_ms=self._connections_max_idle_ms,
            sasl_mechanism=self._sasl_mechanism,
            sasl_plain_username=self._sasl_plain_username,
            sasl_plain_password=self._sasl_plain_password,
            sasl_kerberos_service_name=self._sasl_kerberos_service_name,
            sasl_kerberos_domain_name=self._sasl_kerberos_domain_name,
            sasl_oauth_token_provider=self._sasl_oauth_token_provider,
        )
        try:
            return await connection.send(request)
        finally:
            connection.close()

    def _move(self, cluster_metadata: Any, metadata: Any) -> None:
        """Take the brokers' addresses as they are now, and give up what is still connected to others."""
        before = _addresses(self.cluster)
        cluster_metadata.update_metadata(metadata)
        now = _addresses(cluster_metadata)
        text = ", ".join(sorted(now.values()))
        if now != before and Client._told != text:
            Client._told = text
            logger.info("no broker answers where it was before; they are at %s now", text)
        for (node, _), connection in list(self._conns.items()):
            if f"{connection.host}:{connection.port}" != now.get(node):
                connection.close()


def install() -> None:
    """Let all clients of this process be such."""
    for module in (aiokafka.consumer.consumer, aiokafka.producer.producer, aiokafka.admin.client):
        module.AIOKafkaClient = Client


def _addresses(cluster: Any) -> dict[Any, str]:
    return {broker.nodeId: f"{broker.host}:{broker.port}" for broker in cluster.brokers()}
