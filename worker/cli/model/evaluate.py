"""``reviews-worker model evaluate``: how good a model is, on labelled reviews."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import click
import orjson

from worker.cli.model.places import artifact_folder
from worker.cli.model.progress import progress_bar
from worker.cli.options import SettingsCommand, read_settings, setting_options
from worker.errors import UsageError
from worker.exhaustion import exhausted
from worker.observability.logs import configure_logging

_FILE = click.Path(dir_okay=False, path_type=Path)


@click.command(cls=SettingsCommand)
@click.argument("artifact", metavar="DIR")
@click.option(
    "--data",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    required=True,
    help="Labelled reviews: FILE.jsonl, FILE.csv (each also as .gz) or FILE.parquet.",
)
@click.option("--text-field", default="text", show_default=True, help="Column or JSON member with the text.")
@click.option("--label-field", default="label", show_default=True, help="Column or JSON member with the label.")
@click.option(
    "--map", "spellings", multiple=True, metavar="SPELLING=LABEL", help="What a label of the file means; repeatable."
)
@click.option("--skip-unlabelled", is_flag=True, help="Leave out rows without a label that the model knows.")
@click.option("--positive-label", metavar="LABEL", help="Of two labels, whose F1 is given.  [default: the last]")
@click.option("--limit", type=click.IntRange(min=1), help="Read only so many rows.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.option("--figures", "json_path", type=_FILE, metavar="FILE", help="Write the JSON object here too.")
@click.option(
    "--plot",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="DIR",
    help="Draw confusion-matrix.png and reliability.png into this folder.",
)
@setting_options("provider", "overflow", "window_overlap_tokens", "max_windows")
@click.pass_context
def command(
    context: click.Context,
    artifact: str,
    data: Path,
    text_field: str,
    label_field: str,
    spellings: Sequence[str],
    skip_unlabelled: bool,
    positive_label: str | None,
    limit: int | None,
    as_json: bool,
    json_path: Path | None,
    plot: Path | None,
) -> None:
    """Measure a model on labelled reviews.

    DIR is the folder of a model artifact; the word "bundled" takes the model that comes with the package.

    The label of a row is one of the model's, or its number; capitals count only where they make a difference. Rows
    with a blank text are counted and left out. Any number of rows takes the same memory.
    """
    settings = read_settings(context)
    configure_logging("WARNING", "human")
    from worker.inference.session import SessionOptions
    from worker.modelkit.evaluation.evaluation import EvaluationOptions
    from worker.modelkit.evaluation.labels import LabelReader
    from worker.modelkit.evaluation.report import document, lines
    from worker.modelkit.evaluation.rows import Columns
    from worker.modelkit.evaluation.run import evaluate
    from worker.modelkit.evaluation.sources import open_rows
    from worker.modelkit.evaluation.subject import Subject

    translations = _translations(spellings)
    _check_outputs(json_path, plot)
    with open_rows(data, Columns(text_field, label_field)) as source:
        options = SessionOptions.of(settings)
        subject = Subject.load(artifact_folder(artifact), options, settings.reading)
        with progress_bar("measuring") as progress:
            evaluation = evaluate(
                subject,
                source,
                LabelReader(subject.classifier.labels, translations),
                EvaluationOptions(positive_label, skip_unlabelled, limit),
                progress=progress,
            )
    try:
        if json_path is not None:
            _write_json(json_path, document(evaluation))
    finally:  # what was measured is told all the same
        for line in [orjson.dumps(document(evaluation)).decode()] if as_json else lines(evaluation):
            click.echo(line)
    if plot is not None:
        from worker.modelkit.evaluation.plots import write_pictures

        for path in write_pictures(evaluation, plot):
            click.echo(f"wrote {path}", err=True)


def _translations(spellings: Sequence[str]) -> Mapping[str, str]:
    translations: dict[str, str] = {}
    for pair in spellings:
        spelling, equals, label = (part.strip() for part in pair.rpartition("="))
        if not equals or not spelling or not label:
            raise UsageError(f"--map {pair}: SPELLING=LABEL is needed, as in --map positive=pos")
        if translations.setdefault(spelling, label) != label:
            raise UsageError(f"--map gives {spelling!r} two labels, {translations[spelling]} and {label}")
    return translations


def _check_outputs(json_path: Path | None, plot: Path | None) -> None:
    """Find out before the work, not after it, that its result has no place to go."""
    if json_path is not None and not os.access(json_path.parent, os.W_OK):
        raise UsageError(f"--figures {json_path}: the folder {json_path.parent} is not there or cannot be written to")
    if plot is not None:
        from worker.modelkit.evaluation.plots import require_matplotlib

        require_matplotlib()
        try:
            plot.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UsageError(f"--plot {plot}: cannot be made ({error.strerror})") from None


def _write_json(path: Path, members: Mapping[str, Any]) -> None:
    """Write it whole or not at all, unless `path` is a device or a pipe."""
    text = json.dumps(members, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    special = path.exists() and not path.is_file()
    unfinished = path if special else path.with_name(path.name + ".part")
    try:
        unfinished.write_text(text, encoding="utf-8")
        if not special:
            unfinished.replace(path)
    except OSError as error:
        if not special:
            with contextlib.suppress(OSError):
                unfinished.unlink()
        raise exhausted(error) or UsageError(f"--figures {path}: cannot be written ({error.strerror})") from None
