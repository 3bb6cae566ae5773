"""What int8 costs is measured, and the part that it ruins stays in float32.

The ruined model has one unit of the feed-forward that is large for every token and that nothing reads: float32 does not
mind, but the scale of the activations follows it, and all the other units become zero in int8.
"""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import pytest
from albert_reference import TINY, random_weights, reference_logits, softmax, write_checkpoint

from worker.inference import Artifact, SessionOptions, open_session
from worker.inference.artifact import GRAPH, MANIFEST
from worker.modelkit.convert import int8_choice
from worker.modelkit.convert.artifact_writer import ArtifactDescription, write_artifact
from worker.modelkit.convert.graph import build_graph
from worker.modelkit.convert.int8_choice import (
    MAX_ACCURACY_LOSS,
    MAX_LABELS_MOVED,
    PRODUCTS,
    Loss,
    choose_int8,
    compute_scores,
    measure_loss,
)
from worker.modelkit.convert.precision import PrecisionPlan
from worker.modelkit.convert.shape import AlbertShape
from worker.modelkit.convert.sources.folder import read_folder
from worker.records import TokenIds

LAYER = "albert.encoder.albert_layer_groups.0.albert_layers.0."
RUINED = f"{LAYER}ffn_output"
SHAPE = AlbertShape.from_config(TINY | {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 3})
Weights = dict[str, npt.NDArray[np.float32]]


def _model(*, ruined: bool) -> Weights:
    weights = random_weights(SHAPE, seed=4, spread=0.35)
    if ruined:
        weights[f"{LAYER}ffn.bias"][5] = 1000
        weights[f"{LAYER}ffn_output.weight"][:, 5] = 0
    return weights


def _reviews(weights: Weights, count: int = 150) -> list[TokenIds]:
    """Random ones that the model is sure of, so that only what is broken moves their labels."""
    generator = np.random.default_rng(3)
    rows = [generator.integers(5, 50, size).astype(np.int32) for size in generator.integers(3, 16, 4 * count)]
    scores = compute_scores(SHAPE, weights, "fp32", PrecisionPlan(), rows)
    surest = np.argsort(-np.abs(scores[:, 0] - scores[:, 1]))[:count]
    return [rows[index] for index in sorted(surest)]


def _labels(weights: Weights, rows: list[TokenIds]) -> npt.NDArray[np.int64]:
    return compute_scores(SHAPE, weights, "fp32", PrecisionPlan(), rows).argmax(axis=1)


# --- measuring ----------------------------------------------------------------------------------------------------


def test_scores_are_those_of_the_reference_in_the_order_of_the_rows() -> None:
    weights = _model(ruined=False)
    generator = np.random.default_rng(1)
    rows = [generator.integers(5, 50, size).astype(np.int32) for size in (9, 2, 16, 3, 9, 1, 16)]
    ids = np.zeros((len(rows), 16), dtype=np.int32)
    for row, target in zip(rows, ids, strict=True):
        target[: len(row)] = row
    expected = softmax(reference_logits(SHAPE, weights, ids, np.array([len(row) for row in rows])))

    np.testing.assert_allclose(compute_scores(SHAPE, weights, "fp32", PrecisionPlan(), rows), expected, atol=1e-5)


@pytest.mark.parametrize("budget", [1, 20, 1024])
def test_how_rows_are_batched_changes_nothing(budget: int, monkeypatch: pytest.MonkeyPatch) -> None:
    weights = _model(ruined=False)
    rows = [np.full(size, 7, dtype=np.int32) for size in (5, 3, 3, 12, 1)]
    whole = compute_scores(SHAPE, weights, "fp32", PrecisionPlan(), rows)
    monkeypatch.setattr(int8_choice, "MAX_BATCH_TOKENS", budget)
    np.testing.assert_allclose(compute_scores(SHAPE, weights, "fp32", PrecisionPlan(), rows), whole, atol=1e-6)


REFERENCE = np.array([[0.9, 0.1], [0.2, 0.8], [0.6, 0.4], [0.45, 0.55]], dtype=np.float32)
SCORES = np.array([[0.8, 0.2], [0.3, 0.7], [0.4, 0.6], [0.45, 0.55]], dtype=np.float32)


