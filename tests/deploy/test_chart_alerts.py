"""The alerts of a release speak of its own workers, and lead to where they are explained."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from deploy_tools import tool
from helm_chart import objects_of

FULL_NAME = "reviews-reviews-worker"
OURS = f"{FULL_NAME}-7d4f9c8b5d-x2x4z"
THEIRS = [
    {"pod": f"{FULL_NAME}-eu-7d4f9c8b5d-x2x4z", "namespace": "shop", "job": "shop/eu"},
    {"pod": f"{FULL_NAME}-eu-0", "namespace": "shop", "job": "shop/eu"},
    {"pod": OURS, "namespace": "elsewhere", "job": "elsewhere/reviews"},
]
"""Workers of other releases."""


def rules(**values: Any) -> dict[str, dict[str, Any]]:
    alerts = {"enabled": True, **values.pop("alerts", {})}
    found = objects_of(alerts=alerts, **values)
    groups = found[f"PrometheusRule/{FULL_NAME}"]["spec"]["groups"]
    return {rule["alert"]: rule for group in groups for rule in group["rules"]}


def test_every_metric_of_every_rule_is_that_of_this_release() -> None:
    for rule in rules().values():
        names = re.findall(r"\b(?:reviews_worker|process)_\w+", rule["expr"])
        narrowed = re.findall(rf'_\w+{{namespace="shop",pod=~"{FULL_NAME}-', rule["expr"])
        assert len(names) == len(narrowed) > 0, rule["expr"]


def series_of(labels: dict[str, str], absent_after: str, broker: str) -> dict[str, str]:
    text = ",".join(f'{name}="{value}"' for name, value in labels.items())
    return {f"reviews_worker_info{{{text}}}": absent_after, f"reviews_worker_broker_up{{{text}}}": broker}


WELL, GONE, AWAY = ("1x60", "1x60"), ("1x20 stale", "1x20 stale"), ("1x60", "0x60")


@pytest.mark.parametrize("labels", [{"pod": OURS}, {"pod": f"{FULL_NAME}-0"}, {"pod": f"{FULL_NAME}-7d4f9x2x4z"}])
@pytest.mark.parametrize(
    ("ours", "theirs", "alert", "fires"),
    [
        (GONE, WELL, "ReviewsWorkerAbsent", True),
        (WELL, GONE, "ReviewsWorkerAbsent", False),
        (AWAY, WELL, "ReviewsWorkerBrokerAway", True),
        (WELL, AWAY, "ReviewsWorkerBrokerAway", False),
    ],
)
def test_no_release_is_alerted_for_another(
    tmp_path: Path,
    labels: dict[str, str],
    ours: tuple[str, str],
    theirs: tuple[str, str],
    alert: str,
    fires: bool,
) -> None:
    own = {"namespace": "shop", "job": "shop/reviews", **labels}
    series = series_of(own, *ours)
    for other in THEIRS:
        series |= series_of(other, *theirs)
    seen = {
        "expr": f'count(ALERTS{{alertname="{alert}",alertstate="firing"}})',
        "eval_time": "30m",
        "exp_samples": [{"labels": "{}", "value": 1}] if fires else [],
    }
    test = {
        "interval": "1m",
        "input_series": [{"series": name, "values": values} for name, values in series.items()],
        "promql_expr_test": [seen],
    }
    group = {"name": "all", "rules": list(rules().values())}
    (tmp_path / "rules.yaml").write_text(yaml.safe_dump({"groups": [group]}))
    path = tmp_path / "test.yaml"
    path.write_text(yaml.safe_dump({"rule_files": ["rules.yaml"], "evaluation_interval": "1m", "tests": [test]}))
    tool("promtool").succeeds("test", "rules", path)


@pytest.mark.parametrize(
    ("scaling", "expected"),
    [
        ({}, True),
        ({"replicas": 0}, False),
        ({"kind": "keda", "min": 0}, False),
        ({"kind": "keda", "min": 1, "replicas": 0}, True),
    ],
    ids=str,
)
def test_nobody_is_missed_where_there_may_be_no_worker(scaling: dict[str, Any], expected: bool) -> None:
    found = rules(scaling=scaling)
    assert ("ReviewsWorkerAbsent" in found) is expected
    assert "ReviewsWorkerNoPartitions" in found


def test_links_begin_where_one_says() -> None:
    plain = rules()["ReviewsWorkerAbsent"]["annotations"]
    assert plain["runbook_url"] == "docs/operations.md#reviewsworkerabsent"
    prefixed = rules(alerts={"runbookBaseUrl": "https://git.example/worker/blob/main/"})["ReviewsWorkerAbsent"]
    wanted = {**plain, "runbook_url": "https://git.example/worker/blob/main/docs/operations.md#reviewsworkerabsent"}
    assert prefixed["annotations"] == wanted
