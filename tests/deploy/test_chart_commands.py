"""What the chart's containers run does what the chart promises: topics made, workers started, a review sent through."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import orjson
from conftest import TopicNames
from deploy_tools import REPOSITORY
from helm_chart import RELEASE, objects, pod_template, rendered
from worker_process import workers_for

from worker.devkafka import Cluster

FULL_NAME = f"{RELEASE}-reviews-worker"


def run(arguments: Sequence[str], environment: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    """A command of the image, with the environment of a container."""
    command = [sys.executable, "-m", "worker.cli", *arguments]
    return subprocess.run(
        command,
        cwd=REPOSITORY,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


async def test_the_job_makes_the_topics_for_the_workers_and_the_test_gets_its_classification(
    kafka: Cluster, topic_names: TopicNames, tmp_path: Path
) -> None:
    values: dict[str, Any] = {
        "kafka": {
            "bootstrapServers": kafka.bootstrap_servers,
            "group": topic_names.group,
            "inputTopic": topic_names.input,
            "outputTopic": topic_names.output,
            "deadLetterTopic": topic_names.dead_letters,
            "inputPartitions": 3,
        }
    }
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
