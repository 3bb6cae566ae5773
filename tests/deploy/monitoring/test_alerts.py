"""The alerting rules: what they name exists, each fires for its fault and not without it, and each is explained."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from deploy_tools import REPOSITORY, tool
from prometheus_server import Prometheus, unknown

from tests.deploy.monitoring.observed import ALERTS

CASES = Path(__file__).with_name("alerts_test.yaml")
RULES = [rule for group in yaml.safe_load(ALERTS.read_text())["groups"] for rule in group["rules"]]
OF_FAULTS = {'no series: {__name__="reviews_worker_damaged_offset"}'}
"""Series that a worker has only while something is wrong; `alerts_test.yaml` has them."""
every_rule = pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule["alert"])


@every_rule
def test_every_metric_and_label_of_a_rule_is_one_that_a_worker_has(observed: Prometheus, rule: dict[str, Any]) -> None:
    assert set(unknown(observed, rule["expr"])) <= OF_FAULTS


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


SCRAPE_S = 15
BEFORE_S, AFTER_S = 20 * 60, 40 * 60


@dataclass(frozen=True)
class Life:
    """A worker from its first second to its last, and when it was started."""

    instance: str
    first_s: int
    last_s: int
    starts_s: Sequence[int]

    def series(self, rebalances_s: Sequence[int]) -> dict[str, str]:
        """What Prometheus has of it, in a group that shared its partitions out at these times."""
        labels = f'{{job="reviews", namespace="shop", instance="{self.instance}"}}'
        info, started, rebalances = [], [], []
        for now in range(self.first_s, self.last_s, SCRAPE_S):
            start = max(when for when in self.starts_s if when <= now)
            info.append(1)
            started.append(start)
            rebalances.append(sum(start <= when <= now for when in rebalances_s))
        values = {
            "reviews_worker_info": info,
            "process_start_time_seconds": started,
            "reviews_worker_rebalances_total": rebalances,
        }
        before = ["_"] * (self.first_s // SCRAPE_S)
        return {name + labels: " ".join([*before, *map(str, seen), "stale"]) for name, seen in values.items()}


def replaced(workers: int, every_s: int) -> tuple[list[Life], list[int]]:
    """Pods replaced one by one: the new one joins, and the old one leaves half a step later."""
    joins = range(BEFORE_S, BEFORE_S + workers * every_s, every_s)
    end = joins[-1] + AFTER_S
    old = [Life(f"old-{join}", 0, join + every_s // 2, [0]) for join in joins]
    new = [Life(f"new-{join}", join, end, [join]) for join in joins]
    return old + new, [when for join in joins for when in (join, join + every_s // 2)]


def restarted(workers: int, every_s: int) -> tuple[list[Life], list[int]]:
    """Processes stopped and started again one by one, each where it was."""
    stops = range(BEFORE_S, BEFORE_S + workers * every_s, every_s)
    lives = [Life(f"host-{stop}", 0, stops[-1] + AFTER_S, [0, stop + every_s // 2]) for stop in stops]
    return lives, [when for stop in stops for when in (stop, stop + every_s // 2)]


def check_storm(folder: Path, lives: Sequence[Life], rebalances_s: Sequence[int], fires: bool) -> None:
    """Fail unless the alert fires at some minute, or at none."""
    series = {name: values for life in lives for name, values in life.series(rebalances_s).items()}
    seen = {
        "expr": 'count(last_over_time(ALERTS{alertname="ReviewsWorkerRebalanceStorm",alertstate="firing"}[1d]))',
        "eval_time": f"{max(life.last_s for life in lives)}s",
        "exp_samples": [{"labels": "{}", "value": 1}] if fires else [],
    }
    test = {
        "interval": f"{SCRAPE_S}s",
        "input_series": [{"series": name, "values": values} for name, values in series.items()],
        "promql_expr_test": [seen],
    }
    path = folder / "test.yaml"
    path.write_text(yaml.safe_dump({"rule_files": [str(ALERTS)], "evaluation_interval": "1m", "tests": [test]}))
    tool("promtool").succeeds("test", "rules", path)


@pytest.mark.parametrize("update", [replaced, restarted])
@pytest.mark.parametrize("every_s", [30, 45, 60])
@pytest.mark.parametrize("workers", [6, 8, 12, 24])
def test_an_update_is_no_storm_at_any_minute(
    tmp_path: Path, workers: int, every_s: int, update: Callable[[int, int], tuple[list[Life], list[int]]]
) -> None:
    check_storm(tmp_path, *update(workers, every_s), fires=False)


@pytest.mark.parametrize("update", [replaced, restarted])
def test_an_update_hides_no_storm(tmp_path: Path, update: Callable[[int, int], tuple[list[Life], list[int]]]) -> None:
    lives, rebalances_s = update(24, 60)
    restless_s = range(BEFORE_S, BEFORE_S + 30 * 60, 60)
    check_storm(tmp_path, lives, sorted([*rebalances_s, *(when + 20 for when in restless_s)]), fires=True)


@every_rule
def test_a_rule_says_what_it_means_and_leads_to_what_to_do(rule: dict[str, Any]) -> None:
    assert rule["labels"]["severity"] in ("critical", "warning")
    annotations = rule["annotations"]
    assert set(annotations) == {"summary", "description", "runbook_url"}
    page, _, anchor = annotations["runbook_url"].partition("#")
    headings = re.findall(r"^### (\w+)$", (REPOSITORY / page).read_text(), flags=re.MULTILINE)
    assert rule["alert"] in headings
    assert anchor == rule["alert"].lower()
