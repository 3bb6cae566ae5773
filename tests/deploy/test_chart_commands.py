"""What the chart's containers run does what the chart promises: topics made, workers started, a review sent through."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import orjson
from conftest import TopicNames
from deploy_tools import REPOSITORY, tool
from helm_chart import CHART, RELEASE, environment_of, objects, objects_of, pod_template, rendered
from worker_process import workers_for

from worker.devkafka import Cluster

FULL_NAME = f"{RELEASE}-reviews-worker"


def run(arguments: Sequence[str], environment: Mapping[str, str], stdin: str = "") -> subprocess.CompletedProcess[str]:
    """A command of the image, with the environment of a container."""
    command = [sys.executable, "-m", "worker.cli", *arguments]
    return subprocess.run(
        command,
        cwd=REPOSITORY,
        env={**os.environ, **environment},
        input=stdin,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def values_for(kafka: Cluster, names: TopicNames) -> dict[str, Any]:
    return {
        "kafka": {
            "bootstrapServers": kafka.bootstrap_servers,
            "group": names.group,
            "inputTopic": names.input,
            "outputTopic": names.output,
            "deadLetterTopic": names.dead_letters,
            "inputPartitions": 3,
        }
    }


def notes_of(values: Mapping[str, Any]) -> str:
    arguments = ("install", RELEASE, CHART, "--dry-run=client", "--output", "json", "--values", "-")
    answer = orjson.loads(tool("helm").succeeds(*arguments, stdin=orjson.dumps(values).decode()))
    return str(answer["info"]["notes"])


def commands_of_notes(values: Mapping[str, Any]) -> list[list[str]]:
    """What the notes of a release tell to run in a worker's container: the arguments of each."""
    commands = re.findall(rf"kubectl .* exec --stdin deployment/{FULL_NAME} -- reviews-worker (.+)", notes_of(values))
    return [shlex.split(command) for command in commands]


async def test_the_commands_of_the_notes_do_what_they_say(
    kafka: Cluster, topic_names: TopicNames, tmp_path: Path
) -> None:
    values = values_for(kafka, topic_names)
    environment = environment_of(objects_of(**values, topics={"mode": "worker"}))
    one, several, consume, dlq, topics = commands_of_notes(values)
    assert several[-2:] == ["<", "reviews.jsonl"]

    own_port = {"REVIEWS_WORKER_PORT": "0", "REVIEWS_WORKER_HOST": "127.0.0.1"}
    with workers_for(topic_names, tmp_path) as workers:
        await workers.start(None, variables={**environment, **own_port}).ready()
        assert run(one, environment).returncode == 0
        lines = "".join(f'{{"text": "Seen it {number} times."}}\n' for number in range(9))
        produced = run(several[:-2], environment, stdin=lines)
        assert (produced.returncode, produced.stderr) == (0, f"produced 9 events to {topic_names.input}\n")
        consumed = run(consume, environment)
    assert consumed.returncode == 0, consumed.stderr
    texts = {orjson.loads(line)["text"] for line in consumed.stdout.splitlines()}
    assert texts == {one[-1], *(f"Seen it {number} times." for number in range(9))}
    listed = run(dlq, environment)
    assert listed.returncode == 0, listed.stderr
    shown = run(topics, environment)
    assert shown.returncode == 0, shown.stderr
    assert shown.stdout.splitlines()[1].split("\t")[-1] == "0"


async def test_the_job_makes_the_topics_for_the_workers_and_the_test_gets_its_classification(
    kafka: Cluster, topic_names: TopicNames, tmp_path: Path
) -> None:
    values = values_for(kafka, topic_names)
    answer = rendered(more=values)
    assert answer.code == 0, answer.errors
    made = {f"{each['kind']}/{each['metadata']['name']}": each for each in objects(answer.out)}
    environment = made[f"ConfigMap/{FULL_NAME}"]["data"]
    (job,) = made[f"Job/{FULL_NAME}-topics"]["spec"]["template"]["spec"]["containers"]
    (worker,) = pod_template(made)["spec"]["containers"]
    (test,) = made[f"Pod/{FULL_NAME}-test"]["spec"]["containers"]

    created = run(job["args"], {variable["name"]: variable["value"] for variable in job["env"]})
    assert created.returncode == 0, created.stderr
    rows = [line.split("\t") for line in created.stdout.splitlines()[1:]]
    assert [(topic, partitions) for topic, partitions, *_ in rows] == [
        (topic_names.input, "3"),
        (topic_names.output, "3"),
        (topic_names.dead_letters, "3"),
    ]

    assert worker["args"] == ["run"]
    own_port = {"REVIEWS_WORKER_PORT": "0", "REVIEWS_WORKER_HOST": "127.0.0.1"}
    with workers_for(topic_names, tmp_path) as workers:
        await workers.start(None, variables={**environment, **own_port}).ready()
        answered = run(test["args"], environment)
    assert answered.returncode == 0, answered.stderr
    assert orjson.loads(answered.stdout)["sentiment"]["label"] == "pos"
