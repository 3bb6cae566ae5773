"""Which Kafka it is, and what a person reads when there is none."""

from __future__ import annotations

import pytest

from worker.devkafka import DevKafkaError, kafka_cluster
from worker.devkafka.choose import choose
from worker.errors import ExitCode

CONFIGURED = {"KAFKA_BOOTSTRAP_SERVERS": "broker:9092"}


def docker_is_up() -> bool:
    return True


def docker_is_down() -> bool:
    return False


def docker_must_not_be_asked() -> bool:
    raise AssertionError("Docker was asked")


def test_a_configured_kafka_comes_first() -> None:
    assert choose(CONFIGURED, 1, docker_must_not_be_asked) == "configured"


@pytest.mark.parametrize("environ", [{}, {"KAFKA_BOOTSTRAP_SERVERS": ""}, {"KAFKA_BOOTSTRAP_SERVERS": " "}])
def test_a_container_comes_second(environ: dict[str, str]) -> None:
    assert choose(environ, 1, docker_is_up) == "testcontainers"


def test_without_docker_it_runs_here() -> None:
    assert choose({}, 1, docker_is_down) == "local"


def test_three_brokers_run_here_whether_or_not_there_is_docker() -> None:
    assert choose({}, 3, docker_must_not_be_asked) == "local"


def test_three_configured_brokers_are_taken_as_they_are() -> None:
    assert choose(CONFIGURED, 3, docker_must_not_be_asked) == "configured"


@pytest.mark.parametrize("brokers", [0, 2, 4])
def test_a_cluster_has_one_broker_or_three(brokers: int) -> None:
    with pytest.raises(ValueError, match=f"1 or 3 brokers, not {brokers}"):
        kafka_cluster(brokers)


def test_insisting_on_a_configured_kafka_without_one_names_the_variable() -> None:
    with pytest.raises(DevKafkaError, match="KAFKA_BOOTSTRAP_SERVERS") as raised, kafka_cluster(kind="configured"):
        pass
    assert raised.value.exit_code is ExitCode.UNREACHABLE
