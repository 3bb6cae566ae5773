"""The ids of topics: one that is deleted and created again under its name has another.

Kafka gives them since 2.8, with Metadata 10; aiokafka 0.14 asks with version 5, and fetches by name. So what a fetch
returned may be of another topic than the one that the assignment began with, and of that its offset says nothing.
"""

from __future__ import annotations

import asyncio
import base64
from collections import defaultdict
from collections.abc import Callable, Collection
from io import BytesIO
from typing import Any

from aiokafka.errors import LeaderNotAvailableError, for_code
from aiokafka.protocol.abstract import AbstractType
from aiokafka.protocol.api import Request, RequestStruct, Response
from aiokafka.protocol.types import (
    Boolean,
    CompactArray,
    CompactString,
    Int16,
    Int32,
    Schema,
    TaggedFields,
    UnsignedVarInt32,
)
from aiokafka.structs import TopicPartition as KafkaPartition

CONNECTION = 2
"""Of each broker aiokafka has one for fetching, where an answer may wait for records, and one for the group."""
UUID_BYTES = 16
NO_ID = ""

_TEXT = CompactString("utf-8")


class _Uuid(AbstractType[bytes]):  # type: ignore[misc]  # aiokafka's types are Any here and below
    @classmethod
    def encode(cls, value: bytes) -> bytes:
        return value

    @classmethod
    def decode(cls, data: BytesIO) -> bytes:
        return data.read(UUID_BYTES)


class _Response(Response):  # type: ignore[misc]
    """As far as the id of the one topic that was asked for; its partitions follow."""

    API_KEY = 3
    API_VERSION = 10
    SCHEMA = Schema(
        ("throttle_time_ms", Int32),
        (
            "brokers",
            CompactArray(("node_id", Int32), ("host", _TEXT), ("port", Int32), ("rack", _TEXT), ("tags", TaggedFields)),
        ),
        ("cluster_id", _TEXT),
        ("controller_id", Int32),
        ("topics_and_one", UnsignedVarInt32),
        ("error_code", Int16),
        ("name", _TEXT),
        ("topic_id", _Uuid),
    )


class _RequestV10(RequestStruct):  # type: ignore[misc]
    API_KEY = 3
    API_VERSION = 10
    FLEXIBLE_VERSION = True
    RESPONSE_TYPE = _Response
    SCHEMA = Schema(
        ("topics", CompactArray(("topic_id", _Uuid), ("name", _TEXT), ("tags", TaggedFields))),
        ("allow_auto_topic_creation", Boolean),
        ("include_cluster_authorized_operations", Boolean),
        ("include_topic_authorized_operations", Boolean),
        ("tags", TaggedFields),
    )


class _TopicMetadata(Request[_RequestV10]):  # type: ignore[misc]
    API_KEY = 3

    def __init__(self, topic: str) -> None:
        self._topic = topic

    def build(self, request_struct_class: type[_RequestV10]) -> _RequestV10:
        return request_struct_class([(bytes(UUID_BYTES), self._topic, {})], False, False, False, {})


async def topic_id(client: Any, broker: int, topic: str) -> str:
    """The id of a topic in Kafka's own spelling, as this broker knows it; empty where it does not know ids.

    Raises KafkaError when the broker does not answer, or knows no such topic. Creates none.
    """
    try:
        response = await client.send(broker, _TopicMetadata(topic), group=CONNECTION)
    except NotImplementedError:  # a broker before 2.8
        return NO_ID
    if response.error_code not in (0, LeaderNotAvailableError.errno):
        raise for_code(response.error_code)(topic)
    if response.topic_id == bytes(UUID_BYTES):
        return NO_ID
    return base64.urlsafe_b64encode(response.topic_id).decode().rstrip("=")


class TopicIds:
    """Which topics, by id, a consumer that is started has seen under their names. For its event loop."""

    def __init__(self, consumer: Any, generation: Callable[[], int]) -> None:
        self._client = consumer._client
        self._generation = generation
        self._known: dict[str, str] = {}
        self._gone: set[str] = set()
        self._begun: dict[str, str] = {}
        self.made_anew: dict[str, str] = {}
        """Topics that were made anew since the last assignment began, with their ids before."""
        self._mixed = -1

    def known(self, topic: str) -> str:
        """The newest id of a topic; empty where none is known."""
        return self._known.get(topic, NO_ID)

    def begun(self, topic: str) -> str:
        """The id of the topic that the assignment has begun with; empty where none is known. From any thread."""
        return self._begun.get(topic, NO_ID)

    def begin(self) -> None:
        """An assignment begins with what is known."""
        self._begun = dict(self._known)
        self.made_anew.clear()

    def is_mixed(self, generation: int | None = None) -> bool:
        """Whether a topic was made anew in this generation, or in that of now.

        What came of it in such a generation may be of the one or of the other.
        """
        return self._mixed == (self._generation() if generation is None else generation)

    async def look(self, partitions: Collection[KafkaPartition]) -> list[KafkaPartition]:
        """Ask the leaders of `partitions`; answers those whose leader has another topic than the one known before.

        A broker that has a topic's records knows its id; another may learn of it later. Raises KafkaError.
        """
        asked: dict[tuple[int, str], list[KafkaPartition]] = defaultdict(list)
        for partition in partitions:
            asked[self._whom_to_ask(partition), partition.topic].append(partition)
        answers = await asyncio.gather(*(topic_id(self._client, broker, topic) for broker, topic in asked))
        others = []
        for (_, topic), places, answer in zip(asked, asked.values(), answers, strict=True):
            before = self.known(topic)
            if answer in (NO_ID, before):
                continue
            if before:
                others += places
            if answer not in self._gone:
                self._known[topic] = answer
            if before and answer not in self._gone:
                self._gone.add(before)
                self.made_anew.setdefault(topic, before)
                self._mixed = self._generation()
        return others

    def _whom_to_ask(self, partition: KafkaPartition) -> int:
        """The leader; any broker when the partition has none."""
        leader = self._client.cluster.leader_for_partition(partition)
        broker: int | None = self._client.get_random_node() if leader in (None, -1) else leader
        if broker is None:
            raise LeaderNotAvailableError(partition)
        return broker
