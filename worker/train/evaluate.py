"""``python -m worker.train.evaluate --data DIRECTORY``: what an artifact says of the held-out reviews.

The same reviews as in training, by the same seed: none of them was trained on or used to choose anything.
"""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import click
import numpy as np
import numpy.typing as npt

from worker.classifier import Classification, Classifier
from worker.errors import FatalError
from worker.train.data import LABELS, LabelledReviews, split_reviews

CALIBRATION_BINS = 15
_CHUNK_REVIEWS = 200


@dataclass(frozen=True)
class Evaluation:
    """Figures of one artifact on one set of reviews."""

    model: str
    precision: str
    reviews: int
    accuracy: float
    accuracy_not_truncated: float
    """Of the reviews that the model read to their end."""
    accuracy_truncated: float
    truncated: int
    calibration_error: float
    """Expected calibration error over 15 bins of equal width."""
    mean_loss: float
    """Cross entropy in nats."""
    confusion: dict[str, dict[str, int]]
    """True label -> predicted label -> reviews."""
    reviews_per_second: float


def evaluate(classifier: Classifier, reviews: LabelledReviews) -> Evaluation:
    """Classify `reviews` and compare; the artifact's labels must be those of the data."""
    started = time.perf_counter()
    answers: list[Classification] = []
    with click.progressbar(range(0, len(reviews.texts), _CHUNK_REVIEWS), label="classifying") as starts:
        for start in starts:
            answers.extend(classifier.predict(reviews.texts[start : start + _CHUNK_REVIEWS]))
    seconds = time.perf_counter() - started
    predicted = np.array([LABELS.index(answer.label) for answer in answers])
    confidence = np.array([answer.score for answer in answers])
    expected = np.array(reviews.labels)
    of_truth = np.array([answer.scores[LABELS[label]] for answer, label in zip(answers, expected, strict=True)])
    right = predicted == expected
    truncated = np.array([answer.truncated for answer in answers])
    return Evaluation(
        model=classifier.artifact.identity,
        precision=classifier.artifact.precision,
        reviews=len(answers),
        accuracy=_mean(right),
        accuracy_not_truncated=_mean(right[~truncated]),
        accuracy_truncated=_mean(right[truncated]),
        truncated=int(truncated.sum()),
        calibration_error=calibration_error(confidence, right),
        mean_loss=_mean(-np.log(np.maximum(of_truth, 1e-12))),
        confusion={
            truth: {said: int(np.sum((expected == row) & (predicted == column))) for column, said in enumerate(LABELS)}
            for row, truth in enumerate(LABELS)
        },
        reviews_per_second=round(len(answers) / seconds, 1),
    )


def calibration_error(confidence: npt.NDArray[np.floating], right: npt.NDArray[np.bool_]) -> float:
    """Mean distance between confidence and accuracy, over bins of confidence, weighted by their reviews."""
    bins = np.minimum((confidence * CALIBRATION_BINS).astype(int), CALIBRATION_BINS - 1)
    distances = [
        abs(_mean(confidence[bins == index]) - _mean(right[bins == index])) * float(np.mean(bins == index))
        for index in np.unique(bins)
    ]
    return float(sum(distances))


def _mean(values: npt.NDArray[np.floating] | npt.NDArray[np.bool_]) -> float:
    return round(float(np.mean(values)), 5) if len(values) else float("nan")


def _lines(evaluation: Evaluation) -> Sequence[str]:
    return [
        f"{evaluation.model} ({evaluation.precision}), {evaluation.reviews} reviews, "
        f"{evaluation.reviews_per_second} reviews/s",
        f"accuracy           {evaluation.accuracy:.4f}",
        f"  read to the end  {evaluation.accuracy_not_truncated:.4f}",
        f"  truncated        {evaluation.accuracy_truncated:.4f} ({evaluation.truncated} reviews)",
        f"calibration error  {evaluation.calibration_error:.4f}",
        f"mean loss          {evaluation.mean_loss:.4f}",
        *(
            f"{truth} called {said:4} {count:6}"
            for truth, row in evaluation.confusion.items()
            for said, count in row.items()
        ),
    ]


@click.command()
@click.option(
    "--data",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    required=True,
    help="Folder with train.jsonl.gz and unsup.jsonl.gz.",
)
@click.option("--artifact", type=click.Path(file_okay=False, path_type=Path), help="Default: the bundled one.")
@click.option("--seed", default=20261123, show_default=True, help="Seed of the split; that of training.")
@click.option(
    "--json", "json_path", type=click.Path(dir_okay=False, path_type=Path), help="Write the figures here too."
)
def main(data: Path, artifact: Path | None, seed: int, json_path: Path | None) -> None:
    """Measure an artifact on the held-out reviews."""
    try:
        classifier = Classifier.load(artifact, overflow="truncate")  # what its figures are about
        if classifier.labels != LABELS:
            raise click.ClickException(f"the artifact's labels are {classifier.labels}, those of the data {LABELS}")
        evaluation = evaluate(classifier, split_reviews(data, seed=seed).validation)
    except FatalError as error:
        raise click.ClickException(str(error)) from error
    for line in _lines(evaluation):
        click.echo(line)
    if json_path is not None:
        json_path.write_text(json.dumps(asdict(evaluation), indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
