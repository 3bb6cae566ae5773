"""The graph without padding, computed by onnx's reference evaluator: its operators exist for CUDA only."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from albert_reference import TINY, random_weights, reference_logits, softmax
from contrib_operators import evaluate
from hypothesis import given, settings
from hypothesis import strategies as st

from worker.modelkit.convert.graph import build_graph
from worker.modelkit.convert.ranges import calibration_ids, half_plan
from worker.modelkit.convert.shape import AlbertShape

SHAPES: dict[str, dict[str, Any]] = {
    "two layers": {},
    "one layer": {"num_hidden_layers": 1},
    "groups": {"num_hidden_layers": 5, "num_hidden_groups": 3},
    "layers inside a group": {"inner_group_num": 3},
    "one head": {"num_attention_heads": 1},
    "wide": {"hidden_size": 24, "num_attention_heads": 6, "intermediate_size": 48, "embedding_size": 10},
    "gelu": {"hidden_act": "gelu"},
    "gelu_pytorch_tanh": {"hidden_act": "gelu_pytorch_tanh"},
    "relu": {"hidden_act": "relu"},
    "five labels": {"id2label": {str(index): f"{index + 1} stars" for index in range(5)}},
}
BATCHES = {
    "very unequal": (16, 1, 2, 9, 16, 3),
    "one row": (7,),
    "all full": (16, 16, 16),
    "length 1": (1,),
    "all of length 1": (1, 1, 1),
    "padding everywhere": (2, 5, 3),
}


def _inputs(rows: tuple[int, ...], length: int = 16) -> dict[str, Any]:
    ids = np.random.default_rng(len(rows)).integers(0, TINY["vocab_size"], (len(rows), length)).astype(np.int32)
    return {"input_ids": ids, "lengths": np.array(rows, dtype=np.int32)}


def _on_the_cpu(model: onnx.ModelProto, inputs: dict[str, Any]) -> Any:
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(["logits"], inputs)[0]


def _check(overrides: dict[str, Any], inputs: dict[str, Any]) -> None:
    """Against the numpy reference, the padded graph in ONNX Runtime, and the padded graph in the evaluator."""
    shape = AlbertShape.from_config(TINY | overrides)
    weights = random_weights(shape)
    padded = build_graph(shape, weights, precision="fp32")
    packed = build_graph(shape, weights, precision="fp32", padding_free=True)

    scores = softmax(evaluate(packed, inputs)[0])

    expected = reference_logits(shape, weights, inputs["input_ids"], inputs["lengths"])
    np.testing.assert_allclose(scores, softmax(expected), atol=1e-5)
    np.testing.assert_allclose(scores, softmax(_on_the_cpu(padded, inputs)), atol=1e-5)
    np.testing.assert_allclose(scores, softmax(evaluate(padded, inputs)[0]), atol=1e-5)


@pytest.mark.parametrize("overrides", SHAPES.values(), ids=SHAPES.keys())
def test_it_says_what_the_padded_graph_says(overrides: dict[str, Any]) -> None:
    _check(overrides, _inputs(BATCHES["very unequal"]))


@pytest.mark.parametrize("rows", BATCHES.values(), ids=BATCHES.keys())
def test_rows_of_every_kind_come_out_right(rows: tuple[int, ...]) -> None:
    _check({}, _inputs(rows))


@settings(max_examples=25, deadline=None)
@given(rows=st.lists(st.integers(1, 16), min_size=1, max_size=9), padding=st.integers(0, 3))
def test_any_rows_come_out_right(rows: list[int], padding: int) -> None:
    _check({}, _inputs(tuple(rows), min(16, max(rows) + padding)))


@pytest.mark.parametrize("overrides", SHAPES.values(), ids=SHAPES.keys())
def test_half_precision_stays_close(overrides: dict[str, Any]) -> None:
    shape = AlbertShape.from_config(TINY | overrides)
    weights = random_weights(shape)
    inputs = _inputs(BATCHES["very unequal"])
    plan = half_plan(shape, weights, calibration_ids(shape, None, 16))

    packed = evaluate(build_graph(shape, weights, precision="fp16", plan=plan, padding_free=True), inputs)[0]

    assert packed.dtype == np.float32
    expected = reference_logits(shape, weights, inputs["input_ids"], inputs["lengths"])
    np.testing.assert_allclose(softmax(packed), softmax(expected), atol=5e-3)


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_layers_run_over_real_tokens_only(precision: str) -> None:
    shape = AlbertShape.from_config(TINY | {"num_hidden_layers": 4})
    weights = random_weights(shape)
    plan = half_plan(shape, weights, calibration_ids(shape, None, 16))
    model = build_graph(shape, weights, precision=precision, plan=plan, padding_free=True)
    products = [node.output[0] for node in model.graph.node if node.op_type == "MatMul"]
    model.graph.output.extend(
        onnx.helper.make_tensor_value_info(name, onnx.TensorProto.UNDEFINED, None) for name in products
    )
    inputs = _inputs((16, 2, 5))

    rows = [value.size // value.shape[-1] for value in evaluate(model, inputs, products)]

    tokens, reviews = 16 + 2 + 5, 3
    of_a_layer = [tokens] * 6
    of_the_last_layer = [reviews, tokens, tokens, reviews, reviews, reviews]
    assert rows == [tokens, *of_a_layer * 3, *of_the_last_layer, reviews]


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_onnx_runtime_lacks_nothing_but_the_kernels(precision: str) -> None:
    """It infers and checks types and shapes by its own contracts before it looks for kernels."""
    shape = AlbertShape.from_config(TINY)
    weights = random_weights(shape)
    plan = half_plan(shape, weights, calibration_ids(shape, None, 16))
    model = build_graph(shape, weights, precision=precision, plan=plan, padding_free=True)
    with pytest.raises(Exception, match="NOT_IMPLEMENTED : Could not find an implementation for RemovePadding"):
        onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])

    (packed,) = (node for node in model.graph.node if node.op_type == "PackedMultiHeadAttention")
    query, *others = packed.input
    packed.input[:] = [query, "input_ids", *others[1:]]  # keys of another type: the contract is what refuses it
    with pytest.raises(Exception, match=r"INVALID_GRAPH.*PackedMultiHeadAttention"):
        onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])


def test_what_the_padding_holds_does_not_matter() -> None:
    shape = AlbertShape.from_config(TINY)
    model = build_graph(shape, random_weights(shape), precision="fp32", padding_free=True)
    inputs = _inputs((5, 16))
    other = inputs["input_ids"].copy()
    other[0, 5:] = 1

    np.testing.assert_array_equal(evaluate(model, inputs)[0], evaluate(model, inputs | {"input_ids": other})[0])


def test_it_shares_its_weights_with_the_padded_graph() -> None:
    shape = AlbertShape.from_config(TINY | {"num_hidden_layers": 12})
    weights = random_weights(shape)
    plan = half_plan(shape, weights, calibration_ids(shape, None, 16))
    for precision in ("fp32", "fp16"):
        padded, packed = (
            {
                tensor.name: tensor.raw_data
                for tensor in build_graph(
                    shape, weights, precision=precision, plan=plan, padding_free=padding_free
                ).graph.initializer
                if not tensor.name.startswith("integers_")
            }
            for padding_free in (False, True)
        )
        assert padded == packed
