"""A command that is a group of others, each imported only when it is asked for."""

from __future__ import annotations

import difflib
import importlib
from collections.abc import Mapping
from typing import Any

import click


class SuggestingGroup(click.Group):
    """Tells those of its commands that are called much like one that it does not have."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """As click does it."""
        try:
            return super().resolve_command(ctx, args)
        except click.NoSuchOption:
            raise
        except click.UsageError as error:
            if similar := difflib.get_close_matches(args[0].lower(), self.list_commands(ctx)):
                error.message += f" Did you mean {' or '.join(similar)}?"
            raise


class CommandGroup(SuggestingGroup):
    """Finds commands by name: each is the object ``command`` of a module of `package`."""

    def __init__(self, *args: Any, package: str, modules: Mapping[str, str], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._package = package
        self._modules = modules

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self._modules)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in self._modules:
            return None
        command: click.Command = importlib.import_module(f"{self._package}.{self._modules[cmd_name]}").command
        return command
