"""ALBERT as an ONNX graph with ONNX Runtime's fused operators.

Stock exporters and optimisers do not see that ALBERT's layers share their weights: they quantise one layer of twelve,
or store every weight twelve times. Here each weight is one initialiser that all its layers use.

Only ``[CLS]`` is read after the last layer, so that layer's query, output and feed-forward parts are computed for that
one token. This is exact.

The padding-free graph computes the same for the tokens of all rows one after another, without the padding between them;
its operators exist for CUDA only.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
import onnx

from worker.modelkit.convert.precision import PRECISIONS, Precision, PrecisionPlan, Projection
from worker.modelkit.convert.shape import AlbertShape, Weights
from worker.modelkit.convert.writer import MICROSOFT, GraphWriter, tensor_info

INPUT_IDS, LENGTHS, LOGITS = "input_ids", "lengths", "logits"
MAPPING = "albert.encoder.embedding_hidden_mapping_in"
MASKED = -1e30
"""Added to the score of padding where a kernel adds anything; its default, -10,000, lets the largest scores through."""


def build_graph(
    shape: AlbertShape,
    weights: Weights,
    *,
    precision: str,
    plan: PrecisionPlan | None = None,
    padding_free: bool = False,
    metadata: Mapping[str, str] | None = None,
) -> onnx.ModelProto:
    """The model: ``input_ids`` int32 [batch, sequence], ``lengths`` int32 [batch] -> ``logits`` float32 [batch, label].

    Tokens at and beyond a row's length are padding; a length is 1 or more. Half precision needs a `plan`. Raises
    KeyError for a precision that is none of `PRECISIONS`.
    """
    writer = GraphWriter()
    writer.rename(write_albert(writer, shape, weights, PRECISIONS[precision](weights, plan), padding_free), LOGITS)
    outputs = [tensor_info(LOGITS, np.float32, ["batch", len(shape.labels)])]
    return writer.model(model_inputs(), outputs, metadata=dict(metadata or {}))


def write_albert(
    writer: GraphWriter, shape: AlbertShape, weights: Weights, precision: Precision, padding_free: bool = False
) -> str:
    """Write all nodes, from the inputs of `model_inputs` on; answers the name of the logits."""
    graph = _PaddingFreeGraph if padding_free else _AlbertGraph
    return graph(writer, shape, weights, precision).logits()


def model_inputs() -> list[onnx.ValueInfoProto]:
    """What every graph is fed with."""
    return [
        tensor_info(INPUT_IDS, np.int32, ["batch", "sequence"]),
        tensor_info(LENGTHS, np.int32, ["batch"]),
    ]


class _AlbertGraph:
    """Writes ALBERT's parts, first to last."""

    def __init__(self, writer: GraphWriter, shape: AlbertShape, weights: Weights, precision: Precision) -> None:
        self._writer = writer
        self._shape = shape
        self._weights = weights
        self._precision = precision

    def logits(self) -> str:
        hidden = self._pack(self._embeddings())
        if not self._maps_to_itself(MAPPING):
            hidden = self._linear(MAPPING, hidden)
        *first_layers, last_layer = self._shape.layers
        for number, prefix in enumerate(first_layers, 1):
            self._precision.begin_layer(number)
            hidden = self._layer(prefix, queries=hidden, context=hidden)
        self._precision.begin_layer(len(first_layers) + 1)
        hidden = self._layer(last_layer, queries=self._first_token(hidden), context=hidden)
        self._precision.begin_layer(0)
        return self._head(hidden)

    def _maps_to_itself(self, name: str) -> bool:
        """Whether the linear layer `name` changes nothing, as where the layers are those of a BERT, which has none."""
        weight, bias = self._weights[f"{name}.weight"], self._weights[f"{name}.bias"]
        square = weight.shape[0] == weight.shape[1]
        return square and not bias.any() and np.array_equal(weight, np.eye(len(weight), dtype=weight.dtype))

    def _embeddings(self) -> str:
        """Words, places and segment 0, normalised: ``[batch, sequence, embedding]``."""
        places = self._weights["albert.embeddings.position_embeddings.weight"]
        segments = self._weights["albert.embeddings.token_type_embeddings.weight"]
        table = self._writer.initialiser("albert.embeddings.places_of_segment_0", places + segments[0])
        words = self._precision.look_up(self._writer, "albert.embeddings.word_embeddings", INPUT_IDS)
        length = self._writer.node("Shape", [INPUT_IDS], start=1, end=2)
        rows = self._writer.node("Slice", [table, self._integers(0), length, self._integers(0)])
        return self._add_and_normalise("albert.embeddings.LayerNorm", Projection(words, ""), rows)

    def _pack(self, embeddings: str) -> str:
        """The embeddings in the layout in which the layers read them."""
        return embeddings

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
            values = np.concatenate([self._weights[part.bias] for part in parts])
            bias = self._vector(f"{prefix}bias", values, like=parts[0].output)
        outputs = [part.output for part in parts]
        return self._attend(outputs, bias) if queries == context else self._attend_once(outputs, bias)

    def _attend(self, parts: Sequence[str], bias: str) -> str:
        """Every token to all tokens of its row; `parts` are query, key and value."""
        return self._writer.node(
            "MultiHeadAttention",
            [*parts, bias, LENGTHS],
            domain=MICROSOFT,
            num_heads=self._shape.num_attention_heads,
            mask_filter_value=MASKED,
        )

    def _attend_once(self, parts: Sequence[str], bias: str) -> str:
        """The one query of each row to all tokens of it."""
        return _AlbertGraph._attend(self, parts, bias)

    def _activation(self, projection: Projection) -> str:
        name = self._shape.hidden_act
        if name in ("gelu_new", "gelu_pytorch_tanh"):
            return self._writer.node("FastGelu", [projection.output, self._bias(projection)], domain=MICROSOFT)
        operator, domain = {"gelu": ("Gelu", MICROSOFT), "relu": ("Relu", "")}[name]
        return self._writer.node(operator, [self._add_bias(projection)], domain=domain)

    def _add_and_normalise(self, name: str, projection: Projection, skipped: str) -> str:
        """Residual sum and normalisation, two operators: on a CPU the fused one takes seven times as long."""
        scale, shift, added = self._normalisation(name, projection)
        total = self._writer.node("Add", [added.output, skipped])
        if added.bias:
            total = self._writer.node("Add", [total, self._bias(added)])
        return self._writer.node(
            "LayerNormalization", [total, scale, shift], axis=-1, epsilon=self._shape.layer_norm_eps
        )

    def _normalisation(self, name: str, projection: Projection) -> tuple[str, str, Projection]:
        """Scale, shift, and what is normalised, in float32."""
        scale = self._writer.initialiser(f"{name}.weight", self._weights[f"{name}.weight"])
        shift = self._writer.initialiser(f"{name}.bias", self._weights[f"{name}.bias"])
        return scale, shift, self._precision.widen(self._writer, projection)

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
        projection = self._precision.project(self._writer, name, inputs)
        return self._add_bias(self._precision.widen(self._writer, projection))

    def _add_bias(self, projection: Projection) -> str:
        if not projection.bias:
            return projection.output
        return self._writer.node("Add", [projection.output, self._bias(projection)])

    def _bias(self, projection: Projection) -> str:
        if not projection.bias:
            return ""
        return self._vector(projection.bias, self._weights[projection.bias], like=projection.output)

    def _vector(self, name: str, values: npt.NDArray[np.float32], like: str) -> str:
        """The initialiser `name` in the float type of the value `like`: operators add only what is alike."""
        return self._writer.initialiser(name, values.astype(np.float16 if self._writer.is_half(like) else np.float32))

    def _integers(self, *values: int) -> str:
        return self._writer.initialiser(f"integers_{'_'.join(map(str, values))}", np.asarray(values, dtype=np.int64))