def test_a_loss_is_labels_moved_accuracy_and_the_largest_difference() -> None:
    loss = measure_loss(SCORES, REFERENCE, np.array([0, 1, 0, 0]))
    assert (loss.reviews, loss.moved) == (4, 1)
    assert loss.accuracy_change == pytest.approx(0.5 - 0.75)
    assert loss.largest_difference == pytest.approx(0.2)
    assert str(loss) == "1 of 4 labels moved (25.00%), accuracy -0.2500, largest difference 0.200"


def test_without_labels_there_is_no_accuracy() -> None:
    loss = measure_loss(SCORES, REFERENCE, None)
    assert loss.accuracy_change is None
    assert str(loss) == "1 of 4 labels moved (25.00%), largest difference 0.200"


def test_int8_may_be_better_than_float32() -> None:
    assert measure_loss(SCORES, REFERENCE, np.array([0, 1, 1, 1])).accuracy_change == pytest.approx(0.25)


@pytest.mark.parametrize(
    ("reviews", "moved", "change", "small"),
    [
        (10, 0, None, True),
        (10, 1, None, True),
        (10, 2, None, False),
        (1000, 5, None, True),
        (1000, 6, None, False),
        (1000, 5, -0.003, True),
        (1000, 5, -0.0031, False),
        (1000, 0, -0.01, False),
        (1000, 6, 0.006, False),
        (1000, 5, 0.006, True),
    ],
)
def test_both_limits_count(reviews: int, moved: int, change: float | None, small: bool) -> None:
    assert (MAX_ACCURACY_LOSS, MAX_LABELS_MOVED) == (0.003, 0.005)
    assert Loss(reviews, moved, change, 0.5).is_small is small


# --- choosing -----------------------------------------------------------------------------------------------------


def test_a_model_that_int8_does_not_hurt_is_in_int8_everywhere() -> None:
    weights = _model(ruined=False)
    said: list[str] = []
    choice = choose_int8(SHAPE, weights, _reviews(weights), report=said.append)
    assert (choice.plan.full, choice.plan.full_layers) == (frozenset(), frozenset())
    assert choice.chosen == choice.all_int8
    assert choice.chosen.is_small
    assert list(choice.plan.notes) == said == [f"int8 everywhere: {choice.all_int8}"]


@pytest.mark.parametrize("labelled", [False, True], ids=["without labels", "with labels"])
def test_what_int8_ruins_stays_in_float32(labelled: bool) -> None:
    weights = _model(ruined=True)
    rows = _reviews(weights)
    labels = _labels(weights, rows) if labelled else None
    said: list[str] = []

    choice = choose_int8(SHAPE, weights, rows, labels, report=said.append)

    assert choice.all_int8.moved > len(rows) / 10
    assert not choice.all_int8.is_small
    assert choice.chosen.is_small
    assert RUINED in choice.plan.full
    assert len(choice.plan.notes) == 1 + len(choice.plan.full) + len(choice.plan.full_layers)
    assert choice.plan.notes[0] == f"int8 everywhere: {choice.all_int8}"
    assert choice.plan.notes[1].startswith("with albert_layer_groups.0.albert_layers.0.ffn_output in float32: ")
    assert choice.plan.notes[-1].endswith(str(choice.chosen))
    assert [line for line in said if not line.startswith(" ")] == list(choice.plan.notes)
    assert sum(line.startswith("  layer ") for line in said) >= 3
    assert all(("accuracy" in note) == labelled for note in choice.plan.notes)

    again = compute_scores(SHAPE, weights, "int8", choice.plan, rows)
    reference = compute_scores(SHAPE, weights, "fp32", PrecisionPlan(), rows)
    assert measure_loss(again, reference, labels) == choice.chosen
    if labels is not None:
        assert choice.all_int8.accuracy_change == pytest.approx(-choice.all_int8.moved / len(rows))


def test_what_is_outside_of_the_layers_can_stay_in_float32_too() -> None:
    """Embeddings of which two places are so large that the others become zero in int8."""
    weights = _model(ruined=False)
    weights["albert.embeddings.word_embeddings.weight"][:, :2] = (300, -300)
    weights["albert.embeddings.LayerNorm.weight"] *= np.array([0, 0, 200, 200, 200, 200], dtype=np.float32)

    choice = choose_int8(SHAPE, weights, _reviews(weights, count=60))

    assert not choice.all_int8.is_small
    assert choice.chosen.is_small
    assert "albert.embeddings.word_embeddings" in choice.plan.full
    model = build_graph(SHAPE, weights, precision="int8", plan=choice.plan)
    names = {tensor.name for tensor in model.graph.initializer}
    assert "albert.embeddings.word_embeddings.full_weight" in names
    assert "albert.embeddings.word_embeddings.scale" not in names


