"""Weights come out of other people's graphs bit for bit, whatever the exporter, or the graph is refused."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from absent import Absent
from albert_reference import TINY, random_weights
from onnx_exports import modern_style, random_albert, tf2onnx_style, torch_export
from onnxruntime.transformers.float16 import convert_float_to_float16
from safetensors.numpy import load_file
from transformers import BertConfig, BertForSequenceClassification

from worker.modelkit.convert.shape import AlbertShape
from worker.modelkit.convert.sources.onnx_weights import NotRecognisedError, Recovered, recover

SHARED = Path(__file__).resolve().parents[5] / "../shared"

CONFIGURATIONS: dict[str, dict[str, Any]] = {
    "published": {},
    "twelve layers": {"num_hidden_layers": 12},
    "one layer, one head": {"num_hidden_layers": 1, "num_attention_heads": 1},
    "groups": {"num_hidden_layers": 4, "num_hidden_groups": 2},
    "uneven groups": {"num_hidden_layers": 5, "num_hidden_groups": 3},
    "a group for each layer": {"num_hidden_groups": 3},
    "layers inside a group": {"num_hidden_layers": 2, "inner_group_num": 2},
    "groups with layers inside": {"num_hidden_layers": 4, "num_hidden_groups": 2, "inner_group_num": 2},
    "gelu": {"hidden_act": "gelu"},
    "relu": {"hidden_act": "relu"},
    "five labels": {"num_labels": 5},
    "one label": {"num_labels": 1},
    "another epsilon": {"layer_norm_eps": 1e-5},
    "one segment": {"type_vocab_size": 1},
    "square": {"embedding_size": 12, "intermediate_size": 12, "num_attention_heads": 6},
}
EXPORTS: dict[str, dict[str, Any]] = {
    "opset 12": {"attention": "eager", "opset": 12},
    "opset 14": {"attention": "sdpa", "opset": 14},
    "opset 14, not folded": {"attention": "eager", "opset": 14, "fold": False},
    "opset 17": {"attention": "eager", "opset": 17},
    "opset 17, not folded": {"attention": "sdpa", "opset": 17, "fold": False},
}


def _assert_recovered(recovered: Recovered, model: torch.nn.Module) -> None:
    """Bit-equal weights under Hugging Face's names, none missing, and every size as in the configuration."""
    stored = {name: value.numpy() for name, value in model.state_dict().items()}
    assert recovered.weights.keys() == stored.keys()
    for name, value in recovered.weights.items():
        assert np.array_equal(value, stored[name]), name
    expected = model.config.to_dict() | {"num_labels": model.config.num_labels}
    said = {name: value for name, value in recovered.config.items() if name != "architectures"}
    assert said == {name: expected[name] for name in said}


@pytest.mark.parametrize("export", EXPORTS.values(), ids=EXPORTS.keys())
@pytest.mark.parametrize("name", ["published", "groups with layers inside", "gelu"])
def test_every_form_that_pytorch_exports_is_recognised(name: str, export: dict[str, Any]) -> None:
    options = dict(export)
    model = random_albert(options.pop("attention"), **CONFIGURATIONS[name])
    _assert_recovered(recover(torch_export(model, **options)), model)


@pytest.mark.parametrize("name", CONFIGURATIONS)
def test_every_configuration_is_recognised(name: str) -> None:
    model = random_albert(**CONFIGURATIONS[name])
    _assert_recovered(recover(torch_export(model)), model)


@pytest.mark.parametrize("name", ["published", "groups", "gelu"])
def test_the_newer_exporter_of_pytorch_is_recognised(name: str) -> None:
    model = random_albert(**CONFIGURATIONS[name])
    ids = torch.tensor([[2, 9, 12, 3], [2, 7, 3, 0]])
    axes = {0: torch.export.Dim("batch"), 1: torch.export.Dim("sequence", max=32)}
    program = torch.onnx.export(model, (ids, (ids != 0).long()), dynamo=True, dynamic_shapes=[axes, axes])
    assert program is not None
    _assert_recovered(recover(program.model_proto), model)


@pytest.mark.parametrize(
    "names",
    [
        ("input_ids", "attention_mask"),
        ("input_ids", "attention_mask", "token_type_ids", "position_ids"),
        ("input_ids",),
    ],
    ids="+".join,
)
@pytest.mark.parametrize("dynamic", [True, False], ids=["free", "fixed"])
def test_other_inputs_and_fixed_shapes_are_recognised(names: tuple[str, ...], dynamic: bool) -> None:
    model = random_albert()
    recovered = recover(torch_export(model, names=names, dynamic=dynamic))
    _assert_recovered(recovered, model)
    assert any("no attention mask" in note for note in recovered.notes) == (len(names) == 1)


def test_a_softmax_at_the_end_is_left_behind() -> None:
    model = random_albert()
    recovered = recover(torch_export(model, last=lambda logits: logits.softmax(-1)))
    _assert_recovered(recovered, model)
    assert any("softmax is left out" in note for note in recovered.notes)


@pytest.mark.parametrize("keep_io_types", [True, False], ids=["float inputs", "half inputs"])
def test_half_precision_weights_are_recognised(keep_io_types: bool) -> None:
    model = random_albert(layer_norm_eps=2.0**-10)  # the same number in both precisions
    graph = convert_float_to_float16(torch_export(model), keep_io_types=keep_io_types)
    _assert_recovered(recover(graph), model.half())


def test_names_play_no_part() -> None:
    model = random_albert()
    graph = torch_export(model).graph
    names = {name: f"x{index}" for index, name in enumerate(sorted(_tensor_names(graph)))}
    _rename(graph, names)
    renamed = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 14)], ir_version=8)
    _assert_recovered(recover(renamed), model)


