"""``python -m worker.convert``: a checkpoint in, an artifact out that the worker loads."""

from __future__ import annotations

from pathlib import Path

import pytest
from albert_reference import write_checkpoint
from click.testing import CliRunner

from worker.classifier import Classifier
from worker.convert.__main__ import main
from worker.errors import ExitCode
from worker.inference.artifact import Artifact

IDENTITY = ["--name", "tiny", "--version", "7"]


@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_a_checkpoint_becomes_an_artifact_that_classifies(tmp_path: Path, precision: str) -> None:
    checkpoint = write_checkpoint(tmp_path / "checkpoint", id2label={"0": "bad", "1": "fair", "2": "good"})
    arguments = [str(checkpoint), "--out", str(tmp_path / "artifact"), *IDENTITY, "--precision", precision]

    result = CliRunner().invoke(main, [*arguments, "--max-length", "12"])

    assert result.exit_code == 0, result.output
    artifact = Artifact.load(tmp_path / "artifact")
    assert (artifact.identity, artifact.precision, artifact.max_length, artifact.lower_case) == (
        "tiny@7",
        precision,
        12,
        False,
    )
    assert artifact.labels == ("bad", "fair", "good")
    (classification,) = Classifier.load(tmp_path / "artifact", "cpu").predict(["one two three " * 9])
    assert (classification.tokens, classification.truncated) == (12, True)


def test_a_vocabulary_of_another_model_is_refused(tmp_path: Path) -> None:
    checkpoint = write_checkpoint(tmp_path / "checkpoint", vocab_size=100)
    result = CliRunner().invoke(main, [str(checkpoint), "--out", str(tmp_path / "artifact"), *IDENTITY])
    assert result.exit_code == ExitCode.ARTIFACT
    assert "belongs to another model" in result.output


def test_a_length_that_the_model_has_no_places_for_is_refused(tmp_path: Path) -> None:
    checkpoint = write_checkpoint(tmp_path / "checkpoint")
    arguments = [str(checkpoint), "--out", str(tmp_path / "artifact"), *IDENTITY, "--max-length", "17"]
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == ExitCode.ARTIFACT
    assert "outside of 3 to 16" in result.output