# --- the plan in the graph ----------------------------------------------------------------------------------------


def _operators(model: onnx.ModelProto) -> Counter[str]:
    return Counter(node.op_type for node in model.graph.node)


def test_a_product_in_float32_is_so_in_every_layer() -> None:
    whole, kept = (
        _operators(build_graph(SHAPE, _model(ruined=False), precision="int8", plan=plan))
        for plan in (PrecisionPlan(), PrecisionPlan(frozenset({RUINED})))
    )
    assert (whole["MatMul"], whole["MatMulIntegerToFloat"]) == (0, 3 * 6 + 2)
    assert (kept["MatMul"], kept["MatMulIntegerToFloat"]) == (3, 3 * 5 + 2)


@pytest.mark.parametrize("layers", [{1}, {2}, {3}, {1, 3}, {1, 2, 3}], ids=str)
def test_a_layer_in_float32_has_its_six_products_so_and_no_others(layers: set[int]) -> None:
    plan = PrecisionPlan(full_layers=frozenset(layers))
    model = build_graph(SHAPE, _model(ruined=False), precision="int8", plan=plan)
    kinds = [
        (node.op_type, node.input[1])
        for node in model.graph.node
        if node.op_type in ("MatMul", "MatMulIntegerToFloat") and node.input[1].startswith(LAYER)
    ]
    assert len(kinds) == 3 * len(PRODUCTS)
    for number in (1, 2, 3):
        products = kinds[(number - 1) * 6 : number * 6]
        assert {kind for kind, _ in products} == {"MatMul" if number in layers else "MatMulIntegerToFloat"}
        suffix = "full_weight" if number in layers else "weight"
        assert {name for _, name in products} == {f"{LAYER}{product}.{suffix}" for product in PRODUCTS}
    assert _operators(model)["MatMulIntegerToFloat"] == 2 + 6 * (3 - len(layers))


def test_with_all_layers_in_float32_only_the_embeddings_and_the_head_differ() -> None:
    weights = _model(ruined=True)
    rows = _reviews(weights, count=20)
    plan = PrecisionPlan(full_layers=frozenset({1, 2, 3}))
    scores = compute_scores(SHAPE, weights, "int8", plan, rows)
    reference = compute_scores(SHAPE, weights, "fp32", PrecisionPlan(), rows)
    assert 0 < measure_loss(scores, reference, None).largest_difference < 0.05


# --- the plan in the artifact -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "plan",
    [
        PrecisionPlan(frozenset({RUINED}), notes=("measured", "kept")),
        PrecisionPlan(full_layers=frozenset({2, 1})),
        PrecisionPlan(frozenset({RUINED, f"{LAYER}ffn"}), frozenset({1})),
    ],
    ids=["a product", "layers", "both"],
)
def test_the_artifact_is_written_with_the_plan_and_says_it(tmp_path: Path, plan: PrecisionPlan) -> None:
    source = read_folder(write_checkpoint(tmp_path / "checkpoint"))
    write_artifact(source, tmp_path / "model", ArtifactDescription("tiny", "1", "int8"), plan)

    artifact = Artifact.load(tmp_path / "model")
    graph: dict[str, Any] = json.loads((tmp_path / "model" / MANIFEST).read_text())["graph"]
    assert graph["float32_products"] == sorted(plan.full)
    assert graph["float32_layers"] == sorted(plan.full_layers)
    assert graph["notes"] == list(plan.notes)
    layers = len(read_folder(tmp_path / "checkpoint").shape.layers)
    in_float = sum(
        number in plan.full_layers or f"{LAYER}{product}" in plan.full
        for number in range(1, layers + 1)
        for product in PRODUCTS
    )
    assert _operators(onnx.load(tmp_path / "model" / GRAPH))["MatMul"] == in_float
    ids = np.array([[2, 9, 12, 3]], dtype=np.int32)
    scores = open_session(artifact, SessionOptions(provider="cpu")).predict(ids, np.array([4], dtype=np.int32))
    expected = compute_scores(source.shape, source.weights, "int8", plan, [ids[0]])
    np.testing.assert_allclose(scores, expected, atol=1e-4)
