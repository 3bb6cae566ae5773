"""ONNX files and folders: rebuilt, used as they are, or refused in one clear line."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from albert_reference import TINY, random_weights, softmax
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from onnx_exports import random_albert, tf2onnx_style, torch_export
from onnxruntime.quantization import QuantType, quantize_dynamic
from onnxruntime.transformers import optimizer

from worker.inference.artifact import BUNDLED_PATH
from worker.modelkit.convert.checkpoint import Checkpoint, ForeignGraph, Source, SourceOptions
from worker.modelkit.convert.graph import build_graph
from worker.modelkit.convert.shape import AlbertShape, CheckpointError
from worker.modelkit.convert.sources.onnx_file import is_onnx, read_onnx

VOCABULARY = 30_000
"""Pieces of the bundled vocabulary."""
IDS = np.array([[2, 7, 9, 30, 3], [2, 5, 3, 0, 0]])
MASK = np.array([[1, 1, 1, 1, 1], [1, 1, 1, 0, 0]])
LABELS = {"0": "neg", "1": "pos"}


@pytest.fixture(scope="module")
def model() -> Any:
    return random_albert(vocab_size=VOCABULARY)


@pytest.fixture(scope="module")
def exported(model: Any) -> onnx.ModelProto:
    return torch_export(model)


@pytest.fixture
def folder(tmp_path: Path, exported: onnx.ModelProto) -> Path:
    """In optimum's layout; the configuration says only what a graph cannot say."""
    path = tmp_path / "exported"
    path.mkdir()
    onnx.save(exported, path / "model.onnx")
    shutil.copyfile(BUNDLED_PATH / "spiece.model", path / "spiece.model")
    (path / "config.json").write_text(json.dumps({"model_type": "albert", "id2label": LABELS, "pad_token_id": 0}))
    (path / "tokenizer_config.json").write_text(json.dumps({"do_lower_case": False, "model_max_length": 20}))
    return path


def _read(location: Path, **options: Any) -> Source:
    return read_onnx(location, SourceOptions(**options))


def _refused(location: Path, **options: Any) -> str:
    with pytest.raises(CheckpointError) as raised:
        _read(location, **options)
    assert "\n" not in str(raised.value)
    return str(raised.value)


def _run(graph: bytes) -> Any:
    session = onnxruntime.InferenceSession(graph, providers=["CPUExecutionProvider"])
    feeds = {"input_ids": IDS, "attention_mask": MASK, "token_type_ids": np.zeros_like(IDS), "lengths": MASK.sum(1)}
    types = {"tensor(int64)": np.int64, "tensor(int32)": np.int32}
    (logits,) = session.run(
        None, {node.name: feeds[node.name].astype(types[node.type]) for node in session.get_inputs()}
    )
    return logits


def test_a_folder_of_optimum_is_rebuilt(folder: Path, model: Any, exported: onnx.ModelProto) -> None:
    source = _read(folder)

    assert isinstance(source, Checkpoint)
    assert all(np.array_equal(value, model.state_dict()[name].numpy()) for name, value in source.weights.items())
    assert source.labels == ("neg", "pos")
    assert source.config["pad_token_id"] == 0
    assert (source.lower_case, source.max_length) == (False, 20)
    assert source.provenance.kind == "onnx"
    assert source.provenance.location == "exported"
    hashes = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.iterdir()}
    assert source.provenance.files == hashes
    assert "3 layers that share one set of weights" in source.provenance.notes[0]
    assert source.original_graph is not None
    rebuilt = build_graph(source.shape, source.weights, precision="fp32").SerializeToString()
    np.testing.assert_allclose(softmax(_run(rebuilt)), softmax(_run(source.original_graph)), atol=1e-5)


def test_options_come_before_what_the_folder_says(folder: Path) -> None:
    source = _read(folder, labels=("bad", "good"), lower_case=True, max_length=9)
    assert (source.labels, source.lower_case, source.max_length) == (("bad", "good"), True, 9)


def test_the_vocabulary_alone_is_enough_where_somebody_names_the_labels(folder: Path) -> None:
    (folder / "config.json").unlink()
    (folder / "tokenizer_config.json").unlink()
    assert "say --labels neg,pos" in _refused(folder)
    source = _read(folder, labels=("neg", "pos"))
    assert (source.lower_case, source.max_length) == (True, 32)


def test_a_file_by_itself_finds_what_lies_beside_or_above_it(folder: Path) -> None:
    assert isinstance(_read(folder / "model.onnx"), Checkpoint)
    (folder / "onnx").mkdir()
    below = shutil.move(folder / "model.onnx", folder / "onnx" / "weights.onnx")
    assert isinstance(_read(below), Checkpoint)
    assert isinstance(_read(folder), Checkpoint)


def test_of_several_graphs_the_one_called_model_is_taken(folder: Path) -> None:
    (folder / "model_quantized.onnx").write_bytes(b"not read")
    assert isinstance(_read(folder), Checkpoint)
    (folder / "model.onnx").rename(folder / "decoder.onnx")
    message = _refused(folder)
    assert "decoder.onnx, model_quantized.onnx" in message
    assert "name the one to take" in message


