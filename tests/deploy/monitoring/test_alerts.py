"""The alerting rules: what they name exists, each fires for its fault and not without it, and each is explained."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from deploy_tools import REPOSITORY, tool
from prometheus_server import Prometheus, unknown

from tests.deploy.monitoring.observed import ALERTS

CASES = Path(__file__).with_name("alerts_test.yaml")
RULES = [rule for group in yaml.safe_load(ALERTS.read_text())["groups"] for rule in group["rules"]]
every_rule = pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule["alert"])


@every_rule
def test_every_metric_and_label_of_a_rule_is_one_that_a_worker_has(observed: Prometheus, rule: dict[str, Any]) -> None:
    assert unknown(observed, rule["expr"]) == []


@pytest.mark.parametrize(
    ("expr", "problem"),
    [
        ("sum by (job) (reviews_worker_backlog) > 0", 'no series: {__name__="reviews_worker_backlog"}'),
        (
            'rate(reviews_worker_retries_total{stage="publishing"}[5m]) > 0',
            'no series: {stage="publishing",__name__="reviews_worker_retries_total"}',
        ),
        ("sum by (cause) (reviews_worker_dead_letters_total)", "no label: cause"),
        ("reviews_worker_lag * on (instance) group_left (owner) reviews_worker_info", "no label: owner"),
    ],
)
def test_a_name_that_no_worker_has_is_found(observed: Prometheus, expr: str, problem: str) -> None:
    assert unknown(observed, expr) == [problem]


def test_what_is_no_expression_is_found(observed: Prometheus) -> None:
    with pytest.raises(AssertionError, match="parse error"):
        unknown(observed, "sum by (job) (reviews_worker_lag")


def test_prometheus_evaluates_every_rule_and_none_fires_but_for_the_dead_letter(observed: Prometheus) -> None:
    evaluated = [rule for group in observed.ask("rules")["groups"] for rule in group["rules"]]
    assert {rule["name"] for rule in evaluated} == {rule["alert"] for rule in RULES}
    assert [rule["lastError"] for rule in evaluated if rule["health"] != "ok"] == []
    firing = [alert for rule in evaluated for alert in rule["alerts"] if alert["state"] == "firing"]
    assert [alert["labels"]["alertname"] for alert in firing] == ["ReviewsWorkerDeadLetters"]
    assert "the reason is text_missing." in firing[0]["annotations"]["description"]


def test_each_rule_fires_for_its_fault_and_not_without_it() -> None:
    tool("promtool").succeeds("test", "rules", CASES)


def test_the_cases_show_each_rule_firing_and_silent() -> None:
    fires, silent = set(), set()
    for case in yaml.safe_load(CASES.read_text())["tests"]:
        for expected in case["alert_rule_test"]:
            (fires if expected.get("exp_alerts") else silent).add(expected["alertname"])
    names = {rule["alert"] for rule in RULES}
    assert (fires, silent) == (names, names)


@every_rule
def test_a_rule_says_what_it_means_and_leads_to_what_to_do(rule: dict[str, Any]) -> None:
    assert rule["labels"]["severity"] in ("critical", "warning")
    annotations = rule["annotations"]
    assert set(annotations) == {"summary", "description", "runbook_url"}
    page, _, anchor = annotations["runbook_url"].partition("#")
    headings = re.findall(r"^### (\w+)$", (REPOSITORY / page).read_text(), flags=re.MULTILINE)
    assert rule["alert"] in headings
    assert anchor == rule["alert"].lower()
