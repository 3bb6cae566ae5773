"""Text to token ids, exactly as ``transformers.AlbertTokenizer`` (the SentencePiece one, 4.57) does it.

Two of its habits are easily missed, and both are kept: text is lower-cased character by character before it is
normalised (so that a final sigma stays a sigma), and a piece that ends in a digit and a comma is encoded again without
the comma.
"""

from __future__ import annotations

import copy
import re
import sys
import unicodedata
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Self

import numpy as np
import sentencepiece

from worker.errors import ArtifactError
from worker.records import Encoding, TokenIds
from worker.tokenization.overflow import MARKERS, Overflow

SPACE_SYMBOL = "\N{LOWER ONE EIGHTH BLOCK}"
SPECIAL_PIECES = ("<pad>", "<unk>", "[CLS]", "[SEP]", "[MASK]")
_SPECIAL_PIECE = re.compile("(" + "|".join(re.escape(piece) for piece in SPECIAL_PIECES) + ")")
_NOT_ASCII = re.compile(r"[^\x00-\x7f]+")
_MUCH_NOT_ASCII = re.compile(r"[^\x00-\x7f]{64,}")
_ACCENTS_BY_DECOMPOSITION = frozenset("\u0f73\u0f75\u0f81\uff9e\uff9f")
"""All characters that are no combining ones themselves and of which decomposition leaves nothing else."""

_CHARACTERS_PER_TOKEN = 8
"""More than English has, so that the beginning of a long text nearly always fills the model at the first try."""
_LENGTHS_READ_WHOLE = 4
"""A text that may have so many times the model's length is encoded whole, though only its two ends are wanted.

SentencePiece adds scores up in single precision from the beginning on, so where two ways to cut a word are equally good
it may choose the other one when it starts later (in 1 of 3,000 long reviews). Encoding all of it costs little.
"""


def normalise_text(text: str, *, lower_case: bool) -> str:
    """White space collapsed, quotes unified, accents stripped, and lower-cased where the model is."""
    if text.isascii():
        if lower_case:
            text = text.lower()
        text = " ".join(text.split()) if "  " in text or not text.isprintable() else text.strip(" ")
        return text.replace("``", '"').replace("''", '"')
    if lower_case:
        text = _lower_characters(text)
    text = " ".join(text.split()).replace("``", '"').replace("''", '"')
    # Normalising puts accents in a row in order, which takes the square of their number: hours for a megabyte of them,
    # with the interpreter's lock held. All of them go in the end, so where there may be many they go before.
    text = _MUCH_NOT_ASCII.sub(_without_accents, text)
    text = _NOT_ASCII.sub(_without_accents, unicodedata.normalize("NFKD", text))
    return text.lower() if lower_case else text  # decomposition may bring capitals back


def _without_accents(run: re.Match[str]) -> str:
    return "".join(
        character
        for character in run[0]
        if not unicodedata.combining(character) and character not in _ACCENTS_BY_DECOMPOSITION
    )


def _lower_characters(text: str) -> str:
    """Lower-case one character at a time, as transformers does; str.lower() differs in one letter, the final sigma."""
    return text.replace("\N{GREEK CAPITAL LETTER SIGMA}", "\N{GREEK SMALL LETTER SIGMA}").lower()


