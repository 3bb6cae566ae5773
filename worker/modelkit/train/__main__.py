"""``python -m worker.modelkit.train --data D --pretrained P --out O``: reviews and weights in, an artifact out."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import click
import numpy as np
import numpy.typing as npt
import torch
from transformers import AlbertForSequenceClassification

from worker.extras import install_command
from worker.inference.calibration import Calibration
from worker.modelkit.convert.artifact_writer import ArtifactDescription, write_artifact
from worker.modelkit.convert.checkpoint import Checkpoint
from worker.modelkit.convert.int8_choice import Int8Choice, choose_int8, compute_scores
from worker.modelkit.convert.sources.files import sha256_of
from worker.modelkit.convert.sources.folder import read_folder
from worker.modelkit.train.calibration import fit_temperature
from worker.modelkit.train.data import REVIEW_FILES, SEED, LabelledReviews, Split, limited, split_reviews
from worker.modelkit.train.folder import Folder, Inputs, save_array
from worker.modelkit.train.forward import Ids, scores
from worker.modelkit.train.loop import Trainer
from worker.modelkit.train.pretrained import (
    DISTRIBUTION,
    HASHES,
    PACKAGE_VERSION,
    Pretrained,
    albert_of,
    packaged_folder,
)
from worker.modelkit.train.stages import STAGES, Example, Stage, examples, scaled
from worker.modelkit.train.teacher import Teacher, out_of_fold, together
from worker.modelkit.train.vocabulary import build_vocabulary
from worker.tokenization.overflow import DEFAULT_OVERFLOW
from worker.tokenization.tokenizer import Tokenizer

ARTIFACT_NAME = "albert-reviews-small"
LAYERS = 5
PRIOR = (0.5, 0.5)
"""Half of the reviews that it learnt from are of each label."""


@click.command()
@click.option(
    "--data",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    required=True,
    help="Folder with train.jsonl.gz and unsup.jsonl.gz.",
)
@click.option(
    "--pretrained",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    default=packaged_folder,
    help=f"Folder with model.safetensors and vocab.txt. [default: that of the package {DISTRIBUTION}]",
)
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    required=True,
    help="Output folder; the model is written to OUT/artifact."
    " Run again with the same folder to go on after an interruption.",
)
@click.option("--seed", default=SEED, show_default=True, help="Seed of the split and of everything random.")
@click.option("--threads", default=2, show_default=True, help="Processor cores to train on.")
@click.option(
    "--limit", type=click.IntRange(min=0), default=0, help="Use only so many labelled reviews: a quick trial."
)
@click.option("--version", default="1.0.0", show_default=True, help="Version of the artifact.")
def main(data: Path, pretrained: Path | None, out: Path, seed: int, threads: int, limit: int, version: str) -> None:
    """Train the bundled model: several hours on two cores."""
    if pretrained is None:
        raise click.UsageError(
            f"--pretrained: the package {DISTRIBUTION} {PACKAGE_VERSION} is not installed: {install_command('train')}"
        )
    _require(data, REVIEW_FILES, "--data")
    _require(pretrained, tuple(HASHES), "--pretrained")
    torch.set_num_threads(1)  # the trainer computes side by side, which loses less than one product on two cores
    started = time.monotonic()

    def report(line: str) -> None:
        click.echo(f"[{time.monotonic() - started:7.0f} s] {line}")

    bert = Pretrained.read(pretrained)
    if bert.hashes != HASHES:
        report(
            f"warning: SHA-256 of {pretrained} differs from the weights that the bundled model starts from;"
            " the result will differ"
        )
    whole = split_reviews(data, seed=seed)
    split = limited(whole, limit)
    share = len(split.train.texts) / len(whole.train.texts)
    report(f"{len(split.train.texts)} labelled reviews, {len(split.validation.texts)} held out")
    files = {name: sha256_of(data / name) for name in REVIEW_FILES} | bert.hashes
    folder = Folder(out, Inputs(seed, limit, files))
    folder.begin(STAGES, report)
    pieces_path, embeddings = _vocabulary(out, split, bert)
    tokenizer = Tokenizer(pieces_path, max_length=100_000, lower_case=True)

    def encode(texts: list[str]) -> list[Ids]:
        """Token ids without ``[CLS]`` and ``[SEP]``."""
        return [encoding.ids[1:-1] for encoding in tokenizer.encode_many(texts)]

    teacher = _teacher(out, split, seed)
    right = _accuracy(teacher - 0.5, split.train.labels)
    report(f"n-gram model: accuracy {right:.4f} on reviews it was not trained on")
    torch.manual_seed(seed)
    model = albert_of(bert, embeddings, layers=LAYERS)
    encoded, development = encode(split.train.texts), encode(split.development.texts)

    def after(stage: Stage) -> None:
        right = _accuracy(scores(model, development, threads=threads), split.development.labels)
        report(f"{stage.name}: accuracy {right:.4f} on the development reviews")

    def learnt_from(stage: Stage) -> list[Example]:
        folder.begun(stage)
        stage = scaled(stage, share)
        unlabelled = _soft_labelled(out, stage, split, model, encode, threads)
        return examples(stage, encoded, split.train.labels, teacher, encode, unlabelled, seed=seed)

    trainer = Trainer(model, out, seed, threads, report)
    trainer.stages(STAGES, learnt_from, after)
    checkpoint = out / "checkpoint"
    model.save_pretrained(checkpoint)
    shutil.copyfile(pieces_path, checkpoint / "spiece.model")
    source = read_folder(checkpoint)
    choice, said = _int8(source, split.development, report)
    temperature = fit_temperature(said, np.asarray(split.development.labels))
    summary = {
        "seed": seed,
        "stages": [vars(stage) for stage in STAGES],
        "pretrained": bert.hashes,
        "development_accuracy": _accuracy(said, split.development.labels),
        "temperature": temperature,
        "torch": torch.__version__,
    }
    (out / "training.json").write_text(json.dumps(summary, indent=2) + "\n")
    description = ArtifactDescription(ARTIFACT_NAME, version, "int8", Calibration(temperature, PRIOR))
    write_artifact(source, out / "artifact", description, choice.plan)
    report(f"{ARTIFACT_NAME}@{version} written to {out / 'artifact'}, temperature {temperature}")


def _int8(
    source: Checkpoint, reviews: LabelledReviews, report: Callable[[str], None]
) -> tuple[Int8Choice, npt.NDArray[np.float32]]:
    """The parts of the model to ship in int8, and what it then says of `reviews`, read as the worker reads them.

    That is how much larger the logit of ``pos`` is than that of ``neg``: shape ``[reviews]``.
    """
    tokeniser = source.tokeniser().with_overflow(DEFAULT_OVERFLOW)
    rows = [encoding.ids for encoding in tokeniser.encode_many(reviews.texts)]
    choice = choose_int8(source.shape, source.weights, rows, np.asarray(reviews.labels), report=report)
    found = compute_scores(source.shape, source.weights, "int8", choice.plan, rows)
    said = np.log(np.maximum(found, np.finfo(np.float32).tiny))
    return choice, said[:, 1] - said[:, 0]


def _require(folder: Path, names: tuple[str, ...], option: str) -> None:
    if lacking := [name for name in names if not (folder / name).exists()]:
        raise click.UsageError(f"{option}: {folder} lacks {', '.join(lacking)}")


def _vocabulary(out: Path, split: Split, bert: Pretrained) -> tuple[Path, np.ndarray]:
    """The SentencePiece model and its embeddings, made where `out` does not have them yet."""
    pieces, stored = out / "spiece.model", out / "embeddings.npy"
    if not stored.exists():
        save_array(stored, build_vocabulary(split.train.texts + split.unlabelled, bert, pieces))
    return pieces, np.load(stored)


def _teacher(out: Path, split: Split, seed: int) -> np.ndarray:
    stored = out / "teacher.npy"
    if not stored.exists():
        save_array(stored, out_of_fold(split.train, seed=seed))
    teacher: np.ndarray = np.load(stored)
    return teacher


def _soft_labelled(
    out: Path,
    stage: Stage,
    split: Split,
    model: AlbertForSequenceClassification,
    encode: Callable[[list[str]], list[Ids]],
    threads: int,
) -> list[Example]:
    """The reviews without a label that `stage` reads, with what `model` and the n-gram model say of them together."""
    texts = split.unlabelled[: stage.unlabelled]
    if not texts:
        return []
    encoded = encode(texts)
    stored = out / f"{stage.name}-targets.npy"
    if not stored.exists():
        said = scores(model, encoded, threads=threads)
        save_array(stored, together(said, Teacher(split.train).probabilities(texts)))
    return [Example(ids, float(target)) for ids, target in zip(encoded, np.load(stored), strict=True)]


def _accuracy(differences: np.ndarray, labels: list[int]) -> float:
    return float(np.mean((differences > 0) == np.asarray(labels, dtype=bool)))


if __name__ == "__main__":
    main()
