"""The commands for people on a real broker."""

from __future__ import annotations

import asyncio
import gzip
from pathlib import Path

import orjson
import pytest
from aiokafka import ConsumerRecord
from click.testing import CliRunner, Result
from conftest import TopicNames
from kafka_tools import Message, consume_all, create_topics
from kafka_tools import produce as produce_messages
from raw_headers import LATIN_1, raw, raw_names
from worker_process import Workers

from worker.cli.commands import commands
from worker.delivery.dead_letters import dead_letter
from worker.devkafka import Cluster
from worker.errors import Reason, RecordError, Stage
from worker.records import Record, TopicPartition


class Shell:
    """Commands against one set of topics."""

    def __init__(self, kafka: Cluster, names: TopicNames) -> None:
        self.servers = kafka.bootstrap_servers
        self.names = names
        asyncio.run(create_topics(self.servers, names.input, names.output, names.dead_letters, partitions=2))

    def produce(self, *arguments: str, stdin: str | bytes | None = None) -> Result:
        options = ["--bootstrap-servers", self.servers, "--input-topic", self.names.input]
        return self._run(["produce", *options, *arguments], stdin)

    def consume(self, *arguments: str) -> Result:
        topics = ["--output-topic", self.names.output, "--dead-letter-topic", self.names.dead_letters]
        return self._run(["consume", "--bootstrap-servers", self.servers, *topics, *arguments])

    def produced(self) -> list[ConsumerRecord]:
        """What is on the input topic."""
        return asyncio.run(consume_all(self.servers, self.names.input))

    def publish(self, topic: str, *messages: Message) -> None:
        asyncio.run(produce_messages(self.servers, topic, messages))

    def _run(self, arguments: list[str], stdin: str | bytes | None = None) -> Result:
        environment = {
            "REVIEWS_WORKER_OUTPUT_TOPIC": self.names.output,
            "REVIEWS_WORKER_DEAD_LETTER_TOPIC": self.names.dead_letters,
            "REVIEWS_WORKER_INPUT_TOPIC": self.names.input,
        }
        result = CliRunner().invoke(commands, arguments, input=stdin, env=environment)
        assert "Traceback" not in result.output
        return result


@pytest.fixture
def shell(kafka: Cluster, topic_names: TopicNames) -> Shell:
    return Shell(kafka, topic_names)


def test_each_line_becomes_an_event_as_it_stands_with_its_review_id_as_the_key(shell: Shell, tmp_path: Path):
    lines = [
        b'{"review_id": "a", "text": "good",  "stars": 1.50}',
        b'{"review_id": 7, "text": "bad"}',
        b'{"text": "no key"}',
    ]
    path = tmp_path / "reviews.jsonl"
    path.write_bytes(b"\n".join([lines[0], b"", lines[1], b"  ", lines[2]]) + b"\n")
    result = shell.produce(str(path))
    assert result.exit_code == 0
    assert result.stderr.strip() == f"produced 3 events to {shell.names.input}"
    assert {(record.key, record.value) for record in shell.produced()} == {
        (b"a", lines[0]),
        (b"7", lines[1]),
        (None, lines[2]),
    }


@pytest.mark.parametrize("compression", ["none", "gzip", "snappy", "lz4", "zstd"])
def test_a_packed_file_and_each_compression_are_taken(shell: Shell, tmp_path: Path, compression: str):
    path = tmp_path / "reviews.jsonl.gz"
    path.write_bytes(gzip.compress(b'{"text": "good"}\n' * 5000))
    assert shell.produce(str(path), "--compression", compression).exit_code == 0
    assert len(shell.produced()) == 5000


def test_events_with_one_key_keep_their_order(shell: Shell):
    lines = [f'{{"review_id": {number % 3}, "text": "t", "number": {number}}}' for number in range(3000)]
    assert shell.produce("-", stdin="\n".join(lines)).exit_code == 0
    numbers: dict[bytes, list[int]] = {}
    for record in shell.produced():
        numbers.setdefault(record.key, []).append(orjson.loads(record.value)["number"])
    assert sorted(map(len, numbers.values())) == [1000, 1000, 1000]
    assert all(values == sorted(values) for values in numbers.values())


def test_one_review_can_be_given_in_words(shell: Shell):
    assert shell.produce("--text", "good film", "--text-field", "review.body").exit_code == 0
    assert [record.value for record in shell.produced()] == [b'{"review":{"body":"good film"}}']


def test_a_review_that_is_waited_for_comes_back_classified_and_no_other_does(
    shell: Shell, kafka: Cluster, workers: Workers
):
    shell.publish(shell.names.input, *(Message(b'{"text": "another"}') for _ in range(5)))
    workers.start(kafka.bootstrap_servers, special="free")
    result = shell.produce("--text", "good film", "--wait", "60")
    assert result.exit_code == 0, result.stderr
    (event,) = map(orjson.loads, result.stdout.splitlines())
    assert (event["text"], event["sentiment"]["label"]) == ("good film", "pos")


def test_a_review_that_is_waited_for_and_became_a_dead_letter_is_told(shell: Shell, kafka: Cluster, workers: Workers):
    workers.start(kafka.bootstrap_servers, special="free", max_event_bytes=20)
    result = shell.produce("--text", "longer than twenty bytes", "--wait", "60")
    assert (result.exit_code, result.stdout) == (11, "")
    assert "became a dead letter, event_too_large: " in result.stderr
    assert f"({shell.names.dead_letters}/" in result.stderr
    assert "longer than twenty" not in result.stderr


