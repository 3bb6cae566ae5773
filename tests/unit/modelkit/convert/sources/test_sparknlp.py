"""Models that Spark NLP saved: the real ones of ../shared/sparknlp, and written ones of other shapes."""

from __future__ import annotations

import json
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
from absent import Absent
from albert_reference import random_weights, reference_logits, softmax
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import load_file
from sparknlp_models import read_checkpoint, read_or_one_line, refused, small_model, small_shape
from sparknlp_writer import (
    TENSORFLOW,
    java_tuples,
    saved_model,
    sequence_file,
    write_folder,
    write_zip,
)

from worker.modelkit.convert.checkpoint import Checkpoint
from worker.modelkit.convert.graph import build_graph
from worker.modelkit.convert.shape import AlbertShape
from worker.modelkit.convert.sources import open_source
from worker.modelkit.convert.sources.hadoop import sequence_values
from worker.modelkit.convert.sources.sparknlp import is_sparknlp

SHARED = Path(__file__).parents[5] / "../shared"
SAVED = SHARED / "sparknlp"
TENSORFLOW_ZIPS = ("albert_tiny_tf.zip", "albert_tiny_tf_344.zip")
ONNX_ZIP = "albert_tiny_onnx.zip"

real = Absent.SHARED.unless(SHARED.exists(), "models that Spark NLP saved")

SHAPES: dict[str, dict[str, Any]] = {
    "one group": {},
    "groups": {"num_hidden_layers": 4, "num_hidden_groups": 2},
    "uneven groups": {"num_hidden_layers": 5, "num_hidden_groups": 3},
    "groups of several layers": {"num_hidden_layers": 4, "num_hidden_groups": 2, "inner_group_num": 3},
    "wide": {"hidden_size": 24, "num_attention_heads": 6, "intermediate_size": 48, "embedding_size": 10},
    "gelu": {"hidden_act": "gelu"},
    "relu": {"hidden_act": "relu"},
    "five labels": {"id2label": {str(index): f"{index + 1} stars" for index in range(5)}},
    "large epsilon": {"layer_norm_eps": 1e-5},
}


def _probabilities(checkpoint: Checkpoint, texts: list[str]) -> Any:
    """Of the fp32 graph, one text at a time."""
    model = build_graph(checkpoint.shape, checkpoint.weights, precision="fp32")
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    tokeniser = checkpoint.tokeniser()
    rows = []
    for text in texts:
        ids = np.array([tokeniser.encode(text).ids], dtype=np.int32)
        feeds = {"input_ids": ids, "lengths": np.array([ids.shape[1]], dtype=np.int32)}
        rows.append(softmax(session.run(None, feeds)[0][0].astype(np.float64)))
    return np.array(rows)


def _as_zip(saved: Path, _: Path) -> Path:
    return saved


def _as_folder(saved: Path, folder: Path) -> Path:
    shutil.unpack_archive(saved, folder / "unpacked")
    return folder / "unpacked"


def _as_folder_in_a_folder(saved: Path, folder: Path) -> Path:
    _as_folder(saved, folder / "above")
    return folder / "above"


def _as_zip_of_a_folder(saved: Path, folder: Path) -> Path:
    with zipfile.ZipFile(saved) as archive:
        files = {name: archive.read(name) for name in archive.namelist() if not name.endswith("/")}
    return write_zip(folder / "again.zip", files, "albert_base_sequence_classifier_imdb_en/")


FORMS: list[Callable[[Path, Path], Path]] = [_as_zip, _as_folder, _as_folder_in_a_folder, _as_zip_of_a_folder]


# The real ones


@real
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("name", TENSORFLOW_ZIPS)
def test_the_weights_of_the_tensorflow_form_are_bit_equal(
    tmp_path: Path, name: str, form: Callable[[Path, Path], Path]
) -> None:
    path = form(SAVED / name, tmp_path)
    assert is_sparknlp(path)
    checkpoint = read_checkpoint(path)

    expected = load_file(SAVED / "hf-tiny" / "model.safetensors")
    assert checkpoint.weights.keys() == expected.keys()
    for key, value in expected.items():
        assert checkpoint.weights[key].tobytes() == value.tobytes(), key


