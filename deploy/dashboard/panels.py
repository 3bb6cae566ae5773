"""The words in which `deploy.dashboard.rows` says what the Grafana dashboard shows.

In an expression ``$W`` stands for the labels that choose the workers: ``namespace`` and ``instance``, by the variables
at the top of the dashboard.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Query:
    """One expression of PromQL, and how its series are called."""

    expr: str
    legend: str = ""


@dataclass(frozen=True)
class Panel:
    """One picture; widths are in 24ths of the page."""

    title: str
    queries: tuple[Query, ...]
    unit: str = "short"
    kind: Literal["timeseries", "stat", "table", "heatmap"] = "timeseries"
    width: int = 8
    text: str = ""
    stacked: bool = False
    lowest: float | None = 0
    highest: float | None = None


@dataclass(frozen=True)
class Row:
    """Panels beneath one heading."""

    title: str
    panels: tuple[Panel, ...]


WORKER = "{{pod}} {{instance}}"
"""On Kubernetes the pod says it, elsewhere only the address is there."""


def per_worker(expr: str) -> str:
    """`expr`, summed up for each worker."""
    return f"sum by (namespace, pod, instance) ({expr})"


def quantiles(metric: str) -> tuple[Query, ...]:
    """The median, the 95th and the 99th percentile of a histogram, over all workers."""
    rates = f"sum by (le) (rate(reviews_worker_{metric}_bucket{{$W}}[$__rate_interval]))"
    return tuple(Query(f"histogram_quantile(0.{share}, {rates})", f"p{share}") for share in (50, 95, 99))


def mean(metric: str) -> str:
    """The mean of what a histogram counted, over all workers."""
    total, count = (f"sum(rate(reviews_worker_{metric}_{part}{{$W}}[$__rate_interval]))" for part in ("sum", "count"))
    return f"{total} / {count}"
