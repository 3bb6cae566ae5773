"""What the commands for people share when they talk to Kafka: short waits, clear errors, and where a topic stands."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator
from typing import Any, TypeVar

import click
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.errors import KafkaError

from worker.consumers import kafka_consumer
from worker.errors import AccessError, BrokerError, TopicError, UnreachableError, WorkerError
from worker.security import as_worker_error, client_options, lacking, why_not
from worker.settings import Settings
from worker.topic_specs import TopicDescription, missing_topics_message
from worker.topics import TopicAdmin, open_admin

T = TypeVar("T")

PATIENCE_S = 15.0
"""How long each command for people waits for the broker; `start_timeout_s` is meant for a service."""
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.2, 1.0
STOP_PATIENCE_S = 5.0


def impatient(settings: Settings) -> Settings:
    """The same settings with a wait for the broker that suits somebody who looks on."""
    return settings.model_copy(update={"start_timeout_s": min(settings.start_timeout_s, PATIENCE_S)})


async def patiently(settings: Settings, attempt: Callable[[], Awaitable[T]]) -> T:
    """What `attempt` answers; it is tried again while it raises `BrokerError`, and somebody who looks on is told why.

    Raises `UnreachableError` when the time is up.
    """
    patience_s = impatient(settings).start_timeout_s
    deadline = time.monotonic() + patience_s
    pause_s, reason, said = FIRST_PAUSE_S, "no answer", False
    while True:
        try:
            with _hushed():
                async with asyncio.timeout(max(deadline - time.monotonic(), 0.001)):
                    return await attempt()
        except (BrokerError, TimeoutError) as error:
            reason = str(error) or reason
            left_s = deadline - time.monotonic()
            if left_s <= 0:
                raise unreachable(settings, reason) from error
        if not said:
            said = True
            line = f"waiting for Kafka at {settings.bootstrap_servers} ({reason}), up to {patience_s:g} s"
            click.echo(click.style(line, dim=True), err=True)
        await asyncio.sleep(min(pause_s, left_s))
        pause_s = min(2 * pause_s, LONGEST_PAUSE_S)


@contextlib.contextmanager
def _hushed() -> Iterator[None]:
    """aiokafka does not log what is told here in other words."""
    logger = logging.getLogger("aiokafka")
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        logger.setLevel(level)


@contextlib.asynccontextmanager
async def reachable_admin(settings: Settings) -> AsyncIterator[TopicAdmin]:
    """An admin client; raises `UnreachableError` when no broker answers in time."""
    async with contextlib.AsyncExitStack() as stack:
        admin = await patiently(settings, lambda: stack.enter_async_context(open_admin(settings)))
        try:
            yield admin
        except BrokerError as error:
            raise unreachable(settings, str(error)) from error


async def existing_topics(settings: Settings, *names: str) -> dict[str, TopicDescription]:
    """The topics `names`, each of which is ready for use; none is created.

    Raises `TopicError` that names those that are missing, and `UnreachableError`.
    """
    async with reachable_admin(settings) as admin:
        found = await patiently(settings, lambda: admin.describe(names))
        if missing := [name for name in names if name not in found]:
            raise TopicError(missing_topics_message(settings, missing, found.values(), await admin.names()))
    return found


def unreachable(settings: Settings, reason: str) -> UnreachableError:
    """The error for a broker that does not answer."""
    return UnreachableError(
        f"Kafka at {settings.bootstrap_servers} does not answer ({reason or 'nothing in time'});"
        " check --bootstrap-servers and that it is up"
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
    except asyncio.CancelledError:  # Ctrl-C
        await _stop(client)
        raise
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
        return unreachable(settings, str(error))
    reason = as_worker_error(failure)
    return reason if isinstance(reason, AccessError) else unreachable(settings, str(reason))


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
