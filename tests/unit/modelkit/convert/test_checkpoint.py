"""What a checkpoint must have before a graph is built from it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from albert_reference import TINY, random_weights, write_checkpoint
from safetensors.numpy import save_file

from worker.modelkit.convert.shape import AlbertShape, CheckpointError, checked_weights
from worker.modelkit.convert.sources.folder import read_folder


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ({"model_type": "bert"}, "model_type is 'bert'"),
        ({"hidden_act": "swish"}, "hidden_act 'swish'"),
        ({"hidden_size": 9}, "not a multiple"),
        ({"hidden_size": 0}, "hidden_size must be a whole number above 0"),
        ({"num_hidden_layers": None}, "num_hidden_layers"),
        ({"id2label": None}, "id2label is missing"),
        ({"id2label": {"0": "neg", "2": "pos"}}, "without a gap"),
        ({"position_embedding_type": "relative_key"}, "absolute"),
    ],
)
def test_a_configuration_that_cannot_be_built_is_one_clear_line(overrides: dict[str, Any], message: str) -> None:
    with pytest.raises(CheckpointError, match=message) as raised:
        AlbertShape.from_config(TINY | overrides)
    assert "\n" not in str(raised.value)


def test_a_missing_weight_is_named() -> None:
    shape = AlbertShape.from_config(TINY)
    weights = random_weights(shape)
    del weights["albert.pooler.bias"]
    with pytest.raises(CheckpointError, match=r"albert\.pooler\.bias is missing"):
        checked_weights(weights, shape)


def test_a_weight_of_another_shape_is_named() -> None:
    shape = AlbertShape.from_config(TINY)
    weights = random_weights(shape) | {"classifier.bias": np.zeros(3, dtype=np.float32)}
    with pytest.raises(CheckpointError, match=r"classifier\.bias has the shape \(3,\)"):
        checked_weights(weights, shape)


def test_a_weight_that_is_not_finite_is_named() -> None:
    shape = AlbertShape.from_config(TINY)
    weights = random_weights(shape) | {"classifier.bias": np.array([0, np.nan], dtype=np.float32)}
    with pytest.raises(CheckpointError, match=r"classifier\.bias holds values that are not finite"):
        checked_weights(weights, shape)


def test_half_precision_weights_become_float32() -> None:
    shape = AlbertShape.from_config(TINY)
    halves = {name: value.astype(np.float16) for name, value in random_weights(shape).items()}
    assert {value.dtype for value in checked_weights(halves, shape).values()} == {np.dtype(np.float32)}


def test_other_weights_in_the_file_do_no_harm(tmp_path: Path) -> None:
    path = write_checkpoint(tmp_path / "checkpoint")
    shape = read_folder(path).shape
    save_file(random_weights(shape) | {"predictions.bias": np.zeros(1, dtype=np.float32)}, path / "model.safetensors")
    assert "predictions.bias" not in read_folder(path).weights


@pytest.mark.parametrize("name", ["config.json", "model.safetensors"])
def test_a_missing_or_broken_file_is_named(tmp_path: Path, name: str) -> None:
    path = write_checkpoint(tmp_path / "checkpoint")
    (path / name).write_bytes(b"{")
    with pytest.raises(CheckpointError, match=name):
        read_folder(path)
    (path / name).unlink()
    with pytest.raises(CheckpointError, match=name):
        read_folder(path)


def test_a_configuration_that_is_no_object_is_refused(tmp_path: Path) -> None:
    path = write_checkpoint(tmp_path / "checkpoint")
    (path / "config.json").write_text(json.dumps([1]))
    with pytest.raises(CheckpointError, match="not a JSON object"):
        read_folder(path)
