"""What lies in a training's folder: whole arrays, and only what the same reviews, weights and stages made."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import click
import numpy as np
import pytest

from worker.modelkit.train.folder import INPUTS, Folder, Inputs, save_array
from worker.modelkit.train.stages import STAGES

INPUT = Inputs(3, 0, {"train.jsonl.gz": "a", "unsup.jsonl.gz": "b", "model.safetensors": "c", "vocab.txt": "d"})
FIRST, SECOND, THIRD, *_ = STAGES


def _begun(path: Path) -> Path:
    """The folder of a training that was interrupted in its second stage."""
    folder = Folder(path / "out", INPUT)
    folder.begin([FIRST, SECOND, THIRD], pytest.fail)
    folder.begun(FIRST)
    folder.begun(SECOND)
    return path / "out"


def test_the_same_training_goes_on_and_may_have_more_stages_than_before(tmp_path: Path) -> None:
    out = _begun(tmp_path)
    told = (out / INPUTS).read_text()
    Folder(out, INPUT).begin(STAGES, pytest.fail)
    Folder(out, INPUT).begin([FIRST, SECOND, replace(THIRD, room=9)], pytest.fail)  # it has not begun
    Folder(out, INPUT).begun(SECOND)
    assert (out / INPUTS).read_text() == told
    Folder(out, INPUT).begun(THIRD)
    assert [stage["name"] for stage in json.loads((out / INPUTS).read_text())["stages"]] == ["crops", "halves", "ends"]


@pytest.mark.parametrize(
    ("inputs", "stages", "difference"),
    [
        (replace(INPUT, seed=4), STAGES, r"seed \(3, now 4\)"),
        (replace(INPUT, limit=50), STAGES, r"limit \(0, now 50\)"),
        (replace(INPUT, files=INPUT.files | {"unsup.jsonl.gz": "x"}), STAGES, "unsup.jsonl.gz"),
        (
            replace(INPUT, files=INPUT.files | {"vocab.txt": "x"}, seed=4),
            STAGES,
            r"seed \(3, now 4\), another vocab.txt",
        ),
        (INPUT, [FIRST, replace(SECOND, room=9), THIRD], "stage halves"),
        (INPUT, [FIRST], "stage halves"),
        (INPUT, [SECOND, FIRST], "stage crops, another stage halves"),
    ],
)
def test_what_another_training_left_is_refused_in_one_line(
    tmp_path: Path, inputs: Inputs, stages: list[object], difference: str
) -> None:
    out = _begun(tmp_path)
    told = (out / INPUTS).read_text()
    line = f"^--out: .* was begun with another {difference}; use another --out$"
    with pytest.raises(click.UsageError, match=line):
        Folder(out, inputs).begin(stages, pytest.fail)
    assert (out / INPUTS).read_text() == told


def test_checkpoints_of_a_program_that_noted_nothing_are_taken_and_that_is_said(tmp_path: Path) -> None:
    for name in ("crops.pt", "halves-targets.npy"):
        (tmp_path / name).touch()
    lines: list[str] = []
    Folder(tmp_path, INPUT).begin(STAGES, lines.append)
    assert lines == [f"{tmp_path} has no inputs.json: what is in it is taken to fit (stages: 2)"]
    Folder(tmp_path, INPUT).begin(STAGES, pytest.fail)
    with pytest.raises(click.UsageError, match="another stage halves;"):
        Folder(tmp_path, INPUT).begin([FIRST, replace(SECOND, room=9)], pytest.fail)


def test_an_array_that_was_not_written_to_its_end_is_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(file: object, array: np.ndarray) -> None:
        save(file, array[:1])
        raise KeyboardInterrupt

    save = np.save
    array = np.arange(5, dtype=np.float32)
    with monkeypatch.context() as once:
        once.setattr(np, "save", interrupted)
        with pytest.raises(KeyboardInterrupt):
            save_array(tmp_path / "teacher.npy", array)
    assert not (tmp_path / "teacher.npy").exists()
    save_array(tmp_path / "teacher.npy", array)
    assert np.load(tmp_path / "teacher.npy").tolist() == array.tolist()
    assert [path.name for path in tmp_path.iterdir()] == ["teacher.npy"]
