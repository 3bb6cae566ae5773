"""The graph against the numpy reference, for every shape that a configuration may ask for."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from albert_reference import TINY, random_weights, reference_logits, softmax

from worker.modelkit.convert.graph import build_graph
from worker.modelkit.convert.shape import AlbertShape

SHAPES: dict[str, dict[str, Any]] = {
    "two layers": {},
    "one layer": {"num_hidden_layers": 1},
    "many layers": {"num_hidden_layers": 7},
    "groups": {"num_hidden_layers": 4, "num_hidden_groups": 2},
    "uneven groups": {"num_hidden_layers": 5, "num_hidden_groups": 3},
    "layers inside a group": {"inner_group_num": 3},
    "one head": {"num_attention_heads": 1},
    "wide": {"hidden_size": 24, "num_attention_heads": 6, "intermediate_size": 48, "embedding_size": 10},
    "gelu": {"hidden_act": "gelu"},
    "gelu_pytorch_tanh": {"hidden_act": "gelu_pytorch_tanh"},
    "relu": {"hidden_act": "relu"},
    "five labels": {"id2label": {str(index): f"{index + 1} stars" for index in range(5)}},
    "large epsilon": {"layer_norm_eps": 0.1},
}


def _inputs(vocabulary_size: int, *rows: int, length: int = 16) -> dict[str, Any]:
    lengths = np.array(rows, dtype=np.int32)
    ids = np.random.default_rng(1).integers(0, vocabulary_size, (len(rows), length)).astype(np.int32)
    return {"input_ids": ids, "lengths": lengths}


def _run(model: onnx.ModelProto, inputs: dict[str, Any]) -> Any:
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(["logits"], inputs)[0]


@pytest.mark.parametrize("overrides", SHAPES.values(), ids=SHAPES.keys())
def test_fp32_says_what_the_reference_says(overrides: dict[str, Any]) -> None:
    shape = AlbertShape.from_config(TINY | overrides)
    weights = random_weights(shape)
    inputs = _inputs(shape.vocab_size, 16, 1, 2, 9)

    logits = _run(build_graph(shape, weights, precision="fp32"), inputs)

    expected = reference_logits(shape, weights, inputs["input_ids"], inputs["lengths"])
    np.testing.assert_allclose(softmax(logits), softmax(expected), atol=1e-5)


@pytest.mark.parametrize("overrides", SHAPES.values(), ids=SHAPES.keys())
def test_int8_stays_close_to_the_reference(overrides: dict[str, Any]) -> None:
    shape = AlbertShape.from_config(TINY | overrides)
    weights = random_weights(shape, spread=0.25)
    inputs = _inputs(shape.vocab_size, 16, 1, 2, 9)

    logits = _run(build_graph(shape, weights, precision="int8"), inputs)

    expected = reference_logits(shape, weights, inputs["input_ids"], inputs["lengths"])
    np.testing.assert_allclose(softmax(logits), softmax(expected), atol=0.02)


@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_a_mapping_that_changes_nothing_is_not_computed(precision: str) -> None:
    shape = AlbertShape.from_config(TINY | {"embedding_size": TINY["hidden_size"]})
    weights = random_weights(shape, spread=0.25)
    inputs = _inputs(shape.vocab_size, 16, 1, 2, 9)
    name = "albert.encoder.embedding_hidden_mapping_in"
    mapped = build_graph(shape, weights, precision=precision)
    weights[f"{name}.weight"] = np.eye(shape.hidden_size, dtype=np.float32)
    weights[f"{name}.bias"] = np.zeros(shape.hidden_size, dtype=np.float32)

    model = build_graph(shape, weights, precision=precision)

    assert not [tensor.name for tensor in model.graph.initializer if tensor.name.startswith(name)]
    assert [tensor.name for tensor in mapped.graph.initializer if tensor.name.startswith(name)]
    expected = reference_logits(shape, weights, inputs["input_ids"], inputs["lengths"])
    atol = 1e-5 if precision == "fp32" else 0.02
    np.testing.assert_allclose(softmax(_run(model, inputs)), softmax(expected), atol=atol)


def test_padding_changes_nothing() -> None:
    shape = AlbertShape.from_config(TINY)
    model = build_graph(shape, random_weights(shape), precision="fp32")
    inputs = _inputs(shape.vocab_size, 5, length=5)
    padded = {
        "input_ids": np.pad(inputs["input_ids"], ((0, 0), (0, 7)), constant_values=3),
        "lengths": inputs["lengths"],
    }

    np.testing.assert_allclose(_run(model, padded), _run(model, inputs), atol=1e-5)


def test_layers_that_share_weights_share_them_in_the_file() -> None:
    shallow = AlbertShape.from_config(TINY | {"num_hidden_layers": 2})
    deep = AlbertShape.from_config(TINY | {"num_hidden_layers": 12})
    weights = random_weights(shallow)

    for precision in ("fp32", "int8"):
        names = [
            {tensor.name for tensor in build_graph(shape, weights, precision=precision).graph.initializer}
            for shape in (shallow, deep)
        ]
        assert names[0] == names[1]


def test_int8_quantises_every_layer() -> None:
    shape = AlbertShape.from_config(TINY | {"num_hidden_layers": 12})
    graph = build_graph(shape, random_weights(shape), precision="int8").graph

    operators = [node.op_type for node in graph.node]
    assert "MatMul" not in operators
    assert operators.count("MatMulIntegerToFloat") == 12 * 6 + 2  # the embeddings' mapping and the pooler
    large = [
        tensor for tensor in graph.initializer if tensor.data_type == onnx.TensorProto.FLOAT and len(tensor.dims) > 1
    ]
    assert {tensor.name for tensor in large} == {
        "albert.embeddings.places_of_segment_0",
        "albert.embeddings.word_embeddings.scale",
        "classifier.weight",
    }


def test_quantised_products_cannot_overflow_on_any_processor() -> None:
    shape = AlbertShape.from_config(TINY)
    graph = build_graph(shape, random_weights(shape), precision="int8").graph

    products = {node.input[1] for node in graph.node if node.op_type == "MatMulIntegerToFloat"}
    for tensor in graph.initializer:
        if tensor.name in products:
            values = onnx.numpy_helper.to_array(tensor).astype(int)
            assert np.abs(values).max() <= 64  # two of them times 255 fit in 16 bits


def test_the_same_checkpoint_gives_the_same_bytes() -> None:
    shape = AlbertShape.from_config(TINY)
    models = [build_graph(shape, random_weights(shape), precision="int8") for _ in range(2)]
    assert len({model.SerializeToString(deterministic=True) for model in models}) == 1
