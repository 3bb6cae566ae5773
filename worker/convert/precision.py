"""How a precision stores weights and multiplies by them; the graph is the same for all."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from worker.convert.shape import Weights
from worker.convert.writer import MICROSOFT, GraphWriter

INT8_WEIGHT_LIMIT = 64
"""Largest absolute int8 weight. Processors without VNNI add two products of an unsigned and a signed byte in 16 bits,
which overflows silently beyond 64; kept below it, every processor computes the same."""
INT8_EMBEDDING_LIMIT = 127
"""Embeddings are looked up, never multiplied as bytes, and so use the whole range."""


class Projection(NamedTuple):
    """The result of a matrix product, and the bias that whatever comes next has still to add."""

    output: str
    bias: str
    """Name of an initialiser, or empty where the bias is in the output already."""


class Precision(Protocol):
    """What the graph asks of a precision."""

    def look_up(self, writer: GraphWriter, name: str, indices: str) -> str:
        """Rows of the table `name`.weight: float32 ``[batch, sequence, size]``."""

    def project(self, writer: GraphWriter, name: str, inputs: str) -> Projection:
        """`inputs` times `name`.weight, transposed as Hugging Face stores it."""


class Float32:
    """Weights as they are."""

    def __init__(self, weights: Weights) -> None:
        self._weights = weights

    def look_up(self, writer: GraphWriter, name: str, indices: str) -> str:
        table = writer.initialiser(f"{name}.weight", self._weights[f"{name}.weight"])
        return writer.node("Gather", [table, indices])

    def project(self, writer: GraphWriter, name: str, inputs: str) -> Projection:
        weight = writer.initialiser(f"{name}.weight", self._weights[f"{name}.weight"].T)
        bias = writer.initialiser(f"{name}.bias", self._weights[f"{name}.bias"])
        return Projection(writer.node("MatMul", [inputs, weight]), bias)


class Int8:
    """Weights in 8 bits with a scale for each output channel; activations in 8 bits, measured as they come.

    Embeddings have a scale for each row. Activations are quantised once however many products read them.
    """

    def __init__(self, weights: Weights) -> None:
        self._weights = weights
        self._quantised: dict[str, list[str]] = {}

    def look_up(self, writer: GraphWriter, name: str, indices: str) -> str:
        values, scales = quantise_rows(self._weights[f"{name}.weight"], INT8_EMBEDDING_LIMIT)
        table = writer.initialiser(f"{name}.weight", values)
        table_scales = writer.initialiser(f"{name}.scale", scales[:, None])
        rows = writer.node("Cast", [writer.node("Gather", [table, indices])], to=1)
        return writer.node("Mul", [rows, writer.node("Gather", [table_scales, indices])])

    def project(self, writer: GraphWriter, name: str, inputs: str) -> Projection:
        values, scales = quantise_rows(self._weights[f"{name}.weight"], INT8_WEIGHT_LIMIT)
        weight = writer.initialiser(f"{name}.weight", values.T)
        weight_scales = writer.initialiser(f"{name}.scale", scales)
        bias = writer.initialiser(f"{name}.bias", self._weights[f"{name}.bias"])
        if inputs not in self._quantised:
            self._quantised[inputs] = writer.nodes("DynamicQuantizeLinear", [inputs], 3)
        quantised, scale, zero_point = self._quantised[inputs]
        operands = [quantised, weight, scale, weight_scales, zero_point, "", bias]
        return Projection(writer.node("MatMulIntegerToFloat", operands, domain=MICROSOFT), "")


PRECISIONS: Mapping[str, type[Float32] | type[Int8]] = {"fp32": Float32, "int8": Int8}


def quantise_rows(weights: npt.NDArray[np.float32], limit: int) -> tuple[npt.NDArray[np.int8], npt.NDArray[np.float32]]:
    """Symmetric int8 values within ``-limit..limit`` and the scale of each row (shape ``[rows]``)."""
    largest = np.abs(weights).max(axis=1)
    scales = np.where(largest > 0, largest / limit, 1.0).astype(np.float32)
    values = np.clip(np.rint(weights / scales[:, None]), -limit, limit).astype(np.int8)
    return values, scales
