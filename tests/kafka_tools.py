"""Plain asynchronous functions on aiokafka for tests: create topics, produce, consume, look at offsets.

Each takes the bootstrap servers first, opens its own client and closes it again.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, ConsumerRecord, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewPartitions, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import GroupCoordinatorNotAvailableError, KafkaError, TopicAlreadyExistsError, for_code
from aiokafka.structs import RecordMetadata

from worker.kafka.compat import stable_offset_fetch as committed

DEADLINE_S = 30.0
RETRY_PAUSE_S = 0.1
READ_AT_ONCE = 100


@dataclass(frozen=True, slots=True)
class Message:
    """One record to produce."""

    value: bytes | None
    key: bytes | None = None
    headers: Sequence[tuple[str, bytes | None]] = ()
    timestamp_ms: int | None = None
    partition: int | None = None


async def create_topics(
    bootstrap_servers: str,
    *names: str,
    partitions: int = 1,
    replication: int = -1,
    config: Mapping[str, str] | None = None,
) -> None:
    """Create topics and wait until they can be used; raises KafkaError when one cannot be created or exists already."""
    # aiokafka takes -1, the broker's own default, only together with an assignment of replicas, be it empty.
    assignments: dict[int, list[int]] | None = {} if replication == -1 else None
    topics = [NewTopic(name, partitions, replication, assignments, dict(config or {})) for name in names]
    async with _admin(bootstrap_servers) as admin:
        response = await admin.create_topics(topics)
        for name, code, *message in response.topic_errors:
            if code:
                raise for_code(code)(f"{name}: {message}")
        async with asyncio.timeout(DEADLINE_S):
            while True:
                if await _have_leaders(admin, names, partitions):
                    return
                await asyncio.sleep(RETRY_PAUSE_S)


async def delete_topics(bootstrap_servers: str, *names: str) -> None:
    """Delete topics; returns when the controller has accepted it."""
    async with _admin(bootstrap_servers) as admin:
        await admin.delete_topics(list(names))


async def created_again(bootstrap_servers: str, topic: str, partitions: int = 1) -> None:
    """Delete a topic and create it again, as soon as its name is free."""
    await delete_topics(bootstrap_servers, topic)
    async with asyncio.timeout(DEADLINE_S):
        while True:
            try:
                return await create_topics(bootstrap_servers, topic, partitions=partitions)
            except TopicAlreadyExistsError:  # it is still being deleted
                await asyncio.sleep(RETRY_PAUSE_S)


async def create_partitions(bootstrap_servers: str, topic: str, total: int) -> None:
    """Let a topic grow to `total` partitions and wait until they can be used; raises KafkaError when refused."""
    async with _admin(bootstrap_servers) as admin, asyncio.timeout(DEADLINE_S):
        response = await admin.create_partitions({topic: NewPartitions(total)})
        for name, code, message in response.topic_errors:
            if code:
                raise for_code(code)(f"{name}: {message}")
        while True:
            if await _have_leaders(admin, [topic], total):
                return
            await asyncio.sleep(RETRY_PAUSE_S)


async def produce(
    bootstrap_servers: str,
    topic: str,
    messages: Iterable[Message | bytes | None],
    *,
    compression: str | None = None,
    transactional_id: str | None = None,
    abort: bool = False,
) -> list[RecordMetadata]:
    """Send `messages` in order, acknowledged by all replicas; bytes are a value without a key.

    With a `transactional_id` all go into one transaction, which is committed, or aborted when `abort` is set.
    """
    producer = AIOKafkaProducer(
        bootstrap_servers=bootstrap_servers,
        acks="all",
        enable_idempotence=True,
        compression_type=compression,
        transactional_id=transactional_id,
        linger_ms=5,
    )
    async with producer:
        if transactional_id is None:
            return await _send_all(producer, topic, messages)
        await producer.begin_transaction()
        sent = await _send_all(producer, topic, messages)
        await (producer.abort_transaction() if abort else producer.commit_transaction())
        return sent


async def consume_all(
    bootstrap_servers: str,
    topic: str,
    *,
    count: int | None = None,
    until: Callable[[list[ConsumerRecord]], bool] | None = None,
    read_committed: bool = False,
    deadline_s: float = DEADLINE_S,
) -> list[ConsumerRecord]:
    """All records of a topic from its beginning, without a group; per partition they are in order.

    Ends when there are `count` of them or more, or when `until` is true of what was read; with neither, at the end of
    each partition as it was written by now: transactions that are open there are waited for. Raises AssertionError
    that says what was seen when the deadline passes first.
    """
    seen: list[ConsumerRecord] = []
    try:
        reading = reader(bootstrap_servers, topic, read_committed=read_committed)
        async with asyncio.timeout(deadline_s), reading as consumer:
            ends = {} if count is not None or until is not None else await end_offsets(bootstrap_servers, topic)
            done = _condition(consumer, seen, count, until, ends)
            while not await done():
                for records in (await consumer.getmany(timeout_ms=100)).values():
                    seen.extend(records)
    except TimeoutError:
        wanted = "what was waited for" if count is None else f"{count} records"
        raise AssertionError(f"{topic}: no sign of {wanted} within {deadline_s:g} s; {describe(seen)}") from None
    return seen


def describe(records: Sequence[ConsumerRecord]) -> str:
    """What was read, in a line or two: how many per partition, and the last few."""
    per_partition = Counter(record.partition for record in records)
    counts = ", ".join(f"partition {number}: {seen}" for number, seen in sorted(per_partition.items()))
    last = "; ".join(
        f"{record.partition}/{record.offset} key={record.key!r} value={(record.value or b'')[:80]!r}"
        for record in records[-3:]
    )
    return f"seen: {len(records)} records ({counts or 'none'}){'; last: ' + last if last else ''}"


async def committed_offsets(bootstrap_servers: str, group: str) -> dict[TopicPartition, int]:
    """Next offsets that the group has stored; empty for a group that has none.

    What a transaction moves is seen some time after the transaction's end, and not at the moment when its records are.
    """
    async with _admin(bootstrap_servers) as admin, asyncio.timeout(DEADLINE_S):
        while True:
            try:
                stored = await admin.list_consumer_group_offsets(group)
            except GroupCoordinatorNotAvailableError:  # the broker makes its own topic at first use
                await asyncio.sleep(RETRY_PAUSE_S)
            else:
                return {partition: offset.offset for partition, offset in stored.items() if offset.offset >= 0}


async def stable_offsets(bootstrap_servers: str, group: str, topic: str) -> dict[TopicPartition, int]:
    """Like `committed_offsets`, of one topic, once no transaction is about to move one of them."""
    consumer = AIOKafkaConsumer(bootstrap_servers=bootstrap_servers, group_id=group, enable_auto_commit=False)
    async with asyncio.timeout(DEADLINE_S), consumer, _admin(bootstrap_servers) as admin:
        (described,) = await admin.describe_topics([topic])
        partitions = [TopicPartition(topic, each["partition"]) for each in described["partitions"]]
        while True:
            try:
                stored = await committed.committed_offsets(consumer, partitions)
            except KafkaError as error:  # the broker may have only just come back
                if not error.retriable:
                    raise
                await asyncio.sleep(RETRY_PAUSE_S)
            else:
                return {partition: each.offset for partition, each in stored.items()}


async def member_ids(bootstrap_servers: str, group: str) -> list[str]:
    """The ids of a group's members, those that wait for a rebalance included."""
    async with _admin(bootstrap_servers) as admin:
        (response,) = await admin.describe_consumer_groups([group])
        ((_, _, _, _, _, members, *_),) = response.groups
        return [member_id for member_id, *_ in members]


