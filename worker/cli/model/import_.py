"""``reviews-worker model import``: a model from anywhere becomes an artifact."""

from __future__ import annotations

import importlib.util
import signal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from worker.called import how_called
from worker.cli.model.sources import read_source, require_convert, source_options
from worker.errors import ExitCode, UsageError
from worker.logs import configure_logging

if TYPE_CHECKING:
    from worker.convert.importing import Imported

DEFAULT_PRECISION = "fp32"


@click.command()
@click.argument("source")
@click.option("--out", type=click.Path(path_type=Path), required=True, help="Folder of the artifact, made here.")
@click.option(
    "--precision",
    type=click.Choice(["fp32", "fp16", "int8"]),
    help=f"fp32 says exactly what the source says; int8 is for CPUs, fp16 for GPUs. [default: {DEFAULT_PRECISION}]",
)
@click.option("--name", help="Name that the predictions carry; default: from SOURCE.")
@click.option("--version", default="1.0.0", show_default=True, help="Version that the predictions carry.")
@click.option(
    "--data",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Held-out labelled reviews, as for `model evaluate`: int8 is measured on them, and kept finer where it loses.",
)
@click.option("--limit", type=click.IntRange(min=1), default=1000, show_default=True, help="Most reviews of --data.")
@click.option("--replace", is_flag=True, help="Replace the artifact that is in --out.")
@source_options
def command(
    source: str,
    out: Path,
    precision: str | None,
    name: str | None,
    version: str,
    data: Path | None,
    limit: int,
    replace: bool,
    **options: Any,
) -> None:
    """Turn SOURCE into a model artifact, and compare the two.

    SOURCE is a Hugging Face folder or the id of a hub repository (owner/name) with an AlbertForSequenceClassification,
    a Spark NLP model (zip or folder, TensorFlow or ONNX), or an ONNX model (file or folder).

    The artifact appears in --out when it is finished and has been compared with its source: fp32 and fp16 must say the
    same, and of int8 it is told where it does not.
    """
    configure_logging("ERROR", "human")
    signal.signal(signal.SIGTERM, _stop)
    require_convert()
    from worker.cli.model.texts import held_out_reviews
    from worker.convert.artifact_writer import AS_IT_IS, ArtifactDescription
    from worker.convert.checkpoint import ForeignGraph
    from worker.convert.importing import check_identity, check_place, import_model, name_of

    check_place(out, replace=replace)
    check_identity("any" if name is None else name, version)
    _refuse_own_source(source, out)
    model = read_source(source, **options)
    as_it_is = isinstance(model, ForeignGraph) and precision is None
    chosen = AS_IT_IS if as_it_is else precision or DEFAULT_PRECISION
    imported = import_model(
        model,
        out,
        ArtifactDescription(name_of(model) if name is None else name, version, chosen),
        held_out=None if data is None else held_out_reviews(data, model.labels, limit),
        replace=replace,
        report=lambda line: click.echo(line, err=True),
    )
    _print(imported, has_data=data is not None)


def _stop(*_: object) -> None:
    """An end by a signal is an end in order: nothing half-written stays behind."""
    raise SystemExit(int(ExitCode.KILLED))


def _refuse_own_source(source: str, out: Path) -> None:
    place, origin = out.resolve(), Path(source).resolve()
    if Path(source).exists() and (place == origin or place in origin.parents):
        raise UsageError(f"--out {out}: the source is in it; name another folder")


def _print(imported: Imported, *, has_data: bool) -> None:
    artifact, compared = imported.artifact, imported.compared
    size = sum(path.stat().st_size for path in artifact.path.iterdir())
    click.echo(
        f"{artifact.identity} ({artifact.precision}, labels {', '.join(artifact.labels)}):"
        f" {size / 1e6:.1f} MB in {artifact.path}"
    )
    click.echo(
        f"against {compared.reference}: largest difference of a probability {compared.largest_difference:.2g},"
        f" {compared.moved} of {compared.texts} labels moved"
    )
    for fault in imported.faults:
        click.echo(f"{click.style('not the same as its source:', fg='yellow')} {fault}")
    if compared.other_tokens is None and importlib.util.find_spec("transformers") is None:
        click.echo("tokens were not compared: transformers is not installed")
    if imported.choice is not None:
        for line in imported.choice.plan.notes:
            click.echo(line)
    elif artifact.precision == "int8" and not has_data:
        click.echo("int8 was not measured on reviews: --data FILE does, and keeps finer what int8 loses most by")
    click.echo(f"use it: {how_called()} run --model {artifact.path}")
