"""Half precision stays finite and right, whatever a model's values grow to."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from albert_reference import TINY, random_weights, reference_logits, softmax
from contrib_operators import evaluate

from worker.inference import Artifact
from worker.modelkit.convert.graph import build_graph
from worker.modelkit.convert.precision import PrecisionPlan
from worker.modelkit.convert.ranges import (
    AWKWARD_TEXTS,
    HALF_MAX,
    LARGEST_ALLOWED,
    calibration_ids,
    half_plan,
    measure_ranges,
)
from worker.modelkit.convert.shape import AlbertShape, CheckpointError

LAYER = "albert.encoder.albert_layer_groups.0.albert_layers.0."
MAPPING = "albert.encoder.embedding_hidden_mapping_in"
LENGTHS = np.array([16, 1, 2, 9], dtype=np.int32)
IDS = np.random.default_rng(1).integers(0, TINY["vocab_size"], (4, 16)).astype(np.int32)
INPUTS = {"input_ids": IDS, "lengths": LENGTHS}


def _shape(**overrides: Any) -> AlbertShape:
    return AlbertShape.from_config(TINY | overrides)


def _plan(shape: AlbertShape, weights: dict[str, Any]) -> PrecisionPlan:
    return half_plan(shape, weights, calibration_ids(shape, None, 16))


def _expected(shape: AlbertShape, weights: dict[str, Any]) -> Any:
    return softmax(reference_logits(shape, weights, IDS, LENGTHS))


def _half_scores(shape: AlbertShape, weights: dict[str, Any], plan: PrecisionPlan) -> dict[str, Any]:
    """By ONNX Runtime on the CPU, and by the evaluator, which rounds to half precision wherever a GPU would."""
    padded, packed = (
        build_graph(shape, weights, precision="fp16", plan=plan, padding_free=padding_free)
        for padding_free in (False, True)
    )
    session = onnxruntime.InferenceSession(padded.SerializeToString(), providers=["CPUExecutionProvider"])
    return {
        "runtime": softmax(session.run(["logits"], INPUTS)[0]),
        "padded": softmax(evaluate(padded, INPUTS)[0]),
        "padding-free": softmax(evaluate(packed, INPUTS)[0]),
    }


def _enlarged(shape: AlbertShape, factors: dict[str, float]) -> dict[str, Any]:
    weights = random_weights(shape)
    for name, factor in factors.items():
        weights[name] = weights[name] * np.float32(factor)
    return weights


# What is made large; the products whose weights are then scaled, and those that stay in float32.
LARGE: dict[str, tuple[dict[str, float], set[str], set[str]]] = {
    "feed-forward output": ({f"{LAYER}ffn_output.weight": 30_000}, {f"{LAYER}ffn_output"}, set()),
    "attention output": ({f"{LAYER}attention.dense.weight": 50_000}, {f"{LAYER}attention.dense"}, set()),
    "both outputs": (
        {f"{LAYER}ffn_output.weight": 30_000, f"{LAYER}attention.dense.weight": 50_000},
        {f"{LAYER}ffn_output", f"{LAYER}attention.dense"},
        set(),
    ),
    "the feed-forward's inside": (
        {f"{LAYER}ffn.weight": 100_000, f"{LAYER}ffn.bias": 100_000},
        set(),
        {f"{LAYER}ffn", f"{LAYER}ffn_output"},
    ),
    "queries and keys": (
        {f"{LAYER}attention.{part}.{kind}": 400 for part in ("query", "key") for kind in ("weight", "bias")},
        set(),
        {f"{LAYER}attention.{part}" for part in ("query", "key", "value")},
    ),
    "values": (
        {f"{LAYER}attention.value.weight": 100_000},
        set(),
        {f"{LAYER}attention.{part}" for part in ("query", "key", "value", "dense")},
    ),
}


def test_an_ordinary_model_needs_nothing() -> None:
    shape = _shape()
    plan = _plan(shape, random_weights(shape))
    assert plan.full == {"albert.pooler"}
    assert not plan.exponents
    (note,) = plan.notes
    assert "the largest value that a product reads" in note


@pytest.mark.parametrize("overrides", [{}, {"num_hidden_layers": 12}, {"hidden_act": "relu"}, {"hidden_act": "gelu"}])
def test_half_precision_stays_within_half_a_percent(overrides: dict[str, Any]) -> None:
    shape = _shape(**overrides)
    weights = random_weights(shape)
    for where, scores in _half_scores(shape, weights, _plan(shape, weights)).items():
        np.testing.assert_allclose(scores, _expected(shape, weights), atol=5e-3, err_msg=where)


@pytest.mark.parametrize(("factors", "scaled", "full"), LARGE.values(), ids=LARGE.keys())
def test_values_beyond_half_precision_stay_finite_and_right(
    factors: dict[str, float], scaled: set[str], full: set[str]
) -> None:
    shape = _shape(hidden_act="relu" if "inside" in str(factors) else "gelu_new")
    weights = _enlarged(shape, factors)

    plan = _plan(shape, weights)

    assert set(plan.exponents) == scaled
    assert plan.full == full | {"albert.pooler"}
    assert len(plan.notes) > 1
    for where, scores in _half_scores(shape, weights, plan).items():
        np.testing.assert_allclose(scores, _expected(shape, weights), atol=5e-3, err_msg=where)


def test_without_the_plan_such_a_model_is_nan() -> None:
    """The emulation does overflow where a GPU would: otherwise the tests above would prove nothing."""
    shape = _shape()
    weights = _enlarged(shape, LARGE["feed-forward output"][0])
    assert measure_ranges(shape, weights, IDS)[f"{LAYER}ffn_output"].outputs > HALF_MAX

    blind = build_graph(shape, weights, precision="fp16", plan=PrecisionPlan(frozenset({"albert.pooler"})))

    with np.errstate(all="ignore"):
        assert np.isnan(evaluate(blind, INPUTS)[0]).any()


def test_scaled_weights_are_exactly_a_power_of_two_smaller() -> None:
    shape = _shape()
    weights = _enlarged(shape, LARGE["feed-forward output"][0])
    plan = _plan(shape, weights)
    exponent = plan.exponents[f"{LAYER}ffn_output"]

    model = build_graph(shape, weights, precision="fp16", plan=plan)

    stored = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    weight = stored[f"{LAYER}ffn_output.weight"]
    expected = (weights[f"{LAYER}ffn_output.weight"].T / 2**exponent).astype(np.float16)
    np.testing.assert_array_equal(weight, expected)
    assert stored[f"two_to_the_{exponent}"] == 2.0**exponent
    assert measure_ranges(shape, weights, IDS)[f"{LAYER}ffn_output"].outputs / 2**exponent <= LARGEST_ALLOWED


def test_a_range_is_the_largest_of_all_layers_that_share_the_weights() -> None:
    deep, shallow = _shape(num_hidden_layers=6), _shape(num_hidden_layers=1)
    weights = random_weights(deep)

    ranges, first = (measure_ranges(shape, weights, IDS) for shape in (deep, shallow))

    assert set(ranges) == {
        name.removesuffix(".weight")
        for name, size in deep.expected_weights().items()
        if len(size) == 2 and "embeddings." not in name and not name.startswith("classifier")
    }
    assert ranges[f"{LAYER}ffn"].outputs >= first[f"{LAYER}ffn"].outputs
    assert ranges[MAPPING] == first[MAPPING]


def test_each_row_counts() -> None:
    shape = _shape()
    weights = random_weights(shape)
    alone = [measure_ranges(shape, weights, [row])[f"{LAYER}ffn_output"].outputs for row in IDS]
    assert measure_ranges(shape, weights, IDS)[f"{LAYER}ffn_output"].outputs == max(alone)


def test_a_model_that_overflows_by_itself_is_refused() -> None:
    shape = _shape()
    weights = _enlarged(shape, {f"{LAYER}ffn.weight": 1e30, f"{LAYER}ffn_output.weight": 1e30})
    with pytest.raises(CheckpointError, match="overflow"), np.errstate(all="ignore"):
        _plan(shape, weights)


def test_the_texts_are_among_what_is_measured() -> None:
    shape = _shape(vocab_size=30_000)
    tokeniser = Artifact.load(None).load_tokeniser()
    rows = calibration_ids(shape, tokeniser, 16)
    assert len(rows) == len(calibration_ids(shape, None, 16)) + len(AWKWARD_TEXTS)
    assert max(len(row) for row in calibration_ids(shape, None, 512)) == 512


@pytest.mark.parametrize("padding_free", [False, True], ids=["with padding", "without"])
def test_normalisation_softmax_and_head_are_in_float32(padding_free: bool) -> None:
    shape = _shape()
    weights = random_weights(shape)
    plan = _plan(shape, weights)
    model = build_graph(shape, weights, precision="fp16", plan=plan, padding_free=padding_free)
    inferred = {tensor.name: tensor.data_type for tensor in model.graph.initializer}
    types = {node.op_type: {inferred.get(name) for name in node.input if name in inferred} for node in model.graph.node}
    normalisation = "SkipLayerNormalization" if padding_free else "LayerNormalization"
    assert types[normalisation] == {onnx.TensorProto.FLOAT}
    assert types["Gemm"] == {onnx.TensorProto.FLOAT}
    assert types["FastGelu"] == types["MultiHeadAttention"] == {onnx.TensorProto.FLOAT16}
    assert inferred["albert.pooler.weight"] == onnx.TensorProto.FLOAT
    large = [name for name, data_type in inferred.items() if name.endswith("weight") and data_type == 10]
    assert f"{LAYER}ffn.weight" in large
    assert "albert.embeddings.word_embeddings.weight" in large
