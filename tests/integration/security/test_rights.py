"""Each right that docs/security.md names is needed: without it, one clear line says which, on what, and what to do."""

from __future__ import annotations

import asyncio
import dataclasses
import re

import kafka_tools
import pytest
from click.testing import CliRunner, Result
from conftest import TopicNames
from dead_letters import event, message
from kafka_access import Access, review, start
from kafka_rights import (
    CREATE_NOTES,
    CREATE_TOPICS,
    ENDS_WITH,
    EXACTLY_ONCE,
    OF_COMMANDS,
    OF_THE_WORKER,
    OPTIONAL,
    READ_DEAD_LETTERS,
    READ_GROUP,
    READ_INPUT,
    READ_NOTES,
    READ_OUTPUT,
    REPLAY,
    WRITE_DEAD_LETTERS,
    WRITE_INPUT,
    WRITE_NOTES,
    WRITE_OUTPUT,
    WRITE_REPLAY,
    WRITE_TRANSACTIONS,
    Right,
    all_but,
)
from kafka_tools import Message
from ledger import Ledger
from secured_kafka import SecuredKafka
from worker_process import Workers

from worker.cli.commands import commands
from worker.errors import ExitCode

NO_JSON = Message(b"{")


def describing(right: Right) -> Right:
    """The topic may be looked at, and no more."""
    return dataclasses.replace(right, operation="Describe")


AT_START = {
    READ_INPUT: "{input}: this worker's user may not describe the topic; grant Read or Write",
    WRITE_OUTPUT: "{output}: this worker's user may not describe the topic; grant Read or Write",
    WRITE_DEAD_LETTERS: "{dead_letters}: this worker's user may not describe the topic; grant Read or Write",
    READ_GROUP: "may not be a member of group {group}; grant Read on the group",
    WRITE_TRANSACTIONS: r"may not publish as transactional id {group}.{input}.\d; grant Write",
    CREATE_TOPICS: "{group}.*: missing, and this worker's user may not create it; grant Create on",
}
"""The line of a worker that has all but this one right."""

LATER = {
    READ_INPUT: (ExitCode.TOPIC, "{input}: this worker's user may not read the topic; grant Read on it"),
    WRITE_OUTPUT: (ExitCode.DELIVERY, "{output}: this worker's user may not write the topic; grant Write on it"),
    WRITE_DEAD_LETTERS: (ExitCode.DELIVERY, "{dead_letters}: .* may not write the topic; grant Write on it"),
}
"""The same for one that may describe the topic."""

REPLAYING = {
    READ_DEAD_LETTERS: (ExitCode.TOPIC, "{dead_letters}: this worker's user may not describe the topic; grant Read"),
    WRITE_INPUT: (ExitCode.TOPIC, "{input}: this worker's user may not describe the topic; grant Read or Write"),
    READ_NOTES: (ExitCode.TOPIC, "{dead_letters}.replayed: this worker's user may not read the topic; grant Read"),
    WRITE_NOTES: (
        ExitCode.DELIVERY,
        "{dead_letters}.replayed: this worker's user may not write the topic; grant Write",
    ),
    CREATE_NOTES: (ExitCode.TOPIC, "{dead_letters}.replayed: missing, .* may not create it; grant Create on it"),
    WRITE_REPLAY: (
        ExitCode.DELIVERY,
        "may not publish as transactional id reviews-worker.replay.{dead_letters}; grant",
    ),
}


def check(line: str, pattern: str, names: TopicNames) -> None:
    assert line.startswith("error: ")
    filled = pattern.replace("{input}", names.input).replace("{output}", names.output)
    filled = filled.replace("{dead_letters}", names.dead_letters).replace("{group}", names.group)
    assert re.search(filled, line), line


async def ends(worker, expected: tuple[ExitCode, str], names: TopicNames) -> None:
    code, pattern = expected
    assert await worker.ended() == code
    assert "Traceback" not in worker.output
    (line,) = worker.errors
    check(line, pattern, names)


@pytest.mark.parametrize("lacking", AT_START, ids=str)
async def test_a_worker_without(
    lacking: Right, secured: SecuredKafka, workers: Workers, topic_names: TopicNames, access: Access, user: str
) -> None:
    names = topic_names
    await secured.allow(user, all_but(lacking, names, (*EXACTLY_ONCE, CREATE_TOPICS)))
    if lacking != CREATE_TOPICS:
        await kafka_tools.create_topics(secured.servers, names.input, names.output, names.dead_letters)
    worker = start(workers, access.mutual(user), processing_guarantee="exactly_once", create_topics=True)
    await ends(worker, (ENDS_WITH[lacking], AT_START[lacking]), names)


