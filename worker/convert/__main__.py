"""``python -m worker.convert CHECKPOINT --out DIRECTORY``: a trained checkpoint in, a model artifact out."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from worker.convert.artifact_writer import ArtifactDescription, write_artifact
from worker.convert.checkpoint import Checkpoint
from worker.convert.precision import PRECISIONS
from worker.errors import FatalError
from worker.inference.artifact import Artifact


@click.command()
@click.argument("checkpoint", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--out", type=click.Path(file_okay=False, path_type=Path), required=True, help="Folder of the artifact.")
@click.option("--name", required=True, help="Name that the predictions carry.")
@click.option("--version", required=True, help="Version that the predictions carry.")
@click.option("--precision", type=click.Choice(list(PRECISIONS)), default="int8", show_default=True)
@click.option("--max-length", type=click.IntRange(min=3), help="Longest encoding in tokens; default: all places.")
@click.option("--lower-case", is_flag=True, help="The model was trained on lower-cased text.")
def main(
    checkpoint: Path, out: Path, name: str, version: str, precision: str, max_length: int | None, lower_case: bool
) -> None:
    """Convert CHECKPOINT (config.json, model.safetensors, spiece.model) into a model artifact."""
    try:
        description = ArtifactDescription(name, version, precision, lower_case, max_length)
        write_artifact(Checkpoint.load(checkpoint), out, description)
        artifact = Artifact.load(out)
    except FatalError as error:
        click.echo(f"error: {error}", err=True)
        sys.exit(error.exit_code)
    size = sum(path.stat().st_size for path in out.iterdir())
    click.echo(
        f"{artifact.identity} ({artifact.precision}, labels {', '.join(artifact.labels)}): {size:,} bytes in {out}"
    )


if __name__ == "__main__":
    main()
