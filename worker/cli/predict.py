"""``reviews-worker predict``: classify without Kafka."""

from __future__ import annotations

import dataclasses
import shlex
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

import click
import orjson

from worker.cli.lines import binary_stdin, in_groups, names_a_file
from worker.cli.options import SettingsCommand, read_settings, setting_options
from worker.cli.terminal import label_colour, on_terminal, plain_line, printable, review_line, rich_console
from worker.errors import ExitCode, UsageError
from worker.events.codec import is_blank
from worker.observability.logs import configure_logging
from worker.settings.command_line import how_called

if TYPE_CHECKING:
    from worker.inference.classifier import Classification, Classifier

Show = Callable[[str, "Classification"], None]

MAX_GROUP_LINES = 32
_NOTE_WIDTH = 60


@click.command(cls=SettingsCommand)
@click.argument("texts", nargs=-1, required=True, metavar="TEXT...")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object for each review.")
@setting_options("model", "provider", "overflow", "window_overlap_tokens", "max_windows")
@click.pass_context
def command(context: click.Context, texts: Sequence[str], as_json: bool) -> None:
    """Classify reviews without Kafka.

    Each TEXT is a review; when TEXT is "-", each line of stdin is one.

    Without a terminal each review becomes one line: label, probability and text, separated by tabs. A blank line on
    stdin is reported, left out, and makes the exit code 2 at the end. A note on stderr tells of a text with characters
    that the model does not know.
    """
    settings = read_settings(context)
    configure_logging("WARNING", "human")
    streaming = list(texts) == ["-"]
    _refuse_file_names(texts)
    blank = [number for number, text in enumerate(texts, 1) if is_blank(text)]
    if blank:
        raise UsageError(f"text {blank[0]} is blank: there is nothing to classify")
    from worker.inference.classifier import Classifier

    classifier = Classifier.load(settings.model, settings.provider, settings.reading)
    show = _json_printer(classifier) if as_json else _print_line
    if streaming:
        context.exit(int(_predict_lines(classifier, show)))
    results = classifier.predict(texts)
    if as_json or not _print_table(texts, results):
        for text, result in zip(texts, results, strict=True):
            show(text, result)


def _refuse_file_names(texts: Sequence[str]) -> None:
    """Raise `UsageError` where a text is the name of a file that is there, with the command that reads it."""
    for text in filter(names_a_file, texts):
        name = shlex.quote(text)
        reading = f"{how_called()} predict - < {name}"
        if text.endswith(".gz"):
            reading = f"gzip -dc {name} | {how_called()} predict -"
        elif text.endswith(".parquet"):
            reading = f"{how_called()} model evaluate bundled --data {name}"
        raise UsageError(
            f"{printable(text)} is a file, and TEXT is a review; each of its lines is classified by: {reading}"
        )


def _predict_lines(classifier: Classifier, show: Show) -> ExitCode:
    """Classify stdin line by line, in order, each as soon as it is there; those that wait already go together."""
    blank = 0
    for lines in in_groups(_numbered_lines(binary_stdin()), MAX_GROUP_LINES):
        texts = []
        for number, line in lines:
            if not is_blank(line):
                texts.append(line)
            else:
                blank += 1
                click.echo(f"{click.style('error:', fg='red', bold=True)} line {number} is blank, left out", err=True)
        for text, result in zip(texts, classifier.predict(texts), strict=True):
            show(text, result)
        sys.stdout.flush()
    return ExitCode.USAGE if blank else ExitCode.OK


def _numbered_lines(stream: Iterable[bytes]) -> Iterator[tuple[int, str]]:
    for number, line in enumerate(stream, 1):
        try:
            yield number, line.decode().rstrip("\r\n")
        except UnicodeDecodeError as error:
            raise UsageError(f"line {number} is not UTF-8 text") from error


def _print_line(text: str, result: Classification) -> None:
    line = review_line if on_terminal() else plain_line
    click.echo(line(result.label, result.score, text))
    if result.unknown:
        click.echo(f"note: {_unknown(result.unknown)}: {printable(text, _NOTE_WIDTH)}", err=True)


def _unknown(share: float) -> str:
    return f"{'<1%' if share < 0.01 else f'{share:.0%}'} unknown characters"


def _json_printer(classifier: Classifier) -> Show:
    model = classifier.artifact.identity

    def show(text: str, result: Classification) -> None:
        members = {"text": text, **dataclasses.asdict(result), "model": model}
        click.echo(orjson.dumps(members).decode())

    return show


def _print_table(texts: Sequence[str], results: Sequence[Classification]) -> bool:
    """A table for people; False, and nothing printed, where there is no terminal for it."""
    console = rich_console()
    if console is None:
        return False
    from rich.table import Table
    from rich.text import Text

    table = Table()
    for column in ("label", "probability", "tokens"):
        table.add_column(column)
    table.add_column("review", overflow="fold")
    for text, result in zip(texts, results, strict=True):
        tokens = f"{result.tokens} in {result.windows} windows" if result.windows > 1 else str(result.tokens)
        if result.truncated:
            tokens += ", the rest was not read"
        if result.unknown:
            tokens += f"; {_unknown(result.unknown)}"
        label = Text(result.label, style=f"bold {label_colour(result.label)}")
        table.add_row(label, f"{result.score:.3f}", tokens, Text(printable(text)))
    console.print(table)
    return True
