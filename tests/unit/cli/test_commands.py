from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import click
import pytest
from click.testing import CliRunner
from fake_hub import running_hub
from recording_proxy import recording_proxy

from worker.cli.commands import COMMANDS, Commands, commands, reach_this_machine_directly
from worker.errors import (
    ArtifactError,
    BrokerError,
    DeliveryError,
    ExitCode,
    FuseError,
    Reason,
    RecordError,
    Stage,
    TopicError,
    UnreachableError,
    UsageError,
)

runner = CliRunner()


class OneCommand(Commands):
    """The real group with one command, which raises."""

    def __init__(self, error: BaseException) -> None:
        super().__init__("group")
        self._error = error

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command:
        def fail() -> None:
            raise self._error

        return click.Command("fail", callback=fail)


@pytest.mark.parametrize("name", COMMANDS)
def test_each_command_has_help_with_a_description(name: str):
    result = runner.invoke(commands, [name, "--help"])
    assert result.exit_code == 0
    assert len(result.output.splitlines()[2].strip()) > 20


def test_the_help_of_the_group_lists_all_commands():
    result = runner.invoke(commands, ["--help"])
    assert result.exit_code == 0
    for name in COMMANDS:
        assert f"\n  {name} " in result.output


@pytest.mark.parametrize(
    ("arguments", "meant"),
    [(["consum"], "consume"), (["Topics"], "topics"), (["dlq", "lst"], "list"), (["model", "inpsect"], "inspect")],
)
def test_a_mistyped_command_is_a_usage_error_that_names_the_one_that_was_meant(arguments: list[str], meant: str):
    result = runner.invoke(commands, arguments)
    assert result.exit_code == 2
    assert f"No such command {arguments[-1]!r}. Did you mean {meant}?" in result.stderr


def test_an_unknown_command_is_a_usage_error():
    result = runner.invoke(commands, ["xyz"])
    assert result.exit_code == 2
    assert "Did you mean" not in result.stderr


@pytest.mark.parametrize("command", [("predict",), ("model", "inspect"), ("model", "verify"), ("model", "evaluate")])
def test_json_is_a_switch_wherever_it_is(command: tuple[str, ...]):
    shown = runner.invoke(commands, [*command, "--help"]).output
    assert re.search(r"^ +--json  +Print one JSON object", shown, re.MULTILINE)


def test_what_may_be_left_out_is_shown_so():
    assert "produce [OPTIONS] [FILE]" in runner.invoke(commands, ["produce", "--help"]).output


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (UsageError("wrong"), ExitCode.USAGE),
        (ArtifactError("wrong"), ExitCode.ARTIFACT),
        (TopicError("wrong"), ExitCode.TOPIC),
        (UnreachableError("wrong"), ExitCode.UNREACHABLE),
        (BrokerError("wrong"), ExitCode.UNREACHABLE),
        (FuseError("wrong"), ExitCode.FUSE),
        (DeliveryError("wrong"), ExitCode.DELIVERY),
        (RecordError(Reason.NOT_JSON, Stage.DECODE, "wrong"), ExitCode.BUG),
    ],
)
def test_an_error_on_purpose_is_one_line_and_its_exit_code(error: Exception, code: ExitCode):
    result = runner.invoke(OneCommand(error), ["fail"])
    assert result.exit_code == code
    assert result.stderr == "error: wrong\n"
    assert result.stdout == ""


def test_an_interrupt_is_silent_and_has_its_own_exit_code():
    result = runner.invoke(OneCommand(KeyboardInterrupt()), ["fail"])
    assert (result.exit_code, result.output) == (ExitCode.KILLED, "")


@pytest.mark.parametrize("error", [ZeroDivisionError(), OSError("odd"), RuntimeError("odd")])
def test_a_bug_keeps_its_traceback_and_ends_with_one_clear_line(error: Exception):
    result = runner.invoke(OneCommand(error), ["fail"])
    assert result.exit_code == ExitCode.BUG
    first, *_, last = result.stderr.splitlines()
    assert first.startswith("Traceback ")
    assert last.startswith(f"error: This is a bug: {type(error).__name__} in fail (test_commands.py:")


def test_the_version_is_told():
    result = runner.invoke(commands, ["--version"])
    assert result.output.startswith("reviews-worker ")


@pytest.mark.parametrize("name", ["review", "classified-review", "dead-letter", "asyncapi"])
def test_schemas_are_printed(name: str):
    result = runner.invoke(commands, ["schema", name])
    assert result.exit_code == 0
    assert len(result.output) > 200


def test_an_unknown_schema_is_refused_with_the_names_there_are():
    result = runner.invoke(commands, ["schema", "reviews"])
    assert result.exit_code == 2
    assert "classified-review" in result.stderr


@pytest.mark.parametrize(
    ("given", "no_proxy"),
    [
        ({}, None),
        ({"http_proxy": "http://proxy"}, "localhost,127.0.0.1,::1"),
        ({"ALL_PROXY": "http://proxy", "NO_PROXY": ".example"}, ".example,localhost,127.0.0.1,::1"),
        ({"https_proxy": "http://proxy", "no_proxy": "a,b", "NO_PROXY": "c"}, "a,b,localhost,127.0.0.1,::1"),
        ({"http_proxy": "http://proxy", "no_proxy": "*"}, "*"),
    ],
)
def test_no_proxy_gains_this_machine_and_keeps_what_it_has(given: dict[str, str], no_proxy: str | None):
    environment = dict(given)
    reach_this_machine_directly(environment)
    assert environment == given | ({} if no_proxy is None else {"no_proxy": no_proxy})


@pytest.mark.parametrize("place", ["here", "elsewhere", "elsewhere, with no_proxy"])
def test_the_hub_is_reached_through_a_proxy_unless_it_is_here(place: str, tmp_path: Path):
    with running_hub() as hub, recording_proxy() as proxy:
        variables = {
            **{name: value for name, value in os.environ.items() if not name.startswith(("HF_", "TRANSFORMERS_"))},
            **proxy.variables,
            "no_proxy": "hub.invalid" if "no_proxy" in place else "",
            "NO_PROXY": "",
            "HF_ENDPOINT": hub.endpoint if place == "here" else "http://hub.invalid",
            "HF_TOKEN": "hf_secret",
        }
        command = [sys.executable, "-m", "worker.cli", "model", "import", "some/model", "--out", str(tmp_path / "out")]
        done = subprocess.run(command, env=variables, capture_output=True, text=True, timeout=120, check=False)
        assert done.returncode == ExitCode.ARTIFACT
        assert hub.tokens == ({"hf_secret"} if place == "here" else set())
        assert bool(proxy.requests) == (place == "elsewhere")
        assert ("no such repository" in done.stderr) == (place == "here")
