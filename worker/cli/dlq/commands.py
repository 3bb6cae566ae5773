"""The group of commands about dead letters."""

from __future__ import annotations

import click

from worker.cli.groups import CommandGroup

COMMANDS = {"list": "list_", "show": "show", "replay": "replay"}
"""Each is the object ``command`` of a module of that name in this package."""


@click.group(cls=CommandGroup, package="worker.cli.dlq", modules=COMMANDS)
def command() -> None:
    """Look at the dead letters, and send them again once the cause is repaired."""
