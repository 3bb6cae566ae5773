"""The stages of a training: what each of them learns from, how much of it is read, and how fast it learns."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from math import ceil

import numpy as np
import numpy.typing as npt

from worker.modelkit.train.forward import Ids
from worker.modelkit.train.plain_sentences import NEGATIVE, POSITIVE, PlainSentence, plain_sentences

TEACHER_SHARE = 0.25
"""How much of a review's target is what the n-gram model says of it that has not seen it; the rest is its label."""


@dataclass(frozen=True)
class Example:
    """What is learnt from: tokens without ``[CLS]`` and ``[SEP]``, and the probability of ``pos``."""

    ids: Ids
    target: float


@dataclass(frozen=True)
class Stage:
    """One stage; the next one begins where it ends."""

    name: str
    room: int
    """Tokens that are read of a review, without ``[CLS]`` and ``[SEP]``."""
    reviews: tuple[int, int] | None
    """Slice of the shuffled labelled reviews (end excluded); None: all of them."""
    plain: int
    """Plain sentences among them."""
    teacher: bool
    """The n-gram model has a share in the targets."""
    rates: tuple[float, float]
    """Learning rate at the beginning and at the end; between them it falls evenly."""
    warm_up: int
    """Steps in which the rate rises from zero."""
    both_ends: float
    """Share of long reviews that are cut to beginning plus end; the others are cut to one random part."""
    seed_offset: int
    batch_tokens: int = 3072
    stop_after: int | None = None
    """Stop after this many batches; None: compute all."""
    unlabelled: int = 0
    """Number of unlabelled reviews to add; their targets come from the model as it is before this stage and from the
    n-gram model."""


STAGES = (
    Stage("crops", 126, None, 0, False, (1e-4, 7e-5), 60, 0.7, 0, stop_after=469),
    Stage("halves", 254, (0, 6_000), 12_000, True, (7e-5, 4e-5), 0, 0.8, 1),
    Stage("ends", 510, (6_000, 20_000), 8_000, True, (4e-5, 0.0), 0, 1.0, 2),
    Stage("all", 510, (0, 20_000), 8_000, True, (4e-5, 0.0), 60, 1.0, 3, unlabelled=28_000),
    Stage("again", 254, (0, 20_000), 8_000, True, (8e-5, 4e-5), 100, 0.9, 4, unlabelled=50_000),
    Stage("last", 510, (0, 20_000), 8_000, True, (4e-5, 0.0), 0, 1.0, 5, unlabelled=20_000),
)
"""Those of the bundled model."""


def scaled(stage: Stage, share: float) -> Stage:
    """`stage` for a trial with `share` of the reviews: of what it reads, the same part of those that there are."""
    if share == 1:
        return stage
    reviews = None
    if stage.reviews is not None:
        first, end = (int(place * share) for place in stage.reviews)
        reviews = (first, max(first + 1, end))
    return replace(stage, reviews=reviews, unlabelled=ceil(stage.unlabelled * share))


def examples(
    stage: Stage,
    encoded: Sequence[Ids],
    labels: Sequence[int],
    teacher: npt.NDArray[np.float32],
    encode: Callable[[list[str]], list[Ids]],
    unlabelled: list[Example],
    *,
    seed: int,
) -> list[Example]:
    """What `stage` learns from. `teacher` has what a model that did not see it says of each: a probability."""
    targets = np.where(np.asarray(labels) == 1, POSITIVE, NEGATIVE)
    if stage.teacher:
        targets = targets * (1 - TEACHER_SHARE) + TEACHER_SHARE * teacher
    chosen = np.arange(len(encoded))
    if stage.reviews is not None:
        first, last = stage.reviews
        chosen = np.random.default_rng(seed).permutation(len(encoded))[first:last]
    sentences: list[PlainSentence] = plain_sentences(stage.plain, seed=seed + stage.seed_offset)
    pieces = encode([sentence.text for sentence in sentences])
    labelled = [Example(encoded[index], float(targets[index])) for index in chosen.tolist()]
    plain = [Example(ids, sentence.target) for ids, sentence in zip(pieces, sentences, strict=True)]
    return labelled + plain + unlabelled
