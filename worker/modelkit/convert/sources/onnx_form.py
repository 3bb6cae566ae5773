"""The ONNX form of a model that Spark NLP saved: one graph in a zip without an extension."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import onnxruntime

from worker.inference.session import EMPTY_REVIEW_IDS
from worker.modelkit.convert.shape import CheckpointError
from worker.modelkit.convert.sources.archive import open_zip

_INPUTS = ("input_ids", "attention_mask", "token_type_ids")
_INTEGERS = {"tensor(int32)": np.int32, "tensor(int64)": np.int64}
_FATAL_ONLY = 4


def read_onnx_bytes(data: bytes, where: str) -> bytes:
    """The one ``.onnx`` in the zip `data`; raises `CheckpointError` where there is none, or more than one."""
    archive = open_zip(data, where)
    graphs = [name for name in archive.names if name.endswith(".onnx")]
    if len(graphs) != 1:
        raise CheckpointError(f"{where}: {len(graphs)} ONNX models in it where one was expected; save the model again")
    return archive.read(graphs[0])


def parse_onnx(data: bytes, where: str) -> onnx.ModelProto:
    """The graph, with all of its weights; raises `CheckpointError` where it is none, or its weights lie elsewhere."""
    try:
        model = onnx.load_model_from_string(data)
    except Exception as error:  # of protobuf's own kinds, which depend on how it was built
        raise CheckpointError(f"{where}: not an ONNX model; it is damaged") from error
    if not model.graph.node:
        raise CheckpointError(f"{where}: not an ONNX model, or one that computes nothing")
    if any(tensor.data_location == onnx.TensorProto.EXTERNAL for tensor in model.graph.initializer):
        raise CheckpointError(f"{where}: its weights are in another file; only models in one file are read")
    return model


def check_runs(data: bytes, *, labels: int, length: int, where: str) -> None:
    """Run the graph on the shortest review and on one of `length` tokens, as the worker will.

    Raises `CheckpointError` for inputs that are not known, and anything but one score for each of the labels.
    """
    options = onnxruntime.SessionOptions()
    options.log_severity_level = _FATAL_ONLY
    try:
        session = onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
        feeds = {node.name: _INTEGERS.get(node.type) for node in session.get_inputs()}
        if not {"input_ids", "attention_mask"} <= feeds.keys() <= set(_INPUTS) or None in feeds.values():
            raise CheckpointError(
                f"{where}: the graph's inputs are {', '.join(feeds)[:200]}; whole numbers called {', '.join(_INPUTS)}"
                " are known"
            )
        for size in (len(EMPTY_REVIEW_IDS), length):
            shape = session.run(None, {name: _feed(name, size, dtype) for name, dtype in feeds.items()})[0].shape
            if shape != (1, labels):
                raise CheckpointError(f"{where}: the graph gives the shape {shape} where {(1, labels)} was expected")
    except CheckpointError:
        raise
    except Exception as error:  # ONNX Runtime's exceptions have no common base
        line = str(error).partition("\n")[0][:200]
        raise CheckpointError(f"{where}: ONNX Runtime cannot run the graph ({line})") from error


def _feed(name: str, length: int, dtype: Any) -> Any:
    values = np.zeros((1, length), dtype=dtype)
    if name == "input_ids":
        values[0] = EMPTY_REVIEW_IDS[1]
        values[0, 0] = EMPTY_REVIEW_IDS[0]
    elif name == "attention_mask":
        values[0] = 1
    return values
