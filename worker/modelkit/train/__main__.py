"""``python -m worker.modelkit.train --data DIRECTORY --out DIRECTORY``: reviews in, a checkpoint and a model artifact out."""

from __future__ import annotations

import json
import time
from pathlib import Path

import click
import numpy as np
import sentencepiece
import torch
from transformers import AlbertForSequenceClassification

from worker.modelkit.convert.artifact_writer import ArtifactDescription, write_artifact
from worker.modelkit.convert.sources.folder import read_folder
from worker.modelkit.train.data import SEED, LabelledReviews, split_reviews
from worker.modelkit.train.embeddings import cooccurrence_embeddings
from worker.modelkit.train.pieces import train_pieces
from worker.modelkit.train.student import Ids, Schedule, probabilities, small_albert, train_student
from worker.modelkit.train.teacher import Teacher
from worker.tokenization.tokenizer import Tokenizer

ARTIFACT_NAME = "albert-imdb-small"


@click.command()
@click.option(
    "--data",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    required=True,
    help="Folder with train.jsonl.gz and unsup.jsonl.gz.",
)
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    required=True,
    help="Folder for the checkpoint (Hugging Face's layout), training.json and the folder artifact.",
)
@click.option("--seed", default=SEED, show_default=True, help="Seed of the split and of everything random.")
@click.option("--threads", default=2, show_default=True, help="Processor cores to train on.")
@click.option("--limit", default=0, help="Use only so many reviews of each file: a quick trial.")
@click.option(
    "--stop-after",
    type=click.IntRange(1, len(Schedule.epoch_lengths)),
    default=Schedule.stop_after,
    show_default=True,
    help="Epochs to compute, of the three that the learning rate is planned for. The bundled model has two.",
)
@click.option("--version", default="1.0.0", show_default=True, help="Version of the artifact.")
def main(data: Path, out: Path, seed: int, threads: int, limit: int, stop_after: int, version: str) -> None:
    """Train the bundled model: about an hour on two cores."""
    torch.set_num_threads(threads)
    torch.manual_seed(seed)
    out.mkdir(parents=True, exist_ok=True)
    started = time.monotonic()

    def report(line: str) -> None:
        click.echo(f"[{time.monotonic() - started:7.0f} s] {line}")

    split = split_reviews(data, seed=seed)
    train, unlabelled = split.train, split.unlabelled
    if limit:
        train = LabelledReviews(
            train.texts[:: max(1, len(train.texts) // limit)], train.labels[:: max(1, len(train.labels) // limit)]
        )
        unlabelled = unlabelled[:limit]
    texts = train.texts + unlabelled
    report(f"{len(train.texts)} labelled, {len(unlabelled)} unlabelled, {len(split.validation.texts)} held out")

    pieces_path = train_pieces(texts, out / "spiece")
    tokenizer = Tokenizer(pieces_path, max_length=100_000, lower_case=True)
    encoded = _encode(tokenizer, texts)
    report(f"{sum(map(len, encoded)) / len(encoded):.0f} tokens a review")

    teacher = Teacher(train)
    report(f"teacher: development {_accuracy(teacher.probabilities(split.development.texts), split.development)}")
    soft_labels = teacher.probabilities(texts)

    model = AlbertForSequenceClassification(small_albert(tokenizer.vocabulary_size))
    embeddings = cooccurrence_embeddings(encoded, vocabulary_size=tokenizer.vocabulary_size, dimensions=128, seed=seed)
    with torch.no_grad():
        model.albert.embeddings.word_embeddings.weight.copy_(torch.from_numpy(embeddings))
    report("embeddings initialised")

    development = _encode(tokenizer, split.development.texts)
    model.train()
    schedule = Schedule(stop_after=stop_after)
    train_student(
        model,
        encoded,
        soft_labels,
        schedule,
        seed=seed,
        checkpoint=out,
        evaluate=lambda: f"development {_accuracy(probabilities(model, development), split.development)}",
        report=report,
    )
    validation = probabilities(model, _encode(tokenizer, split.validation.texts))
    teacher_validation = teacher.probabilities(split.validation.texts)
    summary = {
        "seed": seed,
        "schedule": vars(schedule),
        "reviews": len(texts),
        "validation_reviews": len(split.validation.texts),
        "teacher_validation_accuracy": _accuracy(teacher_validation, split.validation),
        "student_validation_accuracy": _accuracy(validation, split.validation),
        "seconds": round(time.monotonic() - started),
        "torch": torch.__version__,
        "sentencepiece": sentencepiece.__version__,
    }
    (out / "training.json").write_text(json.dumps(summary, indent=2) + "\n")
    report(json.dumps(summary))
    description = ArtifactDescription(ARTIFACT_NAME, version, "int8")
    write_artifact(read_folder(out), out / "artifact", description)
    report(f"{ARTIFACT_NAME}@{version} written to {out / 'artifact'}")


def _encode(tokenizer: Tokenizer, texts: list[str]) -> list[Ids]:
    """Token ids without ``[CLS]`` and ``[SEP]``."""
    return [encoding.ids[1:-1] for encoding in tokenizer.encode_many(texts)]


def _accuracy(scores: np.ndarray, reviews: LabelledReviews) -> float:
    return float(np.mean((scores > 0.5) == np.asarray(reviews.labels, dtype=bool)))


if __name__ == "__main__":
    main()