@pytest.mark.parametrize(
    ("lacking", "guarantee"),
    [
        (READ_INPUT, "at_least_once"),
        (WRITE_OUTPUT, "at_least_once"),
        (WRITE_OUTPUT, "exactly_once"),
        (WRITE_DEAD_LETTERS, "exactly_once"),
    ],
    ids=str,
)
async def test_a_worker_that_may_only_describe(
    lacking: Right,
    guarantee: str,
    secured: SecuredKafka,
    workers: Workers,
    topics: TopicNames,
    access: Access,
    user: str,
) -> None:
    await secured.allow(user, all_but(lacking, topics, EXACTLY_ONCE, describing(lacking)))
    await kafka_tools.produce(secured.servers, topics.input, [review(1), NO_JSON])
    await ends(
        start(workers, access.mutual(user), processing_guarantee=guarantee, fuse_share=1), LATER[lacking], topics
    )


async def test_a_worker_that_creates_its_topics_and_may_look_at_their_settings(
    secured: SecuredKafka, workers: Workers, ledger: Ledger, topic_names: TopicNames, access: Access, user: str
) -> None:
    await secured.allow(user, all_but(None, topic_names, OF_THE_WORKER))
    worker = await start(workers, access.mutual(user), create_topics=True).ready()
    await ledger.produce(secured.servers, map(review, range(20)))
    (await ledger.settled(secured.servers)).check()
    assert await worker.stopped() == ExitCode.OK


async def run(access: Access, user: str, names: TopicNames, *arguments: str) -> Result:
    """A command, in this process."""
    settings = {
        **access.mutual(user),
        "input_topic": names.input,
        "output_topic": names.output,
        "dead_letter_topic": names.dead_letters,
        "group": names.group,
    }
    variables = {f"REVIEWS_WORKER_{name.upper()}": str(value) for name, value in settings.items()}
    result = await asyncio.to_thread(CliRunner().invoke, commands, arguments, env=variables)
    assert "Traceback" not in result.output
    return result


@pytest.mark.parametrize("lacking", [None, *REPLAYING], ids=str)
async def test_a_replay_without(
    lacking: Right | None, secured: SecuredKafka, topics: TopicNames, access: Access, user: str
) -> None:
    letter = message(event(f"{topics.input}/0/7"))
    if lacking in (READ_NOTES, WRITE_NOTES):  # there are notes already
        await secured.allow(f"{user}-before", all_but(None, topics, REPLAY))
        await kafka_tools.produce(secured.servers, topics.dead_letters, [letter])
        assert (await run(access, f"{user}-before", topics, "dlq", "replay")).exit_code == 0
    await secured.allow(user, all_but(lacking, topics, REPLAY))
    await kafka_tools.produce(secured.servers, topics.dead_letters, [letter])
    result = await run(access, user, topics, "dlq", "replay")
    if lacking is None:
        assert result.exit_code == 0, result.output
        assert len(await kafka_tools.consume_all(secured.servers, topics.input, read_committed=True)) == 1
    else:
        code, pattern = REPLAYING[lacking]
        assert result.exit_code == code, result.output
        check(result.stderr.splitlines()[-1], pattern, topics)


async def test_the_commands_with_their_rights(
    secured: SecuredKafka, topics: TopicNames, access: Access, user: str
) -> None:
    lookers = [describing(right).named(topics) for right in (READ_INPUT, WRITE_OUTPUT, WRITE_DEAD_LETTERS, READ_GROUP)]
    await secured.allow(user, lookers)
    assert (await run(access, user, topics, "topics")).exit_code == 0
    checked = (await run(access, user, topics, "check", "--port", "0")).stdout
    assert re.search(r"^ok +security +SSL, certificate .*, brokers signed by .*ca.pem$", checked, re.MULTILINE)
    assert re.search(r"^ok +broker +.* answers", checked, re.MULTILINE)
    assert re.search(r"^failed +group +.* grant Read on the group$", checked, re.MULTILINE)
    refused = await run(access, user, topics, "produce", "--text", "It was good.")
    assert refused.exit_code == ExitCode.DELIVERY
    check(refused.stderr.splitlines()[-1], "may write no topic at all; grant Write on those that it publishes", topics)
    await secured.allow(user, [WRITE_INPUT.named(topics)])
    assert (await run(access, user, topics, "produce", "--text", "It was good.")).exit_code == 0
    await kafka_tools.produce(secured.servers, topics.output, [b'{"text":"It was good."}'])
    consume = ("consume", "--from-beginning", "--max", "1", "--timeout", "30")
    refused = await run(access, user, topics, *consume)
    assert refused.exit_code == ExitCode.TOPIC
    check(
        refused.stderr.splitlines()[-1], "{output}: this worker's user may not read the topic; grant Read on it", topics
    )
    await secured.allow(user, [READ_OUTPUT.named(topics)])
    seen = await run(access, user, topics, *consume)
    assert seen.exit_code == 0, seen.output
    assert seen.stdout == '{"text":"It was good."}\n'


def test_no_right_is_left_out_of_these_tests() -> None:
    assert {*AT_START, *OPTIONAL} == set(OF_THE_WORKER)
    assert set(AT_START) == set(ENDS_WITH)
    assert {*REPLAYING, READ_OUTPUT} == set(OF_COMMANDS)
