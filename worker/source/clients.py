"""The Kafka clients that Faust works with, made by us: with Kafka security as it is set, and the isolation level."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from aiokafka import AIOKafkaConsumer
from aiokafka.coordinator.assignors.roundrobin import RoundRobinPartitionAssignor
from faust.transport.drivers import aiokafka as driver

from worker.kafka.consumers import kafka_consumer

FETCH_MAX_WAIT_MS = 1500


def new_consumer(conf: Any, client_options: Mapping[str, Any], *, read_committed: bool) -> AIOKafkaConsumer:
    """The consumer that Faust would make by its settings `conf`, not started; call it on its own event loop.

    Faust's own knows no token and no file that is read again, reads uncommitted records, and shares partitions out for
    the sake of tables, which may leave a member without any. There are no tables: round robin.
    """
    return kafka_consumer(
        **client_options,
        client_id=conf.broker_client_id,
        group_id=conf.id,
        group_instance_id=conf.consumer_group_instance_id,
        partition_assignment_strategy=[RoundRobinPartitionAssignor],
        enable_auto_commit=False,
        auto_offset_reset=conf.consumer_auto_offset_reset,
        isolation_level="read_committed" if read_committed else "read_uncommitted",
        max_poll_records=conf.broker_max_poll_records,
        max_poll_interval_ms=_ms(conf.broker_max_poll_interval),
        max_partition_fetch_bytes=conf.consumer_max_fetch_size,
        fetch_max_wait_ms=FETCH_MAX_WAIT_MS,
        check_crcs=conf.broker_check_crcs,
        request_timeout_ms=_ms(conf.broker_request_timeout),
        session_timeout_ms=_ms(conf.broker_session_timeout),
        rebalance_timeout_ms=_ms(conf.broker_rebalance_timeout),
        heartbeat_interval_ms=_ms(conf.broker_heartbeat_interval),
        metadata_max_age_ms=conf.consumer_metadata_max_age_ms,
        connections_max_idle_ms=conf.consumer_connections_max_idle_ms,
    )


class Producer(driver.Producer):
    """Faust starts one, though nothing is sent through it."""

    def _settings_auth(self) -> Mapping[str, Any]:
        options: Mapping[str, Any] = self.app.context.client_options  # type: ignore[attr-defined]  # our app
        return options


def _ms(seconds: float) -> int:
    return int(seconds * 1000)
