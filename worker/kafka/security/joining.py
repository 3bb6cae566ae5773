"""What a broker's refusal of a member means: which setting to change, and what becomes of the process."""

from __future__ import annotations

import re
from typing import Any

from aiokafka.client import ConnectionGroup, CoordinationType
from aiokafka.coordinator.assignors.roundrobin import RoundRobinPartitionAssignor
from aiokafka.coordinator.protocol import ConsumerProtocol
from aiokafka.errors import (
    BrokerResponseError,
    InconsistentGroupProtocolError,
    InvalidGroupIdError,
    InvalidSessionTimeoutError,
    KafkaError,
    RebalanceInProgressError,
    UnknownError,
    UnknownMemberIdError,
    UnsupportedVersionError,
    for_code,
    kafka_errors,
)
from aiokafka.protocol.admin import DescribeConfigsRequest
from aiokafka.protocol.group import JoinGroupRequest

from worker.errors import AccessError, FatalError, UsageError
from worker.kafka.security.codes import GROUP_MAX_SIZE_REACHED
from worker.kafka.security.rights import lacking
from worker.settings import Settings

NOBODY = "reviews-worker-check"
BROKER = 4
"""A broker among the kinds of things that have a configuration."""
SHORTEST, LONGEST = "group.min.session.timeout.ms", "group.max.session.timeout.ms"
PASSING = (UnknownError, RebalanceInProgressError)
"""Besides those that aiokafka calls retriable: a fault of the broker's own, and what changes by itself soon."""


def refused_as(error: BaseException) -> BaseException:
    """The error that the broker has answered with: aiokafka wraps what it does not expect, as text."""
    if type(error) is KafkaError:
        known = {kind.__name__: kind for kind in kafka_errors.values()}
        for name in re.findall(r"(\w+)\(", str(error)):
            if name in known:
                answered: BaseException = known[name]()
                return answered
    return error


def passes(error: BaseException) -> bool:
    """Whether it is worth asking again."""
    return isinstance(error, PASSING) or bool(getattr(error, "retriable", False))


async def asked_to_join(client: Any, settings: Settings) -> FatalError | None:
    """Why the broker would not take this worker as a member of its group; None where it would. Changes nothing.

    Asks under a member id that nobody has, which is refused when everything else is in order. Raises KafkaError when
    the broker cannot say now.
    """
    node = await client.coordinator_lookup(CoordinationType.GROUP, settings.group)
    protocols = [
        (RoundRobinPartitionAssignor.name, RoundRobinPartitionAssignor.metadata([settings.input_topic]).encode())
    ]
    timeouts_ms = (round(settings.session_timeout_s * 1000), round(settings.rebalance_timeout_s * 1000))
    request = JoinGroupRequest(settings.group, *timeouts_ms, NOBODY, None, ConsumerProtocol.PROTOCOL_TYPE, protocols)
    response = await client.send(node, request, group=ConnectionGroup.COORDINATION)
    error = for_code(response.error_code)(settings.group)
    if isinstance(error, UnknownMemberIdError):
        return None
    if passes(error):
        raise error
    return await refusal_of(error, client, node, settings.group, settings.session_timeout_s)


async def refusal_of(error: BaseException, client: Any, node: Any, group: str, session_timeout_s: float) -> FatalError:
    """The error for a join that `node` has refused, naming what to change; asks that broker for its limits."""
    if isinstance(error, InvalidSessionTimeoutError):
        return UsageError(
            f"session_timeout_s is {session_timeout_s:g}, and the broker allows {await _allowed(client, node)}; set"
            f" another one, or change {SHORTEST} or {LONGEST} on the brokers"
        )
    if isinstance(error, GROUP_MAX_SIZE_REACHED):
        return AccessError(
            f"group {group} has as many members as the brokers allow; run fewer workers, or raise group.max.size on the"
            " brokers"
        )
    if isinstance(error, InconsistentGroupProtocolError):
        return AccessError(
            f"group {group} is in use by consumers that share partitions out in another way; give this worker a group"
            " of its own (setting group)"
        )
    if isinstance(error, InvalidGroupIdError):
        return UsageError(f"the broker takes no group that is called {group!r}; choose another one (setting group)")
    if isinstance(error, UnsupportedVersionError):
        return AccessError("the broker does not know how this worker joins a group; take a newer Kafka")
    reason = error.message if isinstance(error, BrokerResponseError) else str(error) or type(error).__name__
    return lacking(error) or FatalError(f"the group {group} cannot be joined: {reason}")


async def _allowed(client: Any, node: Any) -> str:
    try:
        response = await client.send(node, DescribeConfigsRequest(resources=[(BROKER, str(node), [SHORTEST, LONGEST])]))
        configs = {entry[0]: int(entry[1]) / 1000 for *_, entries in response.resources for entry in entries}
        return f"from {configs[SHORTEST]:g} to {configs[LONGEST]:g} s"
    except (KafkaError, KeyError, ValueError, TypeError):
        return "no such time"  # this worker's user may not read the broker's configuration
