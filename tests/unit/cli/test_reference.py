from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner
from prometheus_client import generate_latest

from worker.cli.described import described_settings
from worker.cli.reference import command, pages
from worker.observability.metrics import Metrics

DOCS = Path(__file__).parents[3] / "docs"
runner = CliRunner()


@pytest.mark.parametrize("name", ["settings.md", "metrics.md"])
def test_the_committed_page_is_what_the_code_says(name: str):
    assert (DOCS / name).read_text(encoding="utf-8") == pages()[name], "run: python -m worker.cli.reference"


def test_the_settings_page_has_a_row_for_each_setting():
    page = pages()["settings.md"]
    for setting in described_settings():
        row = next(line for line in page.splitlines() if line.startswith(f"| `{setting.option}`<br>"))
        assert all(variable in row for variable in setting.variables)
        assert f"`{setting.default}`" in row


def test_the_metrics_page_names_each_metric_as_it_is_served():
    metrics = Metrics()
    page = pages()["metrics.md"]
    served = [line.split()[2] for line in generate_latest(metrics.registry).decode().splitlines() if "# TYPE" in line]
    names = [name for name in served if not name.endswith("_created")]
    assert names
    for name in names:
        assert f"`{name}`" in page


def test_a_stale_page_fails_the_check_and_is_written_otherwise(tmp_path: Path):
    assert runner.invoke(command, ["--docs", str(tmp_path), "--check"]).exit_code == 1
    assert not list(tmp_path.iterdir())
    assert runner.invoke(command, ["--docs", str(tmp_path)]).exit_code == 0
    assert runner.invoke(command, ["--docs", str(tmp_path), "--check"]).exit_code == 0
    (tmp_path / "settings.md").write_text("old", encoding="utf-8")
    result = runner.invoke(command, ["--docs", str(tmp_path), "--check"])
    assert result.exit_code == 1
    assert "settings.md" in result.stderr
    assert "metrics.md" not in result.stderr
