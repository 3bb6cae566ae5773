"""The settings of brokers that are started here."""

from __future__ import annotations

from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from worker.devkafka.containers import environment
from worker.devkafka.properties import Node, random_id, render, server_properties

NODES = [Node(number, 20_000 + number, 21_000 + number, f"directory-{number}") for number in (1, 2, 3)]
DATA = Path("/data")
REPLICATED = ("default", "offsets.topic", "transaction.state.log", "share.coordinator.state.topic")


def replication(settings: dict[str, str]) -> set[str]:
    return {settings[f"{name}.replication.factor"] for name in REPLICATED}


def in_sync(settings: dict[str, str]) -> set[str]:
    names = ("min.insync.replicas", "transaction.state.log.min.isr", "share.coordinator.state.topic.min.isr")
    return {settings[name] for name in names}


def test_a_single_broker_keeps_one_replica_of_everything() -> None:
    settings = server_properties(NODES[0], NODES[:1], DATA, {})
    assert replication(settings) == {"1"}
    assert in_sync(settings) == {"1"}
    assert settings["controller.quorum.bootstrap.servers"] == "127.0.0.1:21001"


def test_three_brokers_keep_three_replicas_and_spare_one() -> None:
    settings = server_properties(NODES[1], NODES, DATA, {})
    assert replication(settings) == {"3"}
    assert in_sync(settings) == {"2"}
    assert settings["controller.quorum.bootstrap.servers"] == "127.0.0.1:21001,127.0.0.1:21002,127.0.0.1:21003"


def test_a_broker_listens_on_its_own_loopback_ports_only() -> None:
    settings = server_properties(NODES[1], NODES, DATA, {})
    assert settings["listeners"] == "PLAINTEXT://127.0.0.1:20002,CONTROLLER://127.0.0.1:21002"
    assert settings["advertised.listeners"] == settings["listeners"]
    assert (settings["node.id"], settings["log.dirs"]) == ("2", "/data")


def test_what_tests_rely_on_is_set() -> None:
    settings = server_properties(NODES[0], NODES[:1], DATA, {})
    assert settings["auto.create.topics.enable"] == "false"
    assert settings["group.initial.rebalance.delay.ms"] == "0"
    assert settings["group.min.session.timeout.ms"] == "1000"


def test_given_properties_win() -> None:
    settings = server_properties(NODES[0], NODES[:1], DATA, {"auto.create.topics.enable": "true", "extra": "1"})
    assert (settings["auto.create.topics.enable"], settings["extra"]) == ("true", "1")


def test_a_properties_file_has_one_setting_a_line() -> None:
    assert render({"a.b": "1", "c": "d=e"}) == "a.b=1\nc=d=e\n"


def test_a_voter_names_where_and_which_directory() -> None:
    assert NODES[0].voter == "1@127.0.0.1:21001:directory-1"


@given(st.integers(1, 50))
def test_ids_are_as_kafka_writes_them(count: int) -> None:
    ids = {random_id() for _ in range(count)}
    assert len(ids) == count
    assert all(len(text) == 22 and not text.startswith("-") and "=" not in text for text in ids)


def test_a_container_takes_settings_as_variables() -> None:
    variables = environment({"message.max.bytes": "2000"})
    assert variables["KAFKA_MESSAGE_MAX_BYTES"] == "2000"
    assert variables["KAFKA_AUTO_CREATE_TOPICS_ENABLE"] == "false"


def test_overrides_may_be_different_for_each_broker() -> None:
    def overrides(node: Node) -> dict[str, str]:
        return {"broker.rack": f"rack-{node.id}"}

    nodes = [Node(1, 1001, 1002, "a"), Node(2, 2001, 2002, "b")]
    racks = [server_properties(node, nodes, Path("data"), overrides)["broker.rack"] for node in nodes]
    assert racks == ["rack-1", "rack-2"]
