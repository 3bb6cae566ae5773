"""From a source to a finished artifact: built, compared with its source, described, and put in its place."""

from __future__ import annotations

import errno
import json
import re
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from worker.errors import UsageError
from worker.exhaustion import exhausted
from worker.inference.artifact import MANIFEST, Artifact
from worker.inference.classifier import Classifier
from worker.modelkit.convert.artifact_writer import AS_IT_IS, ArtifactDescription, as_json, write_artifact
from worker.modelkit.convert.awkward_texts import AWKWARD_TEXTS
from worker.modelkit.convert.checkpoint import Checkpoint, Source
from worker.modelkit.convert.exchange import put_in_place
from worker.modelkit.convert.int8_choice import Int8Choice, choose_int8
from worker.modelkit.convert.model_card import MODEL_CARD, model_card
from worker.modelkit.convert.shape import CheckpointError
from worker.modelkit.convert.verification import Verification, limits_of, verify

Report = Callable[[str], None]

_IDENTITY = re.compile(r"[A-Za-z0-9._-]{1,100}")
_MOUNTED = "--out {}: a mount point, which cannot be replaced as a whole; name a folder in it"
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
    faults: tuple[str, ...]
    """What of the comparison is not within the limits; always empty for fp32 and fp16."""
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
    """Write the artifact folder `out`; it appears whole, or not at all, and one that was there stays until then.

    Raises `UsageError` where `out` has something else in it, or an artifact without `replace`; `CheckpointError` where
    the source does not allow the description, or the artifact does not say what the source says. Only int8, and a
    graph that is used as it is, may differ by more than the limits: the answer, the manifest and the card then say so.
    """
    check_place(out, replace=replace)
    place = out.resolve()
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(
            prefix=f".{place.name[:32]}-", dir=place.parent, ignore_cleanup_errors=True
        ) as folder:
            unfinished = Path(folder) / "artifact"
            choice = _choose(source, description, held_out, report)
            report(f"building the graph in {description.precision}")
            write_artifact(source, unfinished, description, choice.plan if choice else None)
            compared, faults = _compare(source, unfinished, held_out, report)
            _describe(unfinished, source, compared, faults, choice, built_in=held_out is None)
            check_place(out, replace=replace)  # somebody may have put something there meanwhile
            put_in_place(unfinished, place)
    except OSError as error:
        if error.errno in (errno.EBUSY, errno.EXDEV):
            raise UsageError(_MOUNTED.format(out)) from error
        if used_up := exhausted(error):
            raise used_up from error
        raise UsageError(f"--out {out}: cannot be written ({error.strerror or error})") from error
    return Imported(Artifact.load(place), compared, tuple(faults), choice)


def check_place(out: Path, *, replace: bool) -> None:
    """Raise `UsageError` where an artifact must not be put: nothing that somebody else made is ever removed."""
    try:
        if out.is_mount():
            raise UsageError(_MOUNTED.format(out))
        if out.resolve() == Path.cwd():
            raise UsageError(f"--out {out}: the folder that you are in; name another one")
        if out.is_symlink() and not out.exists():
            raise UsageError(f"--out {out}: a link that leads nowhere; name a folder")
        if not out.exists():
            return
        names = {path.name for path in out.iterdir()}
    except OSError as error:
        raise UsageError(f"--out {out}: not a folder that can be used ({error.strerror})") from error
    if not names:
        return
    listed = _files_of_artifact(out / MANIFEST)
    if listed is None or names - listed:
        foreign = "other things" if listed is None else ", ".join(sorted(names - listed)[:5])
        raise UsageError(f"--out {out}: the folder has {foreign} in it; name a new one")
    if not replace:
        raise UsageError(f"--out {out}: there is an artifact already; --replace replaces it")


def _files_of_artifact(manifest: Path) -> set[str] | None:
    """What an artifact that was written here has in its folder; None where `manifest` is not that of an artifact."""
    try:
        members = json.loads(manifest.read_bytes())
    except (OSError, ValueError):
        return None
    if not isinstance(members, dict) or "format" not in members or not isinstance(members.get("sha256"), dict):
        return None
    return {MANIFEST, MODEL_CARD, *members["sha256"]}


def check_identity(name: str, version: str) -> None:
    """Raise `UsageError` for a name or a version that predictions could not carry."""
    for option, value in (("--name", name), ("--version", version)):
        if not _IDENTITY.fullmatch(value):
            raise UsageError(f"{option} {value!r}: letters, digits, dots, dashes and underscores are needed, 1 to 100")


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


def _compare(source: Source, folder: Path, held_out: HeldOut | None, report: Report) -> tuple[Verification, list[str]]:
    """The comparison, and what of it is not within the limits; fp32 and fp16 must be within theirs."""
    classifier = Classifier.load(folder, "cpu", "truncate")
    texts = AWKWARD_TEXTS if held_out is None else held_out.texts[:MOST_COMPARED]
    report(f"comparing it with its source on {len(texts)} texts")
    compared = verify(classifier, source, list(texts))
    faults = compared.faults(limits_of(classifier.artifact.precision))
    # What quantising costs is for a person to judge; but never may it read other tokens.
    if faults and (classifier.artifact.precision not in ("int8", AS_IT_IS) or compared.other_tokens):
        raise CheckpointError(
            f"the artifact does not say what its source says, and was not written: {'; '.join(faults)}"
        )
    return compared, faults


def _describe(
    folder: Path,
    source: Source,
    compared: Verification,
    faults: Sequence[str],
    choice: Int8Choice | None,
    *,
    built_in: bool,
) -> None:
    """Add what was measured to the manifest, and write the model card."""
    manifest: dict[str, Any] = json.loads((folder / MANIFEST).read_bytes())
    kind = "built-in texts" if built_in else "held-out reviews"
    manifest["compared"] = asdict(compared) | {"kind": kind, "faults": list(faults)}
    for figure in ("reference_per_second", "artifact_per_second"):
        del manifest["compared"][figure]  # of this machine and this moment
    if choice is not None:
        manifest["int8"] = {"all_int8": asdict(choice.all_int8), "chosen": asdict(choice.chosen)}
    (folder / MANIFEST).write_bytes(as_json(manifest))
    (folder / MODEL_CARD).write_text(model_card(manifest, source), encoding="utf-8")
