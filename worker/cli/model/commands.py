"""The group of commands about models."""

from __future__ import annotations

import click

from worker.cli.groups import CommandGroup

COMMANDS = {"import": "import_", "inspect": "inspect", "verify": "verify", "evaluate": "evaluate"}
"""Each is the object ``command`` of a module of that name in this package."""


@click.group(cls=CommandGroup, package="worker.cli.model", modules=COMMANDS)
def command() -> None:
    """Bring your own ALBERT: import it, look at it, prove that it says the same, measure it."""
