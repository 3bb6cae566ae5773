"""The console script as a process: pipes, signals, and the demo from beginning to end."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import orjson
from conftest import TopicNames
from kafka_tools import Message, consume_all, create_topics, produce

from worker.devkafka import Cluster

SCRIPT = str(Path(sys.executable).with_name("reviews-worker"))


def start(*arguments: str, **options: object) -> subprocess.Popen[str]:
    return subprocess.Popen([SCRIPT, *arguments], text=True, stderr=subprocess.PIPE, **options)


def environment_for(kafka: Cluster, names: Sequence[str]) -> dict[str, str]:
    variables = ("INPUT_TOPIC", "OUTPUT_TOPIC", "DEAD_LETTER_TOPIC")
    topics = {f"REVIEWS_WORKER_{variable}": name for variable, name in zip(variables, names, strict=True)}
    return {**os.environ, "KAFKA_BOOTSTRAP_SERVERS": kafka.bootstrap_servers, **topics}


def test_a_reader_that_has_seen_enough_is_no_error():
    read, write = os.pipe()
    os.close(read)
    process = start("schema", "review", stdout=write)
    os.close(write)
    assert process.communicate(timeout=60)[1] == ""
    assert process.returncode == 0


def test_a_worker_that_cannot_go_on_says_so_for_people_and_in_its_json_log():
    servers = ["--bootstrap-servers", "127.0.0.1:1", "--start-timeout-s", "0.3", "--port", "0"]
    process = start("run", *servers, stdout=subprocess.PIPE)
    output, errors = process.communicate(timeout=60)
    assert process.returncode == 5
    assert output == ""
    *log, line = errors.splitlines()
    last = orjson.loads(log[-1])
    assert (last["level"], last["exit_code"]) == ("CRITICAL", 5)
    assert last["message"].removeprefix("stopping: ") == line.removeprefix("error: ")


def test_predict_answers_line_by_line_while_it_reads():
    with start("predict", "-", stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        for text in ("wonderful", "awful"):
            process.stdin.write(text + "\n")
            process.stdin.flush()
            assert process.stdout.readline().endswith(f"\t{text}\n")
        process.stdin.close()
        assert process.wait(60) == 0


def test_an_interrupt_ends_predict_with_its_own_exit_code_and_no_traceback():
    with start("predict", "-", stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        process.stdin.write("good\n")
        process.stdin.flush()
        process.stdout.readline()
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 130
        assert process.stderr.read() == ""


async def test_an_interrupt_ends_consume_with_the_exit_code_of_an_interrupt(kafka: Cluster, topic_names: TopicNames):
    names = (topic_names.input, topic_names.output, topic_names.dead_letters)
    await create_topics(kafka.bootstrap_servers, *names)
    await produce(kafka.bootstrap_servers, topic_names.output, [Message(b'{"n": 1}')])
    environment = environment_for(kafka, names)
    with start("consume", "--from-beginning", stdout=subprocess.PIPE, env=environment) as process:
        assert orjson.loads(process.stdout.readline()) == {"n": 1}
        line = process.stderr.readline()
        assert line.startswith(f"waiting for new records on {topic_names.output} at ")
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 130
        assert process.stderr.read() == ""


async def test_a_line_is_produced_while_the_next_is_waited_for_and_an_interrupt_ends_that(
    kafka: Cluster, topic_names: TopicNames
):
    names = (topic_names.input, topic_names.output, topic_names.dead_letters)
    await create_topics(kafka.bootstrap_servers, *names)
    with start("produce", "-", stdin=subprocess.PIPE, env=environment_for(kafka, names)) as process:
        process.stdin.write('{"text": "good"}\n')
        process.stdin.flush()
        records = await consume_all(kafka.bootstrap_servers, topic_names.input, count=1)
        assert [record.value for record in records] == [b'{"text": "good"}']
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 130
        assert process.stderr.read() == ""


def test_the_demo_classifies_its_reviews_shows_the_dead_letters_and_stops(kafka: Cluster):
    environment = {**os.environ, "KAFKA_BOOTSTRAP_SERVERS": kafka.bootstrap_servers}
    done = subprocess.run(
        [SCRIPT, "demo", "--count", "60"], env=environment, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    classified = [line for line in done.stdout.splitlines() if re.match(r"(pos|neg)\t0\.\d{3}\t", line)]
    assert len(classified) == 60
    assert {line.split()[0] for line in done.stdout.splitlines() if line.startswith("  ")} == {
        "not_json",
        "text_missing",
    }
    assert "60 reviews classified and 2 dead letters" in done.stdout


def test_a_demo_whose_worker_cannot_start_says_why(kafka: Cluster, tmp_path: Path):
    environment = {**os.environ, "KAFKA_BOOTSTRAP_SERVERS": kafka.bootstrap_servers}
    done = subprocess.run(
        [SCRIPT, "demo", "--model", str(tmp_path / "none")],
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 1
    assert "the worker ended with exit code 3" in done.stderr
    assert "Traceback" not in done.stderr
