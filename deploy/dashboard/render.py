"""``python -m deploy.dashboard.render``: writes the Grafana dashboard from `deploy.dashboard.rows`.

With ``--check`` nothing is written, and the exit code is 1 when the file is not what it would become.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from deploy.dashboard.panels import Panel, Query
from deploy.dashboard.rows import ROWS

DASHBOARD = Path(__file__).parents[1] / "helm" / "reviews-worker" / "files" / "dashboard.json"
SELECTOR = 'namespace=~"$namespace",instance=~"$worker"'
DATASOURCE = {"type": "prometheus", "uid": "${datasource}"}
PAGE_WIDTH = 24
HEIGHTS = {"timeseries": 8, "table": 8, "heatmap": 8, "stat": 4}
SCHEMA_VERSION = 39
"""Of Grafana's JSON: 10.4 and newer read it as it is."""


@click.command()
@click.option("--check", is_flag=True, help="Write nothing; fail when the file is stale.")
@click.pass_context
def command(context: click.Context, check: bool) -> None:
    """Render dashboard.json."""
    text = dashboard()
    if DASHBOARD.is_file() and DASHBOARD.read_text(encoding="utf-8") == text:
        click.echo("the dashboard is up to date")
    elif check:
        click.echo(f"stale: {DASHBOARD}; run python -m deploy.dashboard.render", err=True)
        context.exit(1)
    else:
        DASHBOARD.write_text(text, encoding="utf-8")
        click.echo(f"written: {DASHBOARD}")


def dashboard() -> str:
    """The dashboard as Grafana reads it."""
    document = {
        "uid": "reviews-worker",
        "title": "Reviews worker",
        "description": "reviews-worker: Kafka in, ALBERT on ONNX Runtime, Kafka out.",
        "tags": ["kafka", "reviews-worker"],
        "schemaVersion": SCHEMA_VERSION,
        "editable": True,
        "graphTooltip": 1,
        "refresh": "30s",
        "time": {"from": "now-1h", "to": "now"},
        "timezone": "",
        "templating": {"list": list(_variables())},
        "annotations": {"list": []},
        "panels": list(_panels()),
    }
    return json.dumps(document, indent=2) + "\n"


def _variables() -> Iterator[dict[str, Any]]:
    yield {"name": "datasource", "label": "Data source", "type": "datasource", "query": "prometheus"}
    namespaces = "label_values(reviews_worker_info, namespace)"
    # Where nobody sets the label, "all" has to mean its absence too.
    yield _variable("namespace", "Namespace", namespaces, allValue=".*")
    yield _variable(
        "group", "Group", 'label_values(reviews_worker_info{namespace=~"$namespace"}, group)', allValue=".*"
    )
    # Called by its pod where there is one, chosen by its address, which is always there.
    workers = 'query_result(last_over_time(reviews_worker_info{namespace=~"$namespace",group=~"$group"}[$__range]))'
    yield _variable("worker", "Worker", workers, regex='/pod="(?<text>[^"]+)|instance="(?<value>[^"]+)/g')


def _variable(name: str, label: str, query: str, **more: str) -> dict[str, Any]:
    return {
        "name": name,
        "label": label,
        "type": "query",
        "datasource": DATASOURCE,
        "query": {"query": query, "refId": name},
        "definition": query,
        "refresh": 2,  # when the time range changes
        "sort": 1,
        "multi": True,
        "includeAll": True,
        "current": {"text": "All", "value": "$__all"},
        **more,
    }


def _panels() -> Iterator[dict[str, Any]]:
    number = y = 0
    for row in ROWS:
        number += 1
        yield {
            "id": number,
            "type": "row",
            "title": row.title,
            "collapsed": False,
            "gridPos": {"x": 0, "y": y, "w": PAGE_WIDTH, "h": 1},
            "panels": [],
        }
        y += 1
        x = height = 0
        for panel in row.panels:
            if x + panel.width > PAGE_WIDTH:
                x, y = 0, y + height
            height = HEIGHTS[panel.kind]
            number += 1
            yield _panel(panel, number, {"x": x, "y": y, "w": panel.width, "h": height})
            x += panel.width
        y += height


def _panel(panel: Panel, number: int, place: dict[str, int]) -> dict[str, Any]:
    bounds = {"min": panel.lowest, "max": panel.highest}
    defaults: dict[str, Any] = {"unit": panel.unit} | {name: at for name, at in bounds.items() if at is not None}
    if panel.kind == "timeseries":
        defaults["custom"] = {
            "lineWidth": 1,
            "fillOpacity": 20 if panel.stacked else 0,
            "showPoints": "never",
            "stacking": {"mode": "normal" if panel.stacked else "none"},
        }
    return {
        "id": number,
        "type": panel.kind,
        "title": panel.title,
        "description": panel.text,
        "datasource": DATASOURCE,
        "gridPos": place,
        "fieldConfig": {"defaults": defaults, "overrides": []},
        "options": _OPTIONS[panel.kind],
        "targets": [_target(query, panel, letter) for query, letter in zip(panel.queries, "ABCDEFGH", strict=False)],
        **({"transformations": _TABLE} if panel.kind == "table" else {}),
    }


_OPTIONS: dict[str, dict[str, Any]] = {
    "timeseries": {
        "legend": {"displayMode": "list", "placement": "bottom", "showLegend": True},
        "tooltip": {"mode": "multi", "sort": "desc"},
    },
    "stat": {"reduceOptions": {"calcs": ["lastNotNull"]}, "colorMode": "none", "graphMode": "area"},
    "table": {"showHeader": True},
    "heatmap": {"calculate": False, "yAxis": {"unit": "s"}, "color": {"mode": "scheme", "scheme": "Blues"}},
}
_TABLE = [
    {
        "id": "organize",
        "options": {
            "excludeByName": dict.fromkeys(("Time", "__name__", "job", "endpoint", "container", "service"), True)
        },
    }
]


def _target(query: Query, panel: Panel, letter: str) -> dict[str, Any]:
    instant = panel.kind == "table"
    return {
        "refId": letter,
        "datasource": DATASOURCE,
        "expr": query.expr.replace("$W", SELECTOR),
        "legendFormat": query.legend,
        "editorMode": "code",
        "instant": instant,
        "range": not instant,
        "format": panel.kind if panel.kind in ("table", "heatmap") else "time_series",
    }


if __name__ == "__main__":
    command()
