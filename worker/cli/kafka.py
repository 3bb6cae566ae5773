"""What the commands for people share when they talk to Kafka: short waits, clear errors, and where a topic stands."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Iterable
from typing import Any

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.errors import KafkaError

from worker.consumers import kafka_consumer
from worker.errors import AccessError, BrokerError, UnreachableError, WorkerError
from worker.security import as_worker_error, client_options, lacking, why_not
from worker.settings import Settings
from worker.topics import TopicAdmin, TopicDescription, open_admin

PATIENCE_S = 15.0
"""How long a command for people waits for the broker; `start_timeout_s` is meant for a service."""
STOP_PATIENCE_S = 5.0


def impatient(settings: Settings) -> Settings:
    """The same settings with a wait for the broker that suits somebody who looks on."""
    return settings.model_copy(update={"start_timeout_s": min(settings.start_timeout_s, PATIENCE_S)})


@contextlib.asynccontextmanager
async def reachable_admin(settings: Settings) -> AsyncIterator[TopicAdmin]:
    """An admin client; raises `UnreachableError` at once when no broker answers."""
    try:
        async with open_admin(settings) as admin:
            yield admin
    except BrokerError as error:
        raise unreachable(settings, error) from error


def unreachable(settings: Settings, error: Exception) -> UnreachableError:
    """The error for a broker that does not answer."""
    reason = str(error) or "nothing in time"
    return UnreachableError(
        f"Kafka at {settings.bootstrap_servers} does not answer ({reason}); check --bootstrap-servers and that it is up"
    )


@contextlib.asynccontextmanager
async def started(
    client: AIOKafkaConsumer | AIOKafkaProducer, settings: Settings, patience_s: float = PATIENCE_S
) -> AsyncIterator[Any]:
    """A client of aiokafka, started and stopped again.

    Raises `UnreachableError` when no broker answers in time, and `AccessError` when none lets it in.
    """
    began = time.monotonic()
    try:
        async with asyncio.timeout(patience_s):
            await client.start()
    except (KafkaError, OSError) as error:
        await _stop(client)
        raise await _not_started(settings, error, began) from error
    try:
        yield client
    finally:
        await _stop(client)


@contextlib.asynccontextmanager
async def may_read() -> AsyncIterator[None]:
    """Raises `TopicError` where Kafka does not let a client read."""
    try:
        yield
    except KafkaError as error:
        if error_of_rights := lacking(error, "read"):
            raise error_of_rights from error
        raise


async def _not_started(settings: Settings, error: Exception, began: float) -> WorkerError:
    if error_of_rights := lacking(error):
        return error_of_rights
    failure = await why_not(settings, began)
    if failure is None:
        return unreachable(settings, error)
    reason = as_worker_error(failure)
    return reason if isinstance(reason, AccessError) else unreachable(settings, reason)


async def _stop(client: AIOKafkaConsumer | AIOKafkaProducer) -> None:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(STOP_PATIENCE_S):
            await client.stop()


async def messages_and_lag(
    settings: Settings, admin: TopicAdmin, topics: Iterable[TopicDescription]
) -> tuple[dict[str, int], int]:
    """Records kept in each topic, and those of the input topic that the group has yet to commit.

    Both count offsets, so that what compaction or a transaction left out counts too.
    """
    places = [TopicPartition(topic.name, number) for topic in topics for number in range(topic.partitions)]
    if not places:
        return {}, 0
    async with started(kafka_consumer(**client_options(settings)), settings) as consumer:
        first = await consumer.beginning_offsets(places)
        end = await consumer.end_offsets(places)
    messages: dict[str, int] = {}
    for place in places:
        messages[place.topic] = messages.get(place.topic, 0) + end[place] - first[place]
    source = [place for place in places if place.topic == settings.input_topic]
    committed = await _committed_offsets(admin, settings.group, source) if source else {}
    start = first if settings.from_beginning else end
    lag = sum(end[place] - max(committed.get(place, start[place]), first[place]) for place in source)
    return messages, lag


async def _committed_offsets(admin: TopicAdmin, group: str, places: list[TopicPartition]) -> dict[TopicPartition, int]:
    """Next offsets of `group`; partitions for which it has committed nothing are left out."""
    try:
        found = await admin.client.list_consumer_group_offsets(group, partitions=places)
    except (KafkaError, OSError, TimeoutError):
        return {}  # no coordinator yet, as in a cluster where no group has ever been
    return {place: state.offset for place, state in found.items() if state.offset >= 0}
