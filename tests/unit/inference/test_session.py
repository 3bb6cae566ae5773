"""The session: every graph that fits is fed what it asks for, and every other one is refused."""

from __future__ import annotations

import hashlib
import json
import logging
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import numpy as np
import onnx
import onnxruntime
import pytest
from absent import Absent
from albert_reference import reference_logits, softmax, write_tiny_artifact
from contrib_operators import evaluate
from onnx import TensorProto, helper
from onnxruntime.capi.onnxruntime_pybind11_state import InvalidProtobuf
from onnxruntime.capi.onnxruntime_pybind11_state import NotImplemented as OperatorMissing

from worker.errors import ArtifactError, InferenceError, NotFiniteError, OutOfMemoryError, UsageError
from worker.inference import Artifact, ClassifierSession, SessionOptions, open_session, providers
from worker.inference.artifact import GRAPH, MANIFEST, PADDING_FREE_GRAPH, WEIGHTS
from worker.inference.session import Provider, cuda_options
from worker.modelkit.convert.sources.folder import read_folder

CPU = SessionOptions(provider="cpu", threads=1)
IDS = np.array([[2, 7, 9, 3], [2, 3, 0, 0]], dtype=np.int32)
LENGTHS = np.array([4, 2], dtype=np.int32)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_artifact(tmp_path_factory.mktemp("session") / "tiny")


@pytest.fixture(scope="module")
def tiny_half(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_artifact(tmp_path_factory.mktemp("session") / "tiny", "fp16")


def _artifact_with(folder: Path, tiny: Path, model: onnx.ModelProto | bytes) -> Artifact:
    """The tiny artifact with another graph."""
    for path in tiny.iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    (folder / GRAPH).write_bytes(model if isinstance(model, bytes) else model.SerializeToString())
    manifest = json.loads((folder / MANIFEST).read_text())
    manifest["sha256"][GRAPH] = hashlib.sha256((folder / GRAPH).read_bytes()).hexdigest()
    (folder / MANIFEST).write_text(json.dumps(manifest))
    return Artifact.load(folder)


def _counting_graph(
    inputs: dict[str, int], *, output: str = "logits", labels: int | str = 2, output_type: int = TensorProto.FLOAT
) -> onnx.ModelProto:
    """For each row, the sum of every input over the row, as a logit of each label."""
    nodes, sums = [], []
    for name in inputs:
        values = f"{name}_float"
        nodes.append(helper.make_node("Cast", [name], [values], to=TensorProto.FLOAT))
        if name == "lengths":
            nodes.append(helper.make_node("Unsqueeze", [values, "one"], [f"{name}_sum"]))
        else:
            nodes.append(helper.make_node("ReduceSum", [values, "one"], [f"{name}_sum"], keepdims=1))
        sums.append(f"{name}_sum")
    nodes.append(helper.make_node("Sum", sums, ["total"]))
    nodes.append(helper.make_node("Neg", ["total"], ["minus"]))
    columns = ["total", "minus"] if labels in (2, "free") else ["total"] * int(labels)
    nodes.append(helper.make_node("Concat", columns, ["joined"], axis=1))
    nodes.append(helper.make_node("Cast", ["joined"], [output], to=output_type))
    graph = helper.make_graph(
        nodes,
        "counting",
        [
            helper.make_tensor_value_info(name, dtype, ["batch"] if name == "lengths" else ["batch", "sequence"])
            for name, dtype in inputs.items()
        ],
        [helper.make_tensor_value_info(output, output_type, ["batch", labels])],
        [helper.make_tensor("one", TensorProto.INT64, [1], [1])],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def test_a_converted_model_says_what_the_reference_says(tiny: Path) -> None:
    session = open_session(Artifact.load(tiny), CPU)
    session.warm_up()

    scores = session.predict(IDS, LENGTHS)

    checkpoint = read_folder(tiny.with_name("tiny-checkpoint"))
    expected = softmax(reference_logits(checkpoint.shape, dict(checkpoint.weights), IDS, LENGTHS))
    assert session.provider == "cpu"
    assert scores.dtype == np.float32
    np.testing.assert_allclose(scores, expected, atol=1e-5)


@pytest.mark.parametrize("dtype", [TensorProto.INT32, TensorProto.INT64])
@pytest.mark.parametrize(
    ("names", "total"),
    [
        (("input_ids", "lengths"), [21 + 4, 5 + 2]),
        (("input_ids", "attention_mask"), [21 + 4, 5 + 2]),
        (("input_ids", "attention_mask", "token_type_ids"), [21 + 4, 5 + 2]),
        (("attention_mask", "lengths", "input_ids"), [21 + 8, 5 + 4]),
    ],
)
def test_the_graph_is_fed_whatever_it_asks_for(
    tmp_path: Path, tiny: Path, names: tuple[str, ...], total: list[int], dtype: int
) -> None:
    session = open_session(_artifact_with(tmp_path, tiny, _counting_graph(dict.fromkeys(names, dtype))), CPU)
    logits = np.array([[value, -value] for value in total], dtype=np.float64)
    np.testing.assert_allclose(session.predict(IDS, LENGTHS), softmax(logits), atol=1e-6)


def test_an_output_of_another_name_and_half_precision_will_do(tmp_path: Path, tiny: Path) -> None:
    graph = _counting_graph(
        {"input_ids": TensorProto.INT64, "lengths": TensorProto.INT64},
        output="output_0",
        labels="free",
        output_type=TensorProto.FLOAT16,
    )
    scores = open_session(_artifact_with(tmp_path, tiny, graph), CPU).predict(IDS, LENGTHS)
    assert scores.dtype == np.float32
    assert scores.shape == (2, 2)


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ({"input_ids": TensorProto.INT32, "pixels": TensorProto.INT32}, "asks for an input 'pixels'"),
        ({"input_ids": TensorProto.FLOAT, "lengths": TensorProto.INT32}, "not int32 or int64"),
        ({"input_ids": TensorProto.INT32}, "lengths or attention_mask"),
        ({"attention_mask": TensorProto.INT32}, "needs the inputs input_ids"),
    ],
)
def test_inputs_that_do_not_fit_are_one_clear_error(
    tmp_path: Path, tiny: Path, inputs: dict[str, int], message: str
) -> None:
    artifact = _artifact_with(tmp_path, tiny, _counting_graph(inputs))
    with pytest.raises(ArtifactError, match=message):
        open_session(artifact, CPU)


