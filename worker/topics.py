"""The three topics: looked up, and created where that is allowed.

Topics are never created by asking for them: no client of this package lets the broker create what it asks for
(`worker.security.connections`), which would give them the wrong number of partitions.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator, Iterable, Sequence
from typing import Any

from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import KafkaConnectionError, KafkaError, NodeNotReadyError, for_code
from aiokafka.protocol.metadata import MetadataRequest

from worker.clock import Clock, SystemClock
from worker.errors import BrokerError, TopicError, UnreachableError, UsageError
from worker.logs import StateLog
from worker.security import as_worker_error, asked_to_join, client_options, why_not
from worker.settings import Settings
from worker.topic_id import topic_id
from worker.topic_specs import TopicDescription, TopicLayout, TopicSpec, missing_topics_message, topic_specs

logger = logging.getLogger(__name__)

REQUEST_TIMEOUT_S = 15.0
FIRST_PAUSE_S = 0.2
LONGEST_PAUSE_S = 5.0

_TOPIC_EXISTS = 36
_UNKNOWN_TOPIC = 3
_NOT_AUTHORISED = (29, 31)


class TopicAdmin:
    """Looks up and creates topics. Raises `BrokerError` for what may pass and `TopicError` for what will not."""

    def __init__(self, client: AIOKafkaAdminClient, settings: Settings) -> None:
        self.client = client
        self._settings = settings

    @property
    def known_brokers(self) -> int:
        """Brokers that the client knows of, without asking."""
        return len(self.client._client.cluster.brokers())

    async def broker_count(self) -> int:
        """Brokers in the cluster's own list."""
        async with _faults(self._settings):
            return len((await self.client.describe_cluster())["brokers"])

    async def check_group(self) -> None:
        """Raises the error that this worker would end with as the broker does not take it into its group."""
        async with _faults(self._settings):
            refusal = await asked_to_join(self.client._client, self._settings)
        if refusal is not None:
            raise refusal

    async def describe(self, names: Sequence[str]) -> dict[str, TopicDescription]:
        """Those of `names` that exist. Raises `BrokerError` while a partition of one has no leader."""
        # The client's own describe_topics() lets the broker create what is missing.
        request = MetadataRequest(list(names), allow_auto_topic_creation=False)
        async with _faults(self._settings):
            response = await self.client._send_request(request)
        found = [topic for topic in response.to_object()["topics"] if _exists(topic)]
        configs = await self._configs([topic["topic"] for topic in found])
        return {topic["topic"]: _description(topic, configs.get(topic["topic"], {})) for topic in found}

    async def names(self) -> list[str]:
        """The names of all topics that this user may know of, Kafka's own left out."""
        async with _faults(self._settings):
            response = await self.client._send_request(MetadataRequest(None, allow_auto_topic_creation=False))
        return [topic["topic"] for topic in response.to_object()["topics"] if not topic["is_internal"]]

    async def topic_id(self, name: str) -> str:
        """The id of a topic that exists; empty where the brokers know none."""
        async with _faults(self._settings):
            client = self.client._client
            return await topic_id(client, client.get_random_node(), name)

    async def create(self, specs: Iterable[TopicSpec]) -> list[TopicSpec]:
        """Create topics and tell which; one that another worker has just created is fine, and not told."""
        by_name = {spec.name: spec for spec in specs}
        async with _faults(self._settings):
            response = await self.client.create_topics(
                [_new_topic(spec) for spec in by_name.values()], timeout_ms=int(REQUEST_TIMEOUT_S * 1000)
            )
        for name, code, *message in response.topic_errors:
            _raise_for_creation(by_name[name], code, message[0] if message else "")
        return [by_name[name] for name, code, *_ in response.topic_errors if code == 0]

    async def _configs(self, names: Sequence[str]) -> dict[str, dict[str, str]]:
        if not names:
            return {}
        resources = [ConfigResource(ConfigResourceType.TOPIC, name) for name in names]
        async with _faults(self._settings):
            responses = await self.client.describe_configs(resources)
        return {
            name: {entry[0]: entry[1] for entry in entries}
            for response in responses
            for code, _, _, name, entries in response.resources
            if code == 0
        }


@contextlib.asynccontextmanager
async def open_admin(settings: Settings) -> AsyncIterator[TopicAdmin]:
    """An admin client that is connected; raises `BrokerError` at once when no broker answers.

    Raises `AccessError` when none lets this worker in, and `UsageError` for a file that Kafka security needs.
    """
    try:
        client = AIOKafkaAdminClient(**client_options(settings), request_timeout_ms=int(REQUEST_TIMEOUT_S * 1000))
    except ValueError as error:
        raise UsageError(f"bootstrap_servers: {settings.bootstrap_servers!r} is no list of host:port") from error
    try:
        async with _faults(settings):
            await client.start()
        yield TopicAdmin(client, settings)
    finally:
        with contextlib.suppress(Exception):  # closing a half-open client may fail; what matters has been said
            await client.close()


