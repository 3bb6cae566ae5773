"""The committed offsets of a group, none of them while a transaction that may move it is pending.

aiokafka 0.14 asks with OffsetFetch version 3, which answers what was stable before; version 7 knows ``require_stable``
(KIP-447). Without it a member could start at an offset that a transaction, already decided, is about to move.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Iterable
from typing import Any

from aiokafka import AIOKafkaConsumer
from aiokafka.errors import NotCoordinatorForGroupError, for_code
from aiokafka.protocol.api import Request, RequestStruct, Response
from aiokafka.protocol.commit import OffsetFetchRequest
from aiokafka.protocol.types import (
    Boolean,
    CompactArray,
    CompactString,
    Int16,
    Int32,
    Int64,
    Schema,
    TaggedFields,
)
from aiokafka.structs import OffsetAndMetadata
from aiokafka.structs import TopicPartition as KafkaPartition

UNSTABLE_OFFSET_COMMIT = 88
PAUSE_S = 0.02
NOTHING = -1

_TEXT = CompactString("utf-8")


class _Response(Response):  # type: ignore[misc]  # aiokafka's types are Any here and below
    API_KEY = 9
    API_VERSION = 7
    SCHEMA = Schema(
        ("throttle_time_ms", Int32),
        (
            "topics",
            CompactArray(
                ("topic", _TEXT),
                (
                    "partitions",
                    CompactArray(
                        ("partition", Int32),
                        ("offset", Int64),
                        ("leader_epoch", Int32),
                        ("metadata", _TEXT),
                        ("error_code", Int16),
                        ("tags", TaggedFields),
                    ),
                ),
                ("tags", TaggedFields),
            ),
        ),
        ("error_code", Int16),
        ("tags", TaggedFields),
    )


class _RequestV7(RequestStruct):  # type: ignore[misc]
    API_KEY = 9
    API_VERSION = 7
    FLEXIBLE_VERSION = True
    RESPONSE_TYPE = _Response
    SCHEMA = Schema(
        ("group", _TEXT),
        (
            "topics",
            CompactArray(("topic", _TEXT), ("partitions", CompactArray(Int32)), ("tags", TaggedFields)),
        ),
        ("require_stable", Boolean),
        ("tags", TaggedFields),
    )


class _StableOffsetFetch(Request[_RequestV7]):  # type: ignore[misc]
    API_KEY = 9

    def __init__(self, group: str, partitions: dict[str, list[int]]) -> None:
        self._group = group
        self._partitions = partitions

    def build(self, request_struct_class: type[_RequestV7]) -> _RequestV7:
        topics: list[tuple[str, list[int], dict[int, bytes]]] = [
            (topic, numbers, {}) for topic, numbers in self._partitions.items()
        ]
        return request_struct_class(self._group, topics, True, {})


async def committed_offsets(
    consumer: AIOKafkaConsumer, partitions: Iterable[KafkaPartition]
) -> dict[KafkaPartition, OffsetAndMetadata]:
    """Next offsets and metadata of those of `partitions` that have any; waits for pending transactions.

    Raises KafkaError when the broker cannot say now. Call it on the consumer's own event loop.
    """
    wanted = list(partitions)
    while True:
        offsets, pending = await offsets_by_now(consumer, wanted)
        if not pending:
            return offsets
        await asyncio.sleep(PAUSE_S)


async def offsets_by_now(
    consumer: AIOKafkaConsumer, partitions: Iterable[KafkaPartition]
) -> tuple[dict[KafkaPartition, OffsetAndMetadata], set[KafkaPartition]]:
    """Like `committed_offsets` without waiting: and the partitions of which a transaction is about to move the offset.

    Of those no offset is known. A broker before Kafka 2.5 does not tell them apart.
    """
    wanted: dict[str, list[int]] = defaultdict(list)
    for partition in partitions:
        wanted[partition.topic].append(partition.partition)
    if not wanted:
        return {}, set()
    coordinator = consumer._coordinator
    await coordinator.ensure_coordinator_known()
    try:
        response = await coordinator._send_req(_StableOffsetFetch(coordinator.group_id, dict(wanted)))
    except NotImplementedError:  # a broker before 2.5
        response = await coordinator._send_req(OffsetFetchRequest(coordinator.group_id, list(wanted.items())))
    return _read(response, coordinator)


def _read(response: Any, coordinator: Any) -> tuple[dict[KafkaPartition, OffsetAndMetadata], set[KafkaPartition]]:
    offsets, pending = {}, set()
    codes = [getattr(response, "error_code", 0)]
    for topic, partitions, *_ in response.topics:
        for number, offset, *rest in partitions:
            partition = KafkaPartition(topic, number)
            metadata, code = rest[-3:-1] if len(rest) > 2 else rest
            if code == UNSTABLE_OFFSET_COMMIT:
                pending.add(partition)
                continue
            codes.append(code)
            if offset != NOTHING:
                offsets[partition] = OffsetAndMetadata(offset, metadata or "")
    for code in filter(None, codes):
        error = for_code(code)
        if error is NotCoordinatorForGroupError:
            coordinator.coordinator_dead()
        raise error()
    return offsets, pending
