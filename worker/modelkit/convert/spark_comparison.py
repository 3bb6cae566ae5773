"""How far Spark NLP's own answers are from those of the model as it was trained, on the same weights."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from worker.modelkit.convert.checkpoint import Checkpoint, Source
from worker.modelkit.convert.reference import plain_reference_of
from worker.modelkit.convert.spark_rules import spark_encode, spark_pieces

TENSORFLOW = "sparknlp-tensorflow"
KINDS = (TENSORFLOW, "sparknlp-onnx")


@dataclass(frozen=True)
class SparkComparison:
    """What Spark NLP's rules change; the artifact keeps to those that the model was trained with."""

    texts: int
    without_label: int
    """Texts that Spark NLP says nothing of: those that are blank to it."""
    other_tokens: int
    """Texts that it tokenises otherwise."""
    masked: int
    """Texts of which it leaves unknown pieces unseen (its TensorFlow form only)."""
    moved: int
    """Texts that it gives another label."""
    largest_difference: float
    """Of a probability."""

    def lines(self) -> Iterator[str]:
        """For a person."""
        yield (
            f"Spark NLP itself  tokenises {self.other_tokens} of {self.texts} texts otherwise, leaves unknown pieces of"
            f" {self.masked} unseen, gives {self.moved} another label"
        )
        yield (
            f"                  (a probability differs by up to {self.largest_difference:.2g}) and"
            f" {self.without_label} none; the artifact says what the model was trained to say"
        )


def compare_with_spark(source: Source, texts: Sequence[str]) -> SparkComparison | None:
    """Replay Spark NLP's rules over `texts`; None for a source that is not Spark NLP's, or could not be rebuilt."""
    if not isinstance(source, Checkpoint) or source.provenance.kind not in KINDS:
        return None
    pieces = spark_pieces(source.pieces)
    rows = [
        spark_encode(
            text,
            pieces,
            lower_case=source.lower_case,
            max_length=source.max_length,
            masks_unknown=source.provenance.kind == TENSORFLOW,
        )
        for text in texts
    ]
    told = [index for index, row in enumerate(rows) if row is not None]
    if not told:
        return SparkComparison(len(texts), len(texts), 0, 0, 0, 0.0)
    chosen = [row for row in rows if row is not None]
    encodings = source.tokeniser().encode_many(texts[index] for index in told)
    reference = plain_reference_of(source)
    expected, said = reference.scores(encodings), reference.masked_scores(chosen)
    return SparkComparison(
        texts=len(texts),
        without_label=len(texts) - len(told),
        other_tokens=sum(list(own.ids) != ids for own, (ids, _) in zip(encodings, chosen, strict=True)),
        masked=sum(0 in mask for _, mask in chosen),
        moved=int(np.sum(expected.argmax(axis=1) != said.argmax(axis=1))),
        largest_difference=float(np.abs(expected - said).max()),
    )