def test_a_folder_with_weights_of_its_own_is_not_an_export(folder: Path) -> None:
    assert is_onnx(folder)
    (folder / "model.safetensors").touch()
    assert not is_onnx(folder)
    assert not is_onnx(folder / "config.json")
    assert not is_onnx(folder / "missing")


def test_data_beside_the_file_is_read_and_named(folder: Path, exported: onnx.ModelProto, model: Any) -> None:
    _save_with_data(exported, folder, "model.onnx_data")
    source = _read(folder)
    assert isinstance(source, Checkpoint)
    words = "albert.embeddings.word_embeddings.weight"
    assert np.array_equal(source.weights[words], model.state_dict()[words].numpy())
    assert "model.onnx_data" in source.provenance.files
    assert source.original_graph is not None
    assert _run(source.original_graph).shape == (2, 2)


@pytest.mark.parametrize("location", ["../model.onnx_data", "/etc/passwd", "deeper/../../x", "C:\\x", ""])
def test_data_outside_of_the_folder_is_not_read(folder: Path, exported: onnx.ModelProto, location: str) -> None:
    _save_with_data(exported, folder, "model.onnx_data")
    (folder.parent / "model.onnx_data").write_bytes((folder / "model.onnx_data").read_bytes())
    loaded = onnx.load(folder / "model.onnx", load_external_data=False)
    for tensor in loaded.graph.initializer:
        for entry in tensor.external_data:
            entry.value = location if entry.key == "location" else entry.value
    (folder / "model.onnx").write_bytes(loaded.SerializeToString())
    assert "outside of its folder" in _refused(folder)


def test_data_that_is_missing_or_cut_off_is_named(folder: Path, exported: onnx.ModelProto) -> None:
    _save_with_data(exported, folder, "weights.bin")
    (folder / "weights.bin").write_bytes((folder / "weights.bin").read_bytes()[:-9])
    assert "'weights.bin' beside it, which has been cut off" in _refused(folder)
    (folder / "weights.bin").unlink()
    assert "'weights.bin' beside it, which cannot be read" in _refused(folder)


def _save_with_data(exported: onnx.ModelProto, folder: Path, name: str) -> None:
    copy = onnx.ModelProto()
    copy.CopyFrom(exported)
    onnx.save(copy, folder / "model.onnx", save_as_external_data=True, location=name, size_threshold=0)


def _write(name: str, content: str) -> Callable[[Path], None]:
    return lambda folder: (folder / name).write_text(content) and None


@pytest.mark.parametrize(
    ("harm", "message"),
    [
        (lambda folder: (folder / "spiece.model").unlink(), "there is no spiece.model beside it"),
        (_write("config.json", '{"model_type": "bert"}'), "config.json: model_type is 'bert'"),
        (_write("config.json", "{"), "config.json: not a readable JSON file"),
        (_write("config.json", '{"id2label": ["neg", "pos"]}'), "config.json: id2label must name the labels"),
        (_write("config.json", '{"id2label": {"0": "a", "1": "b", "2": "c"}}'), "for 2 labels, but id2label"),
        (_write("config.json", '{"id2label": {"0": "LABEL_0", "1": "LABEL_1"}}'), "nobody has named the labels"),
        (_write("model.onnx", "not a graph, but long enough to be one"), "model.onnx: not an ONNX model"),
        (_write("model.onnx", ""), "model.onnx: not an ONNX model"),
    ],
)
def test_what_is_wrong_is_one_clear_line(folder: Path, harm: Callable[[Path], None], message: str) -> None:
    harm(folder)
    assert message in _refused(folder)


def test_another_number_of_labels_is_refused(folder: Path) -> None:
    assert "--labels names 3 labels (a, b, c), but the model has 2" in _refused(folder, labels=("a", "b", "c"))


def test_a_vocabulary_of_another_model_is_refused(folder: Path) -> None:
    onnx.save(torch_export(random_albert(vocab_size=100)), folder / "model.onnx")
    assert "30000 pieces, but the model knows only 100" in _refused(folder)


def test_fixed_shapes_are_rebuilt_but_not_used_as_they_are(folder: Path, model: Any) -> None:
    onnx.save(torch_export(model, dynamic=False), folder / "model.onnx")
    source = _read(folder)
    assert isinstance(source, Checkpoint)
    assert source.original_graph is None
    assert any("fixed shape (2 x 4)" in note for note in source.provenance.notes)
    _quantise(folder)
    assert "fixed shape (2 x 4), which batches do not; export it with dynamic axes" in _refused(folder)


def test_a_graph_of_the_stock_optimiser_is_used_as_it_is(folder: Path, exported: onnx.ModelProto) -> None:
    path = folder / "model.onnx"
    optimizer.optimize_model(str(path), model_type="bert", num_heads=3, hidden_size=12).save_model_to_file(str(path))
    source = _read(folder)
    assert isinstance(source, ForeignGraph)
    assert "com.microsoft." in source.reason
    assert source.provenance.notes == (f"used as it is, not rebuilt: {source.reason}",)
    np.testing.assert_allclose(softmax(_run(source.graph)), softmax(_run(exported.SerializeToString())), atol=1e-4)
    _assert_described(source)


