"""The tokeniser of a Hugging Face folder: ``spiece.model``, and the options beside it that change what it says.

`worker.tokenization.tokenizer` does what ``transformers.AlbertTokenizer`` does by default. Whatever asks for something
else is refused, with what to do, or noted where it hardly matters.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from worker.errors import ArtifactError
from worker.modelkit.convert.checkpoint import MIN_LENGTH
from worker.modelkit.convert.shape import CheckpointError
from worker.modelkit.convert.sources.files import read_json_if_there
from worker.tokenization.tokenizer import SPECIAL_PIECES, Tokenizer

PIECES = "spiece.model"
OPTIONS = "tokenizer_config.json"
SPECIAL_TOKENS = "special_tokens_map.json"
ADDED_TOKENS = "added_tokens.json"
TOKENISER_FILES = (PIECES, OPTIONS, SPECIAL_TOKENS, ADDED_TOKENS)

_TOKENISERS = ("AlbertTokenizer", "AlbertTokenizerFast", "PreTrainedTokenizerFast", "TokenizersBackend")
"""The last two are what transformers calls any tokeniser that it has saved as ``tokenizer.json``."""
_SPECIAL_TOKENS = {
    "bos_token": "[CLS]",
    "eos_token": "[SEP]",
    "unk_token": "<unk>",
    "sep_token": "[SEP]",
    "pad_token": "<pad>",
    "cls_token": "[CLS]",
    "mask_token": "[MASK]",
}
"""ALBERT's own."""
_LISTS_OF_TOKENS = ("additional_special_tokens", "extra_special_tokens", "added_tokens_decoder")
"""By the names of several versions of transformers."""


@dataclass(frozen=True)
class TokeniserFiles:
    """What the files say."""

    pieces: bytes
    piece_count: int
    lower_case: bool
    max_length: int | None
    """Longest encoding in tokens; None where the files set no limit."""
    files: tuple[str, ...]
    """Names of those that were read."""
    notes: tuple[str, ...] = ()
    """What a person should know, a line each."""


def check_vocabulary(names: Collection[str]) -> None:
    """Raise `CheckpointError`, with what to do, where ``spiece.model`` is not among the files `names`."""
    if PIECES in names:
        return
    if "vocab.txt" in names:
        raise CheckpointError(
            f"{PIECES} is missing: this model splits text by a WordPiece vocabulary (vocab.txt), as BERT does,"
            " and only SentencePiece is supported"
        )
    raise CheckpointError(
        f"{PIECES} is missing{' (tokenizer.json cannot replace it)' if 'tokenizer.json' in names else ''}:"
        " copy it from the model that this one was fine-tuned from, e.g. albert/albert-base-v2"
    )


def read_tokeniser_files(folder: Path) -> TokeniserFiles:
    """Read and check them; raises `CheckpointError`, one line that names the file."""
    try:
        check_vocabulary({path.name for path in folder.iterdir()})
    except CheckpointError as error:
        raise CheckpointError(f"{folder}: {error}") from error
    options = read_json_if_there(folder / OPTIONS)
    _check_options(folder / OPTIONS, options)
    for name in (OPTIONS, SPECIAL_TOKENS):
        _check_special_tokens(folder / name, read_json_if_there(folder / name))
    _check_added(folder / ADDED_TOKENS, read_json_if_there(folder / ADDED_TOKENS))
    return TokeniserFiles(
        pieces=_read_pieces(folder / PIECES),
        piece_count=_count_pieces(folder / PIECES),
        lower_case=_flag(folder / OPTIONS, options, "do_lower_case", default=True),
        max_length=_max_length(folder / OPTIONS, options),
        files=tuple(name for name in TOKENISER_FILES if (folder / name).exists()),
        notes=_notes(options),
    )


def _read_pieces(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise CheckpointError(f"{path}: not readable ({error.strerror})") from error


def _count_pieces(path: Path) -> int:
    try:
        return Tokenizer(path, max_length=MIN_LENGTH, lower_case=True).vocabulary_size
    except ArtifactError as error:
        raise CheckpointError(str(error)) from error


def _check_options(path: Path, options: Mapping[str, Any]) -> None:
    kind = options.get("tokenizer_class", _TOKENISERS[0])
    if kind not in (None, *_TOKENISERS):
        raise CheckpointError(f"{path}: tokenizer_class is {kind!r}, and only AlbertTokenizer is supported")
    if _flag(path, options, "keep_accents", default=False):
        raise CheckpointError(f"{path}: keep_accents is true; only models that were trained without accents work here")
    if not _flag(path, options, "remove_space", default=True):
        raise CheckpointError(
            f"{path}: remove_space is false; only models that were trained on collapsed white space work here"
        )


def _check_special_tokens(path: Path, options: Mapping[str, Any]) -> None:
    """`options` may be either file: both have the special tokens under the same names."""
    for name, expected in _SPECIAL_TOKENS.items():
        token = options.get(name)
        if token is not None and _content(token) != expected:
            raise CheckpointError(f"{path}: {name} is {_content(token)!r}; only ALBERT's own {expected!r} is supported")
    for name in _LISTS_OF_TOKENS:
        tokens = options.get(name) or []
        values = tokens.values() if isinstance(tokens, dict) else tokens
        _check_added(path, [_content(token) for token in values] if isinstance(tokens, dict | list) else [])


def _check_added(path: Path, tokens: Iterable[str]) -> None:
    """A token that was added to the vocabulary is cut out of a text before SentencePiece sees it."""
    unknown = [token for token in tokens if token not in SPECIAL_PIECES]
    if unknown:
        raise CheckpointError(
            f"{path}: adds tokens to the vocabulary ({unknown[0]!r}, {len(unknown)} in all), and texts that have them"
            " would be read otherwise here; where no text has any, remove them from this file"
        )


def _content(token: Any) -> str:
    """A token is written as a string, or as an object with its properties."""
    return str(token.get("content")) if isinstance(token, dict) else str(token)


def _flag(path: Path, options: Mapping[str, Any], name: str, *, default: bool) -> bool:
    value = options.get(name, default)
    if not isinstance(value, bool):
        raise CheckpointError(f"{path}: {name} must be true or false, not {value!r}")
    return value


def _max_length(path: Path, options: Mapping[str, Any]) -> int | None:
    """``model_max_length``, in old files ``max_len``; transformers writes 1e30 where there is no limit."""
    value = options.get("model_max_length", options.get("max_len"))
    if value is None or value == math.inf:
        return None
    if not isinstance(value, int | float) or not value >= MIN_LENGTH:
        raise CheckpointError(f"{path}: model_max_length must be {MIN_LENGTH} tokens or more, not {value!r}")
    return int(value)


def _notes(options: Mapping[str, Any]) -> tuple[str, ...]:
    notes = []
    if options.get("truncation_side", "right") != "right":
        notes.append("the tokeniser keeps the end of a long text; the worker keeps its beginning")
    model_options = options.get("sp_model_kwargs")
    if isinstance(model_options, dict) and model_options.get("enable_sampling"):
        notes.append("the tokeniser splits words at random (enable_sampling); the worker always takes the best way")
    return tuple(notes)
