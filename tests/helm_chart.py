"""The Helm chart as tests see it: rendered for a set of values, object by object."""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from deploy_tools import REPOSITORY, Answer, tool

CHART = REPOSITORY / "deploy" / "helm" / "reviews-worker"
CASES = sorted((CHART / "ci").glob("*-values.yaml"))
SERVERS = "kafka:9092"
KUBERNETES_VERSION = "1.37.0"
RELEASE, NAMESPACE = "reviews", "shop"

Object = dict[str, Any]


def case_name(path: Path) -> str:
    """What a values file is called in a test."""
    return path.name.removesuffix("-values.yaml")


def case(name: str) -> Path:
    """The values file called so."""
    return CHART / "ci" / f"{name}-values.yaml"


def rendered(
    *values: Path,
    more: Mapping[str, Any] | None = None,
    chart: Path = CHART,
    version: str = KUBERNETES_VERSION,
    release: str = RELEASE,
    namespace: str = NAMESPACE,
) -> Answer:
    """``helm template`` with values files, and with `more` values on top."""
    arguments: list[str | Path] = ["template", release, chart, "--namespace", namespace, "--kube-version", version]
    for path in values:
        arguments += ["--values", path]
    if more is not None:
        arguments += ["--values", "-"]
    return tool("helm")(*arguments, stdin=json.dumps(more))


@functools.cache
def manifest(path: Path) -> str:
    """All that the chart makes of a values file."""
    answer = rendered(path)
    assert answer.code == 0, answer.errors
    return answer.out


def objects(text: str) -> list[Object]:
    """The objects of a manifest."""
    return [document for document in yaml.safe_load_all(text) if document]


def objects_of(*values: Path, **more: Any) -> dict[str, Object]:
    """The objects for values, by ``Kind/name``."""
    answer = rendered(*values, more={"kafka": {"bootstrapServers": SERVERS}, **more} if not values else more)
    assert answer.code == 0, answer.errors
    return {f"{found['kind']}/{found['metadata']['name']}": found for found in objects(answer.out)}


def environment_of(found: Mapping[str, Object]) -> dict[str, str]:
    """The settings that the workers are given."""
    return dict(found["ConfigMap/reviews-reviews-worker"]["data"])


def pod_template(found: Mapping[str, Object]) -> Object:
    """The template of the workers' pods."""
    (workload,) = (each for each in found.values() if each["kind"] in ("Deployment", "StatefulSet"))
    template: Object = workload["spec"]["template"]
    return template


def problems(**values: Any) -> str:
    """What ``helm template`` refuses values with; raises AssertionError when it takes them."""
    answer = rendered(case("default"), more=values)
    assert answer.code != 0, f"{values} was taken"
    return answer.errors
