"""The ONNX form of what Spark NLP saves, where it is no ALBERT that can be rebuilt."""

from __future__ import annotations

from pathlib import Path

import onnx
import pytest
from onnx import TensorProto, helper
from sparknlp_models import refused, small_model
from sparknlp_writer import ONNX, TENSORFLOW, metadata, write_folder, zipped

from worker.inference.artifact import BUNDLED_PATH, PIECES
from worker.modelkit.convert.checkpoint import ForeignGraph, SourceOptions
from worker.modelkit.convert.sources.sparknlp import read_sparknlp


def _onnx_model(graph: bytes, name: str = "model.onnx") -> dict[str, bytes]:
    files = {name: data for name, data in small_model().items() if name != TENSORFLOW}
    return files | {"metadata/part-00000": metadata("onnx"), ONNX: zipped({name: graph})}


@pytest.mark.parametrize("graph", [b"", b"not a graph", b"\x08\x07"])
def test_an_onnx_form_without_a_graph_is_one_line(tmp_path: Path, graph: bytes) -> None:
    refused(write_folder(tmp_path, _onnx_model(graph)), f"{ONNX}: not an ONNX model")


def test_an_onnx_form_without_its_one_model_is_one_line(tmp_path: Path) -> None:
    refused(write_folder(tmp_path, _onnx_model(b"", name="model.bin")), "0 ONNX models")


def _average(inputs: tuple[str, ...], labels: int) -> bytes:
    """A classifier without an ALBERT: as many sums of its inputs as it has labels."""
    nodes = [
        *(helper.make_node("Cast", [name], [f"{name}_f"], to=TensorProto.FLOAT) for name in inputs),
        helper.make_node("Sum", [f"{name}_f" for name in inputs], ["sum"]),
        helper.make_node("ReduceMean", ["sum", "axis"], ["mean"], keepdims=1),
        helper.make_node("Tile", ["mean", "times"], ["logits"]),
    ]
    constants = [
        helper.make_tensor("axis", TensorProto.INT64, [1], [1]),
        helper.make_tensor("times", TensorProto.INT64, [2], [1, labels]),
    ]
    graph = helper.make_graph(
        nodes,
        "classifier",
        [helper.make_tensor_value_info(name, TensorProto.INT64, ["batch", "sequence"]) for name in inputs],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", labels])],
        constants,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString())


def test_an_onnx_form_that_cannot_be_rebuilt_is_used_as_it_is(tmp_path: Path) -> None:
    graph = _average(("input_ids", "attention_mask", "token_type_ids"), 2)
    source = read_sparknlp(write_folder(tmp_path, _onnx_model(graph)), SourceOptions(labels=("bad", "good")))
    assert isinstance(source, ForeignGraph)
    assert (source.graph, source.labels, source.max_length) == (graph, ("bad", "good"), 512)
    assert source.pieces == (BUNDLED_PATH / PIECES).read_bytes()
    assert source.config["vocab_size"] == source.tokeniser().vocabulary_size
    assert source.reason


@pytest.mark.parametrize(
    ("graph", "message"),
    [
        (_average(("input_ids", "mask"), 2), "the graph's inputs are input_ids, mask"),
        (_average(("input_ids", "attention_mask"), 3), r"gives the shape \(1, 3\) where \(1, 2\)"),
    ],
)
def test_an_onnx_form_that_cannot_be_used_either_is_one_line(tmp_path: Path, graph: bytes, message: str) -> None:
    refused(write_folder(tmp_path, _onnx_model(graph)), message)
