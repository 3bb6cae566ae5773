"""The id of a topic: one that is deleted and created again under its name has another.

Kafka gives it since 2.8, with Metadata 10; aiokafka 0.14 asks with version 5.
"""

from __future__ import annotations

import base64
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
