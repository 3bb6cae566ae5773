"""What the benchmark on a GPU measures: whether there is one, models, batches, and the card's own peak."""

from __future__ import annotations

import dataclasses
import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime
from onnx import helper, numpy_helper

from tests.entries import make_entry
from worker.batching import Batch, BatchLimits, BatchQueue, ShapeLadder
from worker.inference import Artifact, SessionOptions, open_session, providers
from worker.inference.artifact import BUNDLED_PATH, PADDING_FREE_GRAPH, PIECES
from worker.inference.session import cuda_options
from worker.modelkit.convert.artifact_writer import ArtifactDescription, write_artifact
from worker.modelkit.convert.checkpoint import Provenance, SourceOptions, checkpoint_from
from worker.modelkit.convert.shape import AlbertShape
from worker.records import Encoding, Entry

BASE = {
    "architectures": ["AlbertForSequenceClassification"],
    "model_type": "albert",
    "vocab_size": 30_000,
    "embedding_size": 128,
    "hidden_size": 768,
    "intermediate_size": 3072,
    "num_hidden_layers": 12,
    "num_hidden_groups": 1,
    "inner_group_num": 1,
    "num_attention_heads": 12,
    "hidden_act": "gelu_new",
    "layer_norm_eps": 1e-12,
    "max_position_embeddings": 512,
    "type_vocab_size": 2,
    "id2label": {"0": "neg", "1": "pos"},
    "hidden_dropout_prob": 0.0,
    "attention_probs_dropout_prob": 0.0,
    "classifier_dropout_prob": 0.0,
}
"""The shape of ``albert-base-v2``."""
SEED = 20_261_124
WINDOW_BATCHES = 8
TOKENS_PER_REVIEW_AT_LEAST = 64
"""A batch holds at most its budget over this many reviews."""
_FATAL_ONLY = 4
INSTALL = "install them: .venv/bin/python -m pip install -e '.[cuda]'"

Predict = Callable[[npt.NDArray[np.int32], npt.NDArray[np.int32]], object]


def missing(device_id: int = 0) -> str | None:
    """The first thing that a benchmark on a GPU lacks here, with the remedy, in one line; None where it can run."""
    if not providers.cuda_is_built_in():
        return (
            "this ONNX Runtime has no CUDA; put onnxruntime-gpu in its place:"
            " .venv/bin/python -m pip uninstall -y onnxruntime && .venv/bin/python -m pip install onnxruntime-gpu"
        )
    if not providers.driver_is_there():
        return (
            "there is no NVIDIA driver on this machine (libcuda.so.1 is not found); this benchmark needs an NVIDIA GPU"
        )
    count = providers.gpu_count()
    if count <= device_id:
        return f"the NVIDIA driver offers no GPU {device_id} to this process (it offers {count})"
    return _unusable(device_id)


def _unusable(device_id: int) -> str | None:
    """Why ONNX Runtime cannot compute on a GPU that is there, found by a product of two numbers; None where it can."""
    providers.preload_cuda_libraries()
    onnxruntime.set_default_logger_severity(_FATAL_ONLY)
    try:
        with providers.no_output():
            session = onnxruntime.InferenceSession(
                peak_model(1, np.float32, 1).SerializeToString(), providers=[(providers.CUDA, cuda_options(device_id))]
            )
        if providers.CUDA not in session.get_providers():
            return f"ONNX Runtime cannot load the libraries of CUDA; {INSTALL}"
        session.run(None, {"x": np.array(0, dtype=np.float32)})
    except Exception as error:  # ONNX Runtime's exceptions have no common base
        return f"ONNX Runtime fails on this GPU ({str(error).splitlines()[0]})"
    return None


def random_weights(shape: AlbertShape) -> dict[str, npt.NDArray[np.float32]]:
    """Weights as ALBERT begins its training with: a normal distribution of 0.02."""
    generator = np.random.default_rng(SEED)
    weights = {}
    for name, size in shape.expected_weights().items():
        norm = "norm" in name.lower()
        weights[name] = (generator.normal(0, 0.02, size) + (norm and name.endswith("weight"))).astype(np.float32)
    return weights


def write_random_artifact(folder: Path, precision: str, config: dict[str, Any] | None = None) -> Artifact:
    """An artifact of the shape `config` with random weights: how fast it is does not depend on them."""
    config = config or BASE
    checkpoint = checkpoint_from(
        config,
        random_weights(AlbertShape.from_config(config)),
        (BUNDLED_PATH / PIECES).read_bytes(),
        Provenance("random", "tests.benchmarks"),
        SourceOptions(),
        lower_case=True,
    )
    write_artifact(checkpoint, folder, ArtifactDescription("random-base", "1", precision))
    return Artifact.load(folder)


