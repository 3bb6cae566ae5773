"""``reviews-worker model verify``: whether an artifact says what its source says."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import orjson

from worker.cli.model.places import artifact_folder
from worker.cli.model.sources import read_source, require_convert, source_options
from worker.errors import UsageError
from worker.logs import configure_logging

if TYPE_CHECKING:
    from worker.convert.verification import Limits, Verification

NOT_THE_SAME = 1
"""Exit code beyond the limits."""


@click.command()
@click.argument("artifact", metavar="DIR")
@click.option("--against", required=True, metavar="SOURCE", help="What it was imported from, as for `model import`.")
@click.option(
    "--data",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Texts to compare on: .jsonl, .csv or .parquet, as for `model evaluate`; default: built-in awkward ones.",
)
@click.option("--text-field", default="text", show_default=True, help="Member or column of --data that holds the text.")
@click.option("--limit", type=click.IntRange(min=1), default=1000, show_default=True, help="Most texts of --data.")
@click.option("--tolerance", type=click.FloatRange(min=0), help="Largest difference of a probability.")
@click.option("--min-agreement", type=click.FloatRange(0, 1), help="Smallest share of texts with the same label.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@source_options
@click.pass_context
def command(
    context: click.Context,
    /,
    artifact: str,
    against: str,
    data: Path | None,
    text_field: str,
    limit: int,
    tolerance: float | None,
    min_agreement: float | None,
    as_json: bool,
    **source: Any,
) -> None:
    """Compare the artifact in the folder DIR with its source, text by text.

    The reference is the source's own graph where it has one, transformers where it is installed, and a plain
    computation in float64 otherwise. Exits with 1 where they differ by more than the limits of the precision.
    """
    configure_logging("ERROR", "human")
    require_convert()
    from worker.classifier import Classifier
    from worker.cli.model.texts import texts_to_compare
    from worker.convert.spark_comparison import compare_with_spark
    from worker.convert.verification import Limits, limits_of, verify

    classifier = Classifier.load(artifact_folder(artifact), "cpu", "truncate")
    texts = texts_to_compare(data, text_field, limit)
    model = read_source(against, **source)
    if tolerance is not None and math.isnan(tolerance):
        raise UsageError("--tolerance nan: a number is needed")
    usual = limits_of(classifier.artifact.precision)
    difference = usual.difference if tolerance is None else tolerance
    limits = Limits(difference, usual.agreement if min_agreement is None else min_agreement)
    result = verify(classifier, model, texts)
    spark = compare_with_spark(model, texts)
    faults = result.faults(limits)
    if as_json:
        members = {**dataclasses.asdict(result), "agreement": result.agreement, "faults": faults}
        click.echo(orjson.dumps(members | {"spark_nlp": spark and dataclasses.asdict(spark)}).decode())
    else:
        _print(classifier.artifact.identity, classifier.artifact.precision, result, limits)
        if spark is not None:
            for line in spark.lines():
                click.echo(line)
        for fault in faults:
            click.echo(f"{click.style('not the same:', fg='red', bold=True)} {fault}")
        if not faults:
            click.echo(click.style("the same", fg="green"))
    if faults:
        context.exit(NOT_THE_SAME)


def _print(identity: str, precision: str, result: Verification, limits: Limits) -> None:
    tokens = "not compared (transformers is not installed)"
    if result.other_tokens is not None:
        tokens = f"{result.texts - result.other_tokens} of {result.texts} texts the same"
    rows = (
        ("artifact", f"{identity} ({precision})"),
        ("reference", result.reference),
        ("texts", f"{result.texts}"),
        ("largest difference", f"{result.largest_difference:.2g} of a probability (limit {limits.difference:g})"),
        ("mean difference", f"{result.mean_difference:.2g}"),
        ("labels", f"{result.agreement:.2%} the same (limit {limits.agreement:.2%}); {result.moved} moved"),
        ("tokens", tokens),
        ("speed", f"{result.artifact_per_second:.1f} texts/s, the reference {result.reference_per_second:.1f}"),
    )
    for name, value in rows:
        click.echo(f"{name:<20}{value}")
