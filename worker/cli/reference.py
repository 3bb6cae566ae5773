"""``python -m worker.cli.reference``: the reference pages, rendered from the settings and the metrics.

With ``--check`` nothing is written, and the exit code is 1 when a page is not what it would become.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby
from pathlib import Path

import click

from worker.cli.described import described_settings
from worker.observability.metrics import KINDS, PROCESS_METRICS, Metrics
from worker.settings import ENVIRONMENT_PREFIX

_DOCS = Path(__file__).parents[2] / "docs"
_NOTE = "<!-- Rendered by `python -m worker.cli.reference`; edit the source, not this page. -->"


@click.command()
@click.option("--check", is_flag=True, help="Write nothing; fail when a page is stale.")
@click.option("--docs", type=click.Path(path_type=Path), default=_DOCS, help="Folder of the pages.")
@click.pass_context
def command(context: click.Context, check: bool, docs: Path) -> None:
    """Render settings.md and metrics.md."""
    stale = []
    for name, text in pages().items():
        path = docs / name
        if path.is_file() and path.read_text(encoding="utf-8") == text:
            continue
        stale.append(str(path))
        if not check:
            docs.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
    if not stale:
        click.echo("the reference pages are up to date")
    elif check:
        click.echo(f"stale: {', '.join(stale)}; run python -m worker.cli.reference", err=True)
        context.exit(1)
    else:
        click.echo(f"written: {', '.join(stale)}")


def pages() -> dict[str, str]:
    """The pages, by file name."""
    return {"settings.md": "\n".join(_settings_page()), "metrics.md": "\n".join(_metrics_page())}


def _settings_page() -> Iterator[str]:
    yield from (_NOTE, "", "# Settings", "")
    yield (
        "Each setting is an option of `reviews-worker run` and an environment variable; the command line wins. A wrong"
        " value is one clear line and exit code 2; a variable that begins with"
        f" `{ENVIRONMENT_PREFIX}` and sets nothing is warned of. An empty variable counts as not set."
    )
    for section, settings in groupby(described_settings(), key=lambda setting: setting.section):
        yield from ("", f"## {section}", "", "| setting | default | allowed | meaning |", "|---|---|---|---|")
        for setting in settings:
            variables = ", ".join(f"`{variable}`" for variable in setting.variables)
            name = f"`{setting.option}`<br>{variables}"
            meaning = setting.meaning.replace("``", "`")
            yield _row(name, f"`{setting.default}`", setting.allowed, meaning)
    yield ""


def _metrics_page() -> Iterator[str]:
    yield from (_NOTE, "", "# Metrics", "")
    yield "Served in Prometheus' text format at `/metrics`, on the port of the health checks (setting `port`)."
    yield from ("", "| metric | kind | labels | meaning |", "|---|---|---|---|")
    for metric in vars(Metrics()).values():
        if isinstance(metric, KINDS):
            family = next(iter(metric.describe()))
            name = family.name + ("_total" if family.type == "counter" else "")
            labels = ", ".join(f"`{label}`" for label in getattr(metric, "_labelnames", ()))
            yield _row(f"`{name}`", family.type, labels, family.documentation)
    names = ", ".join(f"`{name}`" for name in PROCESS_METRICS)
    yield from ("", f"And of the process itself, on Linux: {names}.", "")


def _row(*cells: str) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


if __name__ == "__main__":
    command()
