"""Models that Spark NLP saved: the real ones of ../shared/sparknlp, and written ones of other shapes."""

from __future__ import annotations

import functools
import io
import json
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
from albert_reference import TINY, random_weights, reference_logits, softmax
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.numpy import load_file
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

from worker.convert.checkpoint import Checkpoint, ForeignGraph, SourceOptions
from worker.convert.graph import build_graph
from worker.convert.shape import AlbertShape, CheckpointError
from worker.convert.sources import open_source
from worker.convert.sources.hadoop import sequence_values
from worker.convert.sources.sparknlp import is_sparknlp, read_sparknlp
from worker.inference.artifact import BUNDLED_PATH, PIECES

SHARED = Path(__file__).parents[4] / "../shared"
SAVED = SHARED / "sparknlp"
TENSORFLOW_ZIPS = ("albert_tiny_tf.zip", "albert_tiny_tf_344.zip")
ONNX_ZIP = "albert_tiny_onnx.zip"

real = pytest.mark.skipif(not SHARED.exists(), reason="the saved models are not beside the repository (../shared)")

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


def _shape(**overrides: Any) -> AlbertShape:
    return AlbertShape.from_config(TINY | {"vocab_size": 30_000} | overrides)


@functools.cache
def _small_model() -> dict[str, bytes]:
    shape = _shape()
    return saved_model(shape, random_weights(shape))


def _read(path: Path, **options: Any) -> Checkpoint:
    source = read_sparknlp(path, SourceOptions(**options))
    assert isinstance(source, Checkpoint)
    return source


def _refused(path: Path, message: str, **options: Any) -> None:
    with pytest.raises(CheckpointError, match=message) as raised:
        read_sparknlp(path, SourceOptions(**options))
    assert "\n" not in str(raised.value)
    assert str(raised.value).startswith(str(path))


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
    checkpoint = _read(path)

    expected = load_file(SAVED / "hf-tiny" / "model.safetensors")
    assert checkpoint.weights.keys() == expected.keys()
    for key, value in expected.items():
        assert checkpoint.weights[key].tobytes() == value.tobytes(), key


@real
@pytest.mark.parametrize("name", TENSORFLOW_ZIPS)
def test_the_shape_and_the_rest_are_those_of_the_model_that_was_saved(name: str) -> None:
    checkpoint = _read(SAVED / name)

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
    checkpoint = _read(SAVED / name)

    rows = json.loads((SAVED / "reference.json").read_text())["rows"]
    assert len(rows) == 28
    expected = [[row["transformers"]["neg"], row["transformers"]["pos"]] for row in rows]
    np.testing.assert_allclose(_probabilities(checkpoint, [row["text"] for row in rows]), expected, atol=1e-5)


@real
@pytest.mark.parametrize("form", FORMS)
def test_the_onnx_form_is_rebuilt(tmp_path: Path, form: Callable[[Path, Path], Path]) -> None:
    path = form(SAVED / ONNX_ZIP, tmp_path)
    assert is_sparknlp(path)
    checkpoint = _read(path)

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
    _read_or_one_line(path)


# Other shapes


@pytest.mark.parametrize("names_in", ["bundle", "graph"])
@pytest.mark.parametrize("overrides", SHAPES.values(), ids=SHAPES.keys())
def test_every_shape_comes_out_as_it_was_saved(tmp_path: Path, overrides: dict[str, Any], names_in: str) -> None:
    shape = _shape(**overrides)
    weights = random_weights(shape)
    checkpoint = _read(write_zip(tmp_path / "model.zip", saved_model(shape, weights, names_in=names_in)))

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
    shape = _shape(id2label={str(index): name for index, name in enumerate(names)})
    files = saved_model(shape, random_weights(shape)) | {
        "fields/labels/part-00000": sequence_file(java_tuples(("four", 4), ("zero", 0))),
        "fields/labels/part-00001": sequence_file(),
        "fields/labels/part-00002": sequence_file(java_tuples(("two", 2)), java_tuples(("one", 1))),
        "fields/labels/part-00003": sequence_file(java_tuples(("three", 3))),
        "fields/labels/part-00004": sequence_file(),
        "fields/labels/.part-00000.crc": b"not read",
    }
    assert _read(write_folder(tmp_path, files)).labels == tuple(names)


def test_what_is_not_set_has_the_defaults_of_spark_nlp(tmp_path: Path) -> None:
    """3.4 writes no engine; nobody need have set the length."""
    shape = _shape(max_position_embeddings=512)
    params = {"engine": None, "maxSentenceLength": None, "caseSensitive": None}
    checkpoint = _read(write_folder(tmp_path, saved_model(shape, random_weights(shape), **params)))
    assert (checkpoint.lower_case, checkpoint.max_length) == (True, 128)
    assert any("maxSentenceLength" in note for note in checkpoint.provenance.notes)