class _PaddingFreeGraph(_AlbertGraph):
    """The same over ``[tokens, hidden]``: the tokens of all rows one after another.

    The contracts of the four operators are those of ONNX Runtime's ``ContribOperators.md``. Attention reads where the
    rows begin; the last layer has one query a row, so its keys and values get their padding back, as zeros that the
    lengths keep out.
    """

    def _add_and_normalise(self, name: str, projection: Projection, skipped: str) -> str:
        """Fused: on a GPU it saves reading and writing the sum."""
        scale, shift, added = self._normalisation(name, projection)
        return self._writer.node(
            "SkipLayerNormalization",
            [added.output, skipped, scale, shift, self._bias(added)],
            domain=MICROSOFT,
            epsilon=self._shape.layer_norm_eps,
        )

    def _pack(self, embeddings: str) -> str:
        # The embeddings are the narrowest that the graph has: nowhere is padding dropped at less cost.
        packed = self._writer.nodes("RemovePadding", [embeddings, LENGTHS], 4, domain=MICROSOFT)
        tokens, self._offsets, self._starts, _ = packed
        return tokens

    def _attend(self, parts: Sequence[str], bias: str) -> str:
        return self._writer.node(
            "PackedMultiHeadAttention",
            [*parts, bias, self._offsets, self._starts],
            domain=MICROSOFT,
            num_heads=self._shape.num_attention_heads,
        )

    def _attend_once(self, parts: Sequence[str], bias: str) -> str:
        query, *others = parts
        padded = [self._writer.node("RestorePadding", [part, self._offsets], domain=MICROSOFT) for part in others]
        return super()._attend_once([query, *padded], bias)

    def _first_token(self, hidden: str) -> str:
        starts = self._writer.node("Slice", [self._starts, self._integers(0), self._integers(-1), self._integers(0)])
        return self._writer.node("Unsqueeze", [self._writer.node("Gather", [hidden, starts]), self._integers(1)])
