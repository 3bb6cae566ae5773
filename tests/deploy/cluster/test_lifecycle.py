"""The life of a release: install, upgrade, a failed upgrade, rollback, uninstall."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from cluster_tools import NAME, Namespace
from helm_chart import CHART, case

DEFAULT = ("--values", case("default"))
NO_JOB = (*DEFAULT, "--set", "topics.mode=none")
DEPLOYMENT = f"deployment/{NAME}"


def image(namespace: Namespace) -> str:
    found: str = namespace.get(DEPLOYMENT)["spec"]["template"]["spec"]["containers"][0]["image"]
    return found


def checksum(namespace: Namespace) -> str:
    found: str = namespace.get(DEPLOYMENT)["spec"]["template"]["metadata"]["annotations"]["checksum/config"]
    return found


def ready(namespace: Namespace) -> int:
    found: int = namespace.get(DEPLOYMENT)["status"].get("readyReplicas", 0)
    return found


def succeeded(answer: object) -> None:
    assert getattr(answer, "code", None) == 0, getattr(answer, "text", answer)


def test_from_install_to_uninstall(namespace: Namespace) -> None:
    installed = namespace.install(CHART, *NO_JOB)
    succeeded(installed)
    assert "reviews-worker produce --text" in installed.out  # the notes
    first_image, first_config = image(namespace), checksum(namespace)
    assert (first_image, ready(namespace)) == ("reviews-worker:0.1.0-cpu", 2)
    assert namespace.get(f"poddisruptionbudget/{NAME}")["status"]["disruptionsAllowed"] == 1
    tested = namespace.helm("test", "--timeout", "60s")
    succeeded(tested)
    assert f"TEST SUITE:     {NAME}-test" in tested.out

    succeeded(namespace.upgrade(CHART, *NO_JOB, "--set", "settings.max_wait_s=3", "--set", "image.tag=1.1.0"))
    assert (image(namespace), ready(namespace)) == ("reviews-worker:1.1.0", 2)
    second_config = checksum(namespace)
    assert second_config != first_config

    broken = namespace.upgrade(CHART, *NO_JOB, "--set", "image.tag=broken", timeout_s=8)
    assert broken.code != 0
    assert "UPGRADE FAILED" in broken.errors
    assert (image(namespace), ready(namespace)) == ("reviews-worker:1.1.0", 2)
    assert checksum(namespace) == second_config

    succeeded(namespace.helm("rollback", "1", "--wait", "--timeout", "60s"))
    assert (image(namespace), checksum(namespace), ready(namespace)) == (first_image, first_config, 2)

    succeeded(namespace.helm("uninstall", "--wait", "--timeout", "60s"))
    assert namespace.names() == {f"pod/{NAME}-test"}  # with its log, until the next test


def test_a_topics_job_that_fails_stops_the_upgrade_before_the_workers_are_touched(namespace: Namespace) -> None:
    succeeded(namespace.install(CHART, *DEFAULT))
    assert not [name for name in namespace.names() if "topics" in name]  # the job is gone
    before = namespace.get(DEPLOYMENT)["metadata"]["generation"]
    failed = namespace.upgrade(CHART, *DEFAULT, "--set", "image.tag=failing", "--set", "topics.retries=0")
    assert failed.code != 0
    assert (
        f"pre-upgrade hooks failed: resource Job/{namespace.name}/{NAME}-topics not ready. status: Failed"
        in failed.errors
    )
    assert (image(namespace), ready(namespace)) == ("reviews-worker:0.1.0-cpu", 2)
    assert namespace.get(DEPLOYMENT)["metadata"]["generation"] == before
    assert f"job.batch/{NAME}-topics" in namespace.names()  # and stays, with its log

    succeeded(namespace.upgrade(CHART, *DEFAULT, "--set", "image.tag=1.1.0"))
    assert image(namespace) == "reviews-worker:1.1.0"
    assert not [name for name in namespace.names() if "topics" in name]


def test_a_deployment_becomes_a_statefulset_and_back(namespace: Namespace) -> None:
    succeeded(namespace.install(CHART, *DEFAULT))
    succeeded(namespace.upgrade(CHART, *DEFAULT, "--set", "workload.kind=StatefulSet"))
    names = namespace.names()
    assert f"statefulset.apps/{NAME}" in names
    assert f"deployment.apps/{NAME}" not in names
    assert {f"pod/{NAME}-0", f"pod/{NAME}-1"} <= names
    succeeded(namespace.upgrade(CHART, *DEFAULT))
    assert ready(namespace) == 2


def test_an_autoscaler_keeps_its_number_through_an_upgrade(namespace: Namespace) -> None:
    scaled = (*DEFAULT, "--set", "scaling.kind=hpa")
    succeeded(namespace.install(CHART, *scaled))
    namespace.kubectl("scale", DEPLOYMENT, "--replicas=3")
    succeeded(namespace.upgrade(CHART, *scaled, "--set", "settings.max_wait_s=3"))
    assert namespace.get(DEPLOYMENT)["spec"]["replicas"] == 3


def test_workers_are_replaced_though_every_gpu_is_taken(namespace: Namespace) -> None:
    values = ("--values", case("gpu"), "--set", "topics.mode=none")  # two workers, for two nodes with one GPU each
    succeeded(namespace.install(CHART, *values))
    succeeded(namespace.upgrade(CHART, *values, "--set", "settings.max_wait_s=3"))
    assert ready(namespace) == 2
    as_on_cpus = (
        "--set",
        "workload.maxSurge=1",
        "--set",
        "workload.maxUnavailable=0",
        "--set",
        "settings.max_wait_s=4",
    )
    assert namespace.upgrade(CHART, *values, *as_on_cpus, timeout_s=8).code != 0


@pytest.mark.parametrize(
    ("template", "right", "wrong"),
    [
        ("poddisruptionbudget.yaml", "maxUnavailable:", "maxUnavailabel:"),
        ("_pod.tpl", "terminationGracePeriodSeconds:", "terminationGracePeriod:"),
    ],
)
def test_a_misspelt_field_is_refused_by_the_server(
    namespace: Namespace, tmp_path: Path, template: str, right: str, wrong: str
) -> None:
    chart = tmp_path / "chart"
    shutil.copytree(CHART, chart)
    path = chart / "templates" / template
    path.write_text(path.read_text().replace(right, wrong))
    answer = namespace.install(chart, *NO_JOB)
    assert answer.code != 0
    assert wrong.rstrip(":") in answer.errors


@pytest.mark.parametrize("kind", ["keda-lag", "mtls-strimzi", "everything"])
def test_a_misspelt_field_of_a_custom_kind_is_refused_by_the_server(namespace: Namespace, kind: str) -> None:
    misspelt = {
        "keda-lag": ("maxReplicaCount:", "maxReplicas:"),
        "mtls-strimzi": ("partitions:", "partition:"),
        "everything": ("podMetricsEndpoints:", "podMetricsEndpoint:"),
    }
    right, wrong = misspelt[kind]
    template = namespace.cluster.run(
        "helm", "template", "reviews", CHART, "--namespace", namespace.name, "--values", case(kind), "--no-hooks"
    )
    assert template.code == 0
    assert right in template.out
    command = ("--namespace", namespace.name, "apply", "--dry-run=server", "--validate=strict", "--filename", "-")
    assert namespace.cluster.run("kubectl", *command, stdin=template.out).code == 0
    answer = namespace.cluster.run("kubectl", *command, stdin=template.out.replace(right, wrong))
    assert answer.code != 0
    assert wrong.rstrip(":") in answer.errors
