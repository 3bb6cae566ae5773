"""What the files of a tokeniser may say, and what of it would make the worker read texts in another way."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from worker.inference.artifact import BUNDLED_PATH, PIECES
from worker.modelkit.convert.shape import CheckpointError
from worker.modelkit.convert.sources.tokeniser_files import (
    ADDED_TOKENS,
    OPTIONS,
    SPECIAL_TOKENS,
    check_vocabulary,
    read_tokeniser_files,
)

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=5), inner, max_size=2),
    max_leaves=4,
)
NAMES_OF_OPTIONS = [
    "do_lower_case",
    "keep_accents",
    "remove_space",
    "model_max_length",
    "max_len",
    "tokenizer_class",
    "cls_token",
    "additional_special_tokens",
    "added_tokens_decoder",
    "truncation_side",
    "sp_model_kwargs",
]
SAVED_BY_TRANSFORMERS: dict[str, Any] = {
    "added_tokens_decoder": {
        str(index): {"content": content, "lstrip": content == "[MASK]", "normalized": False, "special": True}
        for index, content in enumerate(("<pad>", "<unk>", "[CLS]", "[SEP]", "[MASK]"))
    },
    "bos_token": "[CLS]",
    "clean_up_tokenization_spaces": False,
    "cls_token": "[CLS]",
    "do_lower_case": True,
    "eos_token": "[SEP]",
    "extra_special_tokens": {},
    "keep_accents": False,
    "mask_token": {"__type": "AddedToken", "content": "[MASK]", "lstrip": True},
    "model_max_length": 512,
    "pad_token": "<pad>",
    "remove_space": True,
    "sep_token": "[SEP]",
    "sp_model_kwargs": {},
    "tokenizer_class": "AlbertTokenizer",
    "unk_token": "<unk>",
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    shutil.copyfile(BUNDLED_PATH / PIECES, tmp_path / PIECES)
    return tmp_path


def _write(folder: Path, name: str, content: Any) -> Path:
    (folder / name).write_text(json.dumps(content))
    return folder


def _error(folder: Path) -> str:
    with pytest.raises(CheckpointError) as raised:
        read_tokeniser_files(folder)
    line = str(raised.value)
    assert "\n" not in line
    return line


def test_the_vocabulary_alone_is_enough(folder: Path) -> None:
    read = read_tokeniser_files(folder)
    assert read.pieces == (folder / PIECES).read_bytes()
    assert (read.piece_count, read.lower_case, read.max_length) == (30_000, True, None)
    assert (read.files, read.notes) == ((PIECES,), ())


def test_what_transformers_saves_is_accepted(folder: Path) -> None:
    _write(folder, OPTIONS, SAVED_BY_TRANSFORMERS)
    _write(folder, SPECIAL_TOKENS, {"cls_token": "[CLS]", "mask_token": {"content": "[MASK]", "lstrip": True}})
    _write(folder, ADDED_TOKENS, {"[MASK]": 4})
    read = read_tokeniser_files(folder)
    assert (read.lower_case, read.max_length) == (True, 512)
    assert read.files == (PIECES, OPTIONS, SPECIAL_TOKENS, ADDED_TOKENS)


def test_case_may_stay(folder: Path) -> None:
    assert not read_tokeniser_files(_write(folder, OPTIONS, {"do_lower_case": False})).lower_case


@pytest.mark.parametrize(
    ("said", "length"),
    [(128, 128), (512.0, 512), (1000000000000000019884624838656, 10**30), (1e30, 10**30), (float("inf"), None)],
)
def test_the_longest_encoding_is_read_as_it_is_written(folder: Path, said: float, length: int | None) -> None:
    read = read_tokeniser_files(_write(folder, OPTIONS, {"model_max_length": said})).max_length
    assert read == pytest.approx(length)


def test_the_old_name_of_the_longest_encoding_is_known(folder: Path) -> None:
    assert read_tokeniser_files(_write(folder, OPTIONS, {"max_len": 256})).max_length == 256


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        (OPTIONS, {"keep_accents": True}, "keep_accents is true"),
        (OPTIONS, {"remove_space": False}, "remove_space is false"),
        (OPTIONS, {"do_lower_case": "yes"}, "do_lower_case must be true or false"),
        (OPTIONS, {"tokenizer_class": "BertTokenizer"}, "tokenizer_class is 'BertTokenizer'"),
        (OPTIONS, {"model_max_length": 2}, "model_max_length must be 3 tokens or more"),
        (OPTIONS, {"model_max_length": float("nan")}, "model_max_length must be"),
        (OPTIONS, {"cls_token": "<s>"}, "cls_token is '<s>'"),
        (OPTIONS, {"added_tokens_decoder": {"30000": {"content": "[URL]"}}}, r"adds tokens to the vocabulary \('\[URL"),
        (OPTIONS, {"extra_special_tokens": {"image_token": "<image>"}}, "adds tokens to the vocabulary"),
        (SPECIAL_TOKENS, {"sep_token": {"content": "</s>"}}, "sep_token is '</s>'"),
        (SPECIAL_TOKENS, {"additional_special_tokens": ["<user>", "<film>"]}, r"\('<user>', 2 in all\)"),
        (ADDED_TOKENS, {"[MASK]": 4, "<user>": 30_000}, r"adds tokens to the vocabulary \('<user>', 1 in all\)"),
        (ADDED_TOKENS, ["<user>"], "not a JSON object"),
    ],
)
def test_what_would_read_texts_otherwise_is_refused(folder: Path, name: str, content: Any, message: str) -> None:
    line = _error(_write(folder, name, content))
    assert name in line
    with pytest.raises(CheckpointError, match=message):
        read_tokeniser_files(folder)


@pytest.mark.parametrize(
    ("options", "note"),
    [
        ({"truncation_side": "left"}, "the end of a long text"),
        ({"sp_model_kwargs": {"enable_sampling": True}}, "random"),
    ],
)
def test_what_hardly_matters_is_noted(folder: Path, options: dict[str, Any], note: str) -> None:
    assert [note in line for line in read_tokeniser_files(_write(folder, OPTIONS, options)).notes] == [True]


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ({"tokenizer.json"}, "tokenizer.json cannot replace it"),
        ({"vocab.txt", "tokenizer.json"}, "WordPiece"),
        (set(), "copy it from the model"),
    ],
)
def test_without_a_vocabulary_it_says_what_to_do(names: set[str], message: str) -> None:
    with pytest.raises(CheckpointError, match=message):
        check_vocabulary(names)


@pytest.mark.parametrize("content", [b"", b"not a vocabulary"])
def test_a_broken_vocabulary_is_named(folder: Path, content: bytes) -> None:
    (folder / PIECES).write_bytes(content)
    assert PIECES in _error(folder)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=60)
@given(st.dictionaries(st.sampled_from(NAMES_OF_OPTIONS), JSON, max_size=3))
def test_whatever_the_options_are_there_is_an_answer_or_one_line(folder: Path, options: dict[str, Any]) -> None:
    _write(folder, OPTIONS, options)
    try:
        read = read_tokeniser_files(folder)
    except CheckpointError as error:
        assert "\n" not in str(error)
    else:
        assert read.max_length is None or read.max_length >= 3
