"""Whether a rebuilt graph says what the original says: both compute the same random reviews."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime

from worker.errors import InferenceError
from worker.inference.scores import probabilities
from worker.modelkit.convert.graph import INPUT_IDS, LENGTHS, LOGITS
from worker.modelkit.convert.sources.onnx_albert import NotRecognisedError
from worker.modelkit.convert.sources.onnx_graph import Array

TOLERANCE = 1e-4
"""Largest difference of a probability between the original and what was rebuilt of it."""
LOGIT_TOLERANCE = 1e-3
"""The same for logits, as a share of the largest: probabilities near 0 and 1 hide what goes on."""
LARGEST_MODEL = 2**31 - 1
"""Bytes that protobuf, and so an ONNX model without external data, can have."""

_DTYPES: Mapping[str, type[np.generic]] = {
    "tensor(int32)": np.int32,
    "tensor(int64)": np.int64,
    "tensor(float)": np.float32,
    "tensor(float16)": np.float16,
    "tensor(bool)": np.bool_,
}
_BATCHES = ((3, 12), (2, 40))
"""Rows and tokens of the random reviews, where the graph leaves them free."""


@dataclass(frozen=True)
class Batch:
    """Random reviews."""

    ids: npt.NDArray[np.int32]
    """``[rows, tokens]``."""
    lengths: npt.NDArray[np.int32]
    """``[rows]``; what lies beyond is padding."""


_FEEDS: Mapping[str, Callable[[Batch], npt.NDArray[Any]]] = {
    "input_ids": lambda batch: batch.ids,
    "lengths": lambda batch: batch.lengths,
    "attention_mask": lambda batch: np.arange(batch.ids.shape[1]) < batch.lengths[:, None],
    "token_type_ids": lambda batch: np.zeros_like(batch.ids),
    "position_ids": lambda batch: np.broadcast_to(np.arange(batch.ids.shape[1]), batch.ids.shape),
}


class Original:
    """A graph as somebody has exported it, loaded, with the roles of its inputs known."""

    def __init__(self, model: onnx.ModelProto, roles: Mapping[str, str], output: str, beside: str) -> None:
        """`beside` is a tensor inside the graph whose shape is wanted. Raises `NotRecognisedError`."""
        self._session = open_model(model, beside)
        self._roles = roles
        self._outputs = [output, beside]

    def batches(self, vocabulary: int, places: int) -> list[Batch]:
        """Random reviews of the sizes that the graph takes, padded where it has a mask."""
        generator = np.random.default_rng(7)
        role = {name: node for node in self._session.get_inputs() if (name := self._roles.get(node.name))}
        fixed = [size if isinstance(size, int) else None for size in role["input_ids"].shape]
        if len(fixed) != 2:
            raise NotRecognisedError(f"its token ids have the shape {role['input_ids'].shape}, not [reviews, tokens]")
        masked = bool(role.keys() & {"lengths", "attention_mask"})
        batches = {}
        for free_rows, free_length in _BATCHES:
            rows, length = fixed[0] or free_rows, min(fixed[1] or free_length, places)
            lengths = np.full(rows, length) if not masked else generator.integers(1, length + 1, rows)
            lengths[0] = length
            ids = generator.integers(0, vocabulary, (rows, length))
            batches[rows, length] = Batch(ids.astype(np.int32), lengths.astype(np.int32))
        return list(batches.values())

    def run(self, batch: Batch) -> tuple[Array, Array]:
        """What the graph puts out for `batch`, and the value of the tensor beside; raises `NotRecognisedError`."""
        feeds = {}
        for node in self._session.get_inputs():
            role, dtype = self._roles.get(node.name), _DTYPES.get(node.type)
            if role is None or dtype is None:
                raise NotRecognisedError(f"its input {node.name!r} ({node.type}) has no part in an ALBERT")
            feeds[node.name] = _FEEDS[role](batch).astype(dtype)
        try:
            output, beside = self._session.run(self._outputs, feeds)
        except Exception as error:  # ONNX Runtime's exceptions have no common base
            rows, length = batch.ids.shape
            raise NotRecognisedError(f"it does not run on {rows} x {length} tokens ({first_line(error)})") from error
        return output, beside


def open_model(model: onnx.ModelProto, *outputs: str) -> onnxruntime.InferenceSession:
    """Load `model` as it is written, with `outputs` from inside of it; raises `NotRecognisedError`."""
    if model.ByteSize() > LARGEST_MODEL:
        raise NotRecognisedError("it is larger than 2 GB")
    known = len(model.graph.output)
    model.graph.output.extend(onnx.ValueInfoProto(name=name) for name in outputs)
    try:
        return load(model.SerializeToString())
    except Exception as error:  # ONNX Runtime's exceptions have no common base
        raise NotRecognisedError(f"ONNX Runtime cannot load it ({first_line(error)})") from error
    finally:
        del model.graph.output[known:]


def load(graph: bytes, *, optimise: bool = False) -> onnxruntime.InferenceSession:
    """A session on the CPU, which computes a graph as it is written unless told to `optimise`.

    Raises ONNX Runtime's own errors.
    """
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4  # its exceptions say all that its log would say
    if not optimise:
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    # Without the fallback, which would try again, and print that it does.
    session = onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"], enable_fallback=0)
    for node in (*session.get_inputs(), *session.get_outputs()):
        repr(node.shape)  # raises where the name of a dimension is no text
    return session


def prove_equal(original: Original, batches: list[Batch], rebuilt: onnx.ModelProto, *, as_logits: bool) -> None:
    """Raise `NotRecognisedError` where the two disagree on one of `batches`.

    With `as_logits` false the original puts out probabilities.
    """
    session = open_model(rebuilt)
    for batch in batches:
        expected = original.run(batch)[0].astype(np.float32)
        actual = session.run([LOGITS], {INPUT_IDS: batch.ids, LENGTHS: batch.lengths})[0]
        if expected.shape != actual.shape:
            raise NotRecognisedError(f"its output has the shape {expected.shape} where {actual.shape} was expected")
        try:
            difference = np.abs(probabilities(actual) - (probabilities(expected) if as_logits else expected)).max()
        except InferenceError as error:
            raise NotRecognisedError("it puts out scores that are not finite") from error
        wrong = not difference <= TOLERANCE
        if as_logits:
            wrong |= bool(np.abs(actual - expected).max() > LOGIT_TOLERANCE * max(1.0, np.abs(expected).max()))
        if wrong:
            raise NotRecognisedError(
                f"what was rebuilt of it computes something else (probabilities differ by {difference:.2g})"
            )


def first_line(error: Exception) -> str:
    """The beginning of what `error` says, for a message of one line."""
    lines = str(error).splitlines()
    return lines[0][:300] if lines else type(error).__name__
