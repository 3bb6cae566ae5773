"""The chart and the worker agree on settings: names, values, files, and how long a stop takes."""

from __future__ import annotations

import math
import os
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml
from deploy_tools import AFTER_DRAIN_S, tool
from helm_chart import (
    CASES,
    CHART,
    SERVERS,
    Object,
    case,
    case_name,
    environment_of,
    objects,
    objects_of,
    pod_template,
    problems,
    rendered,
)

from worker.cli.described import described_settings
from worker.cli.loading import load_settings, unknown_variables
from worker.errors import UsageError
from worker.service import service
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


SASL = {"securityProtocol": "SASL_SSL"}
OAUTH = {"clientId": "reviews", "secret": "s"}


def with_token_url(url: str) -> dict[str, Any]:
    oauth = {**OAUTH, "tokenUrl": url}
    return {"kafka": {**SASL, "sasl": {"mechanism": "OAUTHBEARER", "oauth": oauth}}}


@pytest.fixture(scope="module")
def unguarded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The chart without its checks, to see what would become of values that they refuse."""
    copy = tmp_path_factory.mktemp("unguarded") / "chart"
    shutil.copytree(CHART, copy)
    (copy / "values.schema.json").unlink()
    (copy / "templates" / "validate.yaml").unlink()
    return copy


@pytest.mark.parametrize(
    ("values", "named"),
    [
        *(({"kafka": {"bootstrapServers": servers}}, "kafka.bootstrapServers: ") for servers in (
            "k", "k:", ":9092", "k:http", "k:0", "k:65536", "k:99999", "a:1,,b:2", "a:9092,b:99999",
        )),
        *(({"kafka": {topic: name}}, f"kafka.{topic}") for name in (".", "..", "my topic", "a" * 250) for topic in (
            "inputTopic", "outputTopic", "deadLetterTopic",
        )),
        ({"kafka": {"outputTopic": "reviews.in"}}, "kafka.outputTopic"),
        ({"kafka": {"deadLetterTopic": "reviews.in"}}, "kafka.deadLetterTopic"),
        ({"kafka": {"deadLetterTopic": "reviews.classified"}}, "kafka.deadLetterTopic"),
        ({"kafka": {"inputTopic": "reviews.dlq"}}, "kafka.inputTopic"),
        ({"kafka": {"inputPartitions": 0}}, "kafka.inputPartitions"),
        ({"kafka": {"securityProtocol": "TLS"}}, "kafka.securityProtocol"),
        ({"kafka": SASL}, "kafka.sasl.mechanism"),
        ({"kafka": {"sasl": {"mechanism": "PLAIN", "secret": "s"}}}, "kafka.sasl.mechanism"),
        ({"kafka": {**SASL, "sasl": {"mechanism": "OAUTHBEARER"}}}, "kafka.sasl.oauth"),
        (
            {"kafka": {**SASL, "sasl": {"mechanism": "OAUTHBEARER", "oauth": {"tokenUrl": "https://auth/token"}}}},
            "kafka.sasl.oauth.clientId",
        ),
        *((with_token_url(url), "kafka.sasl.oauth.tokenUrl") for url in (
            "auth.example.com", "http://auth.example.com", "ftp://auth.example.com", "https://", "https://:443/token",
            "https://me:word@auth.example.com/", "https://me@auth.example.com/", "https://auth.example.com:99999/token",
            "https://auth.example.com:token/", "https://[::1/token", "https://[::1]:65536",
        )),
        ({"topics": {"replication": -2}}, "topics.replication"),
        ({"topics": {"retentionSeconds": -2}}, "topics.retentionSeconds"),
        ({"metrics": {"port": 65536}}, "metrics.port"),
        ({"settings": {"result_field": "text"}}, "settings.result_field"),
        ({"settings": {"result_field": "a.b"}}, "settings.result_field"),
        ({"settings": {"result_field": "review", "text_field": "review.body"}}, "settings.result_field"),
        ({"settings": {"text_field": "sentiment"}}, "settings.text_field"),
        ({"settings": {"text_field": "a..b"}}, "settings.text_field"),
        ({"settings": {"text_field": "payload.after[0].x"}}, "settings.text_field"),
        ({"settings": {"text_field": "sentiment.body"}}, "settings.text_field"),
        ({"settings": {"batch_window_reviews": 4097}}, "settings.batch_window_reviews"),
        ({"settings": {"batch_window_reviews": 11, "max_in_flight_reviews": 10}}, "settings.max_in_flight_reviews"),
        ({"settings": {"batch_window_reviews": -1}}, "settings.batch_window_reviews"),
        ({"settings": {"max_in_flight_bytes": 999_999}}, "settings.max_in_flight_bytes"),
        ({"settings": {"max_windows": 0}}, "settings.max_windows"),
        ({"settings": {"fuse_share": 1.1}}, "settings.fuse_share"),
        ({"settings": {"commit_interval_s": 0}}, "settings.commit_interval_s"),
    ],
    ids=str,
)  # fmt: skip
def test_what_the_worker_refuses_at_its_start_the_chart_refuses_before(
    unguarded: Path, monkeypatch: pytest.MonkeyPatch, values: dict[str, Any], named: str
) -> None:
    text = problems(**values)
    assert named in text or f"'/{named.replace('.', '/')}'" in text
    answer = rendered(case("default"), more=values, chart=unguarded)
    assert answer.code == 0, answer.errors
    (config,) = (found for found in objects(answer.out) if found["kind"] == "ConfigMap")
    with pytest.raises(UsageError):
        loaded(config["data"], monkeypatch)


@pytest.mark.parametrize(
    "values",
    [
        {"kafka": {"bootstrapServers": "a:1,[fd00::1]:65535"}},
        {"kafka": {"inputTopic": "...", "outputTopic": ".a", "deadLetterTopic": "a" * 249}},
        {"settings": {"result_field": "body", "text_field": "review.body"}},
        {"settings": {"result_field": "text", "text_field": "sentiment"}},
        {"settings": {"batch_window_reviews": 4096}},
        {"settings": {"batch_window_reviews": 5000, "max_in_flight_reviews": 5000}},
        with_token_url("https://[fd00::1]:65535"),
        with_token_url("https://auth.example.com?for=kafka@example.com"),
    ],
    ids=str,
)
def test_what_the_worker_just_takes_the_chart_takes(values: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    more = {**values, "kafka": {"bootstrapServers": SERVERS, **values.get("kafka", {})}}
    loaded(environment_of(objects_of(**more)), monkeypatch)


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
    spans_s = service.LAST_SPANS_S if traces else 0
    assert 0 <= template["spec"]["terminationGracePeriodSeconds"] - (drain_s + AFTER_DRAIN_S + spans_s) <= 5


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
