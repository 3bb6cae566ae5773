"""What can be said without a broker; see tests/integration/cli/test_dlq.py for the rest."""

from __future__ import annotations

import pytest
from click.testing import CliRunner

from worker.cli.commands import commands
from worker.cli.dlq.commands import COMMANDS

runner = CliRunner()
NOWHERE = ["--bootstrap-servers", "127.0.0.1:1"]


@pytest.mark.parametrize("name", COMMANDS)
def test_each_command_has_help_with_a_description(name: str) -> None:
    result = runner.invoke(commands, ["dlq", name, "--help"])
    assert result.exit_code == 0
    assert len(result.output.splitlines()[2].strip()) > 20


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["list", "--reason", "no_such"], "text_missing"),
        (["list", "--since", "soon"], "is neither a time (2026-11-23T15:00:00Z) nor how long ago (30m, 2h, 7d)"),
        (["list", "--since", "2026-11-23"], "does not say its zone"),
        (["list", "--limit", "0"], "--limit"),
        (["show"], "POSITION"),
        (["show", "17"], "'17' is no position; give partition and offset, as in 2/17"),
        (["show", "reviews.in/0/17"], "reviews.in/0/17 is not on reviews.dlq"),
        (["replay", "--max-hops", "0"], "--max-hops"),
        (["replay", "--to", ""], "--to needs the name of a topic"),
        (["replay", "--to", "reviews.dlq"], "cannot be replayed to where they are kept"),
        (["replay", "--to", "reviews.dlq.replayed"], "cannot be replayed to where they are kept"),
        (["replay", "--input-topic", "reviews.dlq"], "must differ"),
    ],
)
def test_wrong_arguments_are_told_before_a_broker_is_looked_for(arguments: list[str], message: str) -> None:
    result = runner.invoke(commands, ["dlq", *arguments, *NOWHERE])
    assert result.exit_code == 2
    assert message in " ".join(result.stderr.split())
