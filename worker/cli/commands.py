"""The group of commands, and what becomes of an error that one of them raises."""

from __future__ import annotations

import importlib
import os
import sys
import traceback
from collections.abc import MutableMapping
from typing import Any

import click

from worker.cli.ending import bug, end_process, say
from worker.cli.errors import exit_code
from worker.cli.groups import SuggestingGroup
from worker.errors import ExitCode, WorkerError
from worker.exhaustion import exhausted
from worker.settings.command_line import how_called
from worker.settings.security import LOOPBACK

COMMANDS = ("run", "demo", "predict", "produce", "consume", "topics", "dlq", "skip", "check", "model", "schema")
"""Each is the object ``command`` of a module of that name, imported only when it is asked for."""


class Commands(SuggestingGroup):
    """Finds commands by name, and turns errors into one line on stderr and an exit code."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = importlib.import_module(f"worker.cli.{cmd_name}").command
        return command

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except (click.ClickException, click.Abort, click.exceptions.Exit):
            raise
        except WorkerError as error:
            say(error)
            ctx.exit(int(exit_code(error)))
        except BrokenPipeError:
            # The reader has seen enough. Python would complain when it flushes at exit.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            ctx.exit(int(ExitCode.OK))
        except KeyboardInterrupt:
            ctx.exit(int(ExitCode.KILLED))
        except Exception as error:
            told: WorkerError | None = exhausted(error)
            if told is None:
                traceback.print_exception(error)
                told = bug(error)
            say(told)
            ctx.exit(int(exit_code(told)))


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 120})
@click.version_option(package_name="reviews-worker", message="%(package)s %(version)s")
def commands() -> None:
    """Classify a live stream of reviews: Kafka in, ALBERT on ONNX Runtime, Kafka out.

    Start with `reviews-worker demo` (a Kafka, a worker and reviews, all on this machine), or with
    `reviews-worker predict "I really liked that movie!"`.
    """


def reach_this_machine_directly(environment: MutableMapping[str, str]) -> None:
    """Let no proxy see what goes to this machine, whichever library sends it; changes ``no_proxy`` alone."""
    others = environment.get("no_proxy") or environment.get("NO_PROXY") or ""
    if others != "*" and any(name.lower().endswith("_proxy") for name in environment):
        environment["no_proxy"] = ",".join(filter(None, (others, *LOOPBACK)))


def main() -> None:
    """Run the command that the command line names."""
    reach_this_machine_directly(os.environ)
    try:
        commands(prog_name=how_called())
    except SystemExit as end:
        if (
            end.code == ExitCode.KILLED
        ):  # a batch may still be computed in a thread, which the interpreter would wait for
            end_process(ExitCode.KILLED)
        raise
