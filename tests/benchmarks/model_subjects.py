"""The programs that `bench_model` compares: the same ALBERT by transformers, by stock exports, and by us."""

from __future__ import annotations

import contextlib
import io
import logging
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnxruntime
import torch
from transformers import AlbertForSequenceClassification

from worker.inference import Artifact, SessionOptions, open_session
from worker.modelkit.convert.artifact_writer import ArtifactDescription, write_artifact
from worker.modelkit.convert.sources.folder import read_folder

Batch = tuple[npt.NDArray[np.int32], npt.NDArray[np.int32]]
"""Token ids ``[rows, length]`` and lengths ``[rows]``."""
FATAL_ONLY = 4


@dataclass(frozen=True)
class Subject:
    """One way to compute the model."""

    name: str
    precision: str
    """In which its matrix products are computed."""
    compute: Callable[[Sequence[Batch]], list[npt.NDArray[np.float32]]]
    """Scores of every batch; logits or probabilities, which is all the same to the label."""
    ours: bool = False


def transformers_subject(model: AlbertForSequenceClassification) -> Subject:
    """transformers on torch, float32."""

    def compute(batches: Sequence[Batch]) -> list[npt.NDArray[np.float32]]:
        results = []
        with torch.inference_mode():
            for ids, lengths in batches:
                mask = np.arange(ids.shape[1]) < lengths[:, None]
                inputs = torch.from_numpy(ids.astype(np.int64)), torch.from_numpy(mask.astype(np.int64))
                results.append(model(input_ids=inputs[0], attention_mask=inputs[1]).logits.numpy())
        return results

    return Subject("transformers (torch)", "fp32", compute)


def export_plain(model: AlbertForSequenceClassification, path: Path) -> Path:
    """What ``torch.onnx.export`` makes of it, nothing added."""
    ids = torch.randint(5, 100, (2, 16))
    axes = {0: "batch", 1: "sequence"}
    with _quiet():
        torch.onnx.export(
            model,
            (ids, torch.ones_like(ids), torch.zeros_like(ids)),
            str(path),
            input_names=["input_ids", "attention_mask", "token_type_ids"],
            output_names=["logits"],
            dynamic_axes=dict.fromkeys(("input_ids", "attention_mask", "token_type_ids"), axes)
            | {"logits": {0: "batch"}},
            opset_version=17,
            dynamo=False,
        )
    return path


def optimise_stock(plain: Path, path: Path, heads: int, hidden: int) -> Path:
    """ONNX Runtime's own optimiser for BERT-like models."""
    from onnxruntime.transformers import optimizer

    with _quiet():
        optimised = optimizer.optimize_model(str(plain), model_type="bert", num_heads=heads, hidden_size=hidden)
        optimised.save_model_to_file(str(path))
    return path


def quantise_stock(plain: Path, path: Path) -> Path:
    """ONNX Runtime's own dynamic quantisation, a scale for each output channel."""
    from onnxruntime.quantization import QuantType, quantize_dynamic

    with _quiet():
        quantize_dynamic(str(plain), str(path), per_channel=True, weight_type=QuantType.QInt8)
    return path


def stock_subject(name: str, precision: str, path: Path) -> Subject:
    """A stock graph in an ONNX Runtime session with its defaults, on all cores."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = FATAL_ONLY
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    known = {node.name for node in session.get_inputs()}

    def compute(batches: Sequence[Batch]) -> list[npt.NDArray[np.float32]]:
        results = []
        for ids, lengths in batches:
            mask = np.arange(ids.shape[1]) < lengths[:, None]
            feeds = {
                "input_ids": ids.astype(np.int64),
                "attention_mask": mask.astype(np.int64),
                "token_type_ids": np.zeros_like(ids, dtype=np.int64),
            }
            results.append(session.run(["logits"], {key: value for key, value in feeds.items() if key in known})[0])
        return results

    return Subject(name, precision, compute)


def our_subject(checkpoint: Path, out: Path, precision: str) -> tuple[Subject, Path]:
    """An artifact of ours in the worker's own session, as many batches side by side as it computes; and its folder."""
    write_artifact(read_folder(checkpoint), out, ArtifactDescription("bench", "1.0.0", precision))
    session = open_session(Artifact.load(out), SessionOptions(provider="cpu"))

    def compute(batches: Sequence[Batch]) -> list[npt.NDArray[np.float32]]:
        with ThreadPoolExecutor(session.concurrency) as threads:
            return list(threads.map(lambda batch: session.predict(*batch), batches))

    return Subject(f"ours, {precision}", precision, compute, ours=True), out


def matrix_peak(precision: str, seconds: float = 2.0) -> float:
    """FLOP/s of one large matrix product in ONNX Runtime on all cores, the best of the rounds that fit in `seconds`."""
    import time

    from onnx import TensorProto, helper, numpy_helper

    rows, inner, columns = 2048, 768, 3072
    generator = np.random.default_rng(0)
    if precision == "int8":
        weight = numpy_helper.from_array(generator.integers(-64, 64, (inner, columns)).astype(np.int8), "w")
        node = helper.make_node("MatMulInteger", ["x", "w"], ["y"])
        left = generator.integers(0, 255, (rows, inner)).astype(np.uint8)
        types = TensorProto.UINT8, TensorProto.INT32
    else:
        weight = numpy_helper.from_array(generator.normal(size=(inner, columns)).astype(np.float32), "w")
        node = helper.make_node("MatMul", ["x", "w"], ["y"])
        left = generator.normal(size=(rows, inner)).astype(np.float32)
        types = TensorProto.FLOAT, TensorProto.FLOAT
    graph = helper.make_graph(
        [node],
        "product",
        [helper.make_tensor_value_info("x", types[0], [rows, inner])],
        [helper.make_tensor_value_info("y", types[1], [rows, columns])],
        [weight],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    best, until = float("inf"), time.perf_counter() + seconds
    while time.perf_counter() < until:
        started = time.perf_counter()
        session.run(None, {"x": left})
        best = min(best, time.perf_counter() - started)
    return 2 * rows * inner * columns / best


@contextlib.contextmanager
def _quiet():
    """Exporters and optimisers print much, and warn of what does not matter here."""
    import warnings

    level = logging.root.manager.disable
    logging.disable(logging.ERROR)
    try:
        with (
            warnings.catch_warnings(),
            contextlib.redirect_stdout(io.StringIO()),
            Path(os.devnull).open("w") as nowhere,
        ):
            warnings.simplefilter("ignore")
            with contextlib.redirect_stderr(nowhere):
                yield
    finally:
        logging.disable(level)
