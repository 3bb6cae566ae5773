"""The chart as a whole: linted, its generated parts up to date, and its own unit tests."""

from __future__ import annotations

import runpy
import shutil
import tomllib
from pathlib import Path

import pytest
import yaml
from deploy_tools import REPOSITORY, tool
from helm_chart import CASES, CHART, case_name


@pytest.mark.parametrize("values", CASES, ids=case_name)
def test_the_chart_passes_the_strict_lint(values: Path) -> None:
    tool("helm").succeeds("lint", "--strict", CHART, "--values", values)


def test_its_unit_tests_pass() -> None:
    tool("helm-unittest").succeeds("--strict", "--file", "tests/*_test.yaml", CHART)


def test_the_table_of_values_in_its_readme_is_that_of_values_yaml(tmp_path: Path) -> None:
    copy = tmp_path / "reviews-worker"
    shutil.copytree(CHART, copy)
    tool("helm-docs").succeeds("--chart-search-root", copy, "--log-level", "error", "--sort-values-order", "file")
    assert (copy / "README.md").read_text() == (CHART / "README.md").read_text(), (
        "run: build/tools/bin/helm-docs --chart-search-root deploy/helm --sort-values-order file"
    )


def test_every_value_says_what_it_is() -> None:
    table = (CHART / "README.md").read_text().partition("## Values")[2]
    rows = [line for line in table.splitlines() if line.startswith("| ") and not line.startswith(("| Key", "|--"))]
    assert len(rows) > 100
    assert [row for row in rows if row.rstrip(" |").count(" | ") < 3] == []


def test_the_settings_in_its_schema_are_those_of_the_worker() -> None:
    script = runpy.run_path(str(REPOSITORY / "deploy" / "helm" / "settings_schema.py"))
    schema = (CHART / "values.schema.json").read_text()
    assert script["renewed"](schema) == schema, "run: python deploy/helm/settings_schema.py"


def test_it_belongs_to_this_version_of_the_worker() -> None:
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    assert chart["appVersion"] == project["version"]
