"""What an artifact is compared with: the model as it was trained, in somebody else's code where there is any."""

from __future__ import annotations

import importlib.util
import math
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from worker.inference.artifact import PIECES, Artifact
from worker.inference.scores import Scores, probabilities
from worker.inference.session import SessionOptions, open_session
from worker.modelkit.convert.checkpoint import Checkpoint, Source
from worker.modelkit.convert.shape import CheckpointError
from worker.records import Encoding

Array = npt.NDArray[Any]
MaskedRow = tuple[Sequence[int] | Array, Sequence[int] | Array]
"""Token ids and attention mask, both ``[length]``."""


class Reference(Protocol):
    """Computes reviews one at a time, so that no padding and no company has a part in it."""

    @property
    def name(self) -> str:
        """What computes, for a person."""

    def scores(self, encodings: Sequence[Encoding]) -> Scores:
        """Probabilities, float32 ``[len(encodings), labels]``."""


def reference_of(source: Source) -> Reference:
    """The best there is: the source's own graph, transformers where it is installed, numpy otherwise."""
    if not isinstance(source, Checkpoint):
        return GraphReference(source, source.graph)
    if source.original_graph is not None:
        return GraphReference(source, source.original_graph)
    return plain_reference_of(source)


def plain_reference_of(checkpoint: Checkpoint) -> TransformersReference | NumpyReference:
    """The model as it was trained, whatever graph its source has: transformers where it is installed, else numpy."""
    if importlib.util.find_spec("transformers") and importlib.util.find_spec("torch"):
        return TransformersReference(checkpoint)
    return NumpyReference(checkpoint)


class GraphReference:
    """An ONNX graph as somebody exported it."""

    def __init__(self, source: Source, graph: bytes) -> None:
        self.name = "the source's own graph, on ONNX Runtime"
        self._folder = tempfile.TemporaryDirectory()
        artifact = Artifact(
            path=Path(self._folder.name),
            name="source",
            version="0",
            precision="fp32",
            labels=source.labels,
            max_length=source.max_length,
            lower_case=source.lower_case,
            vocabulary_size=int(source.config["vocab_size"]),
            files=frozenset(),
        )
        artifact.model_path.write_bytes(graph)
        self._session = open_session(artifact, SessionOptions(provider="cpu"))

    def scores(self, encodings: Sequence[Encoding]) -> Scores:
        """See `Reference`."""
        rows = [
            self._session.predict(encoding.ids[None, :], np.array([len(encoding)], dtype=np.int32))
            for encoding in encodings
        ]
        return np.concatenate(rows)


class TransformersReference:
    """``transformers.AlbertForSequenceClassification`` in float32, on this machine's CPU."""

    def __init__(self, checkpoint: Checkpoint) -> None:
        import torch
        import transformers

        self.name = f"transformers {transformers.__version__}, torch {torch.__version__}"
        config = transformers.AlbertConfig(**dict(checkpoint.config))
        self._torch = torch
        self._model = transformers.AlbertForSequenceClassification(config).eval()
        state = {name: torch.from_numpy(np.ascontiguousarray(value)) for name, value in checkpoint.weights.items()}
        missing = self._model.load_state_dict(state, strict=False).missing_keys
        if missing:
            raise CheckpointError(f"transformers misses the weights {', '.join(missing)}: this is a bug")

    def scores(self, encodings: Sequence[Encoding]) -> Scores:
        """See `Reference`."""
        return self.masked_scores([(row.ids, np.ones_like(row.ids)) for row in encodings])

    def masked_scores(self, rows: Sequence[MaskedRow]) -> Scores:
        """Probabilities of rows some of whose tokens nobody attends to."""
        logits = []
        with self._torch.inference_mode():
            for row in rows:
                ids, mask = (self._torch.from_numpy(np.asarray(part, dtype=np.int64)[None, :]) for part in row)
                logits.append(self._model(input_ids=ids, attention_mask=mask).logits.numpy())
        return probabilities(np.concatenate(logits))


