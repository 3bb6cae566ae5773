"""ONNX Runtime's operators of the domain ``com.microsoft``, in numpy, for onnx's reference evaluator.

Written from their documentation (``onnxruntime/docs/ContribOperators.md``) and checked shapes
(``onnxruntime/contrib_ops``): what a GPU computes, computed without one. Values keep their type from operator to
operator, so that half precision rounds and overflows as it would there: products and sums of attention are added up in
float32 and rounded to half precision, scores too, as kernels that are not fused do; the softmax is in float32.
`SkipLayerNormalization` in half precision adds up in half precision, as the CUDA kernel does by default.
"""

from __future__ import annotations

import math
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx.reference import ReferenceEvaluator
from onnx.reference.op_run import OpRun

Array = npt.NDArray[Any]


class _Contrib(OpRun):
    op_domain = "com.microsoft"

    def attribute(self, name: str, default: Any = None) -> Any:
        for attribute in self.onnx_node.attribute:
            if attribute.name == name:
                return onnx.helper.get_attribute_value(attribute)
        return default


class FastGelu(_Contrib):
    """``0.5 x (1 + tanh(0.797885 x + 0.035677 x^3))``, every step in the type of `x` but for the tanh."""

    def _run(self, x: Array, bias: Array | None = None, **_: Any) -> tuple[Array]:
        kind = x.dtype.type
        if bias is not None:
            assert bias.dtype == x.dtype
            assert bias.shape == x.shape[-1:]
            x = x + bias
        with np.errstate(over="ignore"):
            inner = x * (kind(0.035677408136300125) * x * x + kind(0.7978845608028654))
        tanh = np.tanh(inner.astype(np.float32)).astype(kind)
        return ((x * (kind(0.5) + kind(0.5) * tanh)).astype(kind),)


class Gelu(_Contrib):
    """``x`` times the normal distribution function; half precision goes through float32."""

    def _run(self, x: Array, **_: Any) -> tuple[Array]:
        wide = x.astype(np.float32)
        erf = np.vectorize(math.erf, otypes=[np.float32])(wide / np.float32(math.sqrt(2)))
        return ((wide * np.float32(0.5) * (1 + erf)).astype(x.dtype),)


class SkipLayerNormalization(_Contrib):
    """Layer normalisation of input + skip + bias, over the last axis; the skip may lack the batch."""

    def _run(
        self, x: Array, skip: Array, gamma: Array, beta: Array | None = None, bias: Array | None = None, **_: Any
    ) -> tuple[Array]:
        kind = x.dtype.type
        assert x.ndim in (2, 3)
        assert {value.dtype for value in (skip, gamma, beta, bias) if value is not None} == {x.dtype}
        assert skip.shape == x.shape or skip.shape == x.shape[-2:] or skip.shape == (1, *x.shape[1:])
        total = (x + skip) if bias is None else (x + skip + bias)
        size = kind(x.shape[-1])
        mean = (total / size).sum(axis=-1, keepdims=True, dtype=kind)
        squares = (total / size * total).sum(axis=-1, keepdims=True, dtype=kind)
        scaled = (total - mean) / np.sqrt(squares - mean * mean + kind(self.attribute("epsilon", 1e-12)))
        return (scaled * gamma + (0 if beta is None else beta),)


class MultiHeadAttention(_Contrib):
    """Query, key and value ``[batch, ..., hidden]``; the mask is the length of each row ``[batch]``."""

    def _run(
        self, query: Array, key: Array, value: Array, bias: Array | None = None, lengths: Array | None = None, **_: Any
    ) -> tuple[Array]:
        assert query.ndim == key.ndim == value.ndim == 3
        assert lengths is not None
        assert (lengths.dtype, lengths.shape) == (np.int32, query.shape[:1])
        assert (key.shape, key.shape[2]) == (value.shape, query.shape[2])
        query, key, value = _with_bias(query, key, value, bias)
        heads = int(self.attribute("num_heads"))
        rows = zip(query, key, value, lengths, strict=True)
        return (np.stack([_attend(q, k[:length], v[:length], heads) for q, k, v, length in rows]),)


