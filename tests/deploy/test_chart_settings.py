"""The chart and the worker agree on settings: names, values, files, and how long a stop takes."""

from __future__ import annotations

import math
import os
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from deploy_tools import tool
from helm_chart import CASES, CHART, Object, case, case_name, environment_of, objects_of, pod_template

from worker.cli.described import described_settings
from worker.cli.loading import load_settings, unknown_variables
from worker.delivery import publisher
from worker.faust_app import service
from worker.settings import ENVIRONMENT_PREFIX, Settings

FOREIGN = {"OTEL_EXPORTER_OTLP_ENDPOINT", "KRB5_CLIENT_KTNAME", "KRB5_CONFIG", "KRB5CCNAME"}
"""Variables that libraries read, not the worker."""
EXAMPLES: dict[str, Any] = {
    "from_beginning": False,
    "session_timeout_s": 12.5,
    "compression": "none",
    "text_field": "review.body",
    "max_in_flight_bytes": 1234567890,
    "fuse_share": 0.00001,
    "max_wait_s": 600,
    "host": "::",
    "window_overlap_tokens": 64,
}


def loaded(environment: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Settings:
    """The worker's settings in such an environment."""
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    return load_settings({}, os.environ)


@pytest.mark.parametrize("values", CASES, ids=case_name)
def test_every_variable_is_one_that_the_worker_knows_and_takes(values: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    environment = environment_of_case(values)
    assert list(unknown_variables(environment)) == []
    assert {name for name in environment if not name.startswith(ENVIRONMENT_PREFIX)} <= FOREIGN
    settings = loaded(environment, monkeypatch)
    given = yaml.safe_load(values.read_text())
    assert settings.bootstrap_servers == given["kafka"]["bootstrapServers"]
    assert {name: getattr(settings, name) for name in given.get("settings", {})} == given.get("settings", {})


def environment_of_case(values: Path) -> dict[str, str]:
    (config,) = (
        found
        for found in objects_of(values).values()
        if found["kind"] == "ConfigMap" and "REVIEWS_WORKER_GROUP" in found["data"]
    )
    return dict(config["data"])


def test_any_setting_reaches_the_worker_as_it_was_written(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = loaded(environment_of(objects_of(settings=EXAMPLES)), monkeypatch)
    assert {name: getattr(settings, name) for name in EXAMPLES} == EXAMPLES


def test_a_large_number_on_the_command_line_keeps_its_digits() -> None:
    arguments = ["--set", "kafka.bootstrapServers=kafka:9092", "--set", "settings.max_in_flight_bytes=134217728"]
    text = tool("helm").succeeds("template", "reviews", CHART, "--show-only", "templates/configmap.yaml", *arguments)
    assert yaml.safe_load(text)["data"]["REVIEWS_WORKER_MAX_IN_FLIGHT_BYTES"] == "134217728"


def test_each_setting_has_exactly_one_place_in_the_values() -> None:
    text = (CHART / "templates" / "_settings.tpl").read_text()
    owned = re.search(r'define "reviews-worker.ownedSettings" -}}\n(.*?)\n{{- end', text, flags=re.DOTALL)
    assert owned is not None
    places = yaml.safe_load(owned[1])
    names = {setting.name for setting in described_settings()}
    assert set(places) <= names
    values = yaml.safe_load((CHART / "values.yaml").read_text())
    for place in places.values():
        found = values
        for part in place.split("."):
            assert part in found, f"{place} is no value"
            found = found[part]


@pytest.mark.parametrize("traces", [False, True])
@pytest.mark.parametrize("grace_period_s", [None, 40.5, 300])
def test_the_pod_has_the_time_that_a_stop_takes_at_the_longest(grace_period_s: float | None, traces: bool) -> None:
    settings = {} if grace_period_s is None else {"grace_period_s": grace_period_s}
    tracing = {"enabled": traces, "endpoint": "http://collector:4318"}
    template = pod_template(objects_of(settings=settings, tracing=tracing))
    drain_s = math.ceil(grace_period_s or Settings.model_fields["grace_period_s"].default)
    after_s = service.REVOCATION_FLUSH_S + service.LAST_COMMIT_S + service.STOP_TIMEOUT_S + publisher.STOP_TIMEOUT_S
    spans_s = service.LAST_SPANS_S if traces else 0
    assert 0 <= template["spec"]["terminationGracePeriodSeconds"] - (drain_s + after_s + spans_s) <= 5


def mounted_files(template: Object) -> set[str]:
    """Paths of the files that the worker finds in mounted Secrets, ConfigMaps and tokens."""
    volumes = {volume["name"]: volume for volume in template["spec"]["volumes"]}
    (container,) = template["spec"]["containers"]
    files = set()
    for mount in container["volumeMounts"]:
        volume = volumes[mount["name"]]
        items = [*volume.get("secret", {}).get("items", []), *volume.get("configMap", {}).get("items", [])]
        items += [source["serviceAccountToken"] for source in volume.get("projected", {}).get("sources", [])]
        files |= {f"{mount['mountPath']}/{item['path']}" for item in items}
    return files


@pytest.mark.parametrize("values", CASES, ids=case_name)
def test_every_file_that_a_setting_names_is_mounted_and_no_other_is(values: Path) -> None:
    found = objects_of(values)
    named = {value.removeprefix("FILE:") for value in environment_of_case(values).values()}
    files = {value for value in named if value.startswith("/etc/")}
    assert mounted_files(pod_template(found)) == files


@pytest.mark.parametrize("values", CASES, ids=case_name)
def test_files_arrive_as_whole_volumes_so_that_a_change_reaches_the_worker(values: Path) -> None:
    (container,) = pod_template(objects_of(values))["spec"]["containers"]
    assert [mount for mount in container["volumeMounts"] if "subPath" in mount or "subPathExpr" in mount] == []


@pytest.mark.parametrize("values", CASES, ids=case_name)
def test_no_secret_is_in_an_environment_and_the_chart_makes_none(values: Path) -> None:
    found = objects_of(values)
    assert [name for name in found if name.startswith("Secret/")] == []
    for each in found.values():
        assert "secretKeyRef" not in str(each)
        assert "'secretRef'" not in str(each)


def checksums(**values: Any) -> tuple[str, str]:
    annotations = pod_template(objects_of(**values))["metadata"]["annotations"]
    return annotations["checksum/config"], annotations["checksum/model"]


@pytest.mark.parametrize(
    ("values", "config_changes", "model_changes"),
    [
        ({"settings": {"max_wait_s": 6}}, True, False),
        ({"model": {"source": "pvc", "pvc": {"claim": "models"}}}, True, True),
        ({"model": {"version": "2"}}, False, True),
        ({"scaling": {"replicas": 5}}, False, False),
        ({"commonLabels": {"team": "reviews"}}, False, False),
    ],
    ids=str,
)
def test_a_change_rolls_the_workers_when_it_is_one_of_config_or_model(
    values: dict[str, Any], config_changes: bool, model_changes: bool
) -> None:
    config, model = checksums()
    changed_config, changed_model = checksums(**values)
    assert (changed_config != config, changed_model != model) == (config_changes, model_changes)


def test_scaling_and_labels_of_objects_leave_the_pods_alone() -> None:
    before = pod_template(objects_of())
    assert pod_template(objects_of(scaling={"replicas": 5}, commonLabels={"team": "reviews"})) == before


def test_a_static_member_is_called_by_namespace_and_pod() -> None:
    (container,) = pod_template(objects_of(case("static-membership")))["spec"]["containers"]
    values = {variable["name"]: variable for variable in container["env"]}
    assert values["REVIEWS_WORKER_GROUP_INSTANCE_ID"]["value"] == "shop.$(POD_NAME)"
    # Kubernetes replaces what was defined above.
    assert list(values) == ["POD_NAME", "REVIEWS_WORKER_GROUP_INSTANCE_ID"]