def test_parameters_and_options_are_obeyed(tmp_path: Path) -> None:
    shape = _shape(max_position_embeddings=512)
    path = write_folder(
        tmp_path,
        saved_model(shape, random_weights(shape), caseSensitive=True, maxSentenceLength=99, coalesceSentences=True),
    )
    checkpoint = _read(path)
    assert (checkpoint.lower_case, checkpoint.max_length) == (False, 99)
    assert any("coalesceSentences" in note for note in checkpoint.provenance.notes)
    chosen = _read(path, lower_case=True, max_length=300, labels=("bad", "good"))
    assert (chosen.lower_case, chosen.max_length, chosen.labels) == (True, 300, ("bad", "good"))


def test_more_tokens_than_the_model_has_places_are_as_many_as_it_has(tmp_path: Path) -> None:
    assert _read(write_folder(tmp_path, _small_model())).max_length == 16


def test_labels_that_were_not_saved_must_be_named(tmp_path: Path) -> None:
    files = {name: data for name, data in _small_model().items() if not name.startswith("fields/")}
    path = write_folder(tmp_path, files)
    _refused(path, "--labels neg,pos")
    assert _read(path, labels=("bad", "good")).labels == ("bad", "good")


# What is refused


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
    _refused(write_folder(tmp_path, _small_model() | files), message)


@pytest.mark.parametrize("name", ["albert_spp", TENSORFLOW])
def test_a_missing_file_is_named(tmp_path: Path, name: str) -> None:
    files = {each: data for each, data in _small_model().items() if each != name}
    _refused(write_zip(tmp_path / "model.zip", files), f"the file {name} is missing")


