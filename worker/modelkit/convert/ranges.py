"""How large the values inside a model become, and what half precision has to do about it.

Half precision ends at 65,504, and trained ALBERTs are known to go beyond it: a product becomes infinite, its
normalisation NaN. So before a model is written in half precision, its float32 graph reads random ids and awkward texts,
and the largest absolute value that each matrix product reads and puts out is recorded.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import onnxruntime

from worker.modelkit.convert.awkward_texts import AWKWARD_TEXTS
from worker.modelkit.convert.graph import INPUT_IDS, LENGTHS, model_inputs, write_albert
from worker.modelkit.convert.precision import Float32, PrecisionPlan, Projection
from worker.modelkit.convert.shape import AlbertShape, CheckpointError, Weights
from worker.modelkit.convert.writer import GraphWriter, tensor_info
from worker.tokenization.tokenizer import Tokenizer

Ids = Sequence[int] | npt.NDArray[np.int32]

HALF_MAX = 65_504.0
"""Largest number of half precision (IEEE 754 binary16)."""
LARGEST_ALLOWED = HALF_MAX / 8
"""Largest value that may be met in calibration. Other texts may go higher; and cuBLAS may split a sum, and round its
parts to half precision, before the last addition, and a part can be larger than the sum."""
MAX_EXPONENT = 10
SMALLEST_LARGEST_WEIGHT = 2.0**-7
"""Weights are not scaled down further: half precision has fewer digits below 2 ** -14."""
HEAD = "albert.pooler"
WORDS = "albert.embeddings.word_embeddings"

_RANDOM_ROWS, _RANDOM_TOKENS = 3, 128
_SEED = 20_261_124


@dataclass(frozen=True)
class Range:
    """Largest absolute values of a matrix product, over all layers that use its weights."""

    inputs: float
    outputs: float
    """Without the bias."""


def calibration_ids(shape: AlbertShape, tokeniser: Tokenizer | None, max_length: int) -> list[npt.NDArray[np.int32]]:
    """Rows of token ids to measure with: random ones, one of them as long as the model reads, and the texts'."""
    generator = np.random.default_rng(_SEED)
    sizes = [max_length, *[min(max_length, _RANDOM_TOKENS)] * _RANDOM_ROWS]
    rows = [generator.integers(0, shape.vocab_size, size).astype(np.int32) for size in sizes]
    if tokeniser is not None:
        rows += [np.asarray(encoding.ids, dtype=np.int32) for encoding in tokeniser.encode_many(AWKWARD_TEXTS)]
    return rows


def measure_ranges(shape: AlbertShape, weights: Weights, rows: Iterable[Ids]) -> dict[str, Range]:
    """The range of each matrix product of the float32 model over `rows` of token ids, by the name of its weights.

    Raises `CheckpointError` where the model itself leaves the range of float32.
    """
    writer, probes = GraphWriter(), _Probes(weights)
    write_albert(writer, shape, weights, probes)
    names = sorted({probe for pairs in probes.pairs.values() for pair in pairs for probe in pair})
    model = writer.model(model_inputs(), [tensor_info(name, np.float32, []) for name in names], metadata={})
    settings = onnxruntime.SessionOptions()
    settings.log_severity_level = 4
    session = onnxruntime.InferenceSession(model.SerializeToString(), settings, providers=["CPUExecutionProvider"])
    largest = dict.fromkeys(names, 0.0)
    for row in rows:
        ids = np.asarray(row, dtype=np.int32)[None, :]
        values = session.run(names, {INPUT_IDS: ids, LENGTHS: np.array([ids.shape[1]], dtype=np.int32)})
        for name, value in zip(names, values, strict=True):
            if not math.isfinite(value):
                raise CheckpointError(
                    "the model's own float32 values overflow on ordinary text: its weights are broken"
                )
            largest[name] = max(largest[name], float(value))
    return {
        name: Range(max(largest[read] for read, _ in pairs), max(largest[put] for _, put in pairs))
        for name, pairs in probes.pairs.items()
    }


