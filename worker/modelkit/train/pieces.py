"""The vocabulary: a SentencePiece unigram model with ALBERT's special pieces in ALBERT's places."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import sentencepiece

from worker.tokenization.tokenizer import normalise_text


def train_pieces(texts: Iterable[str], prefix: Path, *, vocabulary_size: int = 30_000) -> Path:
    """Train on lower-cased, normalised `texts` and write ``PREFIX.model``; answers its path."""
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=(normalise_text(text, lower_case=True) for text in texts),
        model_prefix=str(prefix),
        vocab_size=vocabulary_size,
        model_type="unigram",
        character_coverage=0.9999,
        max_sentence_length=32_768,
        pad_id=0,
        unk_id=1,
        bos_id=2,
        eos_id=3,
        pad_piece="<pad>",
        unk_piece="<unk>",
        bos_piece="[CLS]",
        eos_piece="[SEP]",
        control_symbols=["[MASK]"],
        num_threads=2,
        minloglevel=1,
    )
    return prefix.with_suffix(".model")