@pytest.mark.parametrize("name", ["saved_model.pb", "variables.index", "variables.data-00000-of-00001"])
def test_a_missing_or_a_cut_file_of_the_inner_zip_is_named(tmp_path: Path, name: str) -> None:
    shape = _shape()
    inner = tensorflow_files(shape, random_weights(shape))
    cut = zipped(inner | {name: inner[name][: len(inner[name]) // 2]})
    _refused(write_folder(tmp_path / "cut", _small_model() | {TENSORFLOW: cut}), TENSORFLOW)
    del inner[name]
    path = write_folder(tmp_path / "missing", _small_model() | {TENSORFLOW: zipped(inner)})
    _refused(path, f"{TENSORFLOW}: the file {name} is missing")


def test_tensors_in_several_files_are_refused(tmp_path: Path) -> None:
    shape = _shape()
    inner = tensorflow_files(shape, random_weights(shape))
    inner["variables.data-00000-of-00002"] = inner.pop("variables.data-00000-of-00001")
    _refused(write_folder(tmp_path, _small_model() | {TENSORFLOW: zipped(inner)}), "in more than one file")


def test_variables_without_names_are_refused(tmp_path: Path) -> None:
    shape = _shape()
    files = saved_model(shape, random_weights(shape), names_in="nowhere")
    _refused(write_folder(tmp_path, files), "not named as an AlbertForSequenceClassification's")


@pytest.mark.parametrize(
    ("left_out", "message"),
    [
        ("albert.pooler.weight", r"weight albert\.pooler\.weight is missing"),
        ("classifier.weight", r"weight classifier\.weight is missing"),
        ("albert.embeddings.word_embeddings.weight", r"word_embeddings\.weight is missing"),
    ],
)
def test_a_missing_weight_is_named(tmp_path: Path, left_out: str, message: str) -> None:
    shape = _shape()
    weights = {name: value for name, value in random_weights(shape).items() if name != left_out}
    _refused(write_folder(tmp_path, saved_model(shape, weights)), message)


def test_a_weight_that_is_not_finite_is_named(tmp_path: Path) -> None:
    shape = _shape()
    weights = random_weights(shape)
    weights["albert.pooler.bias"][3] = np.nan
    _refused(write_folder(tmp_path, saved_model(shape, weights)), r"albert\.pooler\.bias holds values")


@pytest.mark.parametrize(
    ("graph_of", "message"),
    [
        ({"num_hidden_layers": 4, "num_hidden_groups": 2}, r"albert_layer_groups\.1.* is missing"),
        ({"num_attention_heads": 16, "hidden_size": 16}, "multiple of num_attention_heads"),
    ],
)
def test_a_graph_of_another_model_is_refused(tmp_path: Path, graph_of: dict[str, Any], message: str) -> None:
    shape = _shape()
    other = _shape(**graph_of)
    inner = tensorflow_files(shape, random_weights(shape))
    inner["saved_model.pb"] = tensorflow_files(other, random_weights(other))["saved_model.pb"]
    _refused(write_folder(tmp_path, _small_model() | {TENSORFLOW: zipped(inner)}), message)


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
    shape = _shape()
    inner = tensorflow_files(shape, random_weights(shape))
    inner["saved_model.pb"] = inner["saved_model.pb"].replace(old, new)
    _refused(write_folder(tmp_path, _small_model() | {TENSORFLOW: zipped(inner)}), message)


def test_a_saved_pipeline_says_which_of_its_folders_is_the_model(tmp_path: Path) -> None:
    stage = "stages/2_AlbertForSequenceClassification_1f92b29b2af1"
    files = {f"{stage}/{name}": data for name, data in _small_model().items()}
    files["metadata/part-00000"] = metadata(class_name="org.apache.spark.ml.PipelineModel")
    path = write_folder(tmp_path, files)
    _refused(path, f"give its folder {stage}")
    assert _read(path / stage).labels == ("neg", "pos")


# The ONNX form


def _onnx_model(graph: bytes, name: str = "model.onnx") -> dict[str, bytes]:
    files = {name: data for name, data in _small_model().items() if name != TENSORFLOW}
    return files | {"metadata/part-00000": metadata("onnx"), ONNX: zipped({name: graph})}


@pytest.mark.parametrize("graph", [b"", b"not a graph", b"\x08\x07"])
def test_an_onnx_form_without_a_graph_is_one_line(tmp_path: Path, graph: bytes) -> None:
    _refused(write_folder(tmp_path, _onnx_model(graph)), f"{ONNX}: not an ONNX model")


def test_an_onnx_form_without_its_one_model_is_one_line(tmp_path: Path) -> None:
    _refused(write_folder(tmp_path, _onnx_model(b"", name="model.bin")), "0 ONNX models")


def _average(inputs: tuple[str, ...], labels: int) -> bytes:
    """A classifier without an ALBERT: as many sums of its inputs as it has labels."""
    import onnx
    from onnx import TensorProto, helper

    nodes = [
        *(helper.make_node("Cast", [name], [f"{name}_f"], to=TensorProto.FLOAT) for name in inputs),
        helper.make_node("Sum", [f"{name}_f" for name in inputs], ["sum"]),
        helper.make_node("ReduceMean", ["sum", "axis"], ["mean"], keepdims=1),
        helper.make_node("Tile", ["mean", "times"], ["logits"]),
    ]
    constants = [
        helper.make_tensor("axis", TensorProto.INT64, [1], [1]),
        helper.make_tensor("times", TensorProto.INT64, [2], [1, labels]),
    ]
    graph = helper.make_graph(
        nodes,
        "classifier",
        [helper.make_tensor_value_info(name, TensorProto.INT64, ["batch", "sequence"]) for name in inputs],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", labels])],
        constants,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString())


def test_an_onnx_form_that_cannot_be_rebuilt_is_used_as_it_is(tmp_path: Path) -> None:
    graph = _average(("input_ids", "attention_mask", "token_type_ids"), 2)
    source = read_sparknlp(write_folder(tmp_path, _onnx_model(graph)), SourceOptions(labels=("bad", "good")))
    assert isinstance(source, ForeignGraph)
    assert (source.graph, source.labels, source.max_length) == (graph, ("bad", "good"), 512)
    assert source.pieces == (BUNDLED_PATH / PIECES).read_bytes()
    assert source.config["vocab_size"] == source.tokeniser().vocabulary_size
    assert source.reason


@pytest.mark.parametrize(
    ("graph", "message"),
    [
        (_average(("input_ids", "mask"), 2), "the graph's inputs are input_ids, mask"),
        (_average(("input_ids", "attention_mask"), 3), r"gives the shape \(1, 3\) where \(1, 2\)"),
    ],
)
def test_an_onnx_form_that_cannot_be_used_either_is_one_line(tmp_path: Path, graph: bytes, message: str) -> None:
    _refused(write_folder(tmp_path, _onnx_model(graph)), message)


# Damage


def _read_or_one_line(path: Path) -> None:
    assert isinstance(is_sparknlp(path), bool)
    try:
        read_sparknlp(path, SourceOptions())
    except CheckpointError as error:
        assert "\n" not in str(error)


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
    files = dict(_small_model())
    inner = _inner_files(files[TENSORFLOW])
    holder = inner if name in inner else files
    data = bytearray(holder[name])
    for place, value in changes:
        data[place % len(data)] = value
    holder[name] = bytes(data[: len(data) - cut] if cut < len(data) else data)
    if holder is inner:
        files[TENSORFLOW] = zipped(inner, zipfile.ZIP_STORED)
    _read_or_one_line(write_folder(tmp_path, files))


def _inner_files(data: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}
