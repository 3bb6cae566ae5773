"""The three topics on a real broker: created, found, refused; and the command that shows them."""

from __future__ import annotations

import asyncio

import pytest
from click.testing import CliRunner
from conftest import TopicNames
from kafka_tools import Message, create_topics, produce

from worker.cli.commands import commands
from worker.devkafka import Cluster
from worker.errors import BrokerError, TopicError, UnreachableError
from worker.settings import Settings
from worker.topic_specs import TopicLayout
from worker.topics import ensure_topics, open_admin


def settings_for(kafka: Cluster, names: TopicNames, **values: object) -> Settings:
    return Settings(
        bootstrap_servers=kafka.bootstrap_servers,
        input_topic=names.input,
        output_topic=names.output,
        dead_letter_topic=names.dead_letters,
        group=names.group,
        start_timeout_s=30,
        **values,
    )


def options_for(kafka: Cluster, names: TopicNames) -> list[str]:
    return [
        *("--bootstrap-servers", kafka.bootstrap_servers, "--group", names.group),
        *("--input-topic", names.input, "--output-topic", names.output, "--dead-letter-topic", names.dead_letters),
    ]


async def test_missing_topics_are_created_as_the_settings_say(kafka: Cluster, topic_names: TopicNames):
    settings = settings_for(kafka, topic_names, topic_partitions=3, topic_retention_s=3600, topic_replication=1)
    layout = await ensure_topics(settings)
    assert (layout.input_partitions, layout.output_partitions, layout.dead_letter_partitions) == (3, 3, 3)
    assert layout.output_max_bytes is not None
    assert layout.output_max_bytes > 1_000_000
    async with open_admin(settings) as admin:
        found = await admin.describe([topic_names.input, topic_names.output, topic_names.dead_letters])
    assert {topic.integer("retention.ms") for topic in found.values()} == {3_600_000}
    assert {topic.replication for topic in found.values()} == {1}


async def test_topics_to_write_follow_the_partitions_of_an_input_topic_that_is_there(
    kafka: Cluster, topic_names: TopicNames
):
    await create_topics(kafka.bootstrap_servers, topic_names.input, partitions=5)
    layout = await ensure_topics(settings_for(kafka, topic_names, topic_partitions=2))
    assert (layout.input_partitions, layout.output_partitions, layout.dead_letter_partitions) == (5, 5, 5)


async def test_topics_that_are_there_stay_as_they_are(kafka: Cluster, topic_names: TopicNames):
    await create_topics(kafka.bootstrap_servers, topic_names.input, partitions=2)
    await create_topics(kafka.bootstrap_servers, topic_names.output, partitions=4, config={"max.message.bytes": "5000"})
    await create_topics(kafka.bootstrap_servers, topic_names.dead_letters)
    layout = await ensure_topics(settings_for(kafka, topic_names))
    assert layout.output_max_bytes == 5000
    assert not layout.output_compacted
    assert (layout.input_partitions, layout.output_partitions, layout.dead_letter_partitions) == (2, 4, 1)


async def test_an_output_topic_that_is_compacted_is_known_at_the_start(kafka: Cluster, topic_names: TopicNames):
    await create_topics(kafka.bootstrap_servers, topic_names.input, topic_names.dead_letters)
    await create_topics(kafka.bootstrap_servers, topic_names.output, config={"cleanup.policy": "compact,delete"})
    assert (await ensure_topics(settings_for(kafka, topic_names))).output_compacted


async def test_workers_that_start_together_may_all_create_the_topics(kafka: Cluster, topic_names: TopicNames):
    settings = settings_for(kafka, topic_names, topic_partitions=2)
    layouts = await asyncio.gather(*(ensure_topics(settings) for _ in range(5)))
    assert {(layout.input_partitions, layout.output_partitions) for layout in layouts} == {(2, 2)}


async def test_a_missing_topic_is_an_error_that_names_it_where_none_may_be_created(
    kafka: Cluster, topic_names: TopicNames
):
    await create_topics(kafka.bootstrap_servers, topic_names.input, topic_names.output)
    settings = settings_for(kafka, topic_names, create_topics=False)
    with pytest.raises(TopicError, match=f"^topic {topic_names.dead_letters} not found"):
        await ensure_topics(settings)
    async with open_admin(settings) as admin:
        assert topic_names.dead_letters not in await admin.describe([topic_names.dead_letters])


async def test_a_replication_that_the_cluster_cannot_give_is_an_error_that_names_the_topic(
    kafka: Cluster, topic_names: TopicNames
):
    with pytest.raises(TopicError, match=rf"{topic_names.input}: cannot be created \(InvalidReplicationFactor"):
        await ensure_topics(settings_for(kafka, topic_names, topic_replication=99))


async def test_an_unreachable_broker_is_said_once_and_is_an_error_when_the_time_is_up(
    caplog: pytest.LogCaptureFixture,
):
    settings = Settings(bootstrap_servers="127.0.0.1:1", start_timeout_s=1)
    with pytest.raises(UnreachableError, match=r"127\.0\.0\.1:1 was not ready within 1 s"):
        await ensure_topics(settings)
    said = [line for line in caplog.messages if "does not answer" in line]
    assert len(said) == 1


async def test_an_admin_client_fails_at_once_without_a_broker():
    with pytest.raises(BrokerError):
        async with open_admin(Settings(bootstrap_servers="127.0.0.1:1")):
            pass


def test_the_command_tells_missing_topics_and_creates_them_on_request(kafka: Cluster, topic_names: TopicNames):
    runner, options = CliRunner(), options_for(kafka, topic_names)
    missing = runner.invoke(commands, ["topics", *options])
    assert missing.exit_code == 4
    assert missing.stdout.count("\tmissing\t") == 3
    assert f"topics {topic_names.input}, " in missing.stderr
    created = runner.invoke(commands, ["topics", "--create", "--topic-partitions", "2", *options])
    assert created.exit_code == 0, created.output
    assert f"{topic_names.input}\t2\t1\t7 days\t0\t0" in created.stdout
    again = runner.invoke(commands, ["topics", "--create", *options])
    assert again.stdout == created.stdout


def test_the_command_counts_messages_and_what_the_group_has_yet_to_read(kafka: Cluster, topic_names: TopicNames):
    async def prepare() -> TopicLayout:
        layout = await ensure_topics(settings_for(kafka, topic_names, topic_partitions=2))
        messages = [Message(b"{}", partition=partition) for partition in (0, 1, 1)]
        await produce(kafka.bootstrap_servers, topic_names.input, messages)
        return layout

    asyncio.run(prepare())
    result = CliRunner().invoke(commands, ["topics", *options_for(kafka, topic_names)])
    assert f"{topic_names.input}\t2\t1\t7 days\t3\t3" in result.stdout
    fresh = CliRunner().invoke(
        commands, ["topics", *options_for(kafka, topic_names)], env={"REVIEWS_WORKER_FROM_BEGINNING": "false"}
    )
    assert f"{topic_names.input}\t2\t1\t7 days\t3\t0" in fresh.stdout
