"""A topic that is missing is told of, and made by nobody who only asks for it, though the broker would make it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest
from aiokafka.admin import AIOKafkaAdminClient
from click.testing import CliRunner
from conftest import TopicNames
from kafka_tools import create_topics, delete_topics, produce
from worker_process import Workers, eventually

from worker.cli.commands import commands
from worker.devkafka import Cluster, kafka_cluster
from worker.errors import ExitCode


@pytest.fixture(scope="module")
def creating_kafka() -> Iterator[Cluster]:
    """A Kafka that creates any topic that a client asks for, unless it is told not to: Kafka's own default."""
    with kafka_cluster(kind="local", properties={"auto.create.topics.enable": "true"}) as cluster:
        yield cluster


async def topics_at(servers: str) -> set[str]:
    admin = AIOKafkaAdminClient(bootstrap_servers=servers)
    try:
        await admin.start()
        return {name for name in await admin.list_topics() if not name.startswith("__")}
    finally:
        await admin.close()


async def made(kafka: Cluster, names: TopicNames) -> set[str]:
    await create_topics(kafka.bootstrap_servers, names.input, names.output, names.dead_letters)
    return await topics_at(kafka.bootstrap_servers)


def options(kafka: Cluster, names: TopicNames) -> dict[str, str]:
    return {
        "KAFKA_BOOTSTRAP_SERVERS": kafka.bootstrap_servers,
        "REVIEWS_WORKER_INPUT_TOPIC": names.input,
        "REVIEWS_WORKER_OUTPUT_TOPIC": names.output,
        "REVIEWS_WORKER_DEAD_LETTER_TOPIC": names.dead_letters,
        "REVIEWS_WORKER_GROUP": names.group,
    }


async def test_this_broker_creates_what_any_other_client_asks_for(creating_kafka: Cluster, topic_names: TopicNames):
    admin = AIOKafkaAdminClient(bootstrap_servers=creating_kafka.bootstrap_servers)
    try:
        await admin.start()
        await admin.describe_topics([topic_names.input])
    finally:
        await admin.close()

    async def there() -> bool:
        return topic_names.input in await topics_at(creating_kafka.bootstrap_servers)

    await eventually(there, "the broker has created the topic")


@pytest.mark.parametrize(
    ("arguments", "role"),
    [
        (("consume", "--timeout", "1"), "output"),
        (("consume", "--timeout", "1", "--from-beginning", "--dead-letters"), "dead_letter"),
        (("dlq", "list"), "dead_letter"),
        (("dlq", "show", "0/0"), "dead_letter"),
        (("dlq", "replay", "--dry-run"), "dead_letter"),
        (("dlq", "replay", "--dry-run"), "input"),
        (("topics",), "input"),
        (("produce", "--text", "good"), "input"),
        (("produce", "--text", "good", "--wait", "1"), "output"),
        (("skip", "0/0"), "input"),
    ],
)
def test_a_mistyped_topic_is_one_error_with_the_name_that_was_meant(
    arguments: tuple[str, ...], role: str, creating_kafka: Cluster, topic_names: TopicNames
):
    before = asyncio.run(made(creating_kafka, topic_names))
    environment = options(creating_kafka, topic_names)
    variable = f"REVIEWS_WORKER_{role.upper()}_TOPIC"
    meant = environment[variable]
    environment[variable] = mistyped = meant.replace("test.", "tset.")
    result = CliRunner().invoke(commands, arguments, env=environment)
    assert result.exit_code == 4, result.output
    (error,) = [line for line in result.stderr.splitlines() if line.startswith("error: ")]
    assert error.startswith(f"error: topic {mistyped}")
    assert f"not found at {creating_kafka.bootstrap_servers} (did you mean {meant}?)" in error
    assert asyncio.run(topics_at(creating_kafka.bootstrap_servers)) == before


async def test_a_worker_that_may_not_create_topics_names_the_topic_that_was_meant(
    creating_kafka: Cluster, topic_names: TopicNames, workers: Workers
):
    before = await made(creating_kafka, topic_names)
    mistyped = topic_names.output.replace("test.", "tset.")
    worker = workers.start(creating_kafka.bootstrap_servers, create_topics=False, output_topic=mistyped)
    assert await worker.ended() == ExitCode.TOPIC
    assert f"error: topic {mistyped}" in worker.output
    assert f"(did you mean {topic_names.output}?)" in worker.output
    assert await topics_at(creating_kafka.bootstrap_servers) == before


@pytest.mark.parametrize(("option", "code"), [("--create-topics", 0), ("--no-create-topics", 11)])
def test_the_check_names_the_topic_that_was_meant(
    option: str, code: int, creating_kafka: Cluster, topic_names: TopicNames
):
    before = asyncio.run(made(creating_kafka, topic_names))
    environment = options(creating_kafka, topic_names)
    mistyped = topic_names.output.upper()
    result = CliRunner().invoke(commands, ["check", "--port", "0", option, "--output-topic", mistyped], env=environment)
    assert result.exit_code == code, result.output
    (line,) = [line for line in result.stdout.splitlines() if mistyped in line]
    assert f"(did you mean {topic_names.output}?)" in line
    assert asyncio.run(topics_at(creating_kafka.bootstrap_servers)) == before


def test_reviews_can_be_sent_and_read_as_soon_as_the_topics_are_created(
    creating_kafka: Cluster, topic_names: TopicNames
):
    environment = options(creating_kafka, topic_names)

    def run(*arguments: str) -> str:
        result = CliRunner().invoke(commands, arguments, env=environment)
        assert result.exit_code == 0, result.output
        return result.stdout

    run("topics", "--create")
    run("produce", "--text", "good")
    assert run("topics").splitlines()[1].split("\t")[4] == "1"
    assert run("consume", "--from-beginning", "--timeout", "0.5") == ""
    assert run("dlq", "list") == ""


async def test_a_topic_that_is_deleted_under_a_worker_is_not_created_by_its_asking(
    creating_kafka: Cluster, topic_names: TopicNames, workers: Workers
):
    servers = creating_kafka.bootstrap_servers
    await made(creating_kafka, topic_names)
    worker = await workers.start(servers, special="free", create_topics=False).ready()
    await produce(servers, topic_names.input, [b'{"text": "good"}'])
    await worker.reaches("events_out_total", 1)
    await delete_topics(servers, topic_names.input)
    await worker.says(topic_names.input, "not found")
    await create_topics(servers, topic_names.input)  # refused where the broker has created it
