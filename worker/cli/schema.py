"""``reviews-worker schema``: the published contract."""

from __future__ import annotations

import click

from worker.events.schemas import SCHEMA_FILES, schema_text


@click.command()
@click.argument("name", type=click.Choice(list(SCHEMA_FILES)))
def command(name: str) -> None:
    """Print a schema of the events.

    They are JSON Schema 2020-12, and an AsyncAPI document of the three topics.
    """
    click.echo(schema_text(name), nl=False)
