"""From a source to a finished artifact: built, compared with its source, described, and put in its place."""

from __future__ import annotations

import json
import re
import shutil
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from worker.classifier import Classifier
from worker.convert.artifact_writer import ArtifactDescription, as_json, write_artifact
from worker.convert.awkward_texts import AWKWARD_TEXTS
from worker.convert.checkpoint import Checkpoint, Source
from worker.convert.int8_choice import Int8Choice, choose_int8
from worker.convert.model_card import MODEL_CARD, model_card
from worker.convert.shape import CheckpointError
from worker.convert.verification import LIMITS, Verification, verify
from worker.errors import UsageError
from worker.inference.artifact import MANIFEST, Artifact

Report = Callable[[str], None]

MOST_COMPARED = 200
"""Held-out texts that the artifact is compared with its source on; the reference may take a second for each."""


@dataclass(frozen=True)
class HeldOut:
    """Reviews that the model has not seen."""

    texts: Sequence[str]
    labels: Sequence[int] | None
    """Index of the right label of each; None where they are not known."""


@dataclass(frozen=True)
class Imported:
    """What came of an import."""

    artifact: Artifact
    compared: Verification
    choice: Int8Choice | None
    """How int8 was chosen; None for another precision, or without held-out reviews."""


def import_model(
    source: Source,
    out: Path,
    description: ArtifactDescription,
    *,
    held_out: HeldOut | None = None,
    replace: bool = False,
    report: Report = lambda line: None,
) -> Imported:
    """Write the artifact folder `out`; it appears whole, or not at all.

    Raises `UsageError` where `out` has something else in it, or an artifact without `replace`; `CheckpointError` where
    the source does not allow the description, or the artifact does not say what the source says.
    """
    check_place(out, replace=replace)
    choice = _choose(source, description, held_out, report)
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{out.name}-", dir=out.parent) as folder:
        unfinished = Path(folder) / "artifact"
        report(f"building the graph in {description.precision}")
        write_artifact(source, unfinished, description, choice.plan if choice else None)
        compared = _compare(source, unfinished, held_out, report)
        _describe(unfinished, source, compared, choice, built_in=held_out is None)
        if out.exists():
            shutil.rmtree(out)
        unfinished.rename(out)
    return Imported(Artifact.load(out), compared, choice)


def check_place(out: Path, *, replace: bool) -> None:
    """Raise `UsageError` where an artifact must not be put: nothing that somebody else made is ever removed."""
    if not out.exists():
        return
    if not out.is_dir():
        raise UsageError(f"--out {out}: a file is there; name a folder")
    if not any(out.iterdir()):
        return
    if not (out / MANIFEST).is_file():
        raise UsageError(f"--out {out}: the folder has other things in it; name a new one")
    if not replace:
        raise UsageError(
            f"--out {out}: there is an artifact already; replace it with --replace, or name another folder"
        )


def name_of(source: Source) -> str:
    """A name for the artifact, from where the model came from: ``owner/albert-imdb`` gives ``albert-imdb``."""
    last = source.provenance.location.rstrip("/").rsplit("/", 1)[-1]
    stem = re.sub(r"\.(zip|onnx)$", "", last)
    return re.sub(r"[^A-Za-z0-9._-]+", "-", stem).strip("-.") or "albert"


def _choose(
    source: Source, description: ArtifactDescription, held_out: HeldOut | None, report: Report
) -> Int8Choice | None:
    if description.precision != "int8" or held_out is None or not isinstance(source, Checkpoint):
        return None
    report(f"measuring int8 on {len(held_out.texts)} held-out reviews")
    rows = [encoding.ids for encoding in source.tokeniser().encode_many(held_out.texts)]
    labels = None if held_out.labels is None else np.asarray(held_out.labels, dtype=np.int64)
    return choose_int8(source.shape, source.weights, rows, labels, report=report)


def _compare(source: Source, folder: Path, held_out: HeldOut | None, report: Report) -> Verification:
    classifier = Classifier.load(folder, "cpu", "truncate")
    texts = AWKWARD_TEXTS if held_out is None else held_out.texts[:MOST_COMPARED]
    report(f"comparing it with its source on {len(texts)} texts")
    limits = LIMITS[classifier.artifact.precision]
    compared = verify(classifier, source, list(texts), limits)
    faults = compared.faults(limits)
    # What int8 costs is for its own measurement to judge, on reviews: built-in texts are made to be awkward.
    if faults and classifier.artifact.precision != "int8":
        raise CheckpointError(
            f"the artifact does not say what its source says, and was not written: {'; '.join(faults)}"
        )
    return compared


def _describe(
    folder: Path, source: Source, compared: Verification, choice: Int8Choice | None, *, built_in: bool
) -> None:
    """Add what was measured to the manifest, and write the model card."""
    manifest: dict[str, Any] = json.loads((folder / MANIFEST).read_bytes())
    manifest["compared"] = asdict(compared) | {"kind": "built-in texts" if built_in else "held-out reviews"}
    for figure in ("reference_per_second", "artifact_per_second"):
        del manifest["compared"][figure]  # of this machine and this moment
    if choice is not None:
        manifest["int8"] = {"all_int8": asdict(choice.all_int8), "chosen": asdict(choice.chosen)}
    (folder / MANIFEST).write_bytes(as_json(manifest))
    (folder / MODEL_CARD).write_text(model_card(manifest, source), encoding="utf-8")
