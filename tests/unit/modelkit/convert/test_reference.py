"""What artifacts are compared with: three ways to compute a model, none of them ours, that agree with each other."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from albert_reference import TINY, random_weights
from onnx_exports import modern_style, random_albert, tf2onnx_style, torch_export

from worker.errors import ArtifactError
from worker.inference.artifact import BUNDLED_PATH, PIECES
from worker.modelkit.convert.checkpoint import (
    Checkpoint,
    ForeignGraph,
    Provenance,
    Source,
    SourceOptions,
    checkpoint_from,
)
from worker.modelkit.convert.reference import (
    GraphReference,
    NumpyReference,
    TransformersReference,
    activation,
    plain_reference_of,
    reference_ids,
    reference_of,
    softmax,
)
from worker.modelkit.convert.shape import AlbertShape, CheckpointError
from worker.records import Encoding

TOLERANCE = 1e-6
LARGE_VOCABULARY = 30_000
HERE = Provenance("huggingface", "here")
CONFIGURATIONS: dict[str, dict[str, Any]] = {
    "two layers": {},
    "uneven groups": {"num_hidden_layers": 5, "num_hidden_groups": 3},
    "groups with layers inside": {"num_hidden_layers": 4, "num_hidden_groups": 2, "inner_group_num": 2},
    "four heads": {"num_attention_heads": 4},
    "gelu": {"hidden_act": "gelu"},
    "gelu_pytorch_tanh": {"hidden_act": "gelu_pytorch_tanh"},
    "relu": {"hidden_act": "relu"},
    "large epsilon": {"layer_norm_eps": 0.1},
    "five labels": {"id2label": {str(index): f"{index + 1} stars" for index in range(5)}},
    "one segment": {"type_vocab_size": 1},
}


def _checkpoint(changes: dict[str, Any], original_graph: bytes | None = None) -> Checkpoint:
    config = TINY | {"vocab_size": LARGE_VOCABULARY} | changes
    weights = random_weights(AlbertShape.from_config(config))
    pieces = (BUNDLED_PATH / PIECES).read_bytes()
    return checkpoint_from(
        config, weights, pieces, HERE, SourceOptions(), lower_case=True, original_graph=original_graph
    )


def _encodings(*sizes: int) -> list[Encoding]:
    generator = np.random.default_rng(2)
    return [Encoding(generator.integers(5, LARGE_VOCABULARY, size).astype(np.int32), truncated=False) for size in sizes]


SIZES = (16, 1, 2, 9)


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> Iterator[None]:
    """Threads that wait for each other take ten times as long over models this small."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


# --- transformers and numpy ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("changes", CONFIGURATIONS.values(), ids=CONFIGURATIONS.keys())
def test_numpy_and_transformers_agree(changes: dict[str, Any]) -> None:
    checkpoint = _checkpoint(changes)
    encodings = _encodings(*SIZES)

    ours, theirs = NumpyReference(checkpoint).scores(encodings), TransformersReference(checkpoint).scores(encodings)

    assert ours.shape == (len(SIZES), len(checkpoint.labels))
    assert ours.dtype == theirs.dtype == np.float32
    assert theirs.std(axis=0).max() > 1e-3, "every row has the same answer, so that nothing would be noticed"
    np.testing.assert_allclose(ours, theirs, atol=TOLERANCE)


MASKS: dict[str, list[int]] = {
    "nothing": [1] * 8,
    "padding": [1, 1, 1, 1, 1, 0, 0, 0],
    "tokens in the middle": [1, 0, 1, 1, 0, 0, 1, 1],
    "all but the first": [1, 0, 0, 0, 0, 0, 0, 0],
    "the first": [0, 1, 1, 1, 1, 1, 1, 1],
}


@pytest.mark.parametrize("changes", [{}, CONFIGURATIONS["groups with layers inside"]], ids=["one group", "two"])
@pytest.mark.parametrize("mask", MASKS.values(), ids=MASKS.keys())
def test_they_agree_on_what_is_masked(mask: list[int], changes: dict[str, Any]) -> None:
    checkpoint = _checkpoint(changes)
    rows = [([2, 7, 99, 1234, 11, 29_999, 5, 3], mask), (np.array([2, 9, 3]), np.array([1, 1, 1]))]
    ours = NumpyReference(checkpoint).masked_scores(rows)
    np.testing.assert_allclose(ours, TransformersReference(checkpoint).masked_scores(rows), atol=TOLERANCE)


