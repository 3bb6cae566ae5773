"""The tokeniser against golden ids of transformers, and what it promises beyond them."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sentencepiece
from hypothesis import given
from hypothesis import strategies as st

from worker.errors import ArtifactError
from worker.inference.artifact import BUNDLED_PATH, PIECES
from worker.tokenization import Tokenizer

GOLDEN = json.loads((Path(__file__).parents[1] / "data" / "tokenisation.json").read_text(encoding="utf-8"))
TOKENISERS = {
    lower_case: Tokenizer(BUNDLED_PATH / PIECES, max_length=GOLDEN["max_length"], lower_case=lower_case)
    for lower_case in (True, False)
}
TOKENISER = TOKENISERS[True]
SHORT_TOKENISERS = [Tokenizer(BUNDLED_PATH / PIECES, max_length=size, lower_case=True) for size in (3, 4, 7, 19, 40)]
WHOLE_TOKENISER = Tokenizer(BUNDLED_PATH / PIECES, max_length=100_000, lower_case=True)
WORDS = st.lists(
    st.sampled_from(["a", "fine,", "9,9", "film!", "<br", "/>", "[SEP]", "NOT", "é", "Σ", "''"]), max_size=60
)


@pytest.mark.parametrize("case", GOLDEN["cases"], ids=lambda case: case["why"])
def test_the_ids_are_those_of_transformers(case: dict[str, Any]) -> None:
    encoding = TOKENISERS[case.get("lower_case", True)].encode(case["text"] * case.get("times", 1))
    assert encoding.ids.tolist() == case["ids"]
    assert encoding.ids.dtype == np.int32


@given(st.lists(st.one_of(st.text(max_size=40), WORDS.map(" ".join)), max_size=6))
def test_many_at_once_are_encoded_as_one_by_one(texts: list[str]) -> None:
    together = TOKENISER.encode_many(texts)
    apart = [TOKENISER.encode(text) for text in texts]
    assert [encoding.ids.tolist() for encoding in together] == [encoding.ids.tolist() for encoding in apart]


@given(WORDS.map(" ".join), st.integers(1, 60), st.sampled_from(SHORT_TOKENISERS))
def test_a_long_text_is_cut_and_says_so(text: str, times: int, short: Tokenizer) -> None:
    max_length = short.max_length
    whole = WHOLE_TOKENISER.encode(text * times).ids.tolist()

    encoding = short.encode(text * times)

    assert encoding.truncated == (len(whole) > max_length)
    expected = [*whole[: max_length - 1], whole[-1]] if encoding.truncated else whole
    assert encoding.ids.tolist() == expected


@given(st.text(st.characters(), max_size=30))
def test_any_string_is_encoded_lone_surrogates_included(text: str) -> None:
    ids = TOKENISER.encode(text + "\ud800").ids
    assert (ids[0], ids[-1]) == (2, 3)
    assert ((ids >= 0) & (ids < TOKENISER.vocabulary_size)).all()


def test_a_million_words_cost_no_more_than_the_model_reads() -> None:
    encoding = TOKENISER.encode("fine " * 1_000_000)
    assert len(encoding) == GOLDEN["max_length"]
    assert encoding.truncated


def test_a_hundred_thousand_characters_without_a_space_are_encoded_too() -> None:
    encoding = TOKENISER.encode("good" * 25_000)
    assert len(encoding) == GOLDEN["max_length"]
    assert encoding.truncated


def test_padding_has_an_id() -> None:
    assert TOKENISER.pad_id == 0


def test_a_file_that_is_no_vocabulary_is_one_clear_error(tmp_path: Path) -> None:
    path = tmp_path / "spiece.model"
    for content in (None, b"", b"not a vocabulary"):
        if content is not None:
            path.write_bytes(content)
        with pytest.raises(ArtifactError, match=r"spiece\.model"):
            Tokenizer(path, max_length=16, lower_case=True)


def test_a_vocabulary_without_alberts_special_pieces_is_refused(tmp_path: Path) -> None:
    sentences = [f"word{index} and word{index + 1}" for index in range(200)]
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(sentences), model_prefix=str(tmp_path / "other"), vocab_size=40, minloglevel=2
    )
    shutil.move(tmp_path / "other.model", tmp_path / "spiece.model")
    with pytest.raises(ArtifactError, match="special piece"):
        Tokenizer(tmp_path / "spiece.model", max_length=16, lower_case=True)