def half_plan(shape: AlbertShape, weights: Weights, rows: Iterable[Ids]) -> PrecisionPlan:
    """What half precision has to treat with care in this model, measured over `rows`.

    A product that is added to a residual is scaled down by a power of two, which is exact, and back up in float32; one
    that goes into attention or the activation stays in float32, and so does one that reads values too large. The head
    always does: it is small, and the labels hang on it.
    """
    ranges = measure_ranges(shape, weights, rows)
    full, exponents, notes = {HEAD}, dict[str, int](), [_summary(ranges)]
    if _largest(weights[f"{WORDS}.weight"]) > LARGEST_ALLOWED:
        full.add(WORDS)
        notes.append(f"{WORDS}: in float32, a value is as large as {_largest(weights[f'{WORDS}.weight']):.3g}")
    for prefix in dict.fromkeys(shape.layers):
        reason = _attention_needs_float32(f"{prefix}attention.", shape, weights, ranges)
        if reason:
            full.update(f"{prefix}attention.{part}" for part in ("query", "key", "value"))
            notes.append(f"{prefix}attention: in float32, {reason}")
        if _with_bias(f"{prefix}ffn", weights, ranges) > LARGEST_ALLOWED:
            full.add(f"{prefix}ffn")
            notes.append(f"{prefix}ffn: in float32, it puts out {ranges[f'{prefix}ffn'].outputs:.3g}")
    for name, values in ranges.items():
        if name in full:
            continue
        exponent = _exponent(name, weights, values)
        if exponent is None:
            full.add(name)
            notes.append(f"{name}: in float32, it reads {values.inputs:.3g} and puts out {values.outputs:.3g}")
        elif exponent:
            exponents[name] = exponent
            notes.append(f"{name}: weights divided by {2**exponent}, it puts out {values.outputs:.3g}")
    return PrecisionPlan(frozenset(full), exponents=exponents, notes=tuple(notes))


class _Probes(Float32):
    """Float32, with the largest absolute value that each product reads and puts out as further outputs."""

    def __init__(self, weights: Weights) -> None:
        super().__init__(weights)
        self.pairs: dict[str, list[tuple[str, str]]] = {}
        self._probes: dict[str, str] = {}

    def project(self, writer: GraphWriter, name: str, inputs: str) -> Projection:
        projection = super().project(writer, name, inputs)
        pair = (self._probe(writer, inputs), self._probe(writer, projection.output))
        self.pairs.setdefault(name, []).append(pair)
        return projection

    def _probe(self, writer: GraphWriter, name: str) -> str:
        if name not in self._probes:
            self._probes[name] = writer.node("ReduceMax", [writer.node("Abs", [name])], keepdims=0)
        return self._probes[name]


def _attention_needs_float32(
    prefix: str, shape: AlbertShape, weights: Weights, ranges: Mapping[str, Range]
) -> str | None:
    """Why attention cannot be in half precision, or None: all that it reads must be of one type."""
    query, key, value = (_with_bias(f"{prefix}{part}", weights, ranges) for part in ("query", "key", "value"))
    largest = max(query, key, value, ranges[f"{prefix}query"].inputs, ranges[f"{prefix}key"].inputs)
    if largest > LARGEST_ALLOWED:
        return f"its values are as large as {largest:.3g}"
    # Unfused kernels round the scores to half precision before the softmax: no score can be larger than this.
    score = math.sqrt(shape.hidden_size // shape.num_attention_heads) * query * key
    return f"its scores may be as large as {score:.3g}" if score > HALF_MAX else None


def _exponent(name: str, weights: Weights, values: Range) -> int | None:
    """How often the weights of a product are halved; None where it has to stay in float32."""
    weight = _largest(weights[f"{name}.weight"])
    if values.inputs > LARGEST_ALLOWED:
        return None
    largest = max(values.outputs, weight)
    if largest <= LARGEST_ALLOWED:
        return 0
    exponent = math.ceil(math.log2(largest / LARGEST_ALLOWED))
    scalable = name.endswith(("attention.dense", "ffn_output", "embedding_hidden_mapping_in"))
    if not scalable or exponent > MAX_EXPONENT or weight * 2.0**-exponent < SMALLEST_LARGEST_WEIGHT:
        return None
    return exponent


def _with_bias(name: str, weights: Weights, ranges: Mapping[str, Range]) -> float:
    return ranges[name].outputs + _largest(weights[f"{name}.bias"])


def _summary(ranges: Mapping[str, Range]) -> str:
    read = max(ranges, key=lambda name: ranges[name].inputs)
    put = max(ranges, key=lambda name: ranges[name].outputs)
    return (
        f"half precision: the largest value that a product reads is {ranges[read].inputs:.3g} ({read}), that one puts"
        f" out {ranges[put].outputs:.3g} ({put}); up to {LARGEST_ALLOWED:,.0f} is taken as safe of {HALF_MAX:,.0f}"
    )


def _largest(values: npt.NDArray[np.float32]) -> float:
    return float(np.abs(values).max())