def open_graph(artifact: Artifact, *, padding_free: bool, options: SessionOptions) -> Predict | None:
    """One of the two graphs of `artifact`; None where this ONNX Runtime cannot compute it."""
    chosen = artifact if padding_free else dataclasses.replace(artifact, files=artifact.files - {PADDING_FREE_GRAPH})
    session = open_session(chosen, options)
    return session.predict if session.padding_free == padding_free else None


def make_entries(lengths: Sequence[int], vocabulary_size: int) -> list[Entry]:
    """Reviews of random pieces, in the order of their arrival."""
    generator = np.random.default_rng(SEED)
    entries = []
    for number, length in enumerate(lengths):
        entry = make_entry(None, arrived_at=number / 1000, offset=number)
        entry.encoding = Encoding(generator.integers(4, vocabulary_size, length).astype(np.int32), truncated=False)
        entries.append(entry)
    return entries


def batched(entries: Sequence[Entry], max_batch_tokens: int, max_length: int) -> list[Batch]:
    """By the worker's queue, as on a GPU under a backlog: like lengths together, shapes from the ladder."""
    reviews = max(1, max_batch_tokens // TOKENS_PER_REVIEW_AT_LEAST)
    ladder = ShapeLadder.up_to(max_length, reviews)
    queue = BatchQueue(BatchLimits(max_batch_tokens, reviews, WINDOW_BATCHES * reviews, ladder=ladder))
    queue.extend(list(entries))
    batches = []
    while (batch := queue.next_batch(0.0)) is not None:
        batches.append(batch)
    return batches


def as_they_come(entries: Sequence[Entry], max_batch_tokens: int) -> list[Batch]:
    """As many reviews as fit, in the order of their arrival."""
    batches: list[Batch] = []
    group: list[Entry] = []
    longest = 0
    for entry in entries:
        length = len(entry.encoding.ids) if entry.encoding else 0
        if group and max(longest, length) * (len(group) + 1) > max_batch_tokens:
            batches.append(Batch(group))
            group, longest = [], 0
        group.append(entry)
        longest = max(longest, length)
    return [*batches, Batch(group)] if group else batches


def seconds_of(predict: Predict, batches: Sequence[Batch]) -> float:
    """Wall time of all `batches`, one after another; `predict` answers when the result is on the host."""
    arrays = [batch.arrays(0) for batch in batches]
    started = time.perf_counter()
    for ids, lengths in arrays:
        predict(ids, lengths)
    return time.perf_counter() - started


def peak_model(size: int, dtype: type[np.floating[Any]], products: int) -> onnx.ModelProto:
    """A chain of `products` square matrix products of `size`, whose only input and output are one number each.

    Its matrices are random: with zeros a card draws less power and runs faster than it can.
    """
    generator = np.random.default_rng(SEED)
    element = helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
    matrices = [
        numpy_helper.from_array((generator.normal(0, 1, (size, size)) / np.sqrt(size)).astype(dtype), name)
        for name in ("left", "right")
    ]
    nodes = [helper.make_node("Add", ["left", "x"], ["product_0"])]
    nodes += [
        helper.make_node("MatMul", [f"product_{number}", "right"], [f"product_{number + 1}"])
        for number in range(products)
    ]
    nodes.append(helper.make_node("ReduceMax", [f"product_{products}"], ["y"], keepdims=0))
    graph = helper.make_graph(
        nodes,
        "peak",
        [helper.make_tensor_value_info("x", element, [])],
        [helper.make_tensor_value_info("y", element, [])],
        matrices,
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def peak_flops(
    chosen: Sequence[Any], dtype: type[np.floating[Any]], *, size: int = 8192, products: int = 16, rounds: int = 3
) -> float:
    """Operations a second of the best of some rounds of `peak_model`, with the providers `chosen`."""
    settings = onnxruntime.SessionOptions()
    settings.log_severity_level = _FATAL_ONLY
    model = peak_model(size, dtype, products).SerializeToString()
    session = onnxruntime.InferenceSession(model, settings, providers=list(chosen))
    feeds = {"x": np.array(0, dtype=dtype)}
    session.run(None, feeds)
    seconds = []
    for _ in range(rounds):
        started = time.perf_counter()
        session.run(None, feeds)
        seconds.append(time.perf_counter() - started)
    return products * 2.0 * size**3 / min(seconds)


def median_seconds(subjects: dict[str, tuple[Predict, Sequence[Batch]]], rounds: int) -> dict[str, float]:
    """Interleaved rounds after one that warms up, so that whatever else the machine does falls on all alike."""
    for predict, batches in subjects.values():
        seconds_of(predict, batches)
    measured: dict[str, list[float]] = {name: [] for name in subjects}
    for _ in range(rounds):
        for name, (predict, batches) in subjects.items():
            measured[name].append(seconds_of(predict, batches))
    return {name: statistics.median(seconds) for name, seconds in measured.items()}
