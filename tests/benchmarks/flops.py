"""Floating point operations of a forward pass: what a machine's peak is held against."""

from __future__ import annotations

from collections.abc import Sequence

from worker.modelkit.convert.shape import AlbertShape


def forward_flops(shape: AlbertShape, lengths: Sequence[int], last_layer_cls_only: bool) -> float:
    """Operations of the matrix products of one pass over reviews of `lengths` tokens; a multiply-add counts as two.

    Counted are the tokens of `lengths` and nothing else: give real lengths for useful work, padded ones for all that is
    computed. With `last_layer_cls_only` the last layer's query, output and feed-forward run for one token a review, as
    in the graphs of `worker.modelkit.convert.graph`; without, all run for all tokens, as in a plain export. Lookups,
    normalisation, activations and the softmax are left out: they are below one in a hundred.
    """
    hidden, inner = shape.hidden_size, shape.intermediate_size
    tokens, reviews = sum(lengths), len(lengths)
    pairs = sum(length * length for length in lengths)
    layers = len(shape.layers)
    queries = (layers - 1) * tokens + (reviews if last_layer_cls_only else tokens)
    attended = (layers - 1) * pairs + (tokens if last_layer_cls_only else pairs)
    multiply_adds = (
        tokens * shape.embedding_size * hidden
        + layers * tokens * 2 * hidden * hidden  # keys and values
        + queries * (2 * hidden * hidden + 2 * hidden * inner)  # queries and outputs, feed-forward
        + attended * 2 * hidden  # scores, and the mean of the values
        + reviews * hidden * (hidden + len(shape.labels))  # the head
    )
    return 2.0 * multiply_adds
