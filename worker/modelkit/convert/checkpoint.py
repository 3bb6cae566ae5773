"""What a source of a model is read into: a whole, checked ALBERT classifier, or a graph to use as it is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from worker.modelkit.convert.shape import AlbertShape, CheckpointError, Weights, checked_weights, with_labels
from worker.tokenization.tokenizer import Tokenizer

__all__ = ["AlbertShape", "Checkpoint", "CheckpointError", "ForeignGraph", "Provenance", "Source", "SourceOptions"]

MIN_LENGTH = 3
"""``[CLS]``, one piece, ``[SEP]``."""


@dataclass(frozen=True)
class SourceOptions:
    """What a person says about a source; None leaves it to the source."""

    labels: tuple[str, ...] | None = None
    """Names of the labels, in the order of the model's outputs."""
    lower_case: bool | None = None
    """Whether the model was trained on lower-cased text."""
    max_length: int | None = None
    """Longest encoding in tokens."""
    revision: str | None = None
    """Branch, tag or commit of a hub repository."""
    token: str | None = field(default=None, repr=False)
    """Secret that opens a private hub repository; never logged."""
    cache: str | None = None
    """Folder of the hub's cache; None takes the hub's own default."""
    offline: bool = False
    """Use the hub's cache only."""


@dataclass(frozen=True)
class Provenance:
    """Where a model came from: it goes into the manifest and the model card."""

    kind: str
    """``huggingface``, ``hub``, ``sparknlp-tensorflow``, ``sparknlp-onnx`` or ``onnx``."""
    location: str
    """As a person would name it: a hub id, or the name of the file or folder without the path to it."""
    revision: str | None = None
    """Commit of a hub repository."""
    files: Mapping[str, str] = field(default_factory=dict)
    """SHA-256 of each file that was read, by its name inside the source."""
    notes: tuple[str, ...] = ()
    """What a person should know of how it was read, a line each."""


@dataclass(frozen=True)
class Checkpoint:
    """A whole, checked ALBERT classifier, in memory. Make it with `checkpoint_from`."""

    config: Mapping[str, Any]
    """Hugging Face's ``config.json``, with labels that somebody has named."""
    shape: AlbertShape
    weights: Weights
    pieces: bytes = field(repr=False)
    """The SentencePiece model."""
    lower_case: bool
    max_length: int
    """Longest encoding in tokens, ``[CLS]`` and ``[SEP]`` included."""
    provenance: Provenance
    original_graph: bytes | None = field(default=None, repr=False)
    """The source's own ONNX model, where it is one: what `verify` compares with."""

    @property
    def labels(self) -> tuple[str, ...]:
        """In the order of the model's outputs."""
        return self.shape.labels

    def tokeniser(self) -> Tokenizer:
        """A tokeniser as the model was trained with; raises `worker.errors.ArtifactError`."""
        return Tokenizer(self.pieces, max_length=self.max_length, lower_case=self.lower_case)


@dataclass(frozen=True)
class ForeignGraph:
    """An ONNX classifier whose weights could not be found by structure, to be used as it is.

    Its inputs are ``input_ids`` with ``attention_mask`` or ``lengths``, and perhaps ``token_type_ids``; its output has
    a score for each label (checked by whoever makes it, in the way `worker.inference.session` does).
    """

    graph: bytes = field(repr=False)
    """The ONNX model, weights included."""
    reason: str
    """Why it could not be rebuilt, for a person."""
    config: Mapping[str, Any]
    """At least ``id2label``, ``vocab_size`` and ``max_position_embeddings``, by Hugging Face's names."""
    labels: tuple[str, ...]
    pieces: bytes = field(repr=False)
    lower_case: bool
    max_length: int
    provenance: Provenance

    def tokeniser(self) -> Tokenizer:
        """See `Checkpoint.tokeniser`."""
        return Tokenizer(self.pieces, max_length=self.max_length, lower_case=self.lower_case)


Source = Checkpoint | ForeignGraph


def checkpoint_from(
    config: Mapping[str, Any],
    weights: Mapping[str, Any],
    pieces: bytes,
    provenance: Provenance,
    options: SourceOptions,
    *,
    lower_case: bool,
    max_length: int | None = None,
    original_graph: bytes | None = None,
) -> Checkpoint:
    """Check everything that a source has said, and put it together.

    `config` and `weights` have Hugging Face's names; weights of any float type become float32. `lower_case` and
    `max_length` are what the source says (None: all places that the model has); `options` come before them.
    Raises `CheckpointError`, one line, for whatever does not fit.
    """
    named = with_labels(config, options.labels)
    shape = AlbertShape.from_config(named)
    checkpoint = Checkpoint(
        config=named,
        shape=shape,
        weights=checked_weights(weights, shape),
        pieces=pieces,
        lower_case=lower_case if options.lower_case is None else options.lower_case,
        max_length=chosen_length(options.max_length, max_length, shape.max_position_embeddings),
        provenance=provenance,
        original_graph=original_graph,
    )
    check_pieces(checkpoint.tokeniser(), shape.vocab_size)
    return checkpoint


def check_pieces(tokeniser: Tokenizer, vocab_size: int) -> None:
    """Raise `CheckpointError` where the vocabulary has more pieces than the model has embeddings."""
    if tokeniser.vocabulary_size > vocab_size:
        raise CheckpointError(
            f"the SentencePiece vocabulary has {tokeniser.vocabulary_size} pieces, but the model knows only"
            f" {vocab_size}; it belongs to another model"
        )


def chosen_length(chosen: int | None, said: int | None, places: int) -> int:
    """Longest encoding in tokens: what a person has `chosen`, else what the source has `said`, within `places`.

    Raises `CheckpointError` for a choice that does not fit.
    """
    if chosen is None:
        return min(said or places, places)
    if not MIN_LENGTH <= chosen <= places:
        raise CheckpointError(
            f"max_length {chosen} is outside of {MIN_LENGTH} to {places}, the places that the model has"
        )
    return chosen
