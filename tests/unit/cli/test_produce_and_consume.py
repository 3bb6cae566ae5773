"""What can be said without a broker; see tests/integration/cli for the rest."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest
from click.testing import CliRunner

from worker.called import how_called
from worker.cli.commands import commands

runner = CliRunner()
NOWHERE = ["--bootstrap-servers", "127.0.0.1:1"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "give a FILE"),
        (["--text", "good", "-"], "give a FILE"),
        (["--text", "  "], "--text is blank"),
        (["-", "--wait", "5"], "--wait goes with --text"),
        (["--text", "good", "--wait", "0"], "--wait"),
        (["no-such-file.jsonl"], "no-such-file.jsonl"),
        (["--text", __file__], "FILE is for JSON lines"),
        (
            ["--text", "good", "--compression", "rar"],
            "--compression=rar: one of none, gzip, snappy",
        ),
    ],
)
def test_wrong_arguments_of_produce_are_told_before_a_broker_is_looked_for(arguments: list[str], message: str):
    result = runner.invoke(commands, ["produce", *NOWHERE, *arguments])
    assert result.exit_code == 2
    assert message in result.stderr


@pytest.mark.parametrize("name", ["reviews.jsonl", "more reviews.ndjson.gz"])
def test_a_text_that_names_json_lines_is_told_the_command_that_produces_them(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / name).touch()
    result = runner.invoke(commands, ["produce", *NOWHERE, "--text", name])
    assert result.exit_code == 2
    assert result.stderr.endswith(f"its lines are produced by: {how_called()} produce {shlex.quote(name)}\n")


@pytest.mark.parametrize(
    "arguments", [["--max", "0"], ["--timeout", "0"], ["--timeout", "soon"], ["--output-topic", "reviews.in"]]
)
def test_wrong_arguments_of_consume_are_refused(arguments: list[str]):
    assert runner.invoke(commands, ["consume", *NOWHERE, *arguments]).exit_code == 2
