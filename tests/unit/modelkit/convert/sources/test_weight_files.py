"""Weights in every form that transformers has written them, and what is refused."""

from __future__ import annotations

import json
import os
import pickle
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest
import torch
from albert_reference import TINY, random_weights
from safetensors.numpy import save_file
from safetensors.torch import save_file as save_torch_file

from worker.extras import install_command
from worker.modelkit.convert.shape import AlbertShape, CheckpointError
from worker.modelkit.convert.sources.weight_files import main_file, open_weights
from worker.modelkit.convert.sources.weight_names import todays_name

WEIGHTS = random_weights(AlbertShape.from_config(TINY))
NAMES = sorted(WEIGHTS)
SHARDS = ("model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors")
INDEX = "model.safetensors.index.json"


def _tensors(names: list[str] = NAMES) -> dict[str, torch.Tensor]:
    return {name: torch.from_numpy(WEIGHTS[name].copy()) for name in names}


def _write_shards(folder: Path, **changes: str) -> Path:
    """Two shards and their index; `changes` are entries of the index."""
    half = len(NAMES) // 2
    parts = dict(zip(SHARDS, (NAMES[:half], NAMES[half:]), strict=True))
    for shard, names in parts.items():
        save_file({name: WEIGHTS[name] for name in names}, folder / shard)
    weight_map = {name: shard for shard, names in parts.items() for name in names} | changes
    (folder / INDEX).write_text(json.dumps({"metadata": {"total_size": 1}, "weight_map": weight_map}))
    return folder


def _error(folder: Path) -> str:
    with pytest.raises(CheckpointError) as raised:
        dict(open_weights(folder))
    line = str(raised.value)
    assert "\n" not in line
    return line