class NumpyReference:
    """ALBERT written straight from its paper (Lan et al., ICLR 2020), in float64: slow, and nothing shared with us."""

    def __init__(self, checkpoint: Checkpoint) -> None:
        self.name = "numpy, float64"
        self._shape = checkpoint.shape
        self._weights = {name: value.astype(np.float64) for name, value in checkpoint.weights.items()}

    def scores(self, encodings: Sequence[Encoding]) -> Scores:
        """See `Reference`."""
        return probabilities(np.stack([self.logits(encoding.ids) for encoding in encodings]))

    def masked_scores(self, rows: Sequence[MaskedRow]) -> Scores:
        """Probabilities of rows some of whose tokens nobody attends to."""
        return probabilities(np.stack([self.logits(np.asarray(ids), np.asarray(mask)) for ids, mask in rows]))

    def logits(self, ids: Array, mask: Array | None = None) -> Array:
        """Logits in float64 ``[labels]`` of one row of token ids; every layer in full.

        Nobody attends to tokens whose `mask` is 0.
        """
        unseen = np.zeros(len(ids), dtype=bool) if mask is None else mask == 0
        table = "albert.embeddings.{}_embeddings.weight"
        weights, shape = self._weights, self._shape
        hidden = weights[table.format("word")][ids] + weights[table.format("position")][: len(ids)]
        hidden = self._normalise("albert.embeddings.LayerNorm", hidden + weights[table.format("token_type")][0])
        hidden = self._linear("albert.encoder.embedding_hidden_mapping_in", hidden)
        for layer in range(shape.num_hidden_layers):
            group = layer * shape.num_hidden_groups // shape.num_hidden_layers
            for inner in range(shape.inner_group_num):
                hidden = self._layer(
                    f"albert.encoder.albert_layer_groups.{group}.albert_layers.{inner}.", hidden, unseen
                )
        return self._linear("classifier", np.tanh(self._linear("albert.pooler", hidden[0])))

    def _layer(self, prefix: str, hidden: Array, unseen: Array) -> Array:
        attended = self._linear(f"{prefix}attention.dense", self._attend(f"{prefix}attention.", hidden, unseen))
        hidden = self._normalise(f"{prefix}attention.LayerNorm", hidden + attended)
        inside = activation(self._shape.hidden_act, self._linear(f"{prefix}ffn", hidden))
        return self._normalise(f"{prefix}full_layer_layer_norm", self._linear(f"{prefix}ffn_output", inside) + hidden)

    def _attend(self, prefix: str, hidden: Array, unseen: Array) -> Array:
        heads, length = self._shape.num_attention_heads, len(hidden)
        query, key, value = (
            self._linear(f"{prefix}{part}", hidden).reshape(length, heads, -1).transpose(1, 0, 2)
            for part in ("query", "key", "value")
        )
        scores = query @ key.transpose(0, 2, 1) / math.sqrt(self._shape.hidden_size // heads)
        scores = softmax(np.where(unseen, -np.inf, scores))
        return (scores @ value).transpose(1, 0, 2).reshape(length, -1)

    def _linear(self, name: str, values: Array) -> Array:
        return np.asarray(values @ self._weights[f"{name}.weight"].T + self._weights[f"{name}.bias"])

    def _normalise(self, name: str, values: Array) -> Array:
        centred = values - values.mean(axis=-1, keepdims=True)
        scaled = centred / np.sqrt((centred**2).mean(axis=-1, keepdims=True) + self._shape.layer_norm_eps)
        return np.asarray(scaled * self._weights[f"{name}.weight"] + self._weights[f"{name}.bias"])


def softmax(values: Array) -> Array:
    """Along the last axis."""
    exponents: Array = np.exp(values - values.max(axis=-1, keepdims=True))
    return np.asarray(exponents / exponents.sum(axis=-1, keepdims=True))


def activation(name: str, values: Array) -> Array:
    """What transformers' ``ACT2FN`` calls `name`."""
    if name == "relu":
        return np.asarray(np.maximum(values, 0))
    if name == "gelu":
        return np.asarray(values * 0.5 * (1 + np.vectorize(math.erf, otypes=[np.float64])(values / math.sqrt(2))))
    return np.asarray(0.5 * values * (1 + np.tanh(math.sqrt(2 / math.pi) * (values + 0.044715 * values**3))))


def reference_ids(source: Source, texts: Sequence[str]) -> list[list[int]] | None:
    """Token ids as ``transformers.AlbertTokenizer`` makes them, cut alike; None where transformers is not installed."""
    if not importlib.util.find_spec("transformers"):
        return None
    from transformers import AlbertTokenizer

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / PIECES
        path.write_bytes(source.pieces)
        tokeniser = AlbertTokenizer(str(path), do_lower_case=source.lower_case)
        encoded = tokeniser(list(texts), truncation=True, max_length=source.max_length)["input_ids"]
    return [list(ids) for ids in encoded]