def test_a_graph_for_another_number_of_labels_is_refused(tmp_path: Path, tiny: Path) -> None:
    graph = _counting_graph({"input_ids": TensorProto.INT32, "lengths": TensorProto.INT32}, labels=3)
    artifact = _artifact_with(tmp_path, tiny, graph)
    with pytest.raises(ArtifactError, match=r"not a score for each of the 2 labels \(neg, pos\)"):
        open_session(artifact, CPU)


def test_a_file_that_is_no_graph_is_refused(tmp_path: Path, tiny: Path) -> None:
    artifact = _artifact_with(tmp_path, tiny, b"not a graph")
    with pytest.raises(ArtifactError, match="cannot load it") as raised:
        open_session(artifact, CPU)
    assert "\n" not in str(raised.value)


def test_a_failing_computation_is_an_inference_error(tiny: Path) -> None:
    session = open_session(Artifact.load(tiny), CPU)
    with pytest.raises(InferenceError, match="ONNX Runtime failed"):
        session.predict(IDS + 1_000_000, LENGTHS)
    assert session.predict(IDS, LENGTHS).shape == (2, 2)


def test_scores_that_are_not_finite_are_an_inference_error(tmp_path: Path) -> None:
    artifact = Artifact.load(write_tiny_artifact(tmp_path / "broken"))
    model = onnx.load(artifact.model_path)
    for tensor in model.graph.initializer:
        if tensor.name == "classifier.bias":
            tensor.CopyFrom(onnx.numpy_helper.from_array(np.array([np.nan, 0], dtype=np.float32), tensor.name))
    artifact.model_path.write_bytes(model.SerializeToString())
    with pytest.raises(NotFiniteError):
        open_session(artifact, CPU).warm_up()


class FailingRuntime:
    """A loaded graph whose computation raises `error`."""

    def __init__(self, artifact: Artifact, error: Exception) -> None:
        self._session = onnxruntime.InferenceSession(str(artifact.model_path), providers=["CPUExecutionProvider"])
        self._error = error
        self.get_inputs, self.get_outputs = self._session.get_inputs, self._session.get_outputs

    def run(self, names: object, feeds: object) -> object:
        raise self._error


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("bfc_arena.cc: Failed to allocate memory for requested buffer of size 1048576"),
        RuntimeError("CUDA failure 2: out of memory ; GPU=0"),
        RuntimeError("std::bad_alloc"),
        MemoryError(),
    ],
)
def test_a_full_device_is_told_from_other_failures(tiny: Path, error: Exception) -> None:
    artifact = Artifact.load(tiny)
    with pytest.raises(OutOfMemoryError) as raised:
        ClassifierSession(artifact, FailingRuntime(artifact, error), "cpu").predict(IDS, LENGTHS)
    assert "\n" not in str(raised.value)


