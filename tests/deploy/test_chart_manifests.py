"""What the chart makes is what Kubernetes and the operators take, and follows the rules of kube-score."""

from __future__ import annotations

import functools
import json
import shutil
from collections.abc import Container
from pathlib import Path
from typing import Any

import pytest
import yaml
from deploy_tools import Answer, made, tool
from helm_chart import CASES, CHART, KUBERNETES_VERSION, case, case_name, manifest, objects, rendered

EXPLAINED = {
    "container-image-pull-policy": "a release's image does not change under its tag; image.pullPolicy says otherwise",
    "deployment-has-host-podantiaffinity": "workers are spread by topologySpreadConstraints",
    "statefulset-has-host-podantiaffinity": "the same",
    "deployment-replicas": "KEDA sets the number, and kube-score knows of an HPA only",
}
"""Rules of kube-score that are not kept, and why."""


def conforms(text: str, version: str = KUBERNETES_VERSION) -> Answer:
    """``kubeconform -strict`` against the schemas of Kubernetes and of the operators."""
    schemas = made("schemas")
    kubernetes = "{{.NormalizedKubernetesVersion}}{{.StrictSuffix}}/{{.ResourceKind}}{{.KindSuffix}}.json"
    custom = "crd/{{.Group}}/{{.ResourceKind}}_{{.ResourceAPIVersion}}.json"
    locations = ["-schema-location", f"{schemas}/{kubernetes}", "-schema-location", f"{schemas}/{custom}"]
    arguments = ["-strict", "-summary", "-kubernetes-version", version, *locations]
    return tool("kubeconform")(*arguments, stdin=text)


def scored(text: str, explained: Container[str] = EXPLAINED) -> list[tuple[str, str, str]]:
    """What kube-score has against a manifest: rule, object and reason, without what is explained."""
    answer = tool("kube-score")("score", "--output-format", "json", "-", stdin=text)
    found = []
    for each in json.loads(answer.out):
        for check in each["checks"]:
            if check["grade"] < 10 and not check["skipped"] and check["check"]["id"] not in explained:
                reasons = "; ".join(comment["summary"] for comment in check["comments"] or [])
                found.append((check["check"]["id"], each["object_name"], reasons))
    return found


@pytest.mark.parametrize("values", CASES, ids=case_name)
def test_everything_has_the_form_that_kubernetes_and_the_operators_ask_for(values: Path) -> None:
    text = manifest(values)
    answer = conforms(text)
    assert answer.code == 0, answer.text
    assert f"Valid: {len(objects(text))}, Invalid: 0, Errors: 0, Skipped: 0" in answer.out


@pytest.mark.parametrize("values", CASES, ids=case_name)
def test_kube_score_has_nothing_against_it_that_is_not_explained(values: Path) -> None:
    if case_name(values) == "bare":
        # What it turns off is what kube-score asks for.
        assert {rule for rule, *_ in scored(manifest(values))} == {"pod-networkpolicy"}
    else:
        assert scored(manifest(values)) == []


PLAIN = "plainword"
NAMED = (
    *(
        "audience",
        "claim",
        "clientId",
        "cluster",
        "configMap",
        "group",
        "inputTopic",
        "key",
        "nameOverride",
        "reference",
    ),
    *("revision", "runtimeClassName", "scope", "secret", "serviceName", "triggerAuthentication", "username"),
)
"""Values that are names, besides all that end with ``Key``."""
WITH_SERVICE = ("static-membership", "keda-drain-time")


def called(word: str, values: Any, place: str = "") -> Any:
    """The same values, with `word` for each name that they have."""
    if isinstance(values, dict):
        return {key: called(word, value, key) for key, value in values.items()}
    return word if values and (place in NAMED or place.endswith("Key")) else values


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("names")


@functools.cache
def manifest_called(word: str, path: Path, folder: Path) -> str:
    """The manifest for a values file, with `word` for everything that has a name, the release and its namespace too."""
    defaults = called(word, yaml.safe_load((CHART / "values.yaml").read_text()))
    defaults |= {place: {place: word} for place in ("commonLabels", "podLabels", "podAnnotations", "nodeSelector")}
    defaults |= {"nameOverride": word, "priorityClassName": word}
    defaults["image"] |= {"repository": word, "tag": word, "pullSecrets": [word]}
    defaults["model"]["hub"] |= {"image": {"repository": word, "tag": word}, "labels": [word, word]}
    defaults["serviceAccount"]["name"] = word
    defaults["topics"]["strimzi"]["namespace"] = word
    if case_name(path) in WITH_SERVICE:
        defaults["fullnameOverride"] = "rw"  # no digit comes first in the name of a Service
    if path == case("sasl-plain"):
        defaults["externalSecrets"] = {word: {"store": {"name": word}, "data": {word: {"key": word, "property": word}}}}
    (folder / "values.json").write_text(json.dumps(defaults))
    more = called(word, yaml.safe_load(path.read_text()))
    answer = rendered(folder / "values.json", more=more, release=word, namespace=word)
    assert answer.code == 0, answer.errors
    return answer.out


