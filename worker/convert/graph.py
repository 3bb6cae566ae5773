"""ALBERT as an ONNX graph with ONNX Runtime's fused operators.

Stock exporters and optimisers do not see that ALBERT's layers share their weights: they quantise one layer of twelve,
or store every weight twelve times. Here each weight is one initialiser that all its layers use.

Only ``[CLS]`` is read after the last layer, so that layer's query, output and feed-forward parts are computed for that
one token. This is exact.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import onnx

from worker.convert.precision import PRECISIONS, Precision, Projection
from worker.convert.shape import AlbertShape, Weights
from worker.convert.writer import MICROSOFT, GraphWriter, tensor_info

INPUT_IDS, LENGTHS, LOGITS = "input_ids", "lengths", "logits"


def build_graph(
    shape: AlbertShape, weights: Weights, *, precision: str, metadata: Mapping[str, str] | None = None
) -> onnx.ModelProto:
    """The model: ``input_ids`` int32 [batch, sequence], ``lengths`` int32 [batch] -> ``logits`` float32 [batch, label].

    Tokens at and beyond a row's length are padding. Raises KeyError for a precision that is none of `PRECISIONS`.
    """
    writer = GraphWriter()
    logits = _AlbertGraph(writer, shape, weights, PRECISIONS[precision](weights)).logits()
    writer.rename(logits, LOGITS)
    return writer.model(
        [
            tensor_info(INPUT_IDS, np.int32, ["batch", "sequence"]),
            tensor_info(LENGTHS, np.int32, ["batch"]),
        ],
        [tensor_info(LOGITS, np.float32, ["batch", len(shape.labels)])],
        metadata=dict(metadata or {}),
    )


class _AlbertGraph:
    """Writes ALBERT's parts, first to last."""

    def __init__(self, writer: GraphWriter, shape: AlbertShape, weights: Weights, precision: Precision) -> None:
        self._writer = writer
        self._shape = shape
        self._weights = weights
        self._precision = precision

    def logits(self) -> str:
        hidden = self._embeddings()
        *first_layers, last_layer = self._shape.layers
        for prefix in first_layers:
            hidden = self._layer(prefix, queries=hidden, context=hidden)
        hidden = self._layer(last_layer, queries=self._first_token(hidden), context=hidden)
        return self._head(hidden)

    def _embeddings(self) -> str:
        """Words, places and segment 0, normalised and brought to the hidden size."""
        places = self._weights["albert.embeddings.position_embeddings.weight"]
        segments = self._weights["albert.embeddings.token_type_embeddings.weight"]
        table = self._writer.initialiser("albert.embeddings.places_of_segment_0", places + segments[0])
        words = self._precision.look_up(self._writer, "albert.embeddings.word_embeddings", INPUT_IDS)
        length = self._writer.node("Shape", [INPUT_IDS], start=1, end=2)
        rows = self._writer.node("Slice", [table, self._integers(0), length, self._integers(0)])
        normalised = self._add_and_normalise("albert.embeddings.LayerNorm", Projection(words, ""), rows)
        return self._linear("albert.encoder.embedding_hidden_mapping_in", normalised)

    def _layer(self, prefix: str, *, queries: str, context: str) -> str:
        attention = self._attention(f"{prefix}attention.", queries, context)
        output = self._precision.project(self._writer, f"{prefix}attention.dense", attention)
        attended = self._add_and_normalise(f"{prefix}attention.LayerNorm", output, queries)
        inner = self._activation(self._precision.project(self._writer, f"{prefix}ffn", attended))
        output = self._precision.project(self._writer, f"{prefix}ffn_output", inner)
        return self._add_and_normalise(f"{prefix}full_layer_layer_norm", output, attended)

    def _attention(self, prefix: str, queries: str, context: str) -> str:
        parts = [
            self._precision.project(self._writer, f"{prefix}{part}", inputs)
            for part, inputs in (("query", queries), ("key", context), ("value", context))
        ]
        bias = ""
        if parts[0].bias:
            values = [self._weights[part.bias] for part in parts]
            bias = self._writer.initialiser(f"{prefix}bias", np.concatenate(values))
        return self._writer.node(
            "MultiHeadAttention",
            [*(part.output for part in parts), bias, LENGTHS],
            domain=MICROSOFT,
            num_heads=self._shape.num_attention_heads,
        )

    def _activation(self, projection: Projection) -> str:
        name = self._shape.hidden_act
        if name in ("gelu_new", "gelu_pytorch_tanh"):
            return self._writer.node("FastGelu", projection, domain=MICROSOFT)
        operator, domain = {"gelu": ("Gelu", MICROSOFT), "relu": ("Relu", "")}[name]
        return self._writer.node(operator, [self._add_bias(projection)], domain=domain)

    def _add_and_normalise(self, name: str, projection: Projection, skipped: str) -> str:
        """Residual sum and normalisation, as two operators.

        ONNX Runtime's fused SkipLayerNormalization takes seven times as long on a CPU (docs/performance.md); on a GPU
        its optimiser fuses them by itself.
        """
        scale = self._writer.initialiser(f"{name}.weight", self._weights[f"{name}.weight"])
        shift = self._writer.initialiser(f"{name}.bias", self._weights[f"{name}.bias"])
        total = self._writer.node("Add", [projection.output, skipped])
        if projection.bias:
            total = self._writer.node("Add", [total, projection.bias])
        return self._writer.node(
            "LayerNormalization", [total, scale, shift], axis=-1, epsilon=self._shape.layer_norm_eps
        )

    def _first_token(self, hidden: str) -> str:
        """``[CLS]`` alone: ``[batch, 1, hidden]``."""
        return self._writer.node("Slice", [hidden, self._integers(0), self._integers(1), self._integers(1)])

    def _head(self, first_token: str) -> str:
        pooled = self._writer.node("Squeeze", [first_token, self._integers(1)])
        pooled = self._writer.node("Tanh", [self._linear("albert.pooler", pooled)])
        weight = self._writer.initialiser("classifier.weight", self._weights["classifier.weight"])
        bias = self._writer.initialiser("classifier.bias", self._weights["classifier.bias"])
        return self._writer.node("Gemm", [pooled, weight, bias], transB=1)  # tiny, so exact in every precision

    def _linear(self, name: str, inputs: str) -> str:
        return self._add_bias(self._precision.project(self._writer, name, inputs))

    def _add_bias(self, projection: Projection) -> str:
        return self._writer.node("Add", projection) if projection.bias else projection.output

    def _integers(self, *values: int) -> str:
        return self._writer.initialiser(f"integers_{'_'.join(map(str, values))}", np.asarray(values, dtype=np.int64))
