"""``reviews-worker topics``: the three topics and how far the group is."""

from __future__ import annotations

import click

from worker.cli.interrupts import run_async
from worker.cli.options import (
    CREATION_OPTIONS,
    KAFKA_OPTIONS,
    TOPIC_OPTIONS,
    SettingsCommand,
    read_settings,
    setting_options,
)
from worker.cli.terminal import print_table, rich_console
from worker.errors import TopicError
from worker.logs import configure_logging
from worker.settings import Settings

COLUMNS = ("topic", "partitions", "replication", "retention", "messages", "lag")
Row = tuple[str, ...]
_DAY_S, _HOUR_S = 86_400, 3_600


@click.command(cls=SettingsCommand)
@click.option("--create", is_flag=True, help="Create the topics that are missing.")
@setting_options(*KAFKA_OPTIONS, "group", *TOPIC_OPTIONS, *CREATION_OPTIONS)
@click.pass_context
def command(context: click.Context, create: bool) -> None:
    """List the three topics and the lag of the group.

    Shows partitions, replication, retention and messages of each.

    Exits with 4 when a topic is missing. Without a terminal the columns are separated by tabs.
    """
    settings = read_settings(context)
    configure_logging("CRITICAL", "human")
    rows, fault = run_async(_survey(settings, create=create))
    _print(rows, settings.group)
    if fault:
        raise TopicError(fault)


async def _survey(settings: Settings, *, create: bool) -> tuple[list[Row], str]:
    """The rows to show, and what is to be said of topics that are missing; empty when none is."""
    from worker.cli.kafka import impatient, messages_and_lag, reachable_admin
    from worker.topic_specs import missing_topics_message
    from worker.topics import create_missing, ensure_topics

    names = (settings.input_topic, settings.output_topic, settings.dead_letter_topic)
    async with reachable_admin(settings) as admin:
        if create and await create_missing(admin, settings):
            await ensure_topics(impatient(settings))
        found = await admin.describe(names)
        messages, lag = await messages_and_lag(settings, admin, found.values())
        missing = [name for name in names if name not in found]
        fault = missing_topics_message(settings, missing, found.values(), await admin.names()) if missing else ""
    rows: list[Row] = [(name, "missing", "", "", "", "") for name in missing]
    for name in found:
        topic = found[name]
        of_group = str(lag) if name == settings.input_topic else ""
        retention = _duration(topic.integer("retention.ms"))
        row = (name, str(topic.partitions), str(topic.replication), retention, str(messages[name]), of_group)
        rows.append(row)
    return sorted(rows, key=lambda row: names.index(row[0])), fault


def _duration(milliseconds: int | None) -> str:
    if milliseconds is None:
        return "unknown"
    seconds = milliseconds / 1000
    if seconds < 0:
        return "for ever"
    if seconds >= _DAY_S:
        return f"{seconds / _DAY_S:.3g} days"
    return f"{seconds / _HOUR_S:.3g} h" if seconds >= _HOUR_S else f"{seconds:.3g} s"


def _print(rows: list[Row], group: str) -> None:
    console = rich_console()
    if console is None:
        for row in (COLUMNS, *rows):
            click.echo("\t".join(row))
        return
    caption = f"lag of the group {group}"
    print_table(console, COLUMNS, rows, to_the_right=COLUMNS[1:], caption=caption, alarming="missing")
