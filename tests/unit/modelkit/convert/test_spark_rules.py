"""Spark NLP's own rules, replayed on all that it answered (../shared/sparknlp/reference.json)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
from absent import Absent
from albert_reference import softmax
from hypothesis import given
from hypothesis import strategies as st

from worker.inference.artifact import BUNDLED_PATH, PIECES
from worker.modelkit.convert.checkpoint import SourceOptions
from worker.modelkit.convert.graph import build_graph
from worker.modelkit.convert.shape import AlbertShape, CheckpointError, checked_weights
from worker.modelkit.convert.sources.sparknlp import read_sparknlp
from worker.modelkit.convert.spark_rules import spark_encode, spark_pieces, spark_tokens

SHARED = Path(__file__).parents[4] / "../shared"
SAVED = SHARED / "sparknlp"
ROWS: list[dict[str, Any]] = (
    json.loads((SAVED / "reference.json").read_text(encoding="utf-8"))["rows"] if SHARED.exists() else []
)
UNKNOWN = 1

real = Absent.SHARED.unless(SHARED.exists(), "what Spark NLP answered")


def _encode(text: str, **options: Any) -> tuple[list[int], list[int]] | None:
    pieces = spark_pieces((SAVED / "hf-tiny" / "spiece.model").read_bytes())
    return spark_encode(text, pieces, **{"lower_case": True, "max_length": 512, "masks_unknown": True} | options)


@real
def test_there_are_answers_for_all_texts() -> None:
    assert len(ROWS) == 28


@real
@pytest.mark.parametrize("row", ROWS, ids=lambda row: row["i"])
def test_the_tokens_are_those_of_spark_nlp(row: dict[str, Any]) -> None:
    assert spark_tokens(row["text"]) == row["spark_tokens"]


@real
@pytest.mark.parametrize("row", ROWS, ids=lambda row: row["i"])
@pytest.mark.parametrize("masks_unknown", [True, False])
def test_ids_and_mask_are_those_of_spark_nlp(row: dict[str, Any], masks_unknown: bool) -> None:
    encoded = _encode(row["text"], masks_unknown=masks_unknown)
    if "spark_rule" not in row:  # a blank text
        assert encoded is None
        return
    assert encoded is not None
    ids, mask = encoded
    assert ids == row["spark_rule"]["ids"]
    assert mask == [0 if masks_unknown and piece == UNKNOWN else 1 for piece in ids]
    assert mask.count(0) == (row["spark_rule"]["n_unk"] if masks_unknown else 0)


@real
def test_the_scores_of_texts_without_unknown_pieces_are_those_of_spark_nlp() -> None:
    """Both forms agree on these, and the weights are the same in each."""
    checkpoint = read_sparknlp(SAVED / "albert_tiny_tf.zip", SourceOptions())
    assert hasattr(checkpoint, "weights")
    shape = AlbertShape.from_config(checkpoint.config)
    model = build_graph(shape, checked_weights(checkpoint.weights, shape), precision="fp32")
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    compared = 0
    for row in ROWS:
        encoded = _encode(row["text"])
        if encoded is None or 0 in encoded[1]:
            continue
        ids = np.array([encoded[0]], dtype=np.int32)
        logits = session.run(None, {"input_ids": ids, "lengths": np.array([ids.shape[1]], dtype=np.int32)})[0]
        for form in ("spark_nlp_tf", "spark_nlp_344_tf", "spark_nlp_onnx"):
            expected = [row[form]["neg"], row[form]["pos"]]
            np.testing.assert_allclose(softmax(logits[0].astype(np.float64)), expected, atol=1e-5)
        compared += 1
    assert compared == 18


@real
def test_case_and_length_are_obeyed() -> None:
    assert _encode("THE FILM") == _encode("the film")
    assert _encode("THE FILM", lower_case=False) != _encode("the film", lower_case=False)
    short, long = _encode("the film is good", max_length=5), _encode("the film is good")
    assert short is not None
    assert long is not None
    assert short[0] == [*long[0][:4], long[0][-1]]


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ('He said: "No!!!" (twice)', ["He", "said", ":", '"', "No", '!!!"', "(", "twice", ")"]),
        ("it's well-known *** 'tis", ["it's", "well-known", "***", "'", "tis"]),
        ("\u00a0no\u00a0break\u2028here\u2187there\u2188", ["\u00a0no\u00a0break\u2028here", "there\u2188"]),
        (" \t\r\n\x0b\x0c", []),
    ],
)
def test_the_rules_of_the_tokenizer(text: str, tokens: list[str]) -> None:
    """By hand from the regular expressions in its source."""
    assert spark_tokens(text) == tokens


@given(st.text())
def test_no_character_is_lost_but_white_space(text: str) -> None:
    assert "".join(spark_tokens(text)) == "".join(c for c in text if c not in " \t\n\x0b\f\r\u2187")


@given(st.text(alphabet=st.characters(exclude_categories=["Cs"])), st.integers(3, 20))
def test_an_encoding_is_never_longer_than_allowed(text: str, max_length: int) -> None:
    encoded = spark_encode(text, BUNDLED, lower_case=True, max_length=max_length, masks_unknown=True)
    if encoded is not None:
        ids, mask = encoded
        assert 2 <= len(ids) == len(mask) <= max_length


def test_bytes_that_are_no_vocabulary_are_refused() -> None:
    with pytest.raises(CheckpointError, match="not a SentencePiece model"):
        spark_pieces(b"nothing")


BUNDLED = spark_pieces((BUNDLED_PATH / PIECES).read_bytes())
