"""What an operator sees when a worker cannot start: one clear line, and an exit code that says which kind."""

from __future__ import annotations

import shutil
import socket
from collections.abc import Iterator
from pathlib import Path

import kafka_tools
import pytest
from worker_process import REPOSITORY, WorkerProcess, Workers

from worker.devkafka import Cluster
from worker.errors import ExitCode

BUNDLED = next((REPOSITORY / "worker" / "models").iterdir())


def _one_clear_line(worker: WorkerProcess) -> str:
    """The only line that is not part of the log."""
    assert "Traceback" not in worker.output
    (line,) = worker.errors
    assert line.startswith("error: ")
    return line.removeprefix("error: ")


@pytest.fixture
def altered(tmp_path: Path) -> Path:
    """A model whose graph is not the one that its manifest describes."""
    folder = tmp_path / "altered"
    shutil.copytree(BUNDLED, folder)
    with (folder / "model.onnx").open("ab") as graph:
        graph.write(b"x")
    return folder


@pytest.fixture
def taken_port() -> Iterator[int]:
    """A port that somebody else listens on."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]


@pytest.fixture
def dead_port() -> Iterator[int]:
    """A port that nobody listens on and nobody else can take."""
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        yield holder.getsockname()[1]


async def test_missing_topics_are_created_as_set(kafka: Cluster, workers: Workers, topic_names) -> None:
    servers = kafka.bootstrap_servers
    worker = await workers.start(
        servers, special="free", topic_partitions=5, topic_replication=1, topic_retention_s=3600
    ).ready()
    assert await worker.metric("assigned_partitions") == 5
    for topic in (topic_names.input, topic_names.output, topic_names.dead_letters):
        assert len(await kafka_tools.end_offsets(servers, topic)) == 5
        assert worker.said("created topic", topic, "5 partitions")
        assert (await kafka_tools.topic_configs(servers, topic))["retention.ms"] == "3600000"


async def test_missing_output_topics_get_as_many_partitions_as_the_input(
    kafka: Cluster, workers: Workers, topic_names
) -> None:
    await kafka_tools.create_topics(kafka.bootstrap_servers, topic_names.input, partitions=4)
    await workers.start(kafka.bootstrap_servers, special="free", topic_partitions=2).ready()
    assert len(await kafka_tools.end_offsets(kafka.bootstrap_servers, topic_names.output)) == 4
    assert len(await kafka_tools.end_offsets(kafka.bootstrap_servers, topic_names.dead_letters)) == 4


async def test_a_missing_topic_that_may_not_be_created_is_one_clear_line(
    kafka: Cluster, workers: Workers, topic_names
) -> None:
    await kafka_tools.create_topics(kafka.bootstrap_servers, topic_names.input)
    worker = workers.start(kafka.bootstrap_servers, create_topics="false")
    assert await worker.ended() == ExitCode.TOPIC
    line = _one_clear_line(worker)
    assert f"{topic_names.output}, {topic_names.dead_letters} not found" in line
    assert "reviews-worker topics --create" in line


async def test_a_port_that_is_taken_is_one_clear_line(kafka: Cluster, workers: Workers, taken_port: int) -> None:
    worker = workers.start(kafka.bootstrap_servers, port=taken_port)
    assert await worker.ended() == ExitCode.PORT_TAKEN
    line = _one_clear_line(worker)
    assert f"port {taken_port} on 127.0.0.1 is in use" in line
    assert "REVIEWS_WORKER_PORT" in line


@pytest.mark.parametrize(
    ("settings", "parts"),
    [
        pytest.param({"max_in_flight_reviews": "many"}, ["REVIEWS_WORKER_MAX_IN_FLIGHT_REVIEWS=many"], id="a word"),
        pytest.param({"fuse_share": "1.5"}, ["REVIEWS_WORKER_FUSE_SHARE=1.5"], id="out of bounds"),
        pytest.param({"bootstrap_servers": "here"}, ["REVIEWS_WORKER_BOOTSTRAP_SERVERS=here"], id="no port"),
        pytest.param({"output_topic": "a", "dead_letter_topic": "a"}, ["must differ"], id="same topics"),
        pytest.param({"max_batch_tokens": "8"}, ["max_batch_tokens is 8"], id="batch below a review"),
        pytest.param({"model": "/nowhere/at/all"}, ["/nowhere/at/all"], id="missing model"),
    ],
)
async def test_a_bad_setting_is_one_clear_line(
    kafka: Cluster, workers: Workers, settings: dict[str, str], parts: list[str]
) -> None:
    servers = settings.pop("bootstrap_servers", kafka.bootstrap_servers)
    worker = workers.start(servers, **settings)
    expected = ExitCode.ARTIFACT if "model" in settings else ExitCode.USAGE
    assert await worker.ended() == expected
    line = _one_clear_line(worker)
    assert all(part in line for part in parts), line


async def test_an_altered_model_is_one_clear_line(kafka: Cluster, workers: Workers, altered: Path) -> None:
    worker = workers.start(kafka.bootstrap_servers, model=altered)
    assert await worker.ended() == ExitCode.ARTIFACT
    assert "model.onnx" in _one_clear_line(worker)


async def test_a_worker_takes_the_broker_from_the_common_variable(workers: Workers) -> None:
    worker = workers.start(None, variables={"KAFKA_BOOTSTRAP_SERVERS": "here"})
    assert await worker.ended() == ExitCode.USAGE
    assert _one_clear_line(worker).startswith("KAFKA_BOOTSTRAP_SERVERS=here: host:port")


@pytest.mark.parametrize(("servers", "right"), [("PLAINTEXT://host:9092", "host:9092"), ("::1:9092", "[::1]:9092")])
async def test_a_broker_in_another_form_is_refused_at_once(workers: Workers, servers: str, right: str) -> None:
    worker = workers.start(servers)
    assert await worker.ended() == ExitCode.USAGE
    assert f"write {right}" in _one_clear_line(worker)


async def test_a_broker_that_does_not_answer_is_given_up_in_time(workers: Workers, dead_port: int) -> None:
    worker = workers.start(f"127.0.0.1:{dead_port}", special="free", start_timeout_s=1.5)
    assert await worker.ended() == ExitCode.UNREACHABLE
    line = _one_clear_line(worker)
    assert f"127.0.0.1:{dead_port} was not ready within 1.5 s" in line
    assert len(worker.said("does not answer")) == 1


async def test_a_stop_while_waiting_for_the_broker_is_clean(workers: Workers, dead_port: int) -> None:
    worker = workers.start(f"127.0.0.1:{dead_port}", special="free")
    await worker.says("does not answer")
    assert (await worker.get("/healthz"))[0] == 200
    status, body = await worker.get("/readyz")
    assert (status, body) == (503, "the broker has not answered yet\n")
    assert await worker.stopped() == ExitCode.OK
    assert "Traceback" not in worker.output
