"""A folder in Hugging Face's layout: ``config.json``, the weights, and ``spiece.model``."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from worker.modelkit.convert.checkpoint import Checkpoint, Provenance, SourceOptions, checkpoint_from
from worker.modelkit.convert.shape import CheckpointError, check_family, check_problem
from worker.modelkit.convert.sources.files import read_json, sha256_of
from worker.modelkit.convert.sources.tokeniser_files import TokeniserFiles, read_tokeniser_files
from worker.modelkit.convert.sources.weight_files import StoredWeights, open_weights

CONFIG = "config.json"
CLASSIFIER = "classifier.weight"
ALBERT_DEFAULTS: Mapping[str, Any] = {
    "vocab_size": 30_000,
    "embedding_size": 128,
    "hidden_size": 4096,
    "intermediate_size": 16_384,
    "num_hidden_layers": 12,
    "num_attention_heads": 64,
}
"""What transformers' ``AlbertConfig`` takes where ``config.json`` says nothing: those of xxlarge."""

_HEAD = "ForSequenceClassification"
_LOOKALIKES = ("ForTokenClassification", "ForMultipleChoice")
"""Their heads are called ``classifier`` too, and do something else."""
_LIBRARIES = ("TF", "Flax")
"""What transformers puts before a class's name for the library."""


def is_folder_checkpoint(path: Path) -> bool:
    """Whether `path` looks like one; `read_folder` says what is wrong with it."""
    return (path / CONFIG).is_file()


def read_folder(path: Path, options: SourceOptions | None = None) -> Checkpoint:
    """Read and check the folder `path`; raises `CheckpointError`, one line that names the file."""
    config = read_albert_config(path / CONFIG)
    weights = open_weights(path)
    config = _with_head(path, config, weights)
    tokeniser = read_tokeniser_files(path)
    names = sorted({CONFIG, *weights.files, *tokeniser.files})
    provenance = Provenance(
        "huggingface",
        path.name or path.resolve().name,
        files={name: sha256_of(path / name) for name in names},
        notes=_notes(config, tokeniser),
    )
    return checkpoint_from(
        config,
        weights,
        tokeniser.pieces,
        provenance,
        options or SourceOptions(),
        lower_case=tokeniser.lower_case,
        max_length=tokeniser.max_length,
    )


def read_albert_config(path: Path) -> dict[str, Any]:
    """ALBERT's ``config.json``, with what it leaves out as transformers fills it in.

    Raises `CheckpointError` where it is none, or not of a model that a softmax ends.
    """
    config = read_json(path)
    if "model_type" not in config and any(name.startswith("Albert") for name in _architectures(config)):
        config["model_type"] = "albert"  # files of 2019 have no model_type
    check_family(config)
    check_problem(config)
    return {**ALBERT_DEFAULTS, **config}


def _with_head(path: Path, config: dict[str, Any], weights: StoredWeights) -> dict[str, Any]:
    """`config` with the number of labels; raises `CheckpointError` where `weights` have no sequence classifier."""
    architectures = _architectures(config)
    named = f" ({architectures[0]} by its config.json)" if architectures else ""
    lookalike = bool(architectures) and all(name.endswith(_LOOKALIKES) for name in architectures)
    if lookalike or CLASSIFIER not in weights:
        raise CheckpointError(
            f"{path}: not a sequence classification checkpoint{named}: it has no classifier for whole texts;"
            " fine-tune it as AlbertForSequenceClassification first"
        )
    shape = weights.shape(CLASSIFIER)
    if config.get("id2label") or config.get("num_labels") or not shape:
        return config
    return {**config, "num_labels": shape[0]}


def _architectures(config: Mapping[str, Any]) -> list[str]:
    """Names of classes, without the library's prefix."""
    names = config.get("architectures")
    plain = [str(name) for name in names] if isinstance(names, list) else []
    for library in _LIBRARIES:
        plain = [name.removeprefix(library) for name in plain]
    return plain


def _notes(config: Mapping[str, Any], tokeniser: TokeniserFiles) -> tuple[str, ...]:
    notes = list(tokeniser.notes)
    rows = config["vocab_size"]
    if isinstance(rows, int) and rows > tokeniser.piece_count:
        notes.append(f"the model has {rows} word embeddings, and the vocabulary uses the first {tokeniser.piece_count}")
    architectures = _architectures(config)
    if architectures and not any(name.endswith(_HEAD) for name in architectures):
        notes.append(f"config.json calls it {architectures[0]}; its weights have a classifier, and are used as such")
    return tuple(notes)
