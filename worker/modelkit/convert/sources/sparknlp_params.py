"""What Spark NLP wrote about a model beside its weights: ``metadata/part-00000`` and ``fields/labels``."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from worker.modelkit.convert.shape import CheckpointError
from worker.modelkit.convert.sources.archive import MARKER, Archive
from worker.modelkit.convert.sources.hadoop import sequence_values
from worker.modelkit.convert.sources.java_serial import read_pairs

CLASS = "AlbertForSequenceClassification"
DEFAULT_MAX_LENGTH = 128
"""``maxSentenceLength`` where nobody has set it."""

_MAX_METADATA_BYTES = 1 << 20
_MAX_LABELS_BYTES = 16 << 20
_LABELS = re.compile(r"fields/labels/part-\d+")
_STAGE = re.compile(rf"stages/[^/]*{CLASS}[^/]*(?=/)")
_MIN_LENGTH, _MAX_LENGTH = 3, 512


@dataclass(frozen=True)
class SparkParams:
    """The parameters that a reader needs to know."""

    engine: str
    """``tensorflow`` or ``onnx``, in small letters."""
    lower_case: bool
    max_length: int
    """Longest encoding in tokens."""
    max_length_is_default: bool
    """Nobody has set it, so it is 128 whatever the model can read."""
    notes: tuple[str, ...]
    """What a person should know of them, a line each."""


def read_params(archive: Archive) -> SparkParams:
    """Read and check the metadata; raises `CheckpointError` for another class, or one that scores in another way."""
    metadata = _metadata(archive)
    name = str(metadata.get("class"))
    if not name.endswith(f".{CLASS}"):
        raise CheckpointError(f"{MARKER}: its class is {name[:120]!a}, and only {CLASS} is read{_hint(archive)}")
    values = _Values({**_section(metadata, "defaultParamMap"), **_section(metadata, "paramMap")})
    _check_activation(values)
    engine = values.text("engine", "tensorflow").lower()
    if engine not in ("tensorflow", "onnx"):
        raise CheckpointError(f"{MARKER}: its engine is {engine[:40]!a}; tensorflow and onnx are read")
    max_length = values.integer("maxSentenceLength", DEFAULT_MAX_LENGTH)
    if not _MIN_LENGTH <= max_length <= _MAX_LENGTH:
        raise CheckpointError(f"{MARKER}: maxSentenceLength is {max_length}, outside of {_MIN_LENGTH} to {_MAX_LENGTH}")
    notes = [f"saved by Spark NLP on Spark {str(metadata.get('sparkVersion', 'of a version not said'))[:40]}, {engine}"]
    if values.boolean("coalesceSentences", default=False):
        notes.append("coalesceSentences is set: Spark NLP averages over sentences where it gets them; here it does not")
    return SparkParams(
        engine=engine,
        lower_case=not values.boolean("caseSensitive", default=False),
        max_length=max_length,
        max_length_is_default="maxSentenceLength" not in _section(metadata, "paramMap"),
        notes=tuple(notes),
    )


def read_labels(archive: Archive) -> tuple[str, ...] | None:
    """The labels in the order of the model's outputs; None where none were saved.

    Each part holds some of them, in any order, or none: only their numbers count. Raises `CheckpointError` for parts
    that cannot be read, and numbers that are not 0, 1, 2, ... once each.
    """
    found: dict[int, str] = {}
    for name in filter(_LABELS.fullmatch, archive.names):
        for value in sequence_values(archive.read(name, _MAX_LABELS_BYTES), name):
            for label, number in read_pairs(value, name):
                if not isinstance(number, int):
                    raise CheckpointError(f"{name}: the label {label[:80]!a} has no number")
                if number in found:
                    raise CheckpointError(f"{name}: the number {number} is that of two labels")
                found[number] = label
    if sorted(found) != list(range(len(found))):
        raise CheckpointError(f"fields/labels: the numbers of the labels are {sorted(found)[:20]}, not 0, 1, 2, ...")
    if len(set(found.values())) != len(found):
        raise CheckpointError("fields/labels: two labels have the same name")
    return tuple(found[number] for number in range(len(found))) or None


def _metadata(archive: Archive) -> Mapping[str, Any]:
    """Spark reads the first line only, and so does this."""
    line = archive.read(MARKER, _MAX_METADATA_BYTES).partition(b"\n")[0]
    try:
        metadata = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise CheckpointError(f"{MARKER}: not a line of JSON; the file is damaged, or not Spark's") from error
    if not isinstance(metadata, dict):
        raise CheckpointError(f"{MARKER}: not a JSON object; the file is damaged, or not Spark's")
    return metadata


def _section(metadata: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    section = metadata.get(name, {})
    if not isinstance(section, dict):
        raise CheckpointError(f"{MARKER}: {name} is not a JSON object")
    return section


def _hint(archive: Archive) -> str:
    """Where in a saved pipeline the model is."""
    stage = next((found[0] for name in archive.names if (found := _STAGE.match(name))), None)
    return f"; this is a whole pipeline, give its folder {stage}" if stage else ""


def _check_activation(values: _Values) -> None:
    """Spark NLP takes a softmax for all but ``sigmoid``, which is for models that give several labels at once."""
    activation = values.text("activation", "softmax")
    if activation.lower() == "sigmoid" or values.boolean("multilabel", default=False):
        raise CheckpointError(
            f"{MARKER}: it gives several labels at once (activation {activation[:40]!a}, multilabel); only models"
            " that choose one label, by softmax, are supported"
        )


class _Values:
    """Parameters by name, checked."""

    def __init__(self, values: Mapping[str, Any]) -> None:
        self._values = values

    def text(self, name: str, default: str) -> str:
        value = self._values.get(name, default)
        return value if isinstance(value, str) else self._refuse(name, "a text")

    def boolean(self, name: str, *, default: bool) -> bool:
        value = self._values.get(name, default)
        return value if isinstance(value, bool) else self._refuse(name, "true or false")

    def integer(self, name: str, default: int) -> int:
        value = self._values.get(name, default)
        return value if isinstance(value, int) and not isinstance(value, bool) else self._refuse(name, "a whole number")

    def _refuse(self, name: str, what: str) -> Any:
        raise CheckpointError(f"{MARKER}: {name} is {ascii(self._values[name])[:40]}, not {what}")