@real
@pytest.mark.parametrize("name", TENSORFLOW_ZIPS)
def test_the_shape_and_the_rest_are_those_of_the_model_that_was_saved(name: str) -> None:
    checkpoint = read_checkpoint(SAVED / name)

    config = json.loads((SAVED / "hf-tiny" / "config.json").read_text())
    assert checkpoint.shape == AlbertShape.from_config(config)
    assert checkpoint.labels == ("neg", "pos")
    assert checkpoint.pieces == (SAVED / "hf-tiny" / "spiece.model").read_bytes()
    assert (checkpoint.lower_case, checkpoint.max_length, checkpoint.original_graph) == (True, 512, None)
    provenance = checkpoint.provenance
    assert (provenance.kind, provenance.location) == ("sparknlp-tensorflow", name)
    read = {"metadata/part-00000", "fields/labels/part-00000", "fields/labels/part-00001", "albert_spp", TENSORFLOW}
    assert provenance.files.keys() == read


@real
@pytest.mark.parametrize("name", [*TENSORFLOW_ZIPS, ONNX_ZIP])
def test_the_graph_says_what_transformers_said_of_every_text(name: str) -> None:
    checkpoint = read_checkpoint(SAVED / name)

    rows = json.loads((SAVED / "reference.json").read_text())["rows"]
    assert len(rows) == 28
    expected = [[row["transformers"]["neg"], row["transformers"]["pos"]] for row in rows]
    np.testing.assert_allclose(_probabilities(checkpoint, [row["text"] for row in rows]), expected, atol=1e-5)


@real
@pytest.mark.parametrize("form", FORMS)
def test_the_onnx_form_is_rebuilt(tmp_path: Path, form: Callable[[Path, Path], Path]) -> None:
    path = form(SAVED / ONNX_ZIP, tmp_path)
    assert is_sparknlp(path)
    checkpoint = read_checkpoint(path)

    assert checkpoint.shape == AlbertShape.from_config(json.loads((SAVED / "hf-tiny" / "config.json").read_text()))
    for key, value in load_file(SAVED / "hf-tiny" / "model.safetensors").items():
        np.testing.assert_array_equal(checkpoint.weights[key], value, err_msg=key)
    assert checkpoint.provenance.kind == "sparknlp-onnx"
    assert checkpoint.original_graph is not None
    onnxruntime.InferenceSession(checkpoint.original_graph, providers=["CPUExecutionProvider"])


@real
def test_any_source_that_is_one_is_read_as_one() -> None:
    source = open_source(str(SAVED / TENSORFLOW_ZIPS[0]))
    assert source.provenance.kind == "sparknlp-tensorflow"


@real
def test_the_writer_of_these_tests_writes_labels_as_spark_does() -> None:
    with zipfile.ZipFile(SAVED / TENSORFLOW_ZIPS[0]) as archive:
        (value,) = sequence_values(archive.read("fields/labels/part-00001"), "part-00001")
    assert bytes(value) == java_tuples(("pos", 1))


@real
@settings(max_examples=60, deadline=None)
@given(changes=st.lists(st.tuples(st.integers(0, 2**20), st.integers(0, 255)), min_size=1, max_size=3))
def test_a_damaged_zip_is_read_or_is_one_line(
    tmp_path_factory: pytest.TempPathFactory, changes: list[tuple[int, int]]
) -> None:
    data = bytearray((SAVED / TENSORFLOW_ZIPS[0]).read_bytes())
    for place, value in changes:
        data[place % len(data)] = value
    path = tmp_path_factory.mktemp("damaged") / "model.zip"
    path.write_bytes(data)
    read_or_one_line(path)


# Other shapes


