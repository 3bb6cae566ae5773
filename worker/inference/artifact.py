"""A model artifact: the folder that holds everything the worker needs to know of a model.

``model.onnx`` is the graph, ``spiece.model`` the SentencePiece vocabulary, ``config.json`` has Hugging Face's names,
``golden.json`` what the model said when it was imported, and ``manifest.json`` says what it is and has the hashes of
the others. There may be a second graph,
``model.padding_free.onnx``, for GPUs; both graphs then have their weights in ``weights.bin``. A file that the manifest
does not list is not part of the artifact.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from worker.errors import ArtifactError
from worker.inference.calibration import UNCALIBRATED, Calibration
from worker.inference.golden import GOLDEN
from worker.tokenization.tokenizer import Tokenizer

GRAPH, PIECES, CONFIG, MANIFEST = "model.onnx", "spiece.model", "config.json", "manifest.json"
PADDING_FREE_GRAPH, WEIGHTS = "model.padding_free.onnx", "weights.bin"
REQUIRED_FILES = (GRAPH, PIECES, CONFIG, GOLDEN)
"""What every manifest must list."""
MANIFEST_FORMAT = 2
"""Number of the manifest's layout; a worker refuses one that it does not know."""
BUNDLED_PATH = Path(__file__).resolve().parent.parent / "models" / "albert-imdb-small"
"""The artifact that comes with the package."""

MIN_LENGTH = 3
"""``[CLS]``, one piece, ``[SEP]``."""
_PLACEHOLDER = re.compile(r"LABEL_\d+")


@dataclass(frozen=True)
class Artifact:
    """A checked model artifact."""

    path: Path
    name: str
    version: str
    precision: str
    labels: tuple[str, ...]
    """In the order of the model's outputs."""
    max_length: int
    """Longest encoding in tokens, ``[CLS]`` and ``[SEP]`` included."""
    lower_case: bool
    vocabulary_size: int
    """Token ids that the model knows."""
    files: frozenset[str]
    """Names of the files that the manifest lists; their hashes are right."""
    calibration: Calibration = UNCALIBRATED

    @classmethod
    def load(cls, path: Path | None = None) -> Self:
        """Read and check the artifact in the folder `path`; None takes the bundled one. Reads every byte once.

        Raises `ArtifactError`, one line that names the file and the remedy, for a file that is missing or altered, a
        manifest or configuration that does not hold what it must, and labels that nobody has named.
        """
        folder = BUNDLED_PATH if path is None else path
        if not folder.is_dir():
            raise ArtifactError(f"{folder}: no such folder; a model artifact is a folder with {GRAPH} and {MANIFEST}")
        manifest = _Document.read(folder / MANIFEST)
        number = manifest.integer("format")
        if number != MANIFEST_FORMAT:
            raise manifest.error(
                f"its format is {number}, and this worker reads format {MANIFEST_FORMAT}; import the model again"
            )
        hashes = manifest.mapping("sha256")
        for name in (*REQUIRED_FILES, *(name for name in hashes if name not in REQUIRED_FILES)):
            if not name or Path(name).name != name:
                raise manifest.error(f"sha256 lists {name!r}, which is no name of a file in this folder")
            _check_hash(folder / name, hashes.get(name))
        config = _Document.read(folder / CONFIG)
        places = config.integer("max_position_embeddings")
        max_length = manifest.integer("max_length")
        if not MIN_LENGTH <= max_length <= places:
            raise manifest.error(f"max_length is {max_length}, outside of {MIN_LENGTH} to {places} of {CONFIG}")
        labels = _labels(config)
        return cls(
            path=folder,
            name=manifest.text("name"),
            version=manifest.text("version"),
            precision=manifest.text("precision"),
            labels=labels,
            max_length=max_length,
            lower_case=manifest.boolean("lower_case"),
            vocabulary_size=config.integer("vocab_size"),
            files=frozenset(hashes),
            calibration=_calibration(manifest, len(labels)),
        )

    @property
    def identity(self) -> str:
        """``name@version``: what predictions say of where they come from."""
        return f"{self.name}@{self.version}"

    @property
    def model_path(self) -> Path:
        """The ONNX graph."""
        return self.path / GRAPH

    @property
    def padding_free_path(self) -> Path | None:
        """The graph for GPUs that computes no padding; None where the artifact has none."""
        return self.path / PADDING_FREE_GRAPH if PADDING_FREE_GRAPH in self.files else None

    @property
    def golden_path(self) -> Path:
        """The golden set."""
        return self.path / GOLDEN

    @property
    def pieces_path(self) -> Path:
        """The SentencePiece model."""
        return self.path / PIECES

    def load_tokeniser(self) -> Tokenizer:
        """A tokeniser for this model; raises `ArtifactError` where its vocabulary is not the model's."""
        tokeniser = Tokenizer(self.pieces_path, max_length=self.max_length, lower_case=self.lower_case)
        if tokeniser.vocabulary_size > self.vocabulary_size:
            raise ArtifactError(
                f"{self.pieces_path}: {tokeniser.vocabulary_size} pieces, but the model knows {self.vocabulary_size};"
                " it belongs to another model"
            )
        return tokeniser


