"""Command-line options, generated from the settings."""

from __future__ import annotations

import os
import shlex
from collections.abc import Callable, Iterator, Sequence
from itertools import groupby
from typing import Any, TypeVar

import click
from click.core import ParameterSource

from worker.cli.described import DescribedSetting, described_settings
from worker.cli.loading import load_settings, unknown_variables
from worker.settings import SecuritySettings, Settings

F = TypeVar("F", bound=Callable[..., Any])

KAFKA_OPTIONS = ("bootstrap_servers", *SecuritySettings.__annotations__)
TOPIC_OPTIONS = ("input_topic", "output_topic", "dead_letter_topic")
CREATION_OPTIONS = ("topic_partitions", "topic_replication", "topic_retention_s")

_OPTIONS = "worker.options"
"""Where a command's context keeps the settings given on its command line."""


class SettingOption(click.Option):
    """An option that stands for a setting."""

    def __init__(self, setting: DescribedSetting) -> None:
        self.setting = setting
        bounds = f" [{setting.allowed}]" if setting.metavar in ("INTEGER", "NUMBER") else ""
        notes = f"[default: {setting.default}] [env: {', '.join(setting.variables)}]"
        super().__init__(
            [setting.option, setting.name],
            default=None,
            metavar=setting.metavar or None,
            help=f"{setting.meaning.replace('``', '')}{bounds} {notes}",
            expose_value=False,
            callback=_remember,
        )


class SettingsCommand(click.Command):
    """A command whose help shows the settings under their headings, after its own options."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """As click does it; says how an argument that begins with a dash is given."""
        given = list(args)  # click empties it
        try:
            return super().parse_args(ctx, args)
        except click.NoSuchOption as error:
            if not error.possibilities and any(isinstance(each, click.Argument) for each in self.params):
                argument = next((each for each in given if each.startswith(error.option_name)), error.option_name)
                error.message += f". What begins with a dash and is no option goes behind --: {ctx.command_path} --"
                error.message += f" {shlex.quote(argument)}"
            raise

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        settings = [option for option in self.get_params(ctx) if isinstance(option, SettingOption)]
        own = [option for option in self.get_params(ctx) if option not in settings]
        sections: list[tuple[str, Sequence[click.Parameter]]] = [("Options", own), *_by_section(settings)]
        for heading, options in sections:
            records = [record for option in options if (record := option.get_help_record(ctx))]
            if records:
                with formatter.section(heading):
                    formatter.write_dl(records)


def setting_options(*names: str) -> Callable[[F], F]:
    """Give a command the options of the settings `names`, or of all when none is named."""
    chosen = [setting for setting in described_settings() if not names or setting.name in names]

    def add(function: F) -> F:
        # Where click's own decorators keep the options of a function that is about to become a command, last one first.
        function.__dict__.setdefault("__click_params__", []).extend(map(SettingOption, reversed(chosen)))
        return function

    return add


def read_settings(context: click.Context) -> Settings:
    """The settings of this call: its options, then the environment, then the defaults.

    Warns on stderr of variables that set nothing; raises `UsageError` with one line for each wrong value.
    """
    for line in unknown_variables(os.environ):
        click.echo(f"{click.style('warning:', fg='yellow')} {line}", err=True)
    return load_settings(context.meta.get(_OPTIONS, {}), os.environ)


def _remember(context: click.Context, option: click.Parameter, value: Any) -> None:
    if option.name and context.get_parameter_source(option.name) == ParameterSource.COMMANDLINE:
        context.meta.setdefault(_OPTIONS, {})[option.name] = value


def _by_section(options: list[SettingOption]) -> Iterator[tuple[str, list[SettingOption]]]:
    for section, group in groupby(options, key=lambda option: option.setting.section):
        yield section, list(group)
