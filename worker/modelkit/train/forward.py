"""ALBERT's forward pass for training on a CPU, and for measuring while it trains.

The same function as `AlbertForSequenceClassification`, in bfloat16 from the embeddings to the last layer,
but saves work in three places: query, key and value are one product, the last layer computes ``[CLS]`` alone, and the
embeddings go into the first layer as they are (the mapping between them is the identity).
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import numpy.typing as npt
import torch
from torch.nn import functional
from transformers import AlbertForSequenceClassification

from worker.modelkit.train.pretrained import HEADS, WIDTH

Ids = npt.NDArray[np.int32]
HEAD, ROOM = 128, 510
"""What is read of a long review: so many tokens of its beginning, and so many in all. The worker does the same."""
DROPPED = 0.1
"""Share of what the classifier is given that it does not see while it learns."""

_SCALE = (WIDTH // HEADS) ** -0.5
_MASKED = -30_000.0
_NORM_EPSILON = 1e-12
_CLS, _SEP = 2, 3


def logits(
    model: AlbertForSequenceClassification,
    ids: torch.Tensor,
    mask: torch.Tensor | None,
    dropout: torch.Generator | None = None,
) -> torch.Tensor:
    """One row of logits for each row of `ids`; `mask` says what is no padding, None that there is none.

    `dropout` chooses what the classifier does not see; with None it sees everything.
    """
    embeddings, length = model.albert.embeddings, ids.shape[1]
    hidden = functional.embedding(ids, embeddings.word_embeddings.weight)
    hidden = hidden + embeddings.position_embeddings.weight[:length] + embeddings.token_type_embeddings.weight[0]
    hidden = _normalised(hidden.to(torch.bfloat16), embeddings.LayerNorm)
    bias = None
    if mask is not None:
        bias = torch.zeros(len(ids), 1, 1, length, dtype=torch.bfloat16).masked_fill_(~mask[:, None, None, :], _MASKED)
    *first_layers, last = [group.albert_layers[0] for group in model.albert.encoder.albert_layer_groups]
    for layer in first_layers:
        hidden = _layer(layer, hidden, bias, first_token_only=False)
    first_token = _layer(last, hidden, bias, first_token_only=True)[:, 0].float()
    pooled = torch.tanh(functional.linear(first_token, model.albert.pooler.weight, model.albert.pooler.bias))
    if dropout is not None:
        pooled = pooled * (torch.rand(pooled.shape, generator=dropout) >= DROPPED) / (1 - DROPPED)
    return functional.linear(pooled, model.classifier.weight, model.classifier.bias)


def padded(rows: Sequence[Ids]) -> tuple[torch.Tensor, torch.Tensor | None]:
    """Rows of ids, between ``[CLS]`` and ``[SEP]``, and the mask of what is no padding; None where nothing is."""
    ids = np.zeros((len(rows), max(map(len, rows)) + 2), dtype=np.int64)
    mask = np.zeros(ids.shape, dtype=bool)
    for index, row in enumerate(rows):
        ids[index, 0], ids[index, 1 : len(row) + 1], ids[index, len(row) + 1] = _CLS, row, _SEP
        mask[index, : len(row) + 2] = True
    return torch.from_numpy(ids), None if mask.all() else torch.from_numpy(mask)


def scores(
    model: AlbertForSequenceClassification,
    encoded: Sequence[Ids],
    *,
    room: int = ROOM,
    head: int = HEAD,
    threads: int = 2,
) -> npt.NDArray[np.float32]:
    """How much larger the logit of ``pos`` is than that of ``neg``: shape ``[len(encoded)]``."""
    rows = [ids if len(ids) <= room else np.concatenate((ids[:head], ids[len(ids) - room + head :])) for ids in encoded]
    order = sorted(range(len(rows)), key=lambda index: len(rows[index]))
    found = np.zeros(len(rows), dtype=np.float32)

    def compute(start: int) -> None:
        chosen = order[start : start + 8]
        with torch.no_grad():
            both = logits(model, *padded([rows[index] for index in chosen]))
        found[chosen] = (both[:, 1] - both[:, 0]).numpy()

    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(compute, range(0, len(order), 8)))
    return found


def _layer(
    layer: torch.nn.Module, hidden: torch.Tensor, bias: torch.Tensor | None, *, first_token_only: bool
) -> torch.Tensor:
    attention = layer.attention
    context = _attended(attention, hidden, bias, first_token_only)
    hidden = hidden[:, :1] if first_token_only else hidden
    hidden = _normalised(hidden + _linear(context, attention.dense), attention.LayerNorm)
    inner = functional.gelu(_linear(hidden, layer.ffn))
    return _normalised(hidden + _linear(inner, layer.ffn_output), layer.full_layer_layer_norm)


def _attended(
    attention: torch.nn.Module, hidden: torch.Tensor, bias: torch.Tensor | None, first_token_only: bool
) -> torch.Tensor:
    rows, length = hidden.shape[:2]
    query, key, value = attention.query, attention.key, attention.value
    if first_token_only:
        weight = torch.cat((key.weight, value.weight)).to(torch.bfloat16)
        added = torch.cat((key.bias, value.bias)).to(torch.bfloat16)
        keys, values = _heads(functional.linear(hidden, weight, added), 2)
        scaled = functional.linear(
            hidden[:, :1], (query.weight * _SCALE).to(torch.bfloat16), (query.bias * _SCALE).to(torch.bfloat16)
        )
        (queries,) = _heads(scaled, 1)
    else:
        weight = torch.cat((query.weight * _SCALE, key.weight, value.weight)).to(torch.bfloat16)
        added = torch.cat((query.bias * _SCALE, key.bias, value.bias)).to(torch.bfloat16)
        queries, keys, values = _heads(functional.linear(hidden, weight, added), 3)
    # Written out: torch's fused attention takes longer on a CPU, and much longer backwards.
    weights = queries @ keys.transpose(-1, -2)
    if bias is not None:
        weights = weights + bias
    context = weights.softmax(-1) @ values
    return context.transpose(1, 2).reshape(rows, 1 if first_token_only else length, WIDTH)


def _heads(projected: torch.Tensor, parts: int) -> tuple[torch.Tensor, ...]:
    rows, length = projected.shape[:2]
    apart = projected.view(rows, length, parts, HEADS, WIDTH // HEADS).permute(2, 0, 3, 1, 4)
    return tuple(apart[part] for part in range(parts))


def _linear(inputs: torch.Tensor, linear: torch.nn.Module) -> torch.Tensor:
    return functional.linear(inputs, linear.weight.to(torch.bfloat16), linear.bias.to(torch.bfloat16))


def _normalised(hidden: torch.Tensor, norm: torch.nn.Module) -> torch.Tensor:
    scale, shift = norm.weight.to(torch.bfloat16), norm.bias.to(torch.bfloat16)
    return functional.layer_norm(hidden, (WIDTH,), scale, shift, _NORM_EPSILON)