def test_a_review_that_nobody_classifies_is_one_error_with_its_place(shell: Shell):
    result = shell.produce("--text", "good film", "--wait", "0.5")
    assert (result.exit_code, result.stdout) == (11, "")
    (record,) = shell.produced()
    # aiokafka may warn before it that the leaders of new topics are not known yet.
    assert result.stderr.splitlines()[-1].startswith(
        f"error: {record.topic}/{record.partition}/{record.offset} has no result after 0.5 s"
    )


@pytest.mark.parametrize(("line", "why"), [("[1]", "not a JSON object but an array"), ('{"text": ', "not JSON")])
def test_a_line_that_is_no_event_is_named_and_what_came_before_it_is_produced(shell: Shell, line: str, why: str):
    result = shell.produce("-", stdin=f'{{"text": "good"}}\n\n{line}\n{{"text": "never"}}\n')
    assert result.exit_code == 2
    assert result.stderr.startswith(f"error: stdin:3: {why}")
    assert "produced before it: 1" in result.stderr
    assert len(shell.produced()) == 1


def test_an_event_that_is_too_large_is_one_clear_error(shell: Shell):
    result = shell.produce("--text", "x" * 2_000_000)
    assert result.exit_code == 8
    assert len(result.stderr.splitlines()) == 1
    assert "xxx" not in result.stderr


def test_a_file_that_only_claims_to_be_packed_is_one_clear_error(shell: Shell, tmp_path: Path):
    path = tmp_path / "reviews.jsonl.gz"
    path.write_bytes(b'{"text": "good"}\n')
    result = shell.produce(str(path))
    assert result.exit_code == 2
    assert "reviews.jsonl.gz: cannot be read" in result.stderr


def test_classified_reviews_are_printed_as_the_objects_they_are_one_on_a_line(shell: Shell):
    pretty = b'{\n  "text": "good",\r\n  "n": 1.50, "sentiment": {"label": "pos", "score": 0.9}}'
    shell.publish(shell.names.output, Message(pretty, partition=0), Message(None, key=b"k", partition=0))
    result = shell.consume("--from-beginning", "--max", "2")
    assert result.exit_code == 0
    lines = result.stdout.splitlines()
    assert orjson.loads(lines[0]) == orjson.loads(pretty)
    assert '"n": 1.50' in lines[0]
    assert lines[1] == "null"


def test_without_the_beginning_only_what_comes_now_is_shown(shell: Shell):
    shell.publish(shell.names.output, Message(b'{"old": 1}'))
    result = shell.consume("--timeout", "0.5")
    assert (result.exit_code, result.stdout) == (0, "")


def test_consume_ends_after_as_many_as_asked_for(shell: Shell):
    shell.publish(shell.names.output, *(Message(b"{}") for _ in range(10)))
    assert len(shell.consume("--from-beginning", "--max", "4").stdout.splitlines()) == 4
    assert len(shell.consume("--from-beginning", "--timeout", "1").stdout.splitlines()) == 10


def test_dead_letters_are_shown_with_reason_source_and_original(shell: Shell):
    source = Record(TopicPartition("reviews.in", 3), 17, 0, b"k", b"\xff", (("trace", b"abc"),), 1)
    letter = dead_letter(source, RecordError(Reason.NOT_UTF8, Stage.DECODE, "not UTF-8 at byte 0"), "dlq", 0)
    shell.publish(shell.names.dead_letters, Message(letter.value, letter.key, letter.headers))
    result = shell.consume("--dead-letters", "--from-beginning", "--max", "1")
    assert orjson.loads(result.stdout) == {
        "reason": "not_utf8",
        "stage": "decode",
        "exception": "worker.errors.RecordError",
        "message": "not UTF-8 at byte 0",
        "source": "reviews.in/3/17",
        "key": "k",
        "value": "\N{REPLACEMENT CHARACTER}",
        "headers": {"trace": "abc"},
    }


def test_headers_whose_names_are_not_utf8_end_no_reading(shell: Shell):
    messages = [Message(b'{"n":%d}' % number, None, raw([(LATIN_1, b"v")]), partition=0) for number in range(3)]
    with raw_names():
        shell.publish(shell.names.output, *messages)
        shell.publish(shell.names.dead_letters, messages[0])
    lines = shell.consume("--from-beginning", "--max", "3").stdout.splitlines()
    assert lines == ['{"n":0}', '{"n":1}', '{"n":2}']
    result = shell.consume("--dead-letters", "--from-beginning", "--max", "1")
    assert orjson.loads(result.stdout)["headers"] == {"caf\\xe9": "v"}


def test_a_sound_environment_passes_the_check(shell: Shell):
    names = shell.names
    topics = ["--input-topic", names.input, "--output-topic", names.output, "--dead-letter-topic", names.dead_letters]
    result = CliRunner().invoke(commands, ["check", "--bootstrap-servers", shell.servers, "--port", "0", *topics])
    assert result.exit_code == 0, result.stdout
    assert [line.split()[0] for line in result.stdout.splitlines()] == ["ok"] * 9
    assert f"{names.input} (2 partitions)" in result.stdout


@pytest.mark.parametrize(("option", "code"), [("--create-topics", 0), ("--no-create-topics", 11)])
def test_the_check_creates_no_topics_and_tells_what_would_happen(
    kafka: Cluster, topic_names: TopicNames, option: str, code: int
):
    arguments = ["check", "--bootstrap-servers", kafka.bootstrap_servers, "--port", "0", option]
    for _ in range(2):
        result = CliRunner().invoke(commands, [*arguments, "--input-topic", topic_names.input])
        assert result.exit_code == code
        line = next(line for line in result.stdout.splitlines() if " topics " in line)
        assert topic_names.input in line
        assert ("would create" if code == 0 else "not found") in line
