"""The command that rebuilds the bundled model: folders in, an artifact out, and it goes on where it was interrupted."""

from __future__ import annotations

import gzip
import json
from dataclasses import replace
from pathlib import Path

import pytest
from bert_parts import small_bert, write_bert
from click.testing import CliRunner, Result

import worker.modelkit.train.__main__ as command
from worker.inference import Artifact
from worker.modelkit.train.plain_sentences import plain_sentences
from worker.modelkit.train.stages import STAGES, Stage

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


def test_a_folder_that_lacks_something_is_a_clear_error(data: Path, pretrained: Path, tmp_path: Path) -> None:
    for result, lacking in (
        (_train(data, tmp_path, tmp_path / "out"), "model.safetensors, vocab.txt"),
        (_train(tmp_path, pretrained, tmp_path / "out"), "train.jsonl.gz, unsup.jsonl.gz"),
    ):
        assert result.exit_code == 2
        assert f"{tmp_path} lacks {lacking}" in result.stderr
