"""What int8 costs on reviews that the model has not seen, and which part to keep in float32 where that is too much.

The parts are the six products of a layer (which share their weights over the layers, and so does the choice), the
layers one by one, and what is outside of them. As long as the limits are not kept, the part whose return to float32
brings the scores nearest to those of the float32 model is kept in float32, and the next one is looked for.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import onnxruntime

from worker.inference.scores import Scores, probabilities
from worker.modelkit.convert.graph import INPUT_IDS, LENGTHS, LOGITS, build_graph
from worker.modelkit.convert.precision import PrecisionPlan
from worker.modelkit.convert.shape import AlbertShape, Weights
from worker.records import TokenIds

MAX_ACCURACY_LOSS = 0.003
"""0.3 points."""
MAX_LABELS_MOVED = 0.005
MOST_SEARCHED = 96
"""Reviews that the parts are compared on: those that int8 moves most."""
MAX_BATCH_TOKENS = 1024
PRODUCTS = ("attention.query", "attention.key", "attention.value", "attention.dense", "ffn", "ffn_output")
OUTSIDE = ("albert.embeddings.word_embeddings", "albert.encoder.embedding_hidden_mapping_in", "albert.pooler")

Compute = Callable[[PrecisionPlan, Sequence[TokenIds]], Scores]
Report = Callable[[str], None]


@dataclass(frozen=True)
class Loss:
    """What int8 changes against float32 on a set of reviews."""

    reviews: int
    moved: int
    """Reviews with another label."""
    accuracy_change: float | None
    """Accuracy less that of float32; None without labels."""
    largest_difference: float
    """Of a probability."""

    @property
    def is_small(self) -> bool:
        """Within the limits; of labels alone, one review may move however few there are."""
        accurate = self.accuracy_change is None or self.accuracy_change >= -MAX_ACCURACY_LOSS
        return accurate and self.moved <= max(1, MAX_LABELS_MOVED * self.reviews)

    def __str__(self) -> str:
        accuracy = "" if self.accuracy_change is None else f", accuracy {self.accuracy_change:+.4f}"
        return (
            f"{self.moved} of {self.reviews} labels moved ({self.moved / self.reviews:.2%}){accuracy},"
            f" largest difference {self.largest_difference:.3f}"
        )


@dataclass(frozen=True)
class Int8Choice:
    """The plan, and what it was chosen by."""

    plan: PrecisionPlan
    all_int8: Loss
    chosen: Loss


def choose_int8(
    shape: AlbertShape,
    weights: Weights,
    rows: Sequence[TokenIds],
    labels: npt.NDArray[np.int64] | None = None,
    *,
    report: Report = lambda line: None,
) -> Int8Choice:
    """Measure int8 on `rows` of token ids (with the index of the right label of each, if known), and choose.

    Takes the time of computing `rows` twice, in float32 and in int8, and, only where int8 loses too much, of some
    dozens of rows for each part and try. `report` is told of every step.
    """
    reference = compute_scores(shape, weights, "fp32", PrecisionPlan(), rows)

    def compute(plan: PrecisionPlan, chosen: Sequence[TokenIds]) -> Scores:
        return compute_scores(shape, weights, "int8", plan, chosen)

    scores = compute(PrecisionPlan(), rows)
    first = loss = measure_loss(scores, reference, labels)
    plan, notes = PrecisionPlan(), [f"int8 everywhere: {first}"]
    report(notes[0])
    while not loss.is_small:
        hardest = np.argsort(-np.abs(scores - reference).max(axis=1))[:MOST_SEARCHED]
        better, name = _best_part(shape, plan, compute, [rows[index] for index in hardest], reference[hardest], report)
        if better is None:
            break  # all of it is in float32 already
        plan, scores = better, compute(better, rows)
        loss = measure_loss(scores, reference, labels)
        notes.append(f"with {name} in float32: {loss}")
        report(notes[-1])
    return Int8Choice(PrecisionPlan(plan.full, plan.full_layers, notes=tuple(notes)), first, loss)


def measure_loss(scores: Scores, reference: Scores, labels: npt.NDArray[np.int64] | None) -> Loss:
    """Compare `scores` with those of float32, both ``[reviews, labels]``."""
    said, expected = scores.argmax(axis=1), reference.argmax(axis=1)
    change = None if labels is None else float(np.mean(said == labels) - np.mean(expected == labels))
    return Loss(len(scores), int(np.sum(said != expected)), change, float(np.abs(scores - reference).max()))


def compute_scores(
    shape: AlbertShape, weights: Weights, precision: str, plan: PrecisionPlan, rows: Sequence[TokenIds]
) -> Scores:
    """Probabilities ``[len(rows), labels]`` of a graph built for the occasion, in batches of like lengths."""
    settings = onnxruntime.SessionOptions()
    settings.log_severity_level = 4
    model = build_graph(shape, weights, precision=precision, plan=plan)
    session = onnxruntime.InferenceSession(model.SerializeToString(), settings, providers=["CPUExecutionProvider"])
    scores = np.empty((len(rows), len(shape.labels)), dtype=np.float32)
    for chosen in _batches(rows):
        lengths = np.array([len(rows[index]) for index in chosen], dtype=np.int32)
        ids = np.zeros((len(chosen), int(lengths.max())), dtype=np.int32)
        for place, index in enumerate(chosen):
            ids[place, : len(rows[index])] = rows[index]
        scores[chosen] = probabilities(session.run([LOGITS], {INPUT_IDS: ids, LENGTHS: lengths})[0])
    return scores


def _batches(rows: Sequence[TokenIds]) -> Iterator[list[int]]:
    order = sorted(range(len(rows)), key=lambda index: len(rows[index]))
    batch: list[int] = []
    for index in order:
        if batch and (len(batch) + 1) * len(rows[index]) > MAX_BATCH_TOKENS:
            yield batch
            batch = []
        batch.append(index)
    if batch:
        yield batch


def _best_part(
    shape: AlbertShape,
    plan: PrecisionPlan,
    compute: Compute,
    rows: Sequence[TokenIds],
    reference: Scores,
    report: Report,
) -> tuple[PrecisionPlan | None, str]:
    """The plan that keeps one part more in float32 and comes nearest to `reference`; None where nothing is left."""
    best, best_name, best_error = None, "", np.inf
    for name, candidate in _parts(shape, plan):
        error = float(np.mean(np.abs(compute(candidate, rows) - reference).max(axis=1)))
        report(f"  {name} in float32: mean difference {error:.4f} on the {len(rows)} reviews that int8 moves most")
        if error < best_error:
            best, best_name, best_error = candidate, name, error
    return best, best_name


def _parts(shape: AlbertShape, plan: PrecisionPlan) -> Iterator[tuple[str, PrecisionPlan]]:
    """The parts that are in int8 still, by a name for a person, each with the plan that keeps it in float32 too."""
    for name in OUTSIDE:
        if name not in plan.full:
            yield name, PrecisionPlan(plan.full | {name}, plan.full_layers)
    layers = {number: prefix for number, prefix in enumerate(shape.layers, 1) if number not in plan.full_layers}
    for prefix in dict.fromkeys(layers.values()):
        for product in PRODUCTS:
            name = f"{prefix}{product}"
            if name not in plan.full:
                yield name.removeprefix("albert.encoder."), PrecisionPlan(plan.full | {name}, plan.full_layers)
    for number, prefix in layers.items():
        if not plan.full.issuperset(f"{prefix}{product}" for product in PRODUCTS):
            yield f"layer {number}", PrecisionPlan(plan.full, plan.full_layers | {number})
