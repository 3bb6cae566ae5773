"""Operations are counted by a formula; here node by node."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import pytest
from albert_reference import TINY, random_weights
from contrib_operators import evaluate

from tests.benchmarks.flops import forward_flops
from tests.benchmarks.gpu_parts import BASE
from worker.modelkit.convert.graph import build_graph
from worker.modelkit.convert.shape import AlbertShape


def _counted(shape: AlbertShape, lengths: list[int]) -> float:
    """Operations of the graph without padding, from the shapes that its nodes really have."""
    model = build_graph(shape, random_weights(shape), precision="fp32", padding_free=True)
    sizes = {tensor.name: tuple(tensor.dims) for tensor in model.graph.initializer}
    inputs = {
        "input_ids": np.ones((len(lengths), max(lengths)), dtype=np.int32),
        "lengths": np.array(lengths, dtype=np.int32),
    }
    names = [node.output[0] for node in model.graph.node]
    model.graph.output.extend(
        onnx.helper.make_tensor_value_info(name, onnx.TensorProto.UNDEFINED, None) for name in names if name != "logits"
    )
    sizes |= {name: value.shape for name, value in zip(names, evaluate(model, inputs, names), strict=True)}
    total = 0.0
    for node in model.graph.node:
        if node.op_type == "MatMul":
            total += 2 * np.prod(sizes[node.output[0]]) * sizes[node.input[1]][0]
        elif node.op_type == "Gemm":
            total += 2 * np.prod(sizes[node.output[0]]) * sizes[node.input[1]][1]
        elif node.op_type == "PackedMultiHeadAttention":
            total += 4 * shape.hidden_size * sum(length**2 for length in lengths)
        elif node.op_type == "MultiHeadAttention":
            total += 4 * shape.hidden_size * sum(lengths)
    return total


@pytest.mark.parametrize("lengths", [[1], [16], [5, 1, 16, 9], [3, 3]])
@pytest.mark.parametrize(
    "overrides",
    [{}, {"num_hidden_layers": 1}, {"num_hidden_layers": 5, "num_hidden_groups": 3}, {"inner_group_num": 3}],
)
def test_the_formula_is_what_the_graph_computes(lengths: list[int], overrides: dict[str, Any]) -> None:
    shape = AlbertShape.from_config(TINY | overrides)
    assert forward_flops(shape, lengths, last_layer_cls_only=True) == _counted(shape, lengths)


def test_reading_cls_only_saves_what_it_is_said_to_save() -> None:
    shape = AlbertShape.from_config(BASE)
    lengths = [250] * 10
    whole = forward_flops(shape, lengths, last_layer_cls_only=False)
    saved = 1 - forward_flops(shape, lengths, last_layer_cls_only=True) / whole
    assert 0.06 < saved < 0.08
    hidden = 768
    per_token = 12 * (8 * hidden * hidden + 4 * hidden * 3072 + 4 * 250 * hidden) + 2 * 128 * hidden
    assert whole == pytest.approx(per_token * sum(lengths), rel=1e-3)


def test_reviews_are_added_up() -> None:
    shape = AlbertShape.from_config(BASE)
    for cls_only in (False, True):
        apart = sum(forward_flops(shape, [length], cls_only) for length in (7, 512, 100))
        assert forward_flops(shape, [7, 512, 100], cls_only) == apart
