"""Text to token ids, exactly as ``transformers.AlbertTokenizer`` (the SentencePiece one, 4.57) does it.

Two of its habits are easily missed, and both are kept: text is lower-cased character by character before it is
normalised (so that a final sigma stays a sigma), and a piece that ends in a digit and a comma is encoded again without
the comma.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import sentencepiece

from worker.errors import ArtifactError
from worker.records import Encoding

SPACE_SYMBOL = "\N{LOWER ONE EIGHTH BLOCK}"
SPECIAL_PIECES = ("<pad>", "<unk>", "[CLS]", "[SEP]", "[MASK]")
_SPECIAL_PIECE = re.compile("(" + "|".join(re.escape(piece) for piece in SPECIAL_PIECES) + ")")


def normalise_text(text: str, *, lower_case: bool) -> str:
    """White space collapsed, quotes unified, accents stripped, and lower-cased where the model is."""
    if lower_case:
        # Lower-casing one character at a time, as transformers does, differs from str.lower() in this one letter.
        text = text.replace("\N{GREEK CAPITAL LETTER SIGMA}", "\N{GREEK SMALL LETTER SIGMA}").lower()
    text = " ".join(text.split()).replace("``", '"').replace("''", '"')
    if not text.isascii():
        decomposed = unicodedata.normalize("NFKD", text)
        text = "".join(character for character in decomposed if not unicodedata.combining(character))
        if lower_case:
            text = text.lower()  # decomposition may bring capitals back
    return text


class Tokenizer:
    """Encodes texts for one model. Thread-safe; SentencePiece releases the GIL while it encodes.

    Raises `ArtifactError` when `model_path` is no SentencePiece model or lacks one of ALBERT's special pieces.
    """

    def __init__(self, model_path: Path, *, max_length: int, lower_case: bool) -> None:
        self._pieces = sentencepiece.SentencePieceProcessor()
        try:
            self._pieces.Load(str(model_path))
        except (OSError, RuntimeError) as error:
            raise ArtifactError(f"{model_path}: not a SentencePiece model ({error})") from error
        self.max_length = max_length
        self.lower_case = lower_case
        self.vocabulary_size = len(self._pieces)
        self._special_ids = {piece: self._pieces.PieceToId(piece) for piece in SPECIAL_PIECES}
        for piece, piece_id in self._special_ids.items():
            if self._pieces.IdToPiece(piece_id) != piece:
                raise ArtifactError(f"{model_path}: ALBERT's special piece {piece} is missing")
        self._unknown_id = self._special_ids["<unk>"]
        self._digit_comma_ids = frozenset(
            piece_id
            for piece_id in range(self.vocabulary_size)
            if _ends_in_digit_and_comma(self._pieces.IdToPiece(piece_id))
        )

    @property
    def pad_id(self) -> int:
        """The id that fills a batch's unused places."""
        return self._special_ids["<pad>"]

    def encode(self, text: str) -> Encoding:
        """Encode one text; see `encode_many`."""
        return self.encode_many((text,))[0]

    def encode_many(self, texts: Iterable[str]) -> list[Encoding]:
        """Encode texts, each cut to ``max_length`` tokens, ``[CLS]`` and ``[SEP]`` included."""
        cls_id, sep_id = self._special_ids["[CLS]"], self._special_ids["[SEP]"]
        room = self.max_length - 2
        encodings = []
        for text in texts:
            ids = self._text_ids(text)
            truncated = len(ids) > room
            if truncated:
                del ids[room:]
            encodings.append(Encoding(np.array([cls_id, *ids, sep_id], dtype=np.int32), truncated))
        return encodings

    def _text_ids(self, text: str) -> list[int]:
        if "[" not in text and "<" not in text:
            return self._segment_ids(text)
        ids: list[int] = []
        for segment in _SPECIAL_PIECE.split(text):  # every other segment is a special piece
            special_id = self._special_ids.get(segment)
            ids.extend(self._segment_ids(segment) if special_id is None else (special_id,))
        return ids

    def _segment_ids(self, segment: str) -> list[int]:
        text = normalise_text(segment, lower_case=self.lower_case)
        ids: list[int] = self._pieces.encode(text)
        if "," not in text or (self._digit_comma_ids.isdisjoint(ids) and self._unknown_id not in ids):
            return ids
        return self._ids_with_commas_apart(self._pieces.encode(text, out_type=str))

    def _ids_with_commas_apart(self, pieces: Sequence[str]) -> list[int]:
        """ALBERT's rule: ``9,9`` gives ``9`` ``,`` ``9``, whatever the vocabulary has for ``9,``."""
        separated: list[str] = []
        for piece in pieces:
            if not _ends_in_digit_and_comma(piece):
                separated.append(piece)
                continue
            number = self._pieces.encode(piece[:-1].replace(SPACE_SYMBOL, ""), out_type=str)
            if piece[0] != SPACE_SYMBOL and number[0][0] == SPACE_SYMBOL:
                number[0] = number[0][1:]
            separated.extend(part for part in number if part)
            separated.append(",")
        return [self._pieces.PieceToId(piece) for piece in separated]


def _ends_in_digit_and_comma(piece: str) -> bool:
    return len(piece) > 1 and piece[-1] == "," and piece[-2].isdigit()