async def ensure_topics(settings: Settings, clock: Clock | None = None) -> TopicLayout:
    """The layout of the three topics, the missing ones created when `create_topics` is on.

    Waits for the broker with back-off, up to `start_timeout_s`, and says so once per change of state. Raises
    `UnreachableError` when the time is up, `TopicError` when a topic is missing or may not be created, `AccessError`
    at once when the brokers do not let this worker in: that does not pass by itself.
    """
    clock = clock or SystemClock()
    deadline = clock.monotonic() + settings.start_timeout_s
    state = StateLog(logger, f"Kafka at {settings.bootstrap_servers}")
    pause_s, waited_for, reason = FIRST_PAUSE_S, "", "no answer"
    while True:
        left_s = deadline - clock.monotonic()
        try:
            async with asyncio.timeout(max(left_s, 0.001)):
                layout = await _ensure_once(settings)
        except (BrokerError, TimeoutError) as error:
            left_s = deadline - clock.monotonic()
            reason = str(error) or reason
            if left_s <= 0:
                raise UnreachableError(
                    f"Kafka at {settings.bootstrap_servers} was not ready within {settings.start_timeout_s:g} s"
                    f" ({reason}); check bootstrap_servers and that the broker is up"
                ) from error
            if not isinstance(error, _NotReadyError):
                state.away(reason, f"trying again for up to {left_s:.0f} s")
            elif pause_s == LONGEST_PAUSE_S and str(error) != waited_for:  # for a moment after a creation it is usual
                waited_for = str(error)
                logger.warning("waiting: %s; trying again for up to %.0f s", waited_for, left_s)
            await asyncio.sleep(min(pause_s, left_s))
            pause_s = min(pause_s * 2, LONGEST_PAUSE_S)
        else:
            state.back()
            return layout


async def create_missing(admin: TopicAdmin, settings: Settings) -> list[TopicSpec]:
    """Create those of the three topics that are missing, and tell which were created."""
    specs = topic_specs(settings)
    found = await admin.describe([spec.name for spec in specs])
    missing = [spec for spec in topic_specs(settings, found.values()) if spec.name not in found]
    created = await admin.create(missing) if missing else []
    for spec in created:
        logger.info("created topic %s with %d partitions", spec.name, spec.partitions)
    return created


async def _ensure_once(settings: Settings) -> TopicLayout:
    names = (settings.input_topic, settings.output_topic, settings.dead_letter_topic)
    async with open_admin(settings) as admin:
        if settings.create_topics:
            await create_missing(admin, settings)
        found = await admin.describe(names)
        brokers = admin.known_brokers
        if missing := [name for name in names if name not in found]:
            if settings.create_topics:
                raise _NotReadyError(f"{', '.join(missing)}: created, but not everywhere known yet")
            raise TopicError(missing_topics_message(settings, missing, found.values(), await admin.names()))
    source, output, dead = (found[name] for name in names)
    return TopicLayout(
        input_partitions=source.partitions,
        output_partitions=output.partitions,
        dead_letter_partitions=dead.partitions,
        brokers=brokers,
        output_max_bytes=output.integer("max.message.bytes"),
        dead_letter_max_bytes=dead.integer("max.message.bytes"),
        output_compacted=output.compacted,
    )


class _NotReadyError(BrokerError):
    """The broker answers, but a topic cannot be used yet: usual for a moment after its creation."""


@contextlib.asynccontextmanager
async def _faults(settings: Settings) -> AsyncIterator[None]:
    """aiokafka's errors as ours."""
    began = time.monotonic()
    try:
        yield
    except (KafkaError, OSError, TimeoutError) as error:
        # Of a connection that failed, aiokafka says no more than that it did, with a dump of its own host tuples.
        if isinstance(error, (KafkaConnectionError, NodeNotReadyError, TimeoutError)) and (
            failure := await why_not(settings, began)
        ):
            raise as_worker_error(failure) from error
        if isinstance(error, KafkaConnectionError):
            raise BrokerError("no broker accepts a connection") from error
        raise BrokerError(str(error) or type(error).__name__) from error
    except (AttributeError, AssertionError) as error:
        # The admin client assumes a controller and a node; a cluster that is just starting has neither.
        raise BrokerError("the cluster has no controller yet") from error


def _exists(topic: dict[str, Any]) -> bool:
    name, code = topic["topic"], topic["error_code"]
    if code == _UNKNOWN_TOPIC:
        return False
    if code in _NOT_AUTHORISED:
        raise TopicError(
            f"{name}: this worker's user may not describe the topic; grant Read or Write on it, or Describe"
        )
    if code and not getattr(for_code(code), "retriable", False):
        raise TopicError(f"{name}: {for_code(code).__name__}")
    leaderless = [str(partition["partition"]) for partition in topic["partitions"] if partition["leader"] < 0]
    if code or leaderless:
        raise _NotReadyError(f"{name}: no leader for partition {', '.join(leaderless) or '0'}")
    return True


def _description(topic: dict[str, Any], configs: dict[str, str]) -> TopicDescription:
    partitions = topic["partitions"]
    return TopicDescription(topic["topic"], len(partitions), min(len(p["replicas"]) for p in partitions), configs)


def _new_topic(spec: TopicSpec) -> NewTopic:
    # The client takes the broker's default replication only beside an (empty) assignment of replicas.
    return NewTopic(spec.name, spec.partitions, spec.replication, {} if spec.replication < 0 else None, spec.configs)


def _raise_for_creation(spec: TopicSpec, code: int, message: str | None) -> None:
    if code in (0, _TOPIC_EXISTS):
        return
    if code in _NOT_AUTHORISED:
        raise TopicError(
            f"{spec.name}: missing, and this worker's user may not create it; grant Create on it,"
            f" or run: {spec.command}"
        )
    error = for_code(code)
    reason = f"{error.__name__}: {message or getattr(error, 'description', '')}".rstrip(": ")
    if getattr(error, "retriable", False):
        raise BrokerError(f"{spec.name}: {reason}")
    raise TopicError(f"{spec.name}: cannot be created ({reason})")
