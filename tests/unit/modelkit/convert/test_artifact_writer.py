"""What an artifact folder holds, and that nothing is in it twice."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from albert_reference import reference_logits, softmax, write_checkpoint, write_tiny_artifact
from contrib_operators import evaluate

from worker.inference.artifact import CONFIG, GRAPH, MANIFEST, PADDING_FREE_GRAPH, PIECES, WEIGHTS
from worker.inference.calibration import Calibration
from worker.inference.classifier import Classifier
from worker.inference.golden import GOLDEN
from worker.modelkit.convert.artifact_writer import ArtifactDescription, write_artifact
from worker.modelkit.convert.external import ALIGNMENT, INLINE_BYTES, move_weights
from worker.modelkit.convert.sources.folder import read_folder
from worker.modelkit.convert.verification import verify

MEDIUM = {
    "embedding_size": 64,
    "hidden_size": 192,
    "intermediate_size": 768,
    "num_hidden_layers": 12,
    "num_attention_heads": 3,
    "max_position_embeddings": 64,
}
"""Large enough for the weights to outweigh the nodes, as in every model that somebody uses."""
INPUTS = {
    "input_ids": np.array([[2, 7, 9, 11, 3], [2, 3, 0, 0, 0], [2, 8, 3, 0, 0]], dtype=np.int32),
    "lengths": np.array([5, 2, 3], dtype=np.int32),
}


@pytest.fixture(scope="module", params=["fp32", "fp16"])
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_artifact(tmp_path_factory.mktemp(request.param) / "medium", request.param, **MEDIUM)


def test_both_graphs_and_their_weights_are_listed(folder: Path) -> None:
    listed = set(json.loads((folder / MANIFEST).read_text())["sha256"])
    assert listed == {GRAPH, PADDING_FREE_GRAPH, WEIGHTS, PIECES, CONFIG, GOLDEN}
    assert {path.name for path in folder.iterdir()} == listed | {MANIFEST}


def test_both_graphs_load_from_the_folder_and_say_the_same(folder: Path) -> None:
    checkpoint = read_folder(folder.with_name("medium-checkpoint"))
    expected = softmax(reference_logits(checkpoint.shape, dict(checkpoint.weights), *INPUTS.values()))
    session = onnxruntime.InferenceSession(str(folder / GRAPH), providers=["CPUExecutionProvider"])
    tolerance = {"fp32": 1e-5, "fp16": 5e-3}[json.loads((folder / MANIFEST).read_text())["precision"]]
    np.testing.assert_allclose(softmax(session.run(None, INPUTS)[0]), expected, atol=tolerance)
    np.testing.assert_allclose(softmax(evaluate(folder / PADDING_FREE_GRAPH, INPUTS)[0]), expected, atol=tolerance)


@pytest.mark.parametrize("name", [GRAPH, PADDING_FREE_GRAPH])
def test_the_checker_accepts_each_graph(folder: Path, name: str) -> None:
    onnx.checker.check_model(str(folder / name))


def test_the_folder_is_within_a_twentieth_of_its_weights(folder: Path) -> None:
    model = onnx.load(folder / GRAPH)
    weights = sum(len(tensor.raw_data) for tensor in model.graph.initializer)
    graphs = sum((folder / name).stat().st_size for name in (GRAPH, PADDING_FREE_GRAPH, WEIGHTS))
    assert weights < graphs < 1.05 * weights


@pytest.mark.parametrize("name", [GRAPH, PADDING_FREE_GRAPH])
def test_weights_can_be_mapped_into_memory(folder: Path, name: str) -> None:
    model = onnx.load(folder / name, load_external_data=False)
    size = (folder / WEIGHTS).stat().st_size
    places = [
        {entry.key: entry.value for entry in tensor.external_data}
        for tensor in model.graph.initializer
        if tensor.external_data
    ]
    assert len(places) >= 7
    for place in places:
        assert place["location"] == WEIGHTS
        assert int(place["offset"]) % ALIGNMENT == 0
        assert int(place["offset"]) + int(place["length"]) <= size


def test_int8_is_one_file(tmp_path: Path) -> None:
    folder = write_tiny_artifact(tmp_path / "tiny", "int8")
    assert {path.name for path in folder.iterdir()} == {GRAPH, PIECES, CONFIG, GOLDEN, MANIFEST}
    assert not any(tensor.external_data for tensor in onnx.load(folder / GRAPH).graph.initializer)


def test_the_manifest_says_what_half_precision_did(tmp_path: Path) -> None:
    notes = {
        precision: json.loads((write_tiny_artifact(tmp_path / precision, precision) / MANIFEST).read_text())["graph"][
            "notes"
        ]
        for precision in ("fp16", "fp32", "int8")
    }
    assert notes["fp32"] == notes["int8"] == []
    assert "65,504" in notes["fp16"][0]


def test_weights_of_one_name_must_be_the_same() -> None:
    models = []
    for value in (1.0, 2.0):
        tensor = onnx.numpy_helper.from_array(np.full(INLINE_BYTES, value, dtype=np.float32), "weight")
        models.append(onnx.helper.make_model(onnx.helper.make_graph([], "graph", [], [], [tensor])))
    with pytest.raises(ValueError, match="called weight"):
        move_weights(models, WEIGHTS)


def test_a_calibration_is_part_of_the_artifact_and_its_source_is_compared_with_it(tmp_path: Path) -> None:
    calibration = Calibration(2.5, (0.5, 0.5))
    checkpoint = read_folder(write_checkpoint(tmp_path / "checkpoint"))
    plain, calibrated = tmp_path / "plain", tmp_path / "calibrated"
    write_artifact(checkpoint, plain, ArtifactDescription("tiny", "1", "fp32"))
    write_artifact(checkpoint, calibrated, ArtifactDescription("tiny", "1", "fp32", calibration))
    classifier = Classifier.load(calibrated, "cpu", "truncate")
    assert classifier.artifact.calibration == calibration
    assert "calibration" not in json.loads((plain / MANIFEST).read_bytes())

    texts = ["A fine film.", "Dull, dull, dull.", "这部电影很好看"]
    surer, less_sure = Classifier.load(plain, "cpu", "truncate").predict(texts[:2]), classifier.predict(texts[:2])
    assert [answer.label for answer in surer] == [answer.label for answer in less_sure]
    assert all(before.score > after.score > 0.5 for before, after in zip(surer, less_sure, strict=True))
    (unreadable,) = classifier.predict(texts[2:])
    assert (unreadable.scores, unreadable.unknown) == ({"neg": 0.5, "pos": 0.5}, 1.0)
    assert verify(classifier, checkpoint, texts).largest_difference < 1e-5