@pytest.mark.parametrize("kind", [np.float32, np.float16, np.float64, ml_dtypes.bfloat16])
def test_safetensors_of_any_float_need_no_torch(
    tmp_path: Path, kind: type[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    stored = {name: value.astype(kind) for name, value in WEIGHTS.items()}
    save_file(stored, tmp_path / "model.safetensors")
    monkeypatch.setitem(sys.modules, "torch", None)

    read = open_weights(tmp_path)

    assert sorted(read) == NAMES
    assert read.files == ("model.safetensors",)
    for name, value in stored.items():
        assert read.shape(name) == value.shape
        np.testing.assert_array_equal(read[name].astype(np.float32), value.astype(np.float32))


@pytest.mark.parametrize("kind", [torch.float8_e4m3fn, torch.int8, torch.int64])
def test_another_type_is_named_when_it_is_needed(tmp_path: Path, kind: torch.dtype) -> None:
    tensors = _tensors() | {"classifier.weight": torch.ones(2, 8).to(kind)}
    save_torch_file(tensors, tmp_path / "model.safetensors")
    assert "weight classifier.weight is stored as " in _error(tmp_path)
    assert open_weights(tmp_path)["classifier.bias"].tolist() == WEIGHTS["classifier.bias"].tolist()


def test_shards_are_read_as_one(tmp_path: Path) -> None:
    read = open_weights(_write_shards(tmp_path))
    assert read.files == (INDEX, *SHARDS)
    assert {name: read[name].tobytes() for name in read} == {name: WEIGHTS[name].tobytes() for name in NAMES}


def test_a_missing_shard_is_named(tmp_path: Path) -> None:
    (_write_shards(tmp_path) / SHARDS[1]).unlink()
    assert f"{SHARDS[1]}: missing" in _error(tmp_path)


def test_a_weight_that_is_not_in_its_shard_is_named(tmp_path: Path) -> None:
    _write_shards(tmp_path, **{NAMES[-1]: SHARDS[0]})
    assert f"{SHARDS[0]}: weight {NAMES[-1]} is missing" in _error(tmp_path)


@pytest.mark.parametrize(
    "place", ["../model.safetensors", "/etc/model.safetensors", "sub/model.safetensors", "..\\m.safetensors", "", 3]
)
def test_an_index_that_leaves_the_folder_is_refused(tmp_path: Path, place: Any) -> None:
    folder = tmp_path / "inside"
    folder.mkdir()
    save_file(WEIGHTS, tmp_path / "model.safetensors")
    _write_shards(folder, **{"classifier.bias": place})
    assert "no .safetensors file of this folder" in _error(folder)


def test_an_index_of_safetensors_names_no_pickle(tmp_path: Path) -> None:
    _write_shards(tmp_path, **{"classifier.bias": "pytorch_model.bin"})
    assert "no .safetensors file of this folder" in _error(tmp_path)


@pytest.mark.parametrize("content", ["[]", "{}", '{"weight_map": {}}', '{"weight_map": ["a"]}', "{"])
def test_a_broken_index_is_named(tmp_path: Path, content: str) -> None:
    (tmp_path / INDEX).write_text(content)
    assert INDEX in _error(tmp_path)


@pytest.mark.parametrize("new_form", [True, False], ids=["zip", "before torch 1.6"])
def test_torch_files_are_read(tmp_path: Path, new_form: bool) -> None:
    path = tmp_path / "pytorch_model.bin"
    torch.save(_tensors(), path, _use_new_zipfile_serialization=new_form)
    read = open_weights(tmp_path)
    assert {name: read[name].tobytes() for name in read} == {name: WEIGHTS[name].tobytes() for name in NAMES}


@pytest.mark.parametrize("kind", [torch.float16, torch.bfloat16, torch.float64])
def test_torch_files_of_any_float_are_read(tmp_path: Path, kind: torch.dtype) -> None:
    stored = {name: tensor.to(kind) for name, tensor in _tensors().items()}
    torch.save(stored, tmp_path / "pytorch_model.bin")
    read = open_weights(tmp_path)
    for name, tensor in stored.items():
        assert read.shape(name) == tuple(tensor.shape)
        np.testing.assert_array_equal(read[name].astype(np.float32), tensor.float().numpy())


def test_shards_of_torch_are_read_as_one(tmp_path: Path) -> None:
    half = len(NAMES) // 2
    weight_map = {}
    for number, names in enumerate((NAMES[:half], NAMES[half:]), 1):
        shard = f"pytorch_model-0000{number}-of-00002.bin"
        torch.save(_tensors(names), tmp_path / shard)
        weight_map |= dict.fromkeys(names, shard)
    (tmp_path / "pytorch_model.bin.index.json").write_text(json.dumps({"weight_map": weight_map}))

    read = open_weights(tmp_path)
    assert {name: read[name].tobytes() for name in read} == {name: WEIGHTS[name].tobytes() for name in NAMES}


def test_parameters_and_a_wrapping_state_dict_are_read(tmp_path: Path) -> None:
    parameters = {name: torch.nn.Parameter(tensor) for name, tensor in _tensors().items()}
    torch.save({"state_dict": parameters, "epoch": 3}, tmp_path / "pytorch_model.bin")
    read = open_weights(tmp_path)
    assert read["classifier.bias"].tolist() == WEIGHTS["classifier.bias"].tolist()


def test_a_tensor_that_is_no_dense_float_is_named(tmp_path: Path) -> None:
    for tensor in (torch.ones(2, dtype=torch.int64), torch.ones(2).to_sparse()):
        torch.save({"classifier.bias": tensor}, tmp_path / "pytorch_model.bin")
        assert "weight classifier.bias is stored as " in _error(tmp_path)


class _Malicious:
    """Runs a command when it is unpickled."""

    def __init__(self, command: str) -> None:
        self.command = command

    def __reduce__(self) -> tuple[Callable[[str], int], tuple[str]]:
        return os.system, (self.command,)


@pytest.mark.parametrize("form", ["zip", "old", "plain pickle"])
def test_a_file_that_would_run_code_is_refused_and_runs_nothing(tmp_path: Path, form: str) -> None:
    path, proof = tmp_path / "pytorch_model.bin", tmp_path / "proof"
    content = _tensors() | {"evil": _Malicious(f"touch {proof}")}
    if form == "plain pickle":
        path.write_bytes(pickle.dumps(content["evil"]))
        pickle.loads(path.read_bytes())
        assert proof.exists()  # so it does run where anybody lets it
        proof.unlink()
    else:
        torch.save(content, path, _use_new_zipfile_serialization=form == "zip")

    line = _error(tmp_path)

    assert "pytorch_model.bin: refused" in line
    assert not proof.exists()


@pytest.mark.parametrize("content", [b"", b"not a file of torch", b"PK\x05\x06" + bytes(18)])
def test_a_damaged_torch_file_is_one_line(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "pytorch_model.bin").write_bytes(content)
    assert "pytorch_model.bin: " in _error(tmp_path)


def test_a_cut_torch_file_is_one_line(tmp_path: Path) -> None:
    path = tmp_path / "pytorch_model.bin"
    torch.save(_tensors(), path)
    path.write_bytes(path.read_bytes()[:-100])
    assert "pytorch_model.bin: " in _error(tmp_path)


def test_a_torch_file_without_names_is_one_line(tmp_path: Path) -> None:
    torch.save([torch.ones(1)], tmp_path / "pytorch_model.bin")
    assert "holds a list instead of weights by name" in _error(tmp_path)


def test_without_torch_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.save(_tensors(), tmp_path / "pytorch_model.bin")
    monkeypatch.setitem(sys.modules, "torch", None)
    assert _error(tmp_path).endswith(install_command("torch"))


def test_a_torch_whose_protection_can_be_evaded_is_not_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.save(_tensors(), tmp_path / "pytorch_model.bin")
    monkeypatch.setattr(torch, "__version__", "2.5.1+cpu")
    assert "torch 2.5.1+cpu cannot read it safely" in _error(tmp_path)


def test_safetensors_come_before_torch_files(tmp_path: Path) -> None:
    save_file(WEIGHTS, tmp_path / "model.safetensors")
    (tmp_path / "pytorch_model.bin").write_bytes(b"never opened")
    assert open_weights(tmp_path).files == ("model.safetensors",)


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ({"tf_model.h5"}, "only TensorFlow weights are here (tf_model.h5)"),
        ({"flax_model.msgpack"}, "from_flax=True"),
        ({"adapter_config.json", "adapter_model.safetensors"}, "only an adapter"),
        ({"README.md"}, "no weights are here: none of model.safetensors"),
    ],
)
def test_without_weights_that_can_be_read_it_says_what_to_do(names: set[str], message: str) -> None:
    with pytest.raises(CheckpointError) as raised:
        main_file(names)
    assert message in str(raised.value)


@pytest.mark.parametrize(
    ("stored", "today"),
    [
        ("albert.pooler.weight", "albert.pooler.weight"),
        ("classifier.bias", "classifier.bias"),
        ("pooler.bias", "albert.pooler.bias"),
        ("embeddings.LayerNorm.gamma", "albert.embeddings.LayerNorm.weight"),
        ("albert.embeddings.LayerNorm.beta", "albert.embeddings.LayerNorm.bias"),
        ("module.classifier.weight", "classifier.weight"),
        ("_orig_mod.module.encoder.x.gamma", "albert.encoder.x.weight"),
        ("predictions.LayerNorm.gamma", "predictions.LayerNorm.weight"),
        ("gamma", "gamma"),
    ],
)
def test_old_names_are_brought_to_todays(stored: str, today: str) -> None:
    assert todays_name(stored) == today


def test_one_weight_by_two_names_is_refused(tmp_path: Path) -> None:
    save_file(WEIGHTS | {"pooler.bias": WEIGHTS["albert.pooler.bias"]}, tmp_path / "model.safetensors")
    line = _error(tmp_path)
    assert "pooler.bias" in line
    assert "two values of one weight" in line