class PackedMultiHeadAttention(_Contrib):
    """Query, key and value ``[tokens, hidden]``, row after row; where each row begins is in the last input."""

    def _run(
        self, query: Array, key: Array, value: Array, bias: Array | None, offsets: Array, starts: Array, **_: Any
    ) -> tuple[Array]:
        assert query.ndim == 2
        assert query.shape == key.shape == value.shape
        assert offsets.ndim == 2
        assert offsets.dtype == starts.dtype == np.int32
        assert starts.shape == (offsets.shape[0] + 1,)
        assert starts[-1] == len(query)
        query, key, value = _with_bias(query, key, value, bias)
        heads = int(self.attribute("num_heads"))
        rows = [slice(first, last) for first, last in pairwise(starts)]
        return (np.concatenate([_attend(query[row], key[row], value[row], heads) for row in rows]),)


class RemovePadding(_Contrib):
    """Tokens ``[tokens, hidden]``, their places in the padded batch with those of the padding behind them, where each
    row begins, and the longest row."""

    def _run(self, x: Array, lengths: Array, **_: Any) -> tuple[Array, Array, Array, Array]:
        batch, sequence, hidden = x.shape
        assert (lengths.dtype, lengths.shape) == (np.int32, (batch,))
        real = np.arange(sequence) < lengths[:, None]
        places = np.arange(batch * sequence, dtype=np.int32).reshape(batch, sequence)
        offsets = np.concatenate([places[real], places[~real]]).reshape(batch, sequence)
        starts = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32)
        return x.reshape(-1, hidden)[places[real]], offsets, starts, lengths.max(keepdims=True)


class RestorePadding(_Contrib):
    """``[batch, sequence, hidden]`` again, with zeros for padding."""

    def _run(self, x: Array, offsets: Array, **_: Any) -> tuple[Array]:
        assert x.ndim == 2
        assert (offsets.ndim, offsets.dtype) == (2, np.int32)
        restored = np.zeros((offsets.size, x.shape[1]), dtype=x.dtype)
        restored[offsets.ravel()[: len(x)]] = x
        return (restored.reshape(*offsets.shape, x.shape[1]),)


CONTRIB_OPERATORS = [
    FastGelu,
    Gelu,
    MultiHeadAttention,
    PackedMultiHeadAttention,
    RemovePadding,
    RestorePadding,
    SkipLayerNormalization,
]


def evaluate(model: onnx.ModelProto | Path, inputs: dict[str, Array], outputs: list[str] | None = None) -> list[Array]:
    """The outputs of `model` by the reference evaluator."""
    source = str(model) if isinstance(model, Path) else model
    return list(ReferenceEvaluator(source, new_ops=CONTRIB_OPERATORS).run(outputs, inputs))


def _with_bias(query: Array, key: Array, value: Array, bias: Array | None) -> tuple[Array, Array, Array]:
    assert query.dtype == key.dtype == value.dtype
    if bias is None:
        return query, key, value
    assert bias.dtype == query.dtype
    assert bias.shape == (3 * query.shape[-1],)
    first, second, third = np.split(bias, 3)
    return query + first, key + second, value + third


def _attend(query: Array, key: Array, value: Array, heads: int) -> Array:
    """One row: query ``[queries, hidden]``, key and value ``[tokens, hidden]``."""
    kind = query.dtype
    query, key, value = (
        part.astype(np.float32).reshape(len(part), heads, -1).transpose(1, 0, 2) for part in (query, key, value)
    )
    with np.errstate(over="ignore"):
        scores = (query @ key.transpose(0, 2, 1) / np.float32(math.sqrt(query.shape[-1]))).astype(kind)
    exponents = np.exp(scores.astype(np.float32) - scores.max(axis=-1, keepdims=True).astype(np.float32))
    weights = (exponents / exponents.sum(axis=-1, keepdims=True)).astype(kind).astype(np.float32)
    return (weights @ value).transpose(1, 0, 2).reshape(query.shape[1], -1).astype(kind)