def test_masked_padding_is_as_if_it_were_not_there_and_other_masked_tokens_are_not() -> None:
    (encoding,) = _encodings(5)
    ids = encoding.ids.tolist()
    for reference in (NumpyReference(_checkpoint({})), TransformersReference(_checkpoint({}))):
        whole = reference.scores([encoding])
        padded = reference.masked_scores([([*ids, 0, 0], [1] * 5 + [0] * 2)])
        np.testing.assert_allclose(padded, whole, atol=TOLERANCE)
        hidden = reference.masked_scores([(ids, [1, 1, 0, 1, 1])])
        assert np.abs(hidden - whole).max() > 1e-4


def test_company_has_no_part_in_a_score() -> None:
    encodings = _encodings(*SIZES)
    for reference in (NumpyReference(_checkpoint({})), TransformersReference(_checkpoint({}))):
        alone = np.concatenate([reference.scores([encoding]) for encoding in encodings])
        np.testing.assert_array_equal(reference.scores(encodings), alone)


def test_each_says_what_computes() -> None:
    checkpoint = _checkpoint({})
    assert "float64" in NumpyReference(checkpoint).name
    assert TransformersReference(checkpoint).name.startswith("transformers 4.")


def test_a_weight_that_transformers_misses_is_named() -> None:
    checkpoint = _checkpoint({})
    weights = {name: value for name, value in checkpoint.weights.items() if name != "albert.pooler.bias"}
    with pytest.raises(CheckpointError, match=r"albert\.pooler\.bias"):
        TransformersReference(replace(checkpoint, weights=weights))


def test_activations_are_those_of_transformers() -> None:
    from transformers.activations import ACT2FN

    values = np.linspace(-6, 6, 101)
    for name in ("relu", "gelu", "gelu_new", "gelu_pytorch_tanh"):
        expected = ACT2FN[name](torch.from_numpy(values)).numpy()
        np.testing.assert_allclose(activation(name, values), expected, atol=1e-9)


def test_a_softmax_of_large_values_is_finite() -> None:
    values = np.array([[1e4, 1e4 + np.log(3)], [-np.inf, 0]])
    np.testing.assert_allclose(softmax(values), [[0.25, 0.75], [0, 1]], atol=1e-9)


# --- graphs -------------------------------------------------------------------------------------------------------


def _foreign(graph: bytes, config: dict[str, Any]) -> ForeignGraph:
    return ForeignGraph(
        graph=graph,
        reason="its layers are not found",
        config=config,
        labels=tuple(config["id2label"].values()),
        pieces=(BUNDLED_PATH / PIECES).read_bytes(),
        lower_case=True,
        max_length=16,
        provenance=HERE,
    )


@pytest.mark.parametrize("style", [tf2onnx_style, modern_style], ids=["tf2onnx", "modern"])
def test_a_graph_says_what_the_checkpoint_says(style: Any) -> None:
    checkpoint = _checkpoint({})
    encodings = _encodings(*SIZES)
    graph = style(checkpoint.shape, checkpoint.weights).SerializeToString()

    scores = GraphReference(checkpoint, graph).scores(encodings)

    assert scores.shape == (len(SIZES), 2)
    np.testing.assert_allclose(scores, NumpyReference(checkpoint).scores(encodings), atol=1e-5)


def test_a_graph_that_pytorch_exported_says_what_its_model_says() -> None:
    model = random_albert(vocab_size=LARGE_VOCABULARY)
    weights = {name: value.numpy() for name, value in model.state_dict().items()}
    config = json.loads(model.config.to_json_string()) | {"id2label": {"0": "neg", "1": "pos"}}
    pieces = (BUNDLED_PATH / PIECES).read_bytes()
    graph = torch_export(model).SerializeToString()
    checkpoint = checkpoint_from(config, weights, pieces, HERE, SourceOptions(), lower_case=True, original_graph=graph)
    encodings = _encodings(*SIZES)

    reference = reference_of(checkpoint)

    assert isinstance(reference, GraphReference)
    expected = TransformersReference(checkpoint).scores(encodings)
    np.testing.assert_allclose(reference.scores(encodings), expected, atol=1e-5)
    np.testing.assert_allclose(NumpyReference(checkpoint).scores(encodings), expected, atol=TOLERANCE)


