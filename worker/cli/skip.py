"""``reviews-worker skip``: go on behind a damaged batch of the input topic."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any, NamedTuple

import click
import orjson

from worker.cli.interrupts import run_async
from worker.cli.options import KAFKA_OPTIONS, SettingsCommand, read_settings, setting_options
from worker.cli.positions import Position, read_position
from worker.cli.terminal import on_terminal
from worker.errors import DamagedBatchError, UnreachableError, UsageError
from worker.observability.logs import configure_logging
from worker.settings import Settings

if TYPE_CHECKING:
    from aiokafka.structs import OffsetAndMetadata

READ_PATIENCE_S = 30.0
FENCE_PATIENCE_S = 60.0
POLL_MS = 500


class Skip(NamedTuple):
    """What is, or would be, left out."""

    topic: str
    partition: int
    first: int
    until: int
    """The next offset to read."""
    reason: str


@click.command(cls=SettingsCommand)
@click.argument("position")
@click.option("--to", "until", type=click.IntRange(min=1), metavar="OFFSET", help="The offset to go on with.")
@click.option("--dry-run", is_flag=True, help="Say what would be skipped; change nothing.")
@setting_options(
    *KAFKA_OPTIONS,
    "group",
    "input_topic",
    "read_committed",
    "processing_guarantee",
    "transaction_timeout_s",
)
@click.pass_context
def command(context: click.Context, position: str, until: int | None, dry_run: bool) -> None:
    """Let the group go on behind a damaged batch.

    POSITION is where the worker's log says that it cannot read: "0/1234" for partition and offset, or
    "reviews.in/0/1234". What the batch held is lost to the group: it is in no topic and among no dead letters.

    The workers of the group have to be stopped. Where the batch does not say where it ends, --to has to.

    Without a terminal the result is one JSON object.
    """
    settings = read_settings(context)
    configure_logging("CRITICAL", "human")
    skip = run_async(_skip(settings, read_position(position, settings.input_topic), until, dry_run=dry_run))
    if not on_terminal():
        click.echo(orjson.dumps({**skip._asdict(), "offsets": skip.until - skip.first, "dry_run": dry_run}))
        return
    count = skip.until - skip.first
    click.echo(
        f"{'would skip' if dry_run else 'skipped'} {count:,} offset{'' if count == 1 else 's'} of"
        f" {skip.topic}/{skip.partition}, {skip.first} to {skip.until - 1} ({skip.reason})"
    )


async def _skip(settings: Settings, place: Position, until: int | None, *, dry_run: bool) -> Skip:
    from aiokafka.errors import CommitFailedError, IllegalGenerationError, KafkaError, UnknownMemberIdError
    from aiokafka.structs import OffsetAndMetadata, TopicPartition

    from worker.cli.kafka import may_read, started, unreachable
    from worker.kafka.consumers import kafka_consumer
    from worker.kafka.security import client_options

    await _check_topic(settings, place)
    consumer = kafka_consumer(
        **client_options(settings),
        group_id=settings.group,
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        isolation_level="read_committed" if settings.read_committed else "read_uncommitted",
    )
    partition = TopicPartition(place.topic, place.partition)
    try:
        async with started(consumer, settings), may_read():
            consumer.assign([partition])
            await _check_no_members(consumer, settings)
            stored = await _stored_offset(consumer, settings, partition, may_fence=not dry_run)
            metadata = await _metadata(consumer, partition, stored)
            start = stored.offset if stored else (await consumer.beginning_offsets([partition]))[partition]
            end = (await consumer.end_offsets([partition]))[partition]
            damage = await _find_damage(consumer, partition, place, start, end)
            skip = Skip(place.topic, place.partition, damage.offset, next_offset(damage, until, end), damage.reason)
            if not dry_run:
                await consumer.commit({partition: OffsetAndMetadata(skip.until, metadata)})
            return skip
    except (CommitFailedError, IllegalGenerationError, UnknownMemberIdError) as error:
        raise _has_members(settings) from error
    except (KafkaError, TimeoutError) as error:
        raise unreachable(settings, str(error)) from error


async def _check_topic(settings: Settings, place: Position) -> None:
    from worker.cli.kafka import existing_topics

    found = (await existing_topics(settings, place.topic))[place.topic]
    if place.partition >= found.partitions:
        raise UsageError(f"{place.topic} has no partition {place.partition}: they are 0 to {found.partitions - 1}")


async def _check_no_members(consumer: Any, settings: Settings) -> None:
    from worker.kafka.compat.group_description import describe_group

    if (await describe_group(consumer._coordinator)).members:
        raise _has_members(settings)


def _has_members(settings: Settings) -> UsageError:
    return UsageError(
        f"group {settings.group} has members, which would commit over it; stop its workers first (one that was killed"
        " counts until its session is over, 30 s by default)"
    )


async def _stored_offset(
    consumer: Any, settings: Settings, partition: Any, *, may_fence: bool
) -> OffsetAndMetadata | None:
    """What the group has committed. A transaction that may still move it is brought to its end first."""
    from worker.delivery.offset_metadata import OffsetMetadata
    from worker.kafka.compat.stable_offset_fetch import committed_offsets, offsets_by_now

    stored, pending = await offsets_by_now(consumer, [partition])
    marked = partition in stored and OffsetMetadata.parse(stored[partition].metadata).exactly_once
    if may_fence and (pending or marked or settings.exactly_once):
        await _fence(settings, partition)
    try:
        async with asyncio.timeout(FENCE_PATIENCE_S):
            found: OffsetAndMetadata | None = (await committed_offsets(consumer, [partition])).get(partition)
    except TimeoutError as error:
        raise UsageError(
            f"a transaction of group {settings.group} is open, and may still move its offset; stop its workers and run"
            " this without --dry-run, which ends it, or wait until the broker does"
        ) from error
    return found


async def _metadata(consumer: Any, partition: Any, stored: OffsetAndMetadata | None) -> str:
    """What is to be stored beside the offset: what was, and the topic that it is an offset of."""
    from worker.delivery.offset_metadata import OffsetMetadata
    from worker.source.topic_ids import TopicIds

    topic_ids = TopicIds(consumer, lambda: 0)
    await topic_ids.look([partition])
    topic_id = topic_ids.known(partition.topic)
    metadata = OffsetMetadata.parse(stored.metadata if stored else "")
    if not metadata.is_of(topic_id):
        raise UsageError(
            f"what the group has committed is of another topic of the name {partition.topic}, which is gone; start a"
            " worker, which begins with the present one"
        )
    return str(metadata._replace(topic_id=topic_id))


async def _fence(settings: Settings, partition: Any) -> None:
    from worker.delivery.kafka_transactions import KafkaTransactions
    from worker.delivery.offset_metadata import OffsetMetadata
    from worker.delivery.retry import persistently
    from worker.delivery.silence import Silence
    from worker.delivery.transactions import transactional_id
    from worker.records import TopicPartition
    from worker.service.assembly import new_producer

    async def nothing(_: TopicPartition) -> int | None:
        return None

    def no_metadata(_: TopicPartition) -> OffsetMetadata:
        return OffsetMetadata()

    place = TopicPartition(*partition)
    identity = transactional_id(settings.group, place)
    transactions = KafkaTransactions(
        place, settings.group, lambda: new_producer(settings, identity), nothing, no_metadata, Silence()
    )
    try:
        async with asyncio.timeout(FENCE_PATIENCE_S):
            await persistently(f"taking over {place.place}", transactions.open, on_failure=lambda: None)
    finally:
        await transactions.close()


async def _find_damage(consumer: Any, partition: Any, place: Position, start: int, end: int) -> DamagedBatchError:
    """The damage that the group meets next, which must be the one at `place`; raises `UsageError` otherwise."""
    consumer.seek(partition, start)
    until = time.monotonic() + READ_PATIENCE_S
    while (position := await consumer.position(partition)) < end and time.monotonic() < until:
        try:
            records = (await consumer.getmany(partition, timeout_ms=POLL_MS, max_records=1)).get(partition)
        except DamagedBatchError as damage:
            if damage.offset <= place.offset and (damage.end is None or place.offset < damage.end):
                return damage
            raise UsageError(
                f"the group cannot read on at {damage.offset}, not at {place.offset}: {damage}"
            ) from damage
        if records:
            raise UsageError(
                f"{place.topic}/{place.partition}/{records[0].offset} can be read, and the group has not got further:"
                " nothing is skipped. Start a worker, which reads to the damage if there is any"
            )
    if position < end:
        raise UnreachableError(
            f"{place.topic}/{place.partition} was read to {position} only in {READ_PATIENCE_S:g} s; the damage has to"
            " be met on the way: try again"
        )
    raise UsageError(f"nothing of {place.topic}/{place.partition} is damaged from {start} to {position}")


def next_offset(damage: DamagedBatchError, given: int | None, end: int) -> int:
    """The offset to go on with: `given`, or the end of the damage; `end` is that of what may be read.

    Raises UsageError where none is known, or it would skip more than the damage.
    """
    until = damage.end if given is None else given
    if until is None:
        raise UsageError(
            f"{damage}; the batch does not say where it ends. Give --to with the offset to go on with, {end} at most"
        )
    if given is None and until > end:
        raise UsageError(
            f"the damage from {damage.offset} to {until - 1} reaches beyond what may be read yet, {end}: a transaction"
            " is open; try again when it has ended"
        )
    if damage.end is not None and until > damage.end:
        raise UsageError(f"--to {until} would skip records behind the damage, which ends at {damage.end - 1}")
    if not damage.offset < until <= end:
        raise UsageError(f"--to {until} is not behind the damage at {damage.offset}, or beyond the end, {end}")
    return until
