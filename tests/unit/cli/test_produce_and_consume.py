"""What can be said without a broker; see tests/integration/cli for the rest."""

from __future__ import annotations

import pytest
from click.testing import CliRunner

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


@pytest.mark.parametrize(
    "arguments", [["--max", "0"], ["--timeout", "0"], ["--timeout", "soon"], ["--output-topic", "reviews.in"]]
)
def test_wrong_arguments_of_consume_are_refused(arguments: list[str]):
    assert runner.invoke(commands, ["consume", *NOWHERE, *arguments]).exit_code == 2


@pytest.mark.parametrize("command", [["produce", "--text", "good"], ["consume"], ["topics"]])
def test_a_broker_that_does_not_answer_is_one_error_with_its_address(command: list[str]):
    result = runner.invoke(commands, [*command, *NOWHERE], env={"REVIEWS_WORKER_START_TIMEOUT_S": "0.2"})
    assert result.exit_code == 5
    assert result.stdout == ""
    errors = [line for line in result.stderr.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1
    assert "127.0.0.1:1" in errors[0]
    assert "Traceback" not in result.stderr