@pytest.mark.parametrize("names_in", ["bundle", "graph"])
@pytest.mark.parametrize("overrides", SHAPES.values(), ids=SHAPES.keys())
def test_every_shape_comes_out_as_it_was_saved(tmp_path: Path, overrides: dict[str, Any], names_in: str) -> None:
    shape = small_shape(**overrides)
    weights = random_weights(shape)
    checkpoint = read_checkpoint(write_zip(tmp_path / "model.zip", saved_model(shape, weights, names_in=names_in)))

    assert checkpoint.shape == shape
    assert checkpoint.weights.keys() == weights.keys()
    for name, value in weights.items():
        assert checkpoint.weights[name].tobytes() == value.tobytes(), name
    ids = np.array([[2, 40, 500, 3]])
    session = onnxruntime.InferenceSession(
        build_graph(checkpoint.shape, checkpoint.weights, precision="fp32").SerializeToString(),
        providers=["CPUExecutionProvider"],
    )
    feeds = {"input_ids": ids.astype(np.int32), "lengths": np.array([4], dtype=np.int32)}
    expected = reference_logits(shape, weights, ids, np.array([4]))
    np.testing.assert_allclose(softmax(session.run(None, feeds)[0]), softmax(expected), atol=1e-5)


def test_the_numbers_order_the_labels_not_the_parts(tmp_path: Path) -> None:
    names = ["zero", "one", "two", "three", "four"]
    shape = small_shape(id2label={str(index): name for index, name in enumerate(names)})
    files = saved_model(shape, random_weights(shape)) | {
        "fields/labels/part-00000": sequence_file(java_tuples(("four", 4), ("zero", 0))),
        "fields/labels/part-00001": sequence_file(),
        "fields/labels/part-00002": sequence_file(java_tuples(("two", 2)), java_tuples(("one", 1))),
        "fields/labels/part-00003": sequence_file(java_tuples(("three", 3))),
        "fields/labels/part-00004": sequence_file(),
        "fields/labels/.part-00000.crc": b"not read",
    }
    assert read_checkpoint(write_folder(tmp_path, files)).labels == tuple(names)


def test_what_is_not_set_has_the_defaults_of_spark_nlp(tmp_path: Path) -> None:
    """3.4 writes no engine; nobody need have set the length."""
    shape = small_shape(max_position_embeddings=512)
    params = {"engine": None, "maxSentenceLength": None, "caseSensitive": None}
    checkpoint = read_checkpoint(write_folder(tmp_path, saved_model(shape, random_weights(shape), **params)))
    assert (checkpoint.lower_case, checkpoint.max_length) == (True, 128)
    assert any("maxSentenceLength" in note for note in checkpoint.provenance.notes)


def test_parameters_and_options_are_obeyed(tmp_path: Path) -> None:
    shape = small_shape(max_position_embeddings=512)
    path = write_folder(
        tmp_path,
        saved_model(shape, random_weights(shape), caseSensitive=True, maxSentenceLength=99, coalesceSentences=True),
    )
    checkpoint = read_checkpoint(path)
    assert (checkpoint.lower_case, checkpoint.max_length) == (False, 99)
    assert any("coalesceSentences" in note for note in checkpoint.provenance.notes)
    chosen = read_checkpoint(path, lower_case=True, max_length=300, labels=("bad", "good"))
    assert (chosen.lower_case, chosen.max_length, chosen.labels) == (True, 300, ("bad", "good"))


def test_more_tokens_than_the_model_has_places_are_as_many_as_it_has(tmp_path: Path) -> None:
    assert read_checkpoint(write_folder(tmp_path, small_model())).max_length == 16


def test_labels_that_were_not_saved_must_be_named(tmp_path: Path) -> None:
    files = {name: data for name, data in small_model().items() if not name.startswith("fields/")}
    path = write_folder(tmp_path, files)
    refused(path, "--labels neg,pos")
    assert read_checkpoint(path, labels=("bad", "good")).labels == ("bad", "good")
