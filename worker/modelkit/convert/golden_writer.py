"""Making the golden set of an artifact that has just been built."""

from __future__ import annotations

import math

import numpy as np

from worker.inference.artifact import Artifact
from worker.inference.golden import GoldenReview, GoldenSet
from worker.inference.session import SessionOptions, open_session
from worker.modelkit.convert.awkward_texts import GOLDEN_TEXTS

TOLERANCES = {"fp32": 1e-3, "fp16": 1e-2, "int8": 3e-2}
"""By precision: what other processors and providers may differ by. Other float32 kernels sum up in another order, and
int8 measures the scales of activations over a batch, so that the company of a review has a part in its scores."""
AS_IT_IS_TOLERANCE = 3e-2
MARGIN = 3.0
"""Times the difference that company in a batch has made on this machine."""


def golden_set(artifact: Artifact) -> GoldenSet:
    """What `artifact` says of the golden texts on this machine's CPU; it may lack its golden set and manifest still.

    Raises `worker.errors.NotFiniteError` where it says nothing that is finite.
    """
    session = open_session(artifact, SessionOptions(provider="cpu"))
    tokeniser = artifact.load_tokeniser()
    reviews = []
    for text in GOLDEN_TEXTS:
        ids = tokeniser.encode(text).ids
        (scores,) = session.predict(ids[None, :], np.array([len(ids)], dtype=np.int32))
        reviews.append(GoldenReview(text, tuple(ids.tolist()), tuple(round(float(score), 7) for score in scores)))
    by_company = GoldenSet(math.inf, tuple(reviews)).check(tokeniser, session)
    tolerance = max(TOLERANCES.get(artifact.precision, AS_IT_IS_TOLERANCE), MARGIN * by_company)
    return GoldenSet(round(tolerance, 4), tuple(reviews))