@dataclass(frozen=True)
class _Document:
    """A JSON object in a file, read member by member; whatever is not as it must be is an `ArtifactError`."""

    path: Path
    members: Mapping[str, Any]

    @classmethod
    def read(cls, path: Path) -> Self:
        try:
            members = json.loads(path.read_bytes())
        except FileNotFoundError:
            raise ArtifactError(f"{path}: the file is missing; the artifact is not whole") from None
        except (OSError, ValueError) as error:
            raise ArtifactError(f"{path}: not a readable JSON file ({error})") from error
        if not isinstance(members, dict):
            raise ArtifactError(f"{path}: not a JSON object")
        return cls(path, members)

    def error(self, text: str) -> ArtifactError:
        return ArtifactError(f"{self.path}: {text}")

    def integer(self, name: str) -> int:
        value = self.members.get(name)
        if not isinstance(value, int) or isinstance(value, bool):
            raise self.error(f"{name} must be a whole number, not {value!r}")
        return value

    def text(self, name: str) -> str:
        value = self.members.get(name)
        if not isinstance(value, str) or not value:
            raise self.error(f"{name} must be a text, not {value!r}")
        return value

    def boolean(self, name: str) -> bool:
        value = self.members.get(name)
        if not isinstance(value, bool):
            raise self.error(f"{name} must be true or false, not {value!r}")
        return value

    def mapping(self, name: str) -> Mapping[str, Any]:
        value = self.members.get(name)
        if not isinstance(value, dict):
            raise self.error(f"{name} must be an object")
        return value


def _check_hash(path: Path, expected: object) -> None:
    try:
        with path.open("rb") as file:
            actual = hashlib.file_digest(file, "sha256").hexdigest()
    except FileNotFoundError:
        raise ArtifactError(f"{path}: the file is missing; the artifact is not whole") from None
    except OSError as error:
        raise ArtifactError(f"{path}: not readable ({error.strerror})") from error
    if expected is None:
        raise ArtifactError(f"{path}: {MANIFEST} has no sha256 of it")
    if actual != expected:
        raise ArtifactError(f"{path}: altered since the artifact was made (its sha256 is not the manifest's)")


def _calibration(manifest: _Document, labels: int) -> Calibration:
    if "calibration" not in manifest.members:
        return UNCALIBRATED
    members = dict(manifest.mapping("calibration"))
    try:
        calibration = Calibration(**members | {"prior": tuple(members.get("prior", ()))})
        fault = calibration.fault(labels)
    except TypeError as error:
        fault = str(error)
    if fault is not None:
        raise manifest.error(f"calibration: {fault}")
    return calibration


def _labels(config: _Document) -> tuple[str, ...]:
    names = config.mapping("id2label")
    if set(names) != {str(index) for index in range(len(names))} or len(names) < 2:
        raise config.error("id2label must name two labels or more, with the ids 0, 1, 2, ... without a gap")
    labels = tuple(names[str(index)] for index in range(len(names)))
    if not all(isinstance(label, str) and label for label in labels) or len(set(labels)) < len(labels):
        raise config.error("the labels of id2label must be texts that differ")
    if not all(label.isprintable() for label in labels):
        raise config.error("the labels of id2label must be printable; rename them")
    if all(_PLACEHOLDER.fullmatch(label) for label in labels):
        raise config.error(f"the labels are placeholders ({', '.join(labels)}); write their real names into id2label")
    return labels