def test_a_quantised_graph_is_used_as_it_is(folder: Path, exported: onnx.ModelProto) -> None:
    _quantise(folder)
    source = _read(folder)
    assert isinstance(source, ForeignGraph)
    assert "it is quantised (DequantizeLinear, DynamicQuantizeLinear, MatMulInteger)" in source.reason
    np.testing.assert_allclose(softmax(_run(source.graph)), softmax(_run(exported.SerializeToString())), atol=0.2)
    _assert_described(source)


def _assert_described(source: ForeignGraph) -> None:
    assert source.labels == ("neg", "pos")
    assert source.config["id2label"] == LABELS
    assert source.config["vocab_size"] == VOCABULARY
    assert source.config["max_position_embeddings"] == 32
    assert (source.lower_case, source.max_length) == (False, 20)
    assert source.tokeniser().encode("a fine film").ids[0] == 2


def test_a_softmax_at_the_end_is_taken_off(folder: Path, model: Any, exported: onnx.ModelProto) -> None:
    """The worker makes probabilities itself; made twice they would all be near one half."""
    onnx.save(torch_export(model, last=lambda logits: logits.softmax(-1)), folder / "model.onnx")
    expected = softmax(_run(exported.SerializeToString()))
    rebuilt = _read(folder)
    assert isinstance(rebuilt, Checkpoint)
    assert rebuilt.original_graph is not None
    np.testing.assert_allclose(softmax(_run(rebuilt.original_graph)), expected, atol=1e-4)
    _quantise(folder)
    foreign = _read(folder)
    assert isinstance(foreign, ForeignGraph)
    np.testing.assert_allclose(softmax(_run(foreign.graph)), expected, atol=0.2)
    assert any("softmax is left out" in note for note in foreign.provenance.notes)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"last": lambda logits: logits.sigmoid()}, "it ends in a sigmoid"),
        ({"last": lambda logits: logits.softmax(-1).unsqueeze(0)}, "not a score for each of the 2 labels (neg, pos)"),
        (
            {"names": ("input_ids", "attention_mask", "position_ids"), "last": lambda logits: logits.exp()},
            "an input 'position_ids'",
        ),
        ({"names": ("input_ids",), "last": lambda logits: logits.exp()}, "the inputs input_ids and attention_mask"),
    ],
)
def test_a_graph_that_neither_fits_nor_can_be_rebuilt_is_refused(
    folder: Path, model: Any, options: dict[str, Any], message: str
) -> None:
    onnx.save(torch_export(model, **options), folder / "model.onnx")
    refused = _refused(folder)
    assert "its weights cannot be found by structure" in refused
    assert message in refused


def test_a_graph_that_reads_padding_is_refused(folder: Path) -> None:
    """Its mask is an input, computed with, and then not used."""
    shape = AlbertShape.from_config(TINY | {"vocab_size": VOCABULARY})
    onnx.save(tf2onnx_style(shape, random_weights(shape), masked=False), folder / "model.onnx")
    assert "its output does not depend on the attention mask" in _refused(folder)


def test_a_length_that_the_graph_does_not_have_is_refused(folder: Path) -> None:
    _quantise(folder)
    assert "max_length 33 is outside of 3 to 32" in _refused(folder, max_length=33)
    (folder / "config.json").write_text(json.dumps({"id2label": LABELS, "max_position_embeddings": 64}))
    assert "with 33 tokens, ONNX Runtime failed" in _refused(folder, max_length=33)


def _quantise(folder: Path) -> None:
    path = folder / "model.onnx"
    quantize_dynamic(path, path, weight_type=QuantType.QInt8)


@pytest.fixture(scope="module")
def small_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """With a graph that is too small for its vocabulary, so that every reading of it ends in an error."""
    path = tmp_path_factory.mktemp("small")
    onnx.save(torch_export(random_albert(num_hidden_layers=1)), path / "model.onnx")
    shutil.copyfile(BUNDLED_PATH / "spiece.model", path / "spiece.model")
    (path / "config.json").write_text(json.dumps({"id2label": LABELS}))
    return path


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(at=st.floats(0, 1), value=st.integers(0, 255), cut=st.booleans())
@example(at=0.5, value=0, cut=True)
def test_a_damaged_file_is_never_more_than_one_clear_line(
    small_folder: Path, tmp_path: Path, at: float, value: int, cut: bool
) -> None:
    content = bytearray((small_folder / "model.onnx").read_bytes())
    index = int(at * (len(content) - 1))
    content[index] = value
    for name in ("config.json", "spiece.model"):
        shutil.copyfile(small_folder / name, tmp_path / name)
    (tmp_path / "model.onnx").write_bytes(content[:index] if cut else content)
    with pytest.raises(CheckpointError) as raised:
        read_onnx(tmp_path, SourceOptions())
    assert "\n" not in str(raised.value)