class Tokenizer:
    """Encodes texts for one model. Thread-safe; SentencePiece releases the GIL while it encodes.

    `model` is the path of a SentencePiece model, or its bytes. Raises `ArtifactError` when it is none, or lacks one of
    ALBERT's special pieces. Texts longer than `max_length` tokens are truncated; see `with_overflow` for other ways.
    """

    def __init__(self, model: Path | bytes, *, max_length: int, lower_case: bool) -> None:
        self.overflow = Overflow("truncate")
        self._pieces = sentencepiece.SentencePieceProcessor()
        name = model if isinstance(model, Path) else "the vocabulary"
        try:
            if isinstance(model, Path):
                self._pieces.Load(str(model))
            else:
                self._pieces.LoadFromSerializedProto(model)
            pieces: list[str] = self._pieces.IdToPiece(list(range(len(self._pieces))))
        except (OSError, RuntimeError, UnicodeDecodeError) as error:  # the last for pieces that are no text
            raise ArtifactError(f"{name}: not a SentencePiece model ({error})") from error
        self.max_length = max_length
        self.lower_case = lower_case
        self.vocabulary_size = len(self._pieces)
        self._special_ids = {piece: self._pieces.PieceToId(piece) for piece in SPECIAL_PIECES}
        for piece, piece_id in self._special_ids.items():
            if not 0 <= piece_id < len(pieces) or pieces[piece_id] != piece:
                raise ArtifactError(f"{name}: ALBERT's special piece {piece} is missing")
        self._unknown_id = self._special_ids["<unk>"]
        self._digit_comma_ids = frozenset(
            piece_id for piece_id, piece in enumerate(pieces) if piece[-1:] == "," and _ends_in_digit_and_comma(piece)
        )
        self._comma_is_unknown = self._pieces.PieceToId(",") == self._unknown_id
        self._words_are_apart = not any(piece.rfind(SPACE_SYMBOL) > 0 and piece.strip(SPACE_SYMBOL) for piece in pieces)

    @property
    def pad_id(self) -> int:
        """The id that fills a batch's unused places."""
        return self._special_ids["<pad>"]

    def with_overflow(self, overflow: Overflow) -> Self:
        """The same tokeniser, sharing its vocabulary, that reads long texts as `overflow` says.

        Raises `UsageError` when its windows would not advance at this `max_length`.
        """
        overflow.check(self.max_length)
        other = copy.copy(self)
        other.overflow = overflow
        return other

    def encode(self, text: str) -> Encoding:
        """Encode one text; see `encode_many`."""
        return self.encode_many((text,))[0]

    def encode_many(self, texts: Iterable[str]) -> list[Encoding]:
        """Encode texts, each in windows of ``max_length`` tokens at most, ``[CLS]`` and ``[SEP]`` included.

        There is one window unless `overflow` has the policy ``windows``. Many texts at once cost less than one by one.
        Of a long text only the beginning is read, or with ``head_tail`` beginning and end, so that the cost of a text
        is bounded; the ids are those of the whole text, but for ties at the end of a huge one (`_LENGTHS_READ_WHOLE`).
        Lone surrogates, which are no text, count as question marks.
        """
        all_texts = list(texts)
        if self.overflow.policy == "head_tail":
            all_ids = self._ids_of_both_ends(all_texts)
        else:
            all_ids = self._ids_of_beginnings(all_texts)
        cls_id, sep_id = self._special_ids["[CLS]"], self._special_ids["[SEP]"]
        room = self._room
        encodings = []
        for measured in all_ids:
            ids = measured
            if isinstance(measured, _Measured):
                ids = [piece_id if piece_id >= 0 else self._unknown_id for piece_id in measured]
            if len(ids) > room:
                encoding = self._overflowing(ids)
            else:
                encoding = Encoding(np.array([cls_id, *ids, sep_id], dtype=np.int32), truncated=False)
            if isinstance(measured, _Measured):
                encoding.unknown = self._unknown_share(self._what_is_read(measured))
            encodings.append(encoding)
        return encodings

    @property
    def _room(self) -> int:
        return self.max_length - MARKERS

    def _overflowing(self, ids: list[int]) -> Encoding:
        """Encode a text of more tokens than the model has room for; `ids` may lack what is not read."""
        read = self._what_is_read(ids)
        if self.overflow.policy == "head_tail":
            return Encoding(self._window(read), truncated=True)
        spans = self.overflow.window_spans(len(read), self._room)
        first, *further = (self._window(read[start:end]) for start, end in spans)
        return Encoding(first, truncated=len(ids) > len(read), further=tuple(further))

    def _what_is_read(self, ids: list[int]) -> list[int]:
        """Those of a text's `ids` that come to the model, each once."""
        room = self._room
        if self.overflow.policy != "head_tail":
            return ids[: self.overflow.most_tokens(room)]
        if len(ids) <= room:
            return ids
        head = self.overflow.head_tokens(room)
        return ids[:head] + ids[len(ids) - room + head :]

    def _unknown_share(self, read: Sequence[int]) -> float:
        """See `Encoding.unknown`; `read` are ids as `_Measured` has them."""
        unknown = sum(~piece_id for piece_id in read if piece_id < 0)
        pieces: list[str] = self._pieces.IdToPiece([piece_id for piece_id in read if piece_id >= 0])
        return unknown / (unknown + sum(map(_characters, pieces))) if unknown else 0.0

    def _window(self, ids: Sequence[int]) -> TokenIds:
        return np.array([self._special_ids["[CLS]"], *ids, self._special_ids["[SEP]"]], dtype=np.int32)

    def _ids_of_beginnings(self, texts: Sequence[str]) -> list[list[int]]:
        """The ids of each text, or of a beginning of it with more tokens than are read."""
        most = self.overflow.most_tokens(self._room)
        limit = (most + MARKERS) * _CHARACTERS_PER_TOKEN if self._words_are_apart else sys.maxsize
        all_ids = self._ids_of_all([_beginning(text, limit) for text in texts])
        for index, text in enumerate(texts):
            if len(text) > limit and len(all_ids[index]) <= most:
                all_ids[index] = self._ids_of_more(text, limit * 2, most)
        return all_ids

    def _ids_of_more(self, text: str, limit: int, most: int) -> list[int]:
        """The ids of a beginning of more than `most` tokens, or of all of `text`."""
        while True:
            (ids,) = self._ids_of_all([_beginning(text, limit)])
            if len(ids) > most or len(text) <= limit:
                return ids
            limit *= 2

    def _ids_of_both_ends(self, texts: Sequence[str]) -> list[list[int]]:
        """The ids of each text, or of a beginning and an end of it that together have more tokens than are read."""
        limit = self.max_length * _CHARACTERS_PER_TOKEN * _LENGTHS_READ_WHOLE if self._words_are_apart else sys.maxsize
        all_ids = self._ids_of_all([text if len(text) <= limit else "" for text in texts])
        for index, text in enumerate(texts):
            if len(text) > limit:
                all_ids[index] = self._ids_of_two_ends(text)
        return all_ids

    def _ids_of_two_ends(self, text: str) -> list[int]:
        head = self.overflow.head_tokens(self._room)
        limit = self.max_length * _CHARACTERS_PER_TOKEN
        while True:
            ends = [_beginning(text, limit), _end(text, limit)]
            if len(ends[0]) + len(ends[1]) >= len(text):
                return self._ids_of_all([text])[0]
            first, last = self._ids_of_all(ends)
            if len(first) >= head and len(last) >= self._room - head and len(first) + len(last) > self._room:
                return _Measured(first + last)
            limit *= 2

    def _ids_of_all(self, texts: Sequence[str]) -> list[list[int]]:
        special = [index for index, text in enumerate(texts) if self._may_have_special_piece(text)]
        plain = [normalise_text(text, lower_case=self.lower_case) for text in texts]
        all_ids = self._encode_normalised(plain)
        for index in special:
            all_ids[index] = self._ids_around_special_pieces(texts[index])
        return all_ids

    def _encode_normalised(self, texts: Sequence[str]) -> list[list[int]]:
        """Ids of normalised `texts` without special pieces."""
        try:
            all_ids = self._encode_pieces(texts)
        except (UnicodeEncodeError, RuntimeError):  # which one depends on SentencePiece's version
            texts = [text.encode("utf-8", "replace").decode() for text in texts]
            all_ids = self._encode_pieces(texts)
        has_comma_rule = bool(self._digit_comma_ids) or self._comma_is_unknown
        for index, ids in enumerate(all_ids):
            if has_comma_rule and "," in texts[index] and not self._obeys_comma_rule(ids):
                pieces = _commas_apart(self._pieces, self._pieces.encode(texts[index], out_type=str))
                all_ids[index] = self._measured([self._pieces.PieceToId(piece) for piece in pieces], pieces)
            elif self._unknown_id in ids:
                all_ids[index] = self._measured(ids, self._pieces.encode(texts[index], out_type=str))
        return all_ids

    def _measured(self, ids: Sequence[int], pieces: Sequence[str]) -> _Measured:
        return _Measured(
            ~_characters(piece) if piece_id == self._unknown_id else piece_id
            for piece_id, piece in zip(ids, pieces, strict=True)
        )

    def _encode_pieces(self, texts: Sequence[str]) -> list[list[int]]:
        if len(texts) == 1:  # a batch starts a thread
            return [self._pieces.encode(texts[0])]
        ids: list[list[int]] = self._pieces.encode(list(texts), num_threads=1)
        return ids

    def _may_have_special_piece(self, text: str) -> bool:
        if "[" in text and ("[CLS]" in text or "[SEP]" in text or "[MASK]" in text):
            return True
        if "<" not in text:
            return False
        if self.lower_case:
            text = text.lower()  # "<PAD>" becomes a special piece when it is lower-cased, "[cls]" is none
        return "<pad>" in text or "<unk>" in text

    def _ids_around_special_pieces(self, text: str) -> list[int]:
        if self.lower_case:
            segments = _SPECIAL_PIECE.split(text)
            text = "".join(
                segment if segment in self._special_ids else _lower_characters(segment) for segment in segments
            )
        ids = _Measured()
        for segment in _SPECIAL_PIECE.split(text):
            special_id = self._special_ids.get(segment)
            if special_id is not None:
                ids.extend(self._measured([special_id], [segment]))
            else:
                ids.extend(self._encode_normalised([normalise_text(segment, lower_case=self.lower_case)])[0])
        return ids

    def _obeys_comma_rule(self, ids: Sequence[int]) -> bool:
        if self._comma_is_unknown and self._unknown_id in ids:  # an unknown piece may be a number and a comma
            return False
        return self._digit_comma_ids.isdisjoint(ids)


