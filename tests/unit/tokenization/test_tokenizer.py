"""The tokeniser against golden ids of transformers, and what it promises beyond them."""

from __future__ import annotations

import json
import shutil
import unicodedata
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sentencepiece
from hypothesis import given
from hypothesis import strategies as st

from worker.errors import ArtifactError, UsageError
from worker.inference.artifact import BUNDLED_PATH, PIECES
from worker.tokenization.overflow import MARKERS, Overflow
from worker.tokenization.tokenizer import Tokenizer, normalise_text

GOLDEN = json.loads((Path(__file__).parents[2] / "data" / "tokenisation.json").read_text(encoding="utf-8"))
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


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("A fine film, and not too long.", 0.0),
        ("这部电影很好看", 1.0),
        ("этот фильм мне понравился", 1.0),
        ("фильм film", 5 / 9),
        ("非常好看!!!", 4 / 7),
        ("Отлично!!!", 7 / 10),
        ("映画 5/5", 2 / 5),
        ("这部电影真的非常好看 10/10", 10 / 15),
        ("映画 5,5", 2 / 5),
        ("[CLS] фи", 2 / 7),
        ("a <unk> b", 5 / 7),
        ("", 0.0),
    ],
)
def test_the_share_of_unknown_characters_is_that_of_the_text_without_spaces(text: str, expected: float) -> None:
    assert TOKENISER.encode(text).unknown == expected


def test_the_share_of_unknown_characters_is_that_of_what_is_read() -> None:
    short = Tokenizer(BUNDLED_PATH / PIECES, max_length=12, lower_case=True)
    text = "good " * 20 + "фильм " * 20
    assert short.encode(text).unknown == 0.0
    in_windows = short.with_overflow(Overflow("windows", max_windows=8)).encode(text)
    assert in_windows.unknown == pytest.approx(5 / 9)
    both_ends = short.with_overflow(Overflow("head_tail"))
    assert both_ends.encode(text).unknown == 20 / 32  # three times "good", four times "фильм"
    assert 1 not in both_ends.encode("good " * 40).ids
    assert both_ends.encode("good фильм " * 10_000).unknown > 0.5


def test_a_text_without_unknown_characters_is_given_to_sentencepiece_once(monkeypatch: pytest.MonkeyPatch) -> None:
    tokeniser = Tokenizer(BUNDLED_PATH / PIECES, max_length=64, lower_case=True)
    calls = []

    class Counted:
        def __init__(self, pieces: Any) -> None:
            self._pieces = pieces

        def __getattr__(self, name: str) -> Any:
            calls.append(name)
            return getattr(self._pieces, name)

    monkeypatch.setattr(tokeniser, "_pieces", Counted(tokeniser._pieces))
    tokeniser.encode_many(["A fine film.", "Not too long!"])
    assert calls == ["encode"]


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


LONG_TEXTS = st.one_of(
    st.tuples(WORDS.map(" ".join), st.integers(1, 90)).map(lambda case: (case[0] + " ") * case[1]),
    st.lists(st.one_of(st.text(max_size=12), WORDS.map(" ".join)), max_size=12).map(" ".join),
)


@given(LONG_TEXTS, st.sampled_from(SHORT_TOKENISERS), st.floats(0, 1))
def test_head_and_tail_are_those_of_the_whole_text(text: str, short: Tokenizer, share: float) -> None:
    whole = WHOLE_TOKENISER.encode(text).ids.tolist()[1:-1]
    room = short.max_length - MARKERS
    overflow = Overflow("head_tail", head_share=share)
    head = overflow.head_tokens(room)

    encoding = short.with_overflow(overflow).encode(text)

    assert encoding.truncated == (len(whole) > room)
    expected = whole[:head] + whole[len(whole) - (room - head) :] if encoding.truncated else whole
    assert encoding.ids.tolist() == [2, *expected, 3]
    assert encoding.further == ()


@given(LONG_TEXTS, st.sampled_from(SHORT_TOKENISERS), st.integers(0, 16), st.integers(1, 5))
def test_windows_are_those_of_the_whole_text(text: str, short: Tokenizer, overlap: int, most: int) -> None:
    whole = WHOLE_TOKENISER.encode(text).ids.tolist()[1:-1]
    room = short.max_length - MARKERS
    overflow = Overflow("windows", min(overlap, room - 1), most)

    encoding = short.with_overflow(overflow).encode(text)

    read = whole[: overflow.most_tokens(room)]
    expected = [[2, *read[start:end], 3] for start, end in overflow.window_spans(len(read), room)]
    assert [ids.tolist() for ids in encoding.windows] == expected
    assert encoding.truncated == (len(whole) > len(read))
    assert len(encoding) == sum(map(len, expected))
    assert all(ids.dtype == np.int32 and len(ids) <= short.max_length for ids in encoding.windows)


