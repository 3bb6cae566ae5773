"""How Spark NLP itself turns a text into the input of an ALBERT: not the way that the model was trained with.

Spark NLP's ``Tokenizer`` splits the text first, and SentencePiece gets each token by itself. These are the rules of its
defaults, read in its source (``Tokenizer.scala``, ``TokenizerModel.scala``, ``SentencepieceEncoder.scala``,
``AlbertClassification.scala``, 3.4 to 5.5) and replayed on what it answered. `verify` tells by them how many labels its
rules move.
"""

from __future__ import annotations

import re
from typing import Any

import sentencepiece

from worker.modelkit.convert.shape import CheckpointError
from worker.tokenization.tokenizer import SPACE_SYMBOL

_CANDIDATE = re.compile("[^ \t\n\x0b\f\r\N{ROMAN NUMERAL FIFTY THOUSAND}]+")
"""Java's white space, which is ASCII's, ends a token; so does the sign that the Tokenizer itself marks breaks with."""
_CONTEXT = ".,;:!?*-()\"'"
"""Its ``contextChars``, which become tokens of their own at the beginning and the end of one."""
_SPECIAL_PLACES = 2
"""``[CLS]`` and ``[SEP]``."""


def spark_tokens(text: str) -> list[str]:
    r"""The tokens of Spark NLP's ``Tokenizer`` with its defaults.

    Of each run between white space, the context characters before and after the rest are a token each side, as one,
    however many they are; a run of nothing else stays whole. (Its rule is the regular expression
    ``\A([C]*)([^C](?:.*[^C])*)([C]*)\z``.)
    """
    tokens: list[str] = []
    for candidate in _CANDIDATE.findall(text):
        rest = candidate.lstrip(_CONTEXT)
        if not rest:
            tokens.append(candidate)
            continue
        middle = rest.rstrip(_CONTEXT)
        before = candidate[: len(candidate) - len(rest)]
        tokens.extend(part for part in (before, middle, rest[len(middle) :]) if part)
    return tokens


def spark_pieces(model: bytes) -> sentencepiece.SentencePieceProcessor:
    """The SentencePiece model for `spark_encode`; raises `CheckpointError` where `model` is none."""
    pieces = sentencepiece.SentencePieceProcessor()
    try:
        pieces.LoadFromSerializedProto(model)
    except (OSError, RuntimeError) as error:
        raise CheckpointError(f"the vocabulary: not a SentencePiece model ({error})") from error
    return pieces


def spark_encode(
    text: str, pieces: Any, *, lower_case: bool, max_length: int, masks_unknown: bool
) -> tuple[list[int], list[int]] | None:
    """Token ids and attention mask, ``[CLS]`` and ``[SEP]`` included; None for a text that it gives no label.

    `pieces` is from `spark_pieces`, `max_length` is ``maxSentenceLength``. `masks_unknown` is for the TensorFlow form,
    which looks for padding by the name ``[pad]``: no ALBERT has such a piece, so that it finds ``<unk>``, and does not
    attend to unknown pieces. The ONNX form attends to all.
    """
    tokens = spark_tokens(text)
    if not tokens:
        return None
    places = max_length - _SPECIAL_PLACES
    delimiter, padding = pieces.PieceToId(SPACE_SYMBOL), pieces.PieceToId("[pad]")
    ids: list[int] = []
    for token in tokens[:places]:
        encoded: list[int] = pieces.EncodeAsIds(token.lower() if lower_case else token)
        ids.extend(piece for piece in encoded if piece != delimiter)
    ids = [pieces.PieceToId("[CLS]"), *ids[:places], pieces.PieceToId("[SEP]")]
    return ids, [int(not masks_unknown or piece != padding) for piece in ids]
