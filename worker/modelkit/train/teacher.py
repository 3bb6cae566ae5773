"""The teacher: logistic regression over naive-Bayes weighted 1- to 3-grams.

Wang and Manning, "Baselines and Bigrams: Simple, Good Sentiment and Topic Classification", ACL 2012.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.linear_model import LogisticRegression

from worker.modelkit.train.data import LabelledReviews

WORDS_AND_MARKS = r"(?u)\b\w+\b|[!?]"


class Teacher:
    """Learns from labelled reviews; answers with a probability of ``pos``."""

    def __init__(
        self, reviews: LabelledReviews, *, smoothing: float = 1.0, inverse_regularisation: float = 4.0
    ) -> None:
        self._vectoriser = CountVectorizer(ngram_range=(1, 3), token_pattern=WORDS_AND_MARKS, binary=True, min_df=2)
        counts = self._vectoriser.fit_transform([_plain(text) for text in reviews.texts])
        labels = np.asarray(reviews.labels)
        positive = smoothing + counts[labels == 1].sum(axis=0)
        negative = smoothing + counts[labels == 0].sum(axis=0)
        self._ratio = np.log((positive / positive.sum()) / (negative / negative.sum()))
        self._classifier = LogisticRegression(C=inverse_regularisation, max_iter=300, solver="liblinear", dual=True)
        self._classifier.fit(counts.multiply(self._ratio).tocsr(), labels)

    def probabilities(self, texts: list[str]) -> npt.NDArray[np.float32]:
        """Probability of ``pos``: shape ``[len(texts)]``, float32."""
        counts = self._vectoriser.transform([_plain(text) for text in texts])
        scores = self._classifier.predict_proba(counts.multiply(self._ratio).tocsr())
        return np.asarray(scores[:, 1], dtype=np.float32)


def _plain(text: str) -> str:
    return text.replace("<br />", " ")


def out_of_fold(reviews: LabelledReviews, *, seed: int, folds: int = 5) -> npt.NDArray[np.float32]:
    """What a teacher that has not seen it says of each review: its probability of ``pos``, ``[len(reviews)]``."""
    fold_of = np.random.default_rng(seed).permutation(len(reviews.texts)) % folds
    said = np.zeros(len(reviews.texts), dtype=np.float32)
    for fold in range(folds):
        seen, unseen = np.flatnonzero(fold_of != fold), np.flatnonzero(fold_of == fold)
        teacher = Teacher(
            LabelledReviews([reviews.texts[index] for index in seen], [reviews.labels[index] for index in seen])
        )
        said[unseen] = teacher.probabilities([reviews.texts[index] for index in unseen])
    return said


MOST_SURE = 6.0
"""Largest log odds that count of an n-gram model, which is too sure of long reviews."""


def together(scores: npt.NDArray[np.float32], probabilities: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """The probability whose log odds are the mean of a model's `scores` (log odds) and an n-gram model's."""
    least = 1 / (1 + np.exp(MOST_SURE))
    said = np.clip(probabilities.astype(np.float64), least, 1 - least)
    odds = (scores + np.log(said / (1 - said))) / 2
    return np.asarray(1 / (1 + np.exp(-odds)), dtype=np.float32)
