"""A start for the piece embeddings: what pieces occur together, by a truncated SVD of positive mutual information.

Levy and Goldberg, "Neural Word Embedding as Implicit Matrix Factorization", NIPS 2014. A vocabulary of 30,000 pieces
seen in 75,000 reviews is too large to be learnt from the sentiment alone in a few epochs.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from scipy.sparse import coo_matrix, csr_matrix
from sklearn.utils.extmath import randomized_svd


def cooccurrence_embeddings(
    encoded: Sequence[npt.NDArray[np.int32]],
    *,
    vocabulary_size: int,
    dimensions: int,
    window: int = 4,
    scale: float = 0.05,
    seed: int,
) -> npt.NDArray[np.float32]:
    """Embeddings of shape ``[vocabulary_size, dimensions]``, float32, with a standard deviation of `scale`."""
    counts = _cooccurrences(encoded, vocabulary_size, window)
    total = counts.sum()
    frequency = np.asarray(counts.sum(axis=1)).ravel()
    smoothed = frequency**0.75  # context distribution smoothing, as in word2vec
    smoothed = smoothed / smoothed.sum()
    pairs = counts.tocoo()
    information = np.log(pairs.data / total) - np.log(frequency[pairs.row] / total) - np.log(smoothed[pairs.col])
    positive = information > 0
    matrix = csr_matrix(
        (information[positive], (pairs.row[positive], pairs.col[positive])), shape=(vocabulary_size, vocabulary_size)
    )
    left, values, _ = randomized_svd(matrix, n_components=dimensions, n_iter=3, random_state=seed)
    embeddings = left * np.sqrt(values)
    embeddings *= scale / embeddings.std()
    unseen = frequency == 0
    embeddings[unseen] = np.random.default_rng(seed).normal(0, scale, (int(unseen.sum()), dimensions))
    return np.asarray(embeddings, dtype=np.float32)


def _cooccurrences(encoded: Sequence[npt.NDArray[np.int32]], vocabulary_size: int, window: int) -> csr_matrix:
    """Symmetric counts of pieces at most `window` apart, nearer ones counting more."""
    counts = csr_matrix((vocabulary_size, vocabulary_size), dtype=np.float64)
    for start in range(0, len(encoded), 5_000):
        ids = np.concatenate(encoded[start : start + 5_000])
        for distance in range(1, window + 1):
            weight = np.full(len(ids) - distance, 1.0 / distance)
            pairs = coo_matrix((weight, (ids[:-distance], ids[distance:])), shape=(vocabulary_size,) * 2).tocsr()
            counts = counts + pairs + pairs.T
    return counts
