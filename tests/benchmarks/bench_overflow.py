"""``python -m tests.benchmarks.bench_overflow``: what each way of reading long reviews is worth, and what it costs.

Held-out IMDB reviews (the split of training, by its seed), those longer than the model and the others apart. Reviews
that fit are read the same way by every policy, so they are computed once, and their time is counted for each. Each
policy is timed alone, the rounds interleaved, and the median of the rounds counts.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import click

from tests.benchmarks.machine import machine, table, write_results
from worker.errors import FatalError
from worker.inference import Artifact, SessionOptions, open_session
from worker.inference.classifier import Classification, Classifier
from worker.modelkit.train.data import LABELS, LabelledReviews, split_reviews
from worker.tokenization.overflow import DEFAULT_OVERFLOW, MARKERS, Overflow

SEED = 20261123
HEAD_TOKENS = (64, 128, 256)
OVERLAP_TOKENS = (0, 64, 128, 256)
GROUP = 256
DATA = Path(__file__).parents[2] / ".." / "shared" / "imdb"


@dataclass
class Measured:
    """What one way of reading gave."""

    right: list[bool] = field(default_factory=list)
    tokens: list[int] = field(default_factory=list)
    windows: list[int] = field(default_factory=list)
    truncated: int = 0
    seconds: list[float] = field(default_factory=list)

    def add(self, answers: Sequence[Classification], labels: Sequence[int], seconds: float) -> None:
        """Keep the answers of the first round, and the time of every one."""
        self.seconds.append(seconds)
        if not self.right:
            self.right = [answer.label == LABELS[label] for answer, label in zip(answers, labels, strict=True)]
            self.tokens = [answer.tokens for answer in answers]
            self.windows = [answer.windows for answer in answers]
            self.truncated = sum(answer.truncated for answer in answers)


def policies(room: int) -> dict[str, Overflow]:
    """Every way that is measured, by name."""
    heads = [head for head in HEAD_TOKENS if head < room]
    overlaps = [overlap for overlap in OVERLAP_TOKENS if overlap < room]
    return {
        "truncate": Overflow("truncate"),
        **{f"head_tail, {head} + {room - head}": Overflow("head_tail", head_share=head / room) for head in heads},
        **{f"windows, overlap {each}": Overflow("windows", window_overlap_tokens=each) for each in overlaps},
    }


def classify(classifier: Classifier, reviews: LabelledReviews, into: Measured) -> None:
    """Classify `reviews` in groups and note what came of it."""
    started = time.perf_counter()
    answers: list[Classification] = []
    for start in range(0, len(reviews.texts), GROUP):
        answers.extend(classifier.predict(reviews.texts[start : start + GROUP]))
    into.add(answers, reviews.labels, time.perf_counter() - started)


def parted(reviews: LabelledReviews, artifact: Artifact) -> tuple[LabelledReviews, LabelledReviews]:
    """Reviews that the model reads whole, and those that are longer."""
    encodings = artifact.load_tokeniser().with_overflow(Overflow("truncate")).encode_many(reviews.texts)
    parts = []
    for long in (False, True):
        chosen = [index for index, encoding in enumerate(encodings) if encoding.truncated is long]
        parts.append(LabelledReviews([reviews.texts[i] for i in chosen], [reviews.labels[i] for i in chosen]))
    return parts[0], parts[1]


def row(name: str, measured: Measured, short: Measured) -> list[object]:
    """One line of the table."""
    right, reviews = sum(measured.right) + sum(short.right), len(measured.right) + len(short.right)
    seconds = statistics.median(measured.seconds)
    return [
        name,
        f"{statistics.fmean(measured.right):.4f}",
        f"{right / reviews:.4f}",
        f"{statistics.fmean(measured.windows):.2f}",
        measured.truncated,
        round(statistics.fmean(measured.tokens)),
        round(statistics.fmean(measured.tokens + short.tokens)),
        round(len(measured.right) / seconds, 1),
        round(reviews / (seconds + statistics.median(short.seconds)), 1),
    ]


@click.command()
@click.option("--model", type=click.Path(file_okay=False, path_type=Path), help="Artifact. Default: the bundled one.")
@click.option("--data", type=click.Path(exists=True, file_okay=False, path_type=Path), default=DATA)
@click.option("--limit", type=click.IntRange(min=1), help="Only so many reviews of the 4,000, evenly taken.")
@click.option("--provider", type=click.Choice(["auto", "cpu", "cuda"]), default="auto", show_default=True)
@click.option("--rounds", type=click.IntRange(min=1), default=1, show_default=True)
def main(model: Path | None, data: Path, limit: int | None, provider: str, rounds: int) -> None:
    """Measure each policy, with several shares of the head and several overlaps."""
    try:
        artifact = Artifact.load(model)
        session = open_session(artifact, SessionOptions(provider=provider))
    except FatalError as error:
        raise click.ClickException(str(error)) from error
    if artifact.labels != LABELS:
        raise click.ClickException(f"the artifact's labels are {artifact.labels}, those of the data {LABELS}")
    held_out = split_reviews(data, seed=SEED).validation
    step = max(1, len(held_out.texts) // limit) if limit else 1
    held_out = LabelledReviews(held_out.texts[::step], held_out.labels[::step])
    short, long = parted(held_out, artifact)
    if not short.texts or not long.texts:
        raise click.ClickException("the reviews are not of both kinds, longer than the model and not; take more")
    tokeniser = artifact.load_tokeniser()
    readers = {
        name: Classifier(artifact, tokeniser.with_overflow(overflow), session)
        for name, overflow in policies(artifact.max_length - MARKERS).items()
    }
    of_short, of_long = Measured(), {name: Measured() for name in readers}
    for _ in range(rounds):
        classify(readers["truncate"], short, of_short)
        for name, reader in readers.items():
            classify(reader, long, of_long[name])
    title = (
        f"{artifact.identity} ({artifact.precision}, {session.provider}), {machine()}. {len(held_out.texts)} held-out"
        f" reviews: {len(short.texts)} fit (accuracy {statistics.fmean(of_short.right):.4f}), {len(long.texts)} are"
        f" longer than {artifact.max_length} tokens. At most {DEFAULT_OVERFLOW.max_windows} windows."
    )
    header = (
        "policy",
        "accuracy, long",
        "accuracy, all",
        "windows a long review",
        "of them truncated",
        "tokens a long review",
        "tokens a review",
        "long reviews/s",
        "reviews/s",
    )
    rows = [row(name, measured, of_short) for name, measured in of_long.items()]
    table(title, header, rows)
    write_results("overflow", {artifact.identity: [dict(zip(header, cells, strict=True)) for cells in rows]})


if __name__ == "__main__":
    main()