class _Measured(list[int]):
    """Ids among which there may be unknown pieces: each of them is ``~characters`` instead, which is below zero.

    SentencePiece makes one piece of unknown characters in a row, so its id does not say how many they are.
    """


def _characters(piece: str) -> int:
    return len(piece) - piece.count(SPACE_SYMBOL)


def _commas_apart(vocabulary: sentencepiece.SentencePieceProcessor, pieces: Sequence[str]) -> list[str]:
    """ALBERT's rule: ``9,9`` gives ``9`` ``,`` ``9``, whatever the vocabulary has for ``9,``."""
    separated: list[str] = []
    for piece in pieces:
        if not _ends_in_digit_and_comma(piece):
            separated.append(piece)
            continue
        number = vocabulary.encode(piece[:-1].replace(SPACE_SYMBOL, ""), out_type=str)
        if piece[0] != SPACE_SYMBOL and number[0][0] == SPACE_SYMBOL:
            number[0] = number[0][1:]
        separated.extend(part for part in number if part)
        separated.append(",")
    return separated


def _beginning(text: str, limit: int) -> str:
    """At most `limit` characters of `text`, cut at a space; all of it where there is none.

    No piece reaches across a space, so that the pieces of a beginning are the first of the pieces of all.
    """
    if len(text) <= limit:
        return text
    end = text.rfind(" ", 0, limit)
    return text if end < 0 else text[:end]


def _end(text: str, limit: int) -> str:
    """At most `limit` characters from the end of `text`, cut at a space, as `_beginning` does."""
    start = text.find(" ", max(0, len(text) - limit))
    return text if start < 0 else text[start:]


def _ends_in_digit_and_comma(piece: str) -> bool:
    return len(piece) > 1 and piece[-1] == "," and piece[-2].isdigit()
