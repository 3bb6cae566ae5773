"""The group of commands about models; each is imported only when it is asked for."""

from __future__ import annotations

import importlib

import click

COMMANDS = {"import": "import_", "inspect": "inspect", "verify": "verify", "evaluate": "evaluate"}
"""Each is the object ``command`` of a module of that name in this package."""


class _Commands(click.Group):
    """Finds commands by name."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = importlib.import_module(f"worker.cli.model.{COMMANDS[cmd_name]}").command
        return command


@click.group(cls=_Commands)
def command() -> None:
    """Bring your own ALBERT: import it, look at it, prove that it says the same, measure it."""