def test_functions_are_looked_into() -> None:
    model = random_albert()
    graph = torch_export(model, opset=17)
    tanh = next(node for node in graph.graph.node if node.op_type == "Tanh" and "pooler" in node.name)
    opset = onnx.helper.make_opsetid("", 17)
    body = [onnx.helper.make_node("Tanh", ["a"], ["b"])]
    graph.functions.append(onnx.helper.make_function("pkg.torch", "Pooled", ["a"], ["b"], body, [opset]))
    graph.opset_import.append(onnx.helper.make_opsetid("pkg.torch", 1))
    tanh.op_type, tanh.domain = "Pooled", "pkg.torch"
    _assert_recovered(recover(graph), model)


def test_the_model_is_left_as_it_was() -> None:
    graph = torch_export(random_albert())
    before = graph.SerializeToString(deterministic=True)
    recover(graph)
    assert graph.SerializeToString(deterministic=True) == before


@pytest.mark.parametrize("hidden_act", ["gelu_new", "gelu", "relu"])
@pytest.mark.parametrize("sharing", [{}, {"num_hidden_layers": 4, "num_hidden_groups": 2}], ids=["shared", "groups"])
def test_the_style_of_tf2onnx_is_recognised(hidden_act: str, sharing: dict[str, int]) -> None:
    _assert_style_is_recognised(tf2onnx_style, hidden_act=hidden_act, layer_norm_eps=1e-9, **sharing)


@pytest.mark.parametrize("hidden_act", ["gelu_new", "gelu"])
def test_the_whole_operators_of_newer_opsets_are_recognised(hidden_act: str) -> None:
    _assert_style_is_recognised(modern_style, hidden_act=hidden_act, num_hidden_layers=3)


def _assert_style_is_recognised(style: Any, **overrides: Any) -> None:
    shape = AlbertShape.from_config(TINY | overrides)
    weights = random_weights(shape)
    recovered = recover(style(shape, weights))
    assert recovered.weights.keys() == weights.keys()
    assert all(np.array_equal(value, weights[name]) for name, value in recovered.weights.items())
    said = dict(recovered.config)
    assert said.pop("num_labels") == 2
    assert {name: (TINY | overrides)[name] for name in said} == said


def test_a_graph_without_segments_is_one_of_one_segment_that_adds_nothing() -> None:
    shape = AlbertShape.from_config(TINY)
    recovered = recover(tf2onnx_style(shape, random_weights(shape), segments=False))
    assert recovered.config["type_vocab_size"] == 1
    assert not recovered.weights["albert.embeddings.token_type_embeddings.weight"].any()


@Absent.SHARED.unless(SHARED.is_dir(), "models that Spark NLP saved")
def test_spark_nlps_own_onnx_model_gives_the_weights_it_was_made_of() -> None:
    with zipfile.ZipFile(SHARED / "sparknlp/albert_tiny_onnx.zip") as outer:
        inner = outer.read("albert_classification_onnx")
    with zipfile.ZipFile(io.BytesIO(inner)) as archive:
        recovered = recover(onnx.load_from_string(archive.read("model.onnx")))
    stored = load_file(SHARED / "sparknlp/hf-tiny/model.safetensors")
    assert recovered.weights.keys() == stored.keys()
    assert all(np.array_equal(value, stored[name]) for name, value in recovered.weights.items())


def test_what_only_looks_like_albert_is_refused() -> None:
    """The same structure in every part, but the scores are not divided by the root of the heads' size."""
    shape = AlbertShape.from_config(TINY)
    with pytest.raises(NotRecognisedError, match="computes something else"):
        recover(tf2onnx_style(shape, random_weights(shape), scale=1.0))


def test_a_graph_that_attends_to_padding_is_refused() -> None:
    shape = AlbertShape.from_config(TINY)
    with pytest.raises(NotRecognisedError, match="'attention_mask'"):
        recover(tf2onnx_style(shape, random_weights(shape), masked=False))


def test_another_family_is_named() -> None:
    sizes = {"vocab_size": 50, "hidden_size": 12, "intermediate_size": 20, "max_position_embeddings": 32}
    model = BertForSequenceClassification(BertConfig(**sizes, num_hidden_layers=2, num_attention_heads=3)).eval()
    with pytest.raises(NotRecognisedError, match=r"another family \(BERT"):
        recover(torch_export(model))


@pytest.mark.parametrize(
    ("hidden_act", "operators"), [("silu", "Mul, Sigmoid"), ("mish", "Mul, Softplus, Tanh"), ("linear", "nothing")]
)
def test_another_activation_is_refused(hidden_act: str, operators: str) -> None:
    with pytest.raises(NotRecognisedError) as raised:
        recover(torch_export(random_albert(hidden_act=hidden_act)))
    assert operators in str(raised.value) or "no transformer layer" in str(raised.value)


def test_an_empty_graph_is_refused() -> None:
    with pytest.raises(NotRecognisedError):
        recover(onnx.ModelProto())


def _tensor_names(graph: onnx.GraphProto) -> set[str]:
    made = {name for node in graph.node for name in (*node.input, *node.output) if name}
    return made | {value.name for value in (*graph.initializer, *graph.input, *graph.output)}


def _rename(graph: onnx.GraphProto, names: dict[str, str]) -> None:
    for node in graph.node:
        node.name = ""
        node.input[:] = [names.get(name, "") for name in node.input]
        node.output[:] = [names.get(name, "") for name in node.output]
    for value in (*graph.initializer, *graph.input, *graph.output):
        value.name = names[value.name]
    del graph.value_info[:]