async def end_offsets(bootstrap_servers: str, *topics: str) -> dict[TopicPartition, int]:
    """The offset after the last record of each partition, be its transaction decided or not."""
    async with reader(bootstrap_servers, *topics) as consumer:
        return await consumer.end_offsets(consumer.assignment())


@asynccontextmanager
async def reader(
    bootstrap_servers: str,
    *topics: str,
    read_committed: bool = False,
    positions: Mapping[TopicPartition, int] | None = None,
) -> AsyncIterator[AIOKafkaConsumer]:
    """A consumer without a group, for all partitions of topics that exist; at `positions`, else at the beginning."""
    consumer = AIOKafkaConsumer(
        bootstrap_servers=bootstrap_servers,
        auto_offset_reset="earliest",
        enable_auto_commit=False,
        isolation_level="read_committed" if read_committed else "read_uncommitted",
        fetch_max_wait_ms=100,
    )
    async with consumer, _admin(bootstrap_servers) as admin:
        partitions = []
        for described in await admin.describe_topics(list(topics)):
            if described["error_code"]:
                raise KafkaError(f"{described['topic']}: {for_code(described['error_code']).__name__}")
            partitions += [TopicPartition(described["topic"], each["partition"]) for each in described["partitions"]]
        consumer.assign(partitions)
        for partition in partitions:
            if positions and partition in positions:
                consumer.seek(partition, positions[partition])
        yield consumer


