"""The Grafana dashboard: rendered from its rows, and every query finds something at a worker that has worked."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator
from typing import Any

import pytest
from prometheus_server import Prometheus, unknown

from deploy.dashboard.render import dashboard
from tests.deploy.monitoring.observed import DASHBOARD

DOCUMENT = json.loads(DASHBOARD.read_text())
PANELS = [panel for panel in DOCUMENT["panels"] if panel["type"] != "row"]
VARIABLES = {variable["name"]: variable for variable in DOCUMENT["templating"]["list"]}
FOR_GRAFANA = {"$__rate_interval": "1m", "$__range": "15m", "[15m:1m]": "[15m:1s]", "$namespace": ".*", "$group": ".*"}
"""What Grafana puts in; and a finer step, since the worker of these tests has not run for minutes."""


def filled_in(text: str, worker: str = ".*") -> str:
    for name, value in {**FOR_GRAFANA, "$worker": worker}.items():
        text = text.replace(name, value)
    return text


def _targets() -> Iterator[Any]:
    for panel in PANELS:
        for target in panel["targets"]:
            yield pytest.param(target, id=f"{panel['title']}, {target['legendFormat'] or 'one line'}")


TARGETS = list(_targets())


def test_the_file_is_what_its_rows_say() -> None:
    assert DASHBOARD.read_text(encoding="utf-8") == dashboard(), "run: python -m deploy.dashboard.render"


@pytest.mark.parametrize("target", TARGETS)
def test_a_query_finds_something(observed: Prometheus, target: dict[str, Any]) -> None:
    expr = filled_in(target["expr"], r"127\\.0\\.0\\.1:\\d+")
    assert unknown(observed, expr) == []
    values = [float(series["value"][1]) for series in observed.query(expr)]
    assert any(math.isfinite(value) for value in values)


@pytest.mark.parametrize("target", TARGETS)
def test_a_query_looks_at_the_chosen_workers_only(observed: Prometheus, target: dict[str, Any]) -> None:
    # A count of nothing is no series; only a scalar function would be one.
    assert observed.query(filled_in(target["expr"], "another:6066")) == []


@pytest.mark.parametrize("target", TARGETS)
def test_the_labels_of_a_legend_are_there(observed: Prometheus, target: dict[str, Any]) -> None:
    labels = re.findall(r"{{(\w+)}}", target["legendFormat"])
    for series in observed.query(filled_in(target["expr"])):
        assert set(labels) <= set(series["metric"])


@pytest.mark.parametrize("name", ["namespace", "group"])
def test_a_variable_offers_the_values_of_a_label(observed: Prometheus, name: str) -> None:
    query = re.fullmatch(r"label_values\((.+), (\w+)\)", VARIABLES[name]["definition"])
    assert query
    series = observed.series(filled_in(query[1]))
    assert [found[query[2]] for found in series]
    assert query[2] == name


def test_workers_are_called_by_their_pod_and_chosen_by_their_address(observed: Prometheus) -> None:
    variable = VARIABLES["worker"]
    query = re.fullmatch(r"query_result\((.+)\)", variable["definition"])
    assert query
    (series,) = observed.query(filled_in(query[1]))
    # Grafana writes a series as Prometheus does, and looks for the groups `text` and `value` of the expression in it.
    written = "{" + ", ".join(f'{name}="{value}"' for name, value in series["metric"].items()) + "}"
    pattern = variable["regex"].removeprefix("/").removesuffix("/g").replace("(?<", "(?P<")
    found: dict[str, str] = {}
    for match in re.finditer(pattern, written):
        found |= {name: value for name, value in match.groupdict().items() if value}
    assert found == {"text": series["metric"]["pod"], "value": series["metric"]["instance"]}


def test_every_panel_has_its_own_number_and_place() -> None:
    assert len({panel["id"] for panel in DOCUMENT["panels"]}) == len(DOCUMENT["panels"])
    taken: set[tuple[int, int]] = set()
    for panel in DOCUMENT["panels"]:
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & taken, panel["title"]
        assert place["x"] + place["w"] <= 24
        taken |= cells


def test_nothing_names_a_data_source_of_its_own() -> None:
    for panel in PANELS:
        assert {panel["datasource"]["uid"], *(target["datasource"]["uid"] for target in panel["targets"])} == {
            "${datasource}"
        }