def test_asking_for_a_gpu_where_there_is_none_is_a_clear_error(tiny: Path) -> None:
    with pytest.raises(UsageError, match="provider cuda"):
        open_session(Artifact.load(tiny), SessionOptions(provider="cuda"))


def test_auto_takes_the_cpu_without_a_word(tiny: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        assert open_session(Artifact.load(tiny), SessionOptions(provider="auto")).provider == "cpu"
    assert not caplog.records


def test_a_process_that_classifies_on_a_cpu_prints_nothing() -> None:
    code = "from worker import Classifier; Classifier.load().predict(['A fine film.'])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=True)
    assert (done.stdout, done.stderr) == ("", "")


def test_the_cores_that_may_be_used_are_at_least_one() -> None:
    assert providers.usable_cores() >= 1


needs_cuda_build = Absent.CUDA_BUILD.unless(providers.cuda_is_built_in())


@needs_cuda_build
def test_a_gpu_that_cannot_be_used_is_said_once_and_the_cpu_taken(
    tiny: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(providers, "gpu_count", lambda: 1)
    session = open_session(Artifact.load(tiny), SessionOptions())
    assert (session.provider, session.fell_back) == ("cpu", True)
    (record,) = caplog.records
    assert "[cuda]" in record.getMessage()
    assert capfd.readouterr() == ("", "")


def test_a_gpu_whose_driver_does_not_offer_it_is_said_once_and_the_cpu_taken(
    tiny: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(providers, "gpu_is_attached", lambda: True)
    assert open_session(Artifact.load(tiny), SessionOptions()).fell_back
    (record,) = caplog.records
    assert "there is a GPU, but" in record.getMessage()
    assert not open_session(Artifact.load(tiny), CPU).fell_back  # nobody wanted it
    assert not open_session(Artifact.load(None), SessionOptions()).fell_back  # int8: made for a CPU
    assert len(caplog.records) == 1


def test_a_gpu_is_attached_where_the_kernel_shows_it(tmp_path: Path) -> None:
    for name in ("null", "nvidiactl", "nvidia-uvm"):
        (tmp_path / name).touch()
    assert not providers.gpu_is_attached(tmp_path)
    (tmp_path / "nvidia10").touch()
    assert providers.gpu_is_attached(tmp_path)


@needs_cuda_build
def test_a_gpu_that_was_asked_for_and_cannot_be_used_is_a_clear_error(
    tiny: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(providers, "gpu_count", lambda: 1)
    with pytest.raises(UsageError, match=r"\[cuda\]"):
        open_session(Artifact.load(tiny), SessionOptions(provider="cuda"))


def test_an_int8_model_leaves_the_gpu_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(providers, "gpu_count", lambda: 1)
    monkeypatch.setattr(providers, "cuda_is_built_in", lambda: True)
    assert open_session(Artifact.load(None), SessionOptions()).provider == "cpu"


def test_a_gpu_number_that_is_not_there_is_a_clear_error(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(providers, "gpu_count", lambda: 2)
    monkeypatch.setattr(providers, "cuda_is_built_in", lambda: True)
    with pytest.raises(UsageError, match="no GPU 2 here"):
        open_session(Artifact.load(tiny), SessionOptions(provider="cuda", device_id=2))


class GpuRuntime:
    """ONNX Runtime as it is where there is a GPU: the CUDA provider's operators, computed by numpy."""

    refused: tuple[str, Exception] | None = None
    """Name of a graph, and what the runtime raises when it loads it."""
    failing: str | None = None
    """Name of a graph that loads and then fails."""
    loaded: tuple[str, ...] = ()

    def __init__(self, path: str, settings: object, providers: list[object], disabled_optimizers: list[str]) -> None:
        self._path = Path(path)
        self._providers = [entry if isinstance(entry, str) else entry[0] for entry in providers]
        if GpuRuntime.refused and self._path.name == GpuRuntime.refused[0]:
            raise GpuRuntime.refused[1]
        GpuRuntime.loaded += (self._path.name,)

    def get_providers(self) -> list[str]:
        return self._providers

    def get_inputs(self) -> list[object]:
        return [
            Input("input_ids", "tensor(int32)", ["batch", "sequence"]),
            Input("lengths", "tensor(int32)", ["batch"]),
        ]

    def get_outputs(self) -> list[object]:
        return [Input("logits", "tensor(float)", ["batch", 2])]

    def run(self, names: list[str], feeds: dict[str, np.ndarray]) -> list[np.ndarray]:
        if self._path.name == GpuRuntime.failing:
            raise RuntimeError("no kernel image is available for execution on the device")
        return evaluate(self._path, feeds, names)


class Input(NamedTuple):
    name: str
    type: str
    shape: list[object]


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> type[GpuRuntime]:
    runtime = GpuRuntime
    for name, value in (("refused", None), ("failing", None), ("loaded", ())):
        monkeypatch.setattr(runtime, name, value)
    monkeypatch.setattr(onnxruntime, "InferenceSession", runtime)
    monkeypatch.setattr(providers, "gpu_count", lambda: 1)
    monkeypatch.setattr(providers, "cuda_is_built_in", lambda: True)
    monkeypatch.setattr(providers, "preload_cuda_libraries", lambda: None)
    return runtime


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_a_gpu_computes_the_graph_without_padding(
    tiny: Path, tiny_half: Path, gpu: type[GpuRuntime], precision: str
) -> None:
    folder = tiny if precision == "fp32" else tiny_half
    artifact = Artifact.load(folder)
    session = open_session(artifact, SessionOptions())
    assert (session.provider, gpu.loaded) == ("cuda", (PADDING_FREE_GRAPH,))
    checkpoint = read_folder(folder.with_name("tiny-checkpoint"))
    expected = softmax(reference_logits(checkpoint.shape, dict(checkpoint.weights), IDS, LENGTHS))
    np.testing.assert_allclose(session.predict(IDS, LENGTHS), expected, atol=1e-5 if precision == "fp32" else 5e-3)


@pytest.mark.parametrize("how", ["not implemented", "fails in use"])
def test_where_the_packed_operators_are_missing_the_padded_graph_is_used(
    tiny: Path, gpu: type[GpuRuntime], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, how: str
) -> None:
    if how == "not implemented":
        text = "[ONNXRuntimeError] : 9 : NOT_IMPLEMENTED : Could not find an implementation for RemovePadding(1)"
        monkeypatch.setattr(gpu, "refused", (PADDING_FREE_GRAPH, OperatorMissing(text)))
    else:
        monkeypatch.setattr(gpu, "failing", PADDING_FREE_GRAPH)
    artifact = Artifact.load(tiny)
    with caplog.at_level(logging.INFO):
        session = open_session(artifact, SessionOptions())
    assert (session.provider, gpu.loaded[-1]) == ("cuda", GRAPH)
    (record,) = caplog.records
    assert (record.levelname, "the graph with padding is used" in record.getMessage()) == ("INFO", True)
    assert session.predict(IDS, LENGTHS).shape == (2, 2)


def test_a_graph_without_padding_that_is_broken_is_an_error(
    tiny: Path, gpu: type[GpuRuntime], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gpu, "refused", (PADDING_FREE_GRAPH, InvalidProtobuf("NOT_IMPLEMENTED is not what it is")))
    artifact = Artifact.load(tiny)
    with pytest.raises(ArtifactError, match=PADDING_FREE_GRAPH):
        open_session(artifact, SessionOptions())


def test_a_cpu_never_loads_the_graph_without_padding(tiny: Path, gpu: type[GpuRuntime]) -> None:
    assert open_session(Artifact.load(tiny), CPU).provider == "cpu"
    assert gpu.loaded == (GRAPH,)


def test_float32_is_float32_on_a_gpu() -> None:
    options = cuda_options(3)
    assert (options["device_id"], options["use_tf32"]) == (3, 0)


@pytest.mark.parametrize("provider", ["auto", "cpu"])
def test_half_precision_on_a_cpu_works_and_is_said_to_be_slow(
    tiny_half: Path, caplog: pytest.LogCaptureFixture, provider: Provider
) -> None:
    artifact = Artifact.load(tiny_half)
    session = open_session(artifact, SessionOptions(provider=provider, threads=1))
    (record,) = caplog.records
    assert record.levelname == "WARNING"
    assert "--precision int8 or fp32" in record.getMessage()
    checkpoint = read_folder(tiny_half.with_name("tiny-checkpoint"))
    expected = softmax(reference_logits(checkpoint.shape, dict(checkpoint.weights), IDS, LENGTHS))
    np.testing.assert_allclose(session.predict(IDS, LENGTHS), expected, atol=5e-3)


def test_weights_lie_beside_the_graph(tiny: Path, tmp_path: Path) -> None:
    for path in tiny.iterdir():
        if path.name != WEIGHTS:
            (tmp_path / path.name).write_bytes(path.read_bytes())
    manifest = json.loads((tmp_path / MANIFEST).read_text())
    del manifest["sha256"][WEIGHTS]
    (tmp_path / MANIFEST).write_text(json.dumps(manifest))
    with pytest.raises(ArtifactError, match="cannot load it"):
        open_session(Artifact.load(tmp_path), CPU)
