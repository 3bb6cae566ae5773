"""What is not read: models of another kind, ones that are not whole, and damaged ones. One line each."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from albert_reference import random_weights
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sparknlp_models import inner_files, read_checkpoint, read_or_one_line, refused, small_model, small_shape
from sparknlp_writer import (
    ONNX,
    TENSORFLOW,
    java_tuples,
    metadata,
    saved_model,
    sequence_file,
    tensorflow_files,
    write_folder,
    write_zip,
    zipped,
)


@pytest.mark.parametrize(
    ("files", "message"),
    [
        (
            {"metadata/part-00000": metadata(class_name="com.x.BertForSequenceClassification")},
            "its class is 'com.x.Bert",
        ),
        ({"metadata/part-00000": metadata(class_name="AlbertForSequenceClassificationX")}, "its class is"),
        ({"metadata/part-00000": b"{"}, "not a line of JSON"),
        ({"metadata/part-00000": b"[" * 100_000}, "not a line of JSON"),
        ({"metadata/part-00000": b"[]"}, "not a JSON object"),
        ({"metadata/part-00000": b""}, "not a line of JSON"),
        ({"metadata/part-00000": b" " * (2 << 20)}, "more than the 1048576 bytes"),
        ({"metadata/part-00000": metadata().replace(b'"paramMap": {', b'"paramMap": 3, "x": {')}, "paramMap is not"),
        ({"metadata/part-00000": metadata(activation="sigmoid")}, "several labels at once"),
        ({"metadata/part-00000": metadata(multilabel=True)}, "several labels at once"),
        ({"metadata/part-00000": metadata("openvino")}, "its engine is 'openvino'"),
        ({"metadata/part-00000": metadata("onnx")}, f"{ONNX} is missing, and {TENSORFLOW} is there"),
        ({"metadata/part-00000": metadata(maxSentenceLength=1)}, "maxSentenceLength is 1"),
        ({"metadata/part-00000": metadata(maxSentenceLength="512")}, "maxSentenceLength is '512', not a whole number"),
        ({"metadata/part-00000": metadata(caseSensitive="no")}, "caseSensitive is 'no', not true or false"),
        ({"albert_spp": b"no pieces"}, "albert_spp is not ALBERT's SentencePiece model"),
        ({"fields/labels/part-00001": b"PAR1"}, "part-00001: not a Hadoop SequenceFile"),
        ({"fields/labels/part-00001": sequence_file()}, "has 1 labels, but the model has 2 outputs"),
        ({"fields/labels/part-00001": sequence_file(java_tuples(("pos", 0)))}, "the number 0 is that of two labels"),
        ({"fields/labels/part-00001": sequence_file(java_tuples(("pos", 2)))}, r"are \[0, 2\], not 0, 1, 2"),
        ({"fields/labels/part-00001": sequence_file(java_tuples(("neg", 1)))}, "the same name"),
        ({"fields/labels/part-00001": sequence_file(java_tuples(("pos", "1")))}, "'pos' has no number"),
        ({TENSORFLOW: b"no zip"}, f"{TENSORFLOW}: not a zip"),
    ],
)
def test_a_model_that_is_not_whole_or_another_is_one_line(
    tmp_path: Path, files: dict[str, bytes], message: str
) -> None:
    refused(write_folder(tmp_path, small_model() | files), message)


@pytest.mark.parametrize("name", ["albert_spp", TENSORFLOW])
def test_a_missing_file_is_named(tmp_path: Path, name: str) -> None:
    files = {each: data for each, data in small_model().items() if each != name}
    refused(write_zip(tmp_path / "model.zip", files), f"the file {name} is missing")


@pytest.mark.parametrize("name", ["saved_model.pb", "variables.index", "variables.data-00000-of-00001"])
def test_a_missing_or_a_cut_file_of_the_inner_zip_is_named(tmp_path: Path, name: str) -> None:
    shape = small_shape()
    inner = tensorflow_files(shape, random_weights(shape))
    cut = zipped(inner | {name: inner[name][: len(inner[name]) // 2]})
    refused(write_folder(tmp_path / "cut", small_model() | {TENSORFLOW: cut}), TENSORFLOW)
    del inner[name]
    path = write_folder(tmp_path / "missing", small_model() | {TENSORFLOW: zipped(inner)})
    refused(path, f"{TENSORFLOW}: the file {name} is missing")


def test_one_changed_byte_among_the_weights_is_seen(tmp_path: Path) -> None:
    """By the checksum of the zip that they are in, also where the model is a folder."""
    data = bytearray(small_model()[TENSORFLOW])
    data[len(data) // 2] ^= 1
    path = write_folder(tmp_path, small_model() | {TENSORFLOW: bytes(data)})
    refused(path, r"variables.data-00000-of-00001 cannot be read \(Bad CRC-32")


def test_tensors_in_several_files_are_refused(tmp_path: Path) -> None:
    shape = small_shape()
    inner = tensorflow_files(shape, random_weights(shape))
    inner["variables.data-00000-of-00002"] = inner.pop("variables.data-00000-of-00001")
    refused(write_folder(tmp_path, small_model() | {TENSORFLOW: zipped(inner)}), "in more than one file")


def test_variables_without_names_are_refused(tmp_path: Path) -> None:
    shape = small_shape()
    files = saved_model(shape, random_weights(shape), names_in="nowhere")
    refused(write_folder(tmp_path, files), "not named as an AlbertForSequenceClassification's")


@pytest.mark.parametrize(
    ("left_out", "message"),
    [
        ("albert.pooler.weight", r"weight albert\.pooler\.weight is missing"),
        ("classifier.weight", r"weight classifier\.weight is missing"),
        ("albert.embeddings.word_embeddings.weight", r"word_embeddings\.weight is missing"),
    ],
)
def test_a_missing_weight_is_named(tmp_path: Path, left_out: str, message: str) -> None:
    shape = small_shape()
    weights = {name: value for name, value in random_weights(shape).items() if name != left_out}
    refused(write_folder(tmp_path, saved_model(shape, weights)), message)


def test_a_weight_that_is_not_finite_is_named(tmp_path: Path) -> None:
    shape = small_shape()
    weights = random_weights(shape)
    weights["albert.pooler.bias"][3] = np.nan
    refused(write_folder(tmp_path, saved_model(shape, weights)), r"albert\.pooler\.bias holds values")


@pytest.mark.parametrize(
    ("graph_of", "message"),
    [
        ({"num_hidden_layers": 4, "num_hidden_groups": 2}, r"albert_layer_groups\.1.* is missing"),
        ({"num_attention_heads": 16, "hidden_size": 16}, "multiple of num_attention_heads"),
    ],
)
def test_a_graph_of_another_model_is_refused(tmp_path: Path, graph_of: dict[str, Any], message: str) -> None:
    shape = small_shape()
    other = small_shape(**graph_of)
    inner = tensorflow_files(shape, random_weights(shape))
    inner["saved_model.pb"] = tensorflow_files(other, random_weights(other))["saved_model.pb"]
    refused(write_folder(tmp_path, small_model() | {TENSORFLOW: zipped(inner)}), message)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (b"attention/Softmax", b"attention/Softmin", "layers are not an ALBERT's"),
        (b"groups_._0", b"groups_._5", "layers are not an ALBERT's"),
        (b"shape/2", b"shape/9", "number of attention heads cannot be told"),
        (b"Tanh", b"Sine", "the activation is none of gelu_new"),
    ],
)
def test_a_graph_that_is_no_alberts_is_refused(tmp_path: Path, old: bytes, new: bytes, message: str) -> None:
    shape = small_shape()
    inner = tensorflow_files(shape, random_weights(shape))
    inner["saved_model.pb"] = inner["saved_model.pb"].replace(old, new)
    refused(write_folder(tmp_path, small_model() | {TENSORFLOW: zipped(inner)}), message)


def test_a_saved_pipeline_says_which_of_its_folders_is_the_model(tmp_path: Path) -> None:
    stage = "stages/2_AlbertForSequenceClassification_1f92b29b2af1"
    files = {f"{stage}/{name}": data for name, data in small_model().items()}
    files["metadata/part-00000"] = metadata(class_name="org.apache.spark.ml.PipelineModel")
    path = write_folder(tmp_path, files)
    refused(path, f"give its folder {stage}")
    assert read_checkpoint(path / stage).labels == ("neg", "pos")


@pytest.mark.parametrize(
    "name",
    [
        "metadata/part-00000", "albert_spp", "fields/labels/part-00000",
        "saved_model.pb", "variables.index", "variables.data-00000-of-00001",
    ],
)  # fmt: skip
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    changes=st.lists(st.tuples(st.integers(0, 2**20), st.integers(0, 255)), max_size=4),
    cut=st.integers(0, 200) | st.integers(0, 2**20),
)
def test_a_damaged_file_is_read_or_is_one_line(
    tmp_path: Path, name: str, changes: list[tuple[int, int]], cut: int
) -> None:
    """Whatever is changed in a file, with the checksums around it set right again."""
    files = dict(small_model())
    inner = inner_files(files[TENSORFLOW])
    holder = inner if name in inner else files
    data = bytearray(holder[name])
    for place, value in changes:
        data[place % len(data)] = value
    holder[name] = bytes(data[: len(data) - cut] if cut < len(data) else data)
    if holder is inner:
        files[TENSORFLOW] = zipped(inner, zipfile.ZIP_STORED)
    read_or_one_line(write_folder(tmp_path, files))
