"""What the commands do while no broker answers: all of them the same."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from worker.cli.commands import commands

SCRIPT = str(Path(sys.executable).with_name("reviews-worker"))
NOWHERE = ("--bootstrap-servers", "127.0.0.1:1")
COMMANDS = {
    "produce": ("produce", "--text", "good"),
    "produce and wait": ("produce", "--text", "good", "--wait", "1"),
    "consume": ("consume",),
    "topics": ("topics",),
    "topics --create": ("topics", "--create"),
    "check": ("check", "--port", "0"),
    "dlq list": ("dlq", "list"),
    "dlq show": ("dlq", "show", "0/0"),
    "dlq replay": ("dlq", "replay"),
    "dlq replay --dry-run": ("dlq", "replay", "--dry-run"),
}
every_command = pytest.mark.parametrize("name", COMMANDS)


@every_command
def test_it_is_waited_for_equally_long_and_then_it_is_one_error_with_its_address(name: str):
    result = CliRunner().invoke(commands, [*COMMANDS[name], *NOWHERE], env={"REVIEWS_WORKER_START_TIMEOUT_S": "0.3"})
    assert "Traceback" not in result.output
    waiting, *errors = result.stderr.splitlines()
    assert waiting == "waiting for Kafka at 127.0.0.1:1 (127.0.0.1:1: connection refused), up to 0.3 s"
    why = "Kafka at 127.0.0.1:1 does not answer (127.0.0.1:1: connection refused); check --bootstrap-servers"
    if name == "check":
        assert (result.exit_code, errors) == (11, [])
        assert why in result.stdout
    else:
        assert (result.exit_code, result.stdout) == (5, "")
        (error,) = errors
        assert error.startswith(f"error: {why}")


@every_command
def test_an_interrupt_ends_the_waiting_with_its_own_exit_code(name: str):
    with subprocess.Popen([SCRIPT, *COMMANDS[name], *NOWHERE], stderr=subprocess.PIPE, text=True) as process:
        line = process.stderr.readline()
        assert line.startswith("waiting for Kafka at 127.0.0.1:1 ")
        assert line.endswith(", up to 15 s\n")
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 130
        assert process.stderr.read() == ""