async def read_to_the_end(
    consumer: AIOKafkaConsumer, positions: dict[TopicPartition, int], deadline_s: float = DEADLINE_S
) -> AsyncIterator[ConsumerRecord]:
    """What a `reader` has not read yet, up to the end of each partition as it is now; keeps `positions` up to date.

    For a reader of committed records that end is the first open transaction.

    Raises AssertionError when the deadline passes first.
    """
    until = asyncio.get_running_loop().time() + deadline_s
    ends = await consumer.end_offsets(consumer.assignment())
    while True:
        # A few at a time: nothing of it waits while records are there, and what else is on this loop (a load, a proxy
        # that a worker sees its broker through) would stand still for seconds.
        for records in (await consumer.getmany(timeout_ms=20, max_records=READ_AT_ONCE)).values():
            for record in records:
                yield record
        for partition in ends:
            positions[partition] = await consumer.position(partition)
        if all(positions[partition] >= end for partition, end in ends.items()):
            return
        await asyncio.sleep(0)
        if asyncio.get_running_loop().time() > until:
            raise AssertionError(f"the output could not be read to its end within {deadline_s:g} s")


async def leaders(bootstrap_servers: str, topic: str) -> dict[int, int]:
    """The broker that leads each partition of a topic."""
    async with _admin(bootstrap_servers) as admin:
        (described,) = await admin.describe_topics([topic])
        return {each["partition"]: each["leader"] for each in described["partitions"]}


async def coordinator(bootstrap_servers: str, group: str) -> int:
    """The broker that coordinates a group."""
    async with _admin(bootstrap_servers) as admin:
        return int(await admin.find_coordinator(group))


async def all_in_sync(bootstrap_servers: str) -> bool:
    """Whether every replica of every topic, Kafka's own included, has caught up with its leader."""
    async with _admin(bootstrap_servers) as admin:
        described = await admin.describe_topics()
        partitions = [each for topic in described for each in topic["partitions"]]
        return all(sorted(each["isr"]) == sorted(each["replicas"]) for each in partitions)


async def set_topic(bootstrap_servers: str, topic: str, settings: Mapping[str, str]) -> None:
    """Make `settings` all that the topic has of its own; returns when they are in force."""
    async with _admin(bootstrap_servers) as admin:
        resource = ConfigResource(ConfigResourceType.TOPIC, topic, configs=dict(settings))
        for answer in await admin.alter_configs([resource]):
            for code, message, *_ in answer.resources:
                if code:
                    raise for_code(code)(f"{topic}: {message}")


async def topic_configs(bootstrap_servers: str, topic: str) -> dict[str, str]:
    """A topic's settings, in Kafka's names."""
    async with _admin(bootstrap_servers) as admin:
        (response,) = await admin.describe_configs([ConfigResource(ConfigResourceType.TOPIC, topic)])
        ((*_, entries),) = response.resources
        return {entry[0]: entry[1] for entry in entries}


async def _send_all(
    producer: AIOKafkaProducer, topic: str, messages: Iterable[Message | bytes | None]
) -> list[RecordMetadata]:
    futures = []
    for each in messages:
        message = each if isinstance(each, Message) else Message(each)
        futures.append(
            await producer.send(
                topic,
                message.value,
                key=message.key,
                partition=message.partition,
                timestamp_ms=message.timestamp_ms,
                headers=list(message.headers) or None,
            )
        )
    return await asyncio.gather(*futures)


def _condition(
    consumer: AIOKafkaConsumer,
    seen: list[ConsumerRecord],
    count: int | None,
    until: Callable[[list[ConsumerRecord]], bool] | None,
    ends: Mapping[TopicPartition, int],
) -> Callable[[], object]:
    if count is not None or until is not None:

        async def enough() -> bool:
            return (count is not None and len(seen) >= count) or (until is not None and until(seen))

        return enough

    async def at_the_end() -> bool:
        return all([await consumer.position(partition) >= end for partition, end in ends.items()])

    return at_the_end


async def _have_leaders(admin: AIOKafkaAdminClient, names: Sequence[str], partitions: int) -> bool:
    described = await admin.describe_topics(list(names))
    return all(
        not topic["error_code"]
        and len(topic["partitions"]) == partitions
        and all(partition["leader"] >= 0 for partition in topic["partitions"])
        for topic in described
    )


@asynccontextmanager
async def _admin(bootstrap_servers: str) -> AsyncIterator[AIOKafkaAdminClient]:
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap_servers)
    try:
        await admin.start()
        yield admin
    finally:
        await admin.close()
