"""What KEDA asks Prometheus for is the time that the lag takes, computed by Prometheus itself."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from pathlib import Path

import pytest
import yaml
from deploy_tools import tool
from helm_chart import case, objects_of
from prometheus_client.metrics import MetricWrapperBase

from worker.metrics import Metrics

FULL_NAME = "reviews-reviews-worker"
LAG, OUT = "reviews_worker_lag", "reviews_worker_events_out_total"
INTERVAL_S = 15


def drain_query() -> str:
    found = objects_of(case("keda-drain-time"))
    (trigger,) = found[f"ScaledObject/{FULL_NAME}"]["spec"]["triggers"]
    query: str = trigger["metadata"]["query"]
    return query


def lag(partition: int, pod: str = f"{FULL_NAME}-abc", namespace: str = "shop") -> str:
    return f'{LAG}{{namespace="{namespace}",pod="{pod}",partition="{partition}"}}'


def published(pod: str = f"{FULL_NAME}-abc", namespace: str = "shop") -> str:
    return f'{OUT}{{namespace="{namespace}",pod="{pod}"}}'


@pytest.mark.parametrize(
    ("series", "seconds"),
    [
        ({lag(0): "600x20", lag(1): "300x20", published(): f"0+{10 * INTERVAL_S}x20"}, 90),
        # two workers, and a partition that both have reported
        (
            {
                lag(0): "600x20",
                lag(0, pod=f"{FULL_NAME}-def"): "500x20",
                published(): f"0+{5 * INTERVAL_S}x20",
                published(f"{FULL_NAME}-def"): f"0+{15 * INTERVAL_S}x20",
            },
            30,
        ),
        # nothing comes out, and there is work
        ({lag(0): "50x20", published(): "7x20"}, 500),
        # nothing to do
        ({lag(0): "0x20", published(): "7x20"}, 0),
        # another release, and another namespace
        (
            {
                lag(0): "100x20",
                published(): f"0+{10 * INTERVAL_S}x20",
                lag(1, pod="other-reviews-worker-abc"): "9999x20",
                lag(2, namespace="elsewhere"): "9999x20",
                published("other-reviews-worker-abc"): f"0+{99 * INTERVAL_S}x20",
            },
            10,
        ),
    ],
)
def test_it_is_the_lag_of_all_partitions_over_the_rate_of_all_workers(
    tmp_path: Path, series: Mapping[str, str], seconds: float
) -> None:
    unit_test = {
        "evaluation_interval": "15s",
        "tests": [
            {
                "interval": f"{INTERVAL_S}s",
                "input_series": [{"series": name, "values": values} for name, values in series.items()],
                "promql_expr_test": [
                    {
                        "expr": f"round({drain_query()}, 0.001)",
                        "eval_time": "4m",
                        "exp_samples": [{"labels": "{}", "value": seconds}],
                    }
                ],
            }
        ],
    }
    path = tmp_path / "drain.yaml"
    path.write_text(yaml.safe_dump(unit_test))
    tool("promtool").succeeds("test", "rules", path)


def test_it_names_metrics_of_the_worker() -> None:
    families = [next(iter(m.describe())) for m in vars(Metrics()).values() if isinstance(m, MetricWrapperBase)]
    known = {family.name + ("_total" if family.type == "counter" else "") for family in families}
    assert set(re.findall(r"reviews_worker_\w+", drain_query())) == {LAG, OUT} <= known


@pytest.mark.parametrize(("drain_s", "workers"), [(240, 4), (120, 2), (30, 1)])
def test_twice_the_time_wants_twice_the_workers(drain_s: float, workers: int) -> None:
    found = objects_of(case("keda-drain-time"))
    spec = found[f"ScaledObject/{FULL_NAME}"]["spec"]
    (trigger,) = spec["triggers"]
    # The autoscaler's rule for a metric of type Value: present number times value over target, rounded up.
    assert trigger["metricType"] == "Value"
    wanted = math.ceil(2 * drain_s / float(trigger["metadata"]["threshold"]))
    assert max(spec["minReplicaCount"], min(wanted, spec["maxReplicaCount"])) == workers
