"""What the broker says of a consumer group: its members, and what each has."""

from __future__ import annotations

from typing import Any, NamedTuple

from aiokafka.client import ConnectionGroup
from aiokafka.coordinator.protocol import ConsumerProtocol
from aiokafka.errors import for_code
from aiokafka.protocol.admin import DescribeGroupsRequest

from worker.records import TopicPartition

STABLE = "Stable"


class Group(NamedTuple):
    """A group at one moment."""

    is_stable: bool
    """Not while partitions are shared out anew."""
    members: dict[str, frozenset[TopicPartition]]
    """Member ids, and what each has."""


async def describe_group(coordinator: Any) -> Group:
    """The group of an aiokafka `coordinator`, on its event loop. Raises KafkaError when the broker cannot say now."""
    await coordinator.ensure_coordinator_known()
    request = DescribeGroupsRequest([coordinator.group_id])
    response = await coordinator._client.send(coordinator.coordinator_id, request, group=ConnectionGroup.COORDINATION)
    ((code, _, state, _, _, members, *_),) = response.groups
    if code:
        raise for_code(code)()
    assigned = {member_id: _partitions(assignment) for member_id, _, _, _, assignment, *_ in members}
    return Group(state == STABLE, assigned)


def _partitions(assignment: bytes) -> frozenset[TopicPartition]:
    if not assignment:
        return frozenset()
    return frozenset(TopicPartition(*each) for each in ConsumerProtocol.ASSIGNMENT.decode(assignment).partitions())