def test_a_graph_that_cannot_be_loaded_is_one_clear_line() -> None:
    with pytest.raises(ArtifactError, match="cannot load it") as caught:
        GraphReference(_checkpoint({}), b"no graph")
    assert "\n" not in str(caught.value)


def test_a_graph_with_other_outputs_than_labels_is_refused() -> None:
    checkpoint = _checkpoint({})
    graph = tf2onnx_style(checkpoint.shape, checkpoint.weights).SerializeToString()
    with pytest.raises(ArtifactError, match="labels"):
        GraphReference(_checkpoint(CONFIGURATIONS["five labels"]), graph)


# --- which one it is ----------------------------------------------------------------------------------------------


def _marked(source: Checkpoint) -> bytes:
    """A graph that can be told from the checkpoint's weights: its labels are the other way round."""
    weights: dict[str, npt.NDArray[np.float32]] = dict(source.weights)
    for name in ("classifier.weight", "classifier.bias"):
        weights[name] = weights[name][::-1]
    return tf2onnx_style(source.shape, weights).SerializeToString()


@pytest.mark.parametrize("kind", ["original graph", "foreign graph"])
def test_a_source_with_a_graph_is_compared_with_that(kind: str) -> None:
    plain = _checkpoint({})
    graph = _marked(plain)
    source: Source = (
        replace(plain, original_graph=graph) if kind == "original graph" else _foreign(graph, dict(plain.config))
    )
    encodings = _encodings(*SIZES)

    reference = reference_of(source)

    expected = NumpyReference(plain).scores(encodings)[:, ::-1]
    np.testing.assert_allclose(reference.scores(encodings), expected, atol=1e-5)


def _without(monkeypatch: pytest.MonkeyPatch, *missing: str) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name in missing else find(name))


def test_a_checkpoint_is_compared_with_transformers() -> None:
    for choose in (reference_of, plain_reference_of):
        assert isinstance(choose(_checkpoint({})), TransformersReference)


@pytest.mark.parametrize("missing", ["transformers", "torch"])
def test_without_transformers_or_torch_it_is_numpy(missing: str, monkeypatch: pytest.MonkeyPatch) -> None:
    _without(monkeypatch, missing)
    for choose in (reference_of, plain_reference_of):
        assert isinstance(choose(_checkpoint({})), NumpyReference)


def test_the_plain_reference_leaves_the_graph_of_the_source_alone() -> None:
    checkpoint = replace(_checkpoint({}), original_graph=b"no graph at all")
    encodings = _encodings(*SIZES)
    scores = plain_reference_of(checkpoint).scores(encodings)
    np.testing.assert_allclose(scores, NumpyReference(checkpoint).scores(encodings), atol=TOLERANCE)


# --- tokens -------------------------------------------------------------------------------------------------------

TEXTS = ["I really liked that movie!", "", "GREAT Film, 9,9 of 10; caf\u00e9", "long " * 40]


@pytest.mark.parametrize("lower_case", [True, False], ids=["lower-cased", "cased"])
def test_reference_tokens_are_cut_and_cased_as_the_source_says(lower_case: bool) -> None:
    source = replace(_checkpoint({}), lower_case=lower_case)
    ids = reference_ids(source, TEXTS)
    assert ids is not None
    assert ids == [encoding.ids.tolist() for encoding in source.tokeniser().encode_many(TEXTS)]
    assert max(map(len, ids)) == source.max_length == 16


def test_without_transformers_there_are_no_reference_tokens(monkeypatch: pytest.MonkeyPatch) -> None:
    _without(monkeypatch, "transformers")
    assert reference_ids(_checkpoint({}), TEXTS) is None
