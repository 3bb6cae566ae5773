"""What a consumer does not show of the batches on a topic: their codec."""

from __future__ import annotations

from aiokafka.client import AIOKafkaClient
from aiokafka.protocol.fetch import FetchRequest
from aiokafka.structs import TopicPartition

_LENGTH_AT, _ATTRIBUTES_AT, _CODEC_BITS = 8, 21, 0x07
"""Of a record batch of version 2: https://kafka.apache.org/documentation/#recordbatch."""


async def codecs_of(bootstrap_servers: str, topic: str, partition: int = 0) -> set[int]:
    """Numbers of the codecs that the batches of a partition are compressed with (0 none, 1 gzip, ... 4 zstd)."""
    client = AIOKafkaClient(bootstrap_servers=bootstrap_servers)
    await client.bootstrap()
    try:
        await client.set_topics([topic])
        leader = client.cluster.leader_for_partition(TopicPartition(topic, partition))
        request = FetchRequest(500, 1, 10_000_000, 0, [(topic, [(partition, 0, 10_000_000)])], rack_id="")
        response = await client.send(leader, request)
        ((_, ((*_, data),)),) = response.topics
    finally:
        await client.close()
    return set(_codecs(bytes(data)))


def _codecs(data: bytes) -> list[int]:
    codecs = []
    position = 0
    while position + _ATTRIBUTES_AT + 2 <= len(data):
        attributes = int.from_bytes(data[position + _ATTRIBUTES_AT : position + _ATTRIBUTES_AT + 2], "big")
        codecs.append(attributes & _CODEC_BITS)
        position += 12 + int.from_bytes(data[position + _LENGTH_AT : position + _LENGTH_AT + 4], "big")
    return codecs
