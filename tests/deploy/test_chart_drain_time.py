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

from worker.observability.metrics import KINDS, Metrics

FULL_NAME = "reviews-reviews-worker"
DRAIN = "reviews_worker_drain_seconds"
INTERVAL_S = 15


def drain_query() -> str:
    found = objects_of(case("keda-drain-time"))
    (trigger,) = found[f"ScaledObject/{FULL_NAME}"]["spec"]["triggers"]
    query: str = trigger["metadata"]["query"]
    return query


def drain(pod: str = f"{FULL_NAME}-6c9-abcde", namespace: str = "shop") -> str:
    return f'{DRAIN}{{namespace="{namespace}",pod="{pod}"}}'


@pytest.mark.parametrize(
    ("series", "seconds"),
    [
        ({drain(): "90x20"}, 90),
        ({drain(): "0x20"}, 0),
        # two workers, the one slower than the other
        ({drain(): "30x20", drain(f"{FULL_NAME}-6c9-fghij"): "90x20"}, 90),
        # a worker that has gone
        ({drain(): "30x20", drain(f"{FULL_NAME}-6c9-fghij"): "90x8 stale"}, 30),
        # another release, one whose name begins alike, and another namespace
        (
            {
                drain(): "10x20",
                drain("other-reviews-worker-6c9-abcde"): "9999x20",
                drain(f"{FULL_NAME}-eu-6c9-abcde"): "9999x20",
                drain(namespace="elsewhere"): "9999x20",
            },
            10,
        ),
        # nobody is heard of
        ({}, None),
    ],
)
def test_it_is_the_time_of_the_slowest_worker(tmp_path: Path, series: Mapping[str, str], seconds: float | None) -> None:
    unit_test = {
        "evaluation_interval": "15s",
        "tests": [
            {
                "interval": f"{INTERVAL_S}s",
                "input_series": [{"series": name, "values": values} for name, values in series.items()],
                "promql_expr_test": [
                    {
                        "expr": drain_query(),
                        "eval_time": "4m",
                        "exp_samples": [] if seconds is None else [{"labels": "{}", "value": seconds}],
                    }
                ],
            }
        ],
    }
    path = tmp_path / "drain.yaml"
    path.write_text(yaml.safe_dump(unit_test))
    tool("promtool").succeeds("test", "rules", path)


def test_it_names_metrics_of_the_worker() -> None:
    families = [next(iter(m.describe())) for m in vars(Metrics()).values() if isinstance(m, KINDS)]
    known = {family.name + ("_total" if family.type == "counter" else "") for family in families}
    assert set(re.findall(r"reviews_worker_\w+", drain_query())) == {DRAIN} <= known


@pytest.mark.parametrize(("drain_s", "workers"), [(240, 4), (120, 2), (30, 1)])
def test_twice_the_time_wants_twice_the_workers(drain_s: float, workers: int) -> None:
    found = objects_of(case("keda-drain-time"))
    spec = found[f"ScaledObject/{FULL_NAME}"]["spec"]
    (trigger,) = spec["triggers"]
    # The autoscaler's rule for a metric of type Value: present number times value over target, rounded up.
    assert trigger["metricType"] == "Value"
    wanted = math.ceil(2 * drain_s / float(trigger["metadata"]["threshold"]))
    assert max(spec["minReplicaCount"], min(wanted, spec["maxReplicaCount"])) == workers
