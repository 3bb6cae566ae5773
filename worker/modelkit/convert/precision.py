"""How a precision stores weights and multiplies by them; the graph is the same for all."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from worker.modelkit.convert.shape import Weights
from worker.modelkit.convert.writer import MICROSOFT, GraphWriter

INT8_WEIGHT_LIMIT = 64
"""Largest absolute int8 weight. Processors without VNNI add two products of an unsigned and a signed byte in 16 bits,
which overflows silently beyond 64; kept below it, every processor computes the same."""
INT8_EMBEDDING_LIMIT = 127
"""Embeddings are looked up, never multiplied as bytes, and so use the whole range."""


class Projection(NamedTuple):
    """The result of a matrix product, and the bias that whatever comes next has still to add."""

    output: str
    bias: str
    """Name of a weight, or empty where the bias is in the output already."""
    exponent: int = 0
    """The output is the result divided by two to this power; `Precision.widen` undoes it."""


@dataclass(frozen=True)
class PrecisionPlan:
    """What a precision treats with more care than the rest, found by measurement.

    For half precision see `ranges.half_plan`, for int8 `int8_choice.choose_int8`.
    """

    full: frozenset[str] = frozenset()
    """Products, and the table of words, that stay in float32 in every layer that uses them."""
    full_layers: frozenset[int] = frozenset()
    """Layers, counted from 1, whose products all stay in float32 (int8 only)."""
    exponents: Mapping[str, int] = field(default_factory=dict)
    """Products whose weights are divided by two to this power; the result is multiplied by it (half precision only)."""
    notes: tuple[str, ...] = ()
    """What was measured and done, for a person."""


class Precision(Protocol):
    """What the graph asks of a precision."""

    def begin_layer(self, number: int) -> None:
        """The products that follow are those of this layer, counted from 1; 0 for what is outside of the layers."""

    def look_up(self, writer: GraphWriter, name: str, indices: str) -> str:
        """Rows of the table `name`.weight: float32 ``[batch, sequence, size]``."""

    def project(self, writer: GraphWriter, name: str, inputs: str) -> Projection:
        """`inputs` times `name`.weight, transposed as Hugging Face stores it."""

    def widen(self, writer: GraphWriter, projection: Projection) -> Projection:
        """`projection` in float32 and at its true size: what is added to a residual, and what the head reads."""


class Float32:
    """Weights as they are."""

    def __init__(self, weights: Weights, plan: PrecisionPlan | None = None) -> None:
        self._weights = weights

    def begin_layer(self, number: int) -> None:
        """Every layer is alike here."""

    def look_up(self, writer: GraphWriter, name: str, indices: str) -> str:
        table = writer.initialiser(f"{name}.weight", self._weights[f"{name}.weight"])
        return writer.node("Gather", [table, indices])

    def project(self, writer: GraphWriter, name: str, inputs: str) -> Projection:
        weight = writer.initialiser(f"{name}.weight", self._weights[f"{name}.weight"].T)
        return Projection(writer.node("MatMul", [inputs, weight]), f"{name}.bias")

    def widen(self, writer: GraphWriter, projection: Projection) -> Projection:
        return projection


class Float16:
    """Weights and products in half precision, for GPUs; whatever is added up or normalised stays in float32.

    Residuals and layer normalisation are in float32, since the CUDA kernel of `SkipLayerNormalization` adds up squares
    in half precision in many releases that the worker allows (onnxruntime issue 29034; pull request 28682 mends it).
    Attention and the activation are in half precision: their kernels take the softmax and the tanh in float32
    (``attention_softmax.h``, ``fast_gelu_impl.cu``) and put out nothing larger than what they read. Products are added
    up in float32 (``HalfGemmOptions``) and then rounded to half precision, which ends at 65,504: the `plan` says which
    ones could come near.
    """

    def __init__(self, weights: Weights, plan: PrecisionPlan | None = None) -> None:
        if plan is None:
            raise ValueError("half precision needs a plan: this is a bug")
        self._weights = weights
        self._plan = plan
        self._casts: dict[tuple[str, type[Any]], str] = {}

    def begin_layer(self, number: int) -> None:
        """Every layer is alike here."""

    def look_up(self, writer: GraphWriter, name: str, indices: str) -> str:
        values = self._weights[f"{name}.weight"]
        dtype = np.float32 if name in self._plan.full else np.float16
        table = writer.initialiser(f"{name}.weight", values.astype(dtype))
        return self._as(writer, writer.node("Gather", [table, indices]), np.float32)

    def project(self, writer: GraphWriter, name: str, inputs: str) -> Projection:
        dtype = np.float32 if name in self._plan.full else np.float16
        exponent = self._plan.exponents.get(name, 0)
        values = np.ldexp(self._weights[f"{name}.weight"].T, -exponent)
        weight = writer.initialiser(f"{name}.weight", values.astype(dtype))
        return Projection(writer.node("MatMul", [self._as(writer, inputs, dtype), weight]), f"{name}.bias", exponent)

    def widen(self, writer: GraphWriter, projection: Projection) -> Projection:
        output = self._as(writer, projection.output, np.float32)
        if projection.exponent:
            factor = np.float32(2.0**projection.exponent)
            scale = writer.initialiser(f"two_to_the_{projection.exponent}", np.asarray(factor))
            output = writer.node("Mul", [output, scale])
        return Projection(output, projection.bias)

    def _as(self, writer: GraphWriter, name: str, dtype: type[Any]) -> str:
        """`name` in `dtype`, cast once however many read it."""
        if writer.is_half(name) == (dtype is np.float16):
            return name
        if (name, dtype) not in self._casts:
            self._casts[name, dtype] = writer.cast(name, dtype)
        return self._casts[name, dtype]


class Int8:
    """Weights in 8 bits with a scale for each output channel; activations in 8 bits, measured as they come.

    Embeddings have a scale for each row. Activations are quantised once however many products read them. What the
    `plan` names stays in float32.
    """

    def __init__(self, weights: Weights, plan: PrecisionPlan | None = None) -> None:
        self._weights = weights
        self._plan = plan or PrecisionPlan()
        self._layer = 0
        self._quantised: dict[str, list[str]] = {}

    def begin_layer(self, number: int) -> None:
        """See `Precision`."""
        self._layer = number

    def look_up(self, writer: GraphWriter, name: str, indices: str) -> str:
        if name in self._plan.full:
            full = writer.initialiser(f"{name}.full_weight", self._weights[f"{name}.weight"])
            return writer.node("Gather", [full, indices])
        values, scales = quantise_rows(self._weights[f"{name}.weight"], INT8_EMBEDDING_LIMIT)
        table = writer.initialiser(f"{name}.weight", values)
        table_scales = writer.initialiser(f"{name}.scale", scales[:, None])
        rows = writer.node("Cast", [writer.node("Gather", [table, indices])], to=1)
        return writer.node("Mul", [rows, writer.node("Gather", [table_scales, indices])])

    def project(self, writer: GraphWriter, name: str, inputs: str) -> Projection:
        bias = writer.initialiser(f"{name}.bias", self._weights[f"{name}.bias"])
        if name in self._plan.full or self._layer in self._plan.full_layers:
            weight = writer.initialiser(f"{name}.full_weight", self._weights[f"{name}.weight"].T)
            # Added here, so that whatever is next need not know which products were quantised.
            return Projection(writer.node("Add", [writer.node("MatMul", [inputs, weight]), bias]), "")
        values, scales = quantise_rows(self._weights[f"{name}.weight"], INT8_WEIGHT_LIMIT)
        weight = writer.initialiser(f"{name}.weight", values.T)
        weight_scales = writer.initialiser(f"{name}.scale", scales)
        if inputs not in self._quantised:
            self._quantised[inputs] = writer.nodes("DynamicQuantizeLinear", [inputs], 3)
        quantised, scale, zero_point = self._quantised[inputs]
        operands = [quantised, weight, scale, weight_scales, zero_point, "", bias]
        return Projection(writer.node("MatMulIntegerToFloat", operands, domain=MICROSOFT), "")

    def widen(self, writer: GraphWriter, projection: Projection) -> Projection:
        return projection


PRECISIONS: Mapping[str, type[Float32] | type[Float16] | type[Int8]] = {
    "fp32": Float32,
    "fp16": Float16,
    "int8": Int8,
}


def quantise_rows(weights: npt.NDArray[np.float32], limit: int) -> tuple[npt.NDArray[np.int8], npt.NDArray[np.float32]]:
    """Symmetric int8 values within ``-limit..limit`` and the scale of each row (shape ``[rows]``)."""
    largest = np.abs(weights).max(axis=1)
    scales = np.where(largest > 0, largest / limit, 1.0).astype(np.float32)
    values = np.clip(np.rint(weights / scales[:, None]), -limit, limit).astype(np.int8)
    return values, scales