def renamed(found: Any, word: str) -> Any:
    """What was parsed, with `word` for the plain one, and without checksums."""
    if isinstance(found, dict):
        kept = {key: value for key, value in found.items() if not key.startswith("checksum/")}
        return {renamed(key, word): renamed(value, word) for key, value in kept.items()}
    if isinstance(found, list):
        return [renamed(each, word) for each in found]
    return found.replace(PLAIN, word) if isinstance(found, str) else found


def by_name(text: str, word: str) -> dict[str, Any]:
    found = renamed(objects(text), word)
    return {f"{each['kind']}/{each['metadata']['name']}": each for each in found}


@pytest.mark.parametrize("word", ["20240101", "1e3", "true", "null"])
def test_a_name_that_looks_like_something_else_stays_a_name(folder: Path, word: str) -> None:
    texts = {values: manifest_called(word, values, folder) for values in CASES}
    answer = conforms("\n---\n".join(texts.values()))
    assert answer.code == 0, answer.text
    # Where a name may be left out, the schemas take null for one.
    for values, text in texts.items():
        assert by_name(text, word) == by_name(manifest_called(PLAIN, values, folder), word), case_name(values)


def broken_chart(folder: Path, template: str, right: str, wrong: str) -> Path:
    """A copy of the chart with one mistake in it."""
    copy = folder / "chart"
    shutil.copytree(CHART, copy)
    path = copy / "templates" / template
    text = path.read_text()
    assert right in text
    path.write_text(text.replace(right, wrong))
    return copy


@pytest.mark.parametrize(
    ("template", "right", "wrong", "values"),
    [
        ("poddisruptionbudget.yaml", "maxUnavailable:", "maxUnavailabel:", "default"),
        ("_pod.tpl", "terminationGracePeriodSeconds:", "terminationGracePeriod:", "default"),
        ("scaledobject.yaml", "maxReplicaCount:", "maxReplicas:", "keda-lag"),
        ("kafkatopics.yaml", "partitions:", "partition:", "mtls-strimzi"),
        ("podmonitor.yaml", "podMetricsEndpoints:", "endpoints:", "everything"),
    ],
)
def test_a_misspelt_field_is_found(tmp_path: Path, template: str, right: str, wrong: str, values: str) -> None:
    chart = broken_chart(tmp_path, template, right, wrong)
    answer = rendered(case(values), chart=chart)
    assert answer.code == 0  # Helm itself sees nothing wrong
    assert conforms(answer.out).code != 0


@pytest.mark.parametrize(
    ("template", "right", "wrong", "rule"),
    [
        (
            "_pod.tpl",
            "securityContext:\n  {{- toYaml .Values.securityContext",
            "x:\n  {{- toYaml .Values.securityContext",
            "container-security-context-readonlyrootfilesystem",
        ),
        ("_pod.tpl", 'include "reviews-worker.resources" .', "dict | toYaml", "container-resources"),
    ],
)
def test_a_breach_of_the_rules_is_found(tmp_path: Path, template: str, right: str, wrong: str, rule: str) -> None:
    answer = rendered(case("default"), chart=broken_chart(tmp_path, template, right, wrong))
    assert answer.code == 0
    assert rule in {found for found, *_ in scored(answer.out)}


def test_every_explanation_is_still_needed() -> None:
    broken = {rule for values in CASES for rule, *_ in scored(manifest(values), explained=())}
    assert set(EXPLAINED) <= broken


def containers(each: dict[str, Any]) -> list[dict[str, Any]]:
    spec = each["spec"] if each["kind"] == "Pod" else each["spec"]["template"]["spec"]
    return [*spec.get("initContainers", []), *spec["containers"]]


@pytest.mark.parametrize("values", CASES, ids=case_name)
def test_every_container_is_as_restricted_as_can_be(values: Path) -> None:
    pods = [each for each in objects(manifest(values)) if each["kind"] in ("Deployment", "StatefulSet", "Job", "Pod")]
    assert pods
    for each in pods:
        spec = each["spec"] if each["kind"] == "Pod" else each["spec"]["template"]["spec"]
        assert spec["automountServiceAccountToken"] is False
        assert spec["enableServiceLinks"] is False
        assert spec["securityContext"]["runAsNonRoot"] is True
        assert spec["securityContext"]["runAsUser"] == 10001
        assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        for container in containers(each):
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            }


def test_the_image_has_a_gpu_variant_exactly_where_a_gpu_is_asked_for() -> None:
    for values in CASES:
        for each in objects(manifest(values)):
            if each["kind"] in ("Deployment", "StatefulSet"):
                (container,) = each["spec"]["template"]["spec"]["containers"]
                gpus = container["resources"]["limits"].get("nvidia.com/gpu")
                assert gpus in (None, 1)
                assert "@" in container["image"] or container["image"].endswith("-cuda" if gpus else "-cpu")