@given(st.lists(LONG_TEXTS, max_size=5), st.sampled_from(["truncate", "head_tail", "windows"]))
def test_many_long_texts_at_once_are_encoded_as_one_by_one(texts: list[str], policy: Any) -> None:
    short = SHORT_TOKENISERS[3].with_overflow(Overflow(policy, window_overlap_tokens=3, max_windows=4))
    together = [[ids.tolist() for ids in encoding.windows] for encoding in short.encode_many(texts)]
    assert together == [[ids.tolist() for ids in short.encode(text).windows] for text in texts]


@pytest.mark.parametrize("policy", ["truncate", "head_tail", "windows"])
def test_a_text_that_fits_is_read_alike_by_every_policy(policy: Any) -> None:
    encoding = TOKENISER.with_overflow(Overflow(policy)).encode("I really liked that movie!")
    assert encoding.ids.tolist() == TOKENISER.encode("I really liked that movie!").ids.tolist()
    assert (encoding.truncated, encoding.further) == (False, ())


class Counting:
    """Stands before SentencePiece and counts the characters that it is asked to encode."""

    def __init__(self, pieces: Any) -> None:
        self._pieces = pieces
        self.characters = 0

    def encode(self, texts: str | list[str], **options: Any) -> Any:
        self.characters += len(texts) if isinstance(texts, str) else sum(map(len, texts))
        return self._pieces.encode(texts, **options)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._pieces, name)


@pytest.mark.parametrize(
    ("overflow", "windows"), [(Overflow("truncate"), 1), (Overflow("head_tail"), 1), (Overflow("windows"), 8)]
)
def test_of_a_huge_text_no_more_is_encoded_than_may_be_read(overflow: Overflow, windows: int) -> None:
    tokeniser = TOKENISER.with_overflow(overflow)
    counting = tokeniser._pieces = Counting(tokeniser._pieces)  # type: ignore[assignment]
    encoding = tokeniser.encode("fine " * 1_000_000)
    assert counting.characters <= max(windows, 2) * 8 * tokeniser.max_length
    assert encoding.truncated
    assert len(encoding.windows) == windows
    assert all(len(ids) == tokeniser.max_length for ids in encoding.windows)


def test_the_end_of_a_huge_text_is_read() -> None:
    ids = TOKENISER.with_overflow(Overflow("head_tail")).encode("fine " * 1_000_000 + "but dull.").ids.tolist()
    assert ids[-4:-1] == TOKENISER.encode("but dull.").ids.tolist()[-4:-1]
    assert ids[:4] == TOKENISER.encode("fine fine fine fine").ids.tolist()[:4]


def test_a_tokeniser_with_another_overflow_leaves_the_first_one_as_it_was() -> None:
    other = TOKENISER.with_overflow(Overflow("windows"))
    assert other.overflow.policy == "windows"
    assert len(TOKENISER.encode("fine " * 2_000).windows) == 1


def test_windows_that_would_not_advance_are_refused() -> None:
    with pytest.raises(UsageError, match="max_length of 40"):
        SHORT_TOKENISERS[-1].with_overflow(Overflow("windows", window_overlap_tokens=38))


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


def test_a_vocabulary_whose_pieces_are_no_text_is_one_clear_line() -> None:
    damaged = (
        (BUNDLED_PATH / PIECES).read_bytes().replace("\N{LOWER ONE EIGHTH BLOCK}the".encode(), b"\xff\xfe\xfdthe", 1)
    )
    with pytest.raises(ArtifactError, match="not a SentencePiece model"):
        Tokenizer(damaged, max_length=16, lower_case=True)


ACCENTS = st.sampled_from("e\u0300\u0316\u0344\u0f73\u0f75\u0f81\uff9e\uff9f\u3099\u05b0\u00e9\uac00\ufdfa \U0001d15f")


@given(st.lists(ACCENTS, min_size=60, max_size=200).map("".join), st.booleans())
def test_accents_in_any_number_and_order_are_stripped_as_after_normalising(text: str, lower_case: bool) -> None:
    lowered = text.lower() if lower_case else text
    decomposed = unicodedata.normalize("NFKD", " ".join(lowered.split()))
    expected = "".join(character for character in decomposed if not unicodedata.combining(character))
    assert normalise_text(text, lower_case=lower_case) == (expected.lower() if lower_case else expected)


@pytest.mark.parametrize("accents", ["\u0300\u0316", "\u0f73", "\uff9e\u0316"])
def test_half_a_million_accents_on_one_letter_do_not_hold_the_worker_up(accents: str) -> None:
    """Put in order as Unicode wants it, they would take most of an hour."""
    text = "a" + accents * (500_000 // len(accents)) + " film"
    assert TOKENISER.encode(text).ids.tolist() == TOKENISER.encode("a film").ids.tolist()
