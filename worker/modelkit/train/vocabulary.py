"""The vocabulary: a SentencePiece unigram model whose pieces are WordPieces of the pretrained model.

ALBERT reads SentencePiece, BERT WordPiece. A piece that is a WordPiece keeps the embedding that the pretrained model
learnt for it, so the reviews are split into WordPieces once; these become the pieces. With their frequencies as
scores, SentencePiece cuts nearly every word in the same way. Compare Gee et al., "Fast Vocabulary
Transfer for Language Model Compression", EMNLP 2022.
"""

from __future__ import annotations

import io
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import sentencepiece
import torch
from sentencepiece import sentencepiece_model_pb2
from tokenizers import BertWordPieceTokenizer

from worker.modelkit.train.emoji import emoji_pieces, words_of
from worker.modelkit.train.pretrained import Pretrained
from worker.tokenization.tokenizer import SPACE_SYMBOL, SPECIAL_PIECES, Tokenizer, normalise_text

PIECES = 20_000
LEAST_OCCURRENCES = 12
"""In the sample: what is rarer becomes a piece only as a word of the pretrained model."""
EVERY = 3
"""Of so many reviews one is counted."""
TAGS = {"<br": "< br", "/><br": "/ > < br", "/>": "/ >"}
"""HTML's line break, which the reviews are full of: pieces of its own, and the WordPieces that they stand for.

No piece has a space within, which would make the ends of a long text hard to find.
"""

Counts = Counter[str]
_NORMAL, _USER_DEFINED = 1, 4  # SentencePiece's types of pieces


def build_vocabulary(texts: Sequence[str], pretrained: Pretrained, out: Path) -> npt.NDArray[np.float32]:
    """Write the SentencePiece model `out` and answer one embedding for each of its pieces."""
    lines = pretrained.wordpieces.read_text(encoding="utf-8").splitlines()
    wordpieces = BertWordPieceTokenizer({line: index for index, line in enumerate(lines)}, lowercase=True)
    known: dict[str, int] = wordpieces.get_vocab()
    embeddings = pretrained.word_embeddings
    counts, meanings = _count([normalise_text(text, lower_case=True) for text in texts[::EVERY]], wordpieces)
    total = sum(counts.values())
    pieces = _characters(counts, meanings, known) | _tags(total, known)
    room = PIECES - len(SPECIAL_PIECES) - len(emoji_pieces())
    _fill(pieces, room, counts, meanings, known)

    model: Any = sentencepiece_model_pb2.ModelProto()  # type: ignore[attr-defined]
    model.ParseFromString(_empty_model())
    special = [known[name] for name in ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")]
    rows = [embeddings[index] for index in special]
    for symbol in emoji_pieces():
        model.pieces.add(piece=symbol, score=0.0, type=_USER_DEFINED)
        rows.append(embeddings[wordpieces.encode(words_of(symbol), add_special_tokens=False).ids].mean(0))
    for piece, (count, meaning) in sorted(pieces.items(), key=lambda item: -item[1][0]):
        model.pieces.add(piece=piece, score=float(np.log(count / total)), type=_NORMAL)
        weights = np.array(list(meaning.values()), dtype=float)
        rows.append((embeddings[list(meaning)] * (weights / weights.sum())[:, None]).sum(0))
    model.trainer_spec.vocab_size = len(model.pieces)
    out.write_bytes(model.SerializeToString(deterministic=True))
    return np.array(rows, dtype=np.float32)


def add_pieces(pieces: Path, checkpoint: Path, symbols: Sequence[str]) -> list[str]:
    """Put `symbols` (see `emoji_pieces`) in place of the rarest pieces, for a training that began without them.

    `pieces` is its SentencePiece model and `checkpoint` its last ``.pt``; both are written anew, and the ids of all
    others stay. The embedding of a symbol becomes the mean of those of its name. Pieces of one character are never
    replaced. Answers the pieces that are gone; none where the model has the symbols.
    """
    model: Any = sentencepiece_model_pb2.ModelProto()  # type: ignore[attr-defined]
    model.ParseFromString(pieces.read_bytes())
    present = {piece.piece for piece in model.pieces}
    added = [symbol for symbol in symbols if symbol not in present]
    replaceable = [
        index
        for index, piece in enumerate(model.pieces)
        if piece.type == _NORMAL and len(piece.piece.removeprefix(SPACE_SYMBOL)) > 1
    ]
    rarest = sorted(replaceable, key=lambda index: (float(model.pieces[index].score), -index))[: len(added)]
    tokenizer = Tokenizer(pieces, max_length=PIECES, lower_case=True)
    state = torch.load(checkpoint, weights_only=True)
    embeddings = state["m"]["albert.embeddings.word_embeddings.weight"]
    before, gone = embeddings.clone(), [str(model.pieces[index].piece) for index in rarest]
    for index, symbol in zip(rarest, added, strict=True):
        embeddings[index] = before[tokenizer.encode(words_of(symbol)).ids[1:-1].tolist()].mean(0)
        model.pieces[index].piece, model.pieces[index].score, model.pieces[index].type = symbol, 0.0, _USER_DEFINED
    unfinished = [path.with_suffix(".tmp") for path in (checkpoint, pieces)]
    torch.save(state, unfinished[0])
    unfinished[1].write_bytes(model.SerializeToString(deterministic=True))
    for path, whole in zip((checkpoint, pieces), unfinished, strict=True):
        whole.replace(path)
    return gone


Pieces = dict[str, tuple[float, Mapping[int, float]]]
"""By the piece: how often it occurs, and the WordPieces that it stands for with their weights."""


def _count(texts: Sequence[str], wordpieces: BertWordPieceTokenizer) -> tuple[Counts, dict[str, Counter[int]]]:
    """How often each WordPiece occurs as it stands in the text, and which one that was.

    The same letters may be several WordPieces: at the beginning of a word, and within one.
    """
    counts: Counts = Counter()
    meanings: dict[str, Counter[int]] = defaultdict(Counter)
    for start in range(0, len(texts), 2_000):
        chunk = texts[start : start + 2_000]
        for text, encoding in zip(chunk, wordpieces.encode_batch(chunk, add_special_tokens=False), strict=True):
            for index, (first, end) in zip(encoding.ids, encoding.offsets, strict=True):
                piece = text[first:end]
                if not piece or " " in piece:
                    continue
                if first == 0 or text[first - 1] == " ":
                    piece = SPACE_SYMBOL + piece
                counts[piece] += 1
                meanings[piece][index] += 1
    return counts, meanings


def _characters(counts: Counts, meanings: Mapping[str, Counter[int]], known: Mapping[str, int]) -> Pieces:
    """Every ASCII character, so that none of them is unknown, and the space."""
    pieces: Pieces = {}
    for code in range(33, 127):
        character = chr(code).lower()
        for piece in (character, SPACE_SYMBOL + character):
            if piece in pieces:
                continue
            meaning: Mapping[int, float] | None = meanings.get(piece)
            if not meaning:
                within = piece == character and character.isalnum()
                meaning = {known.get(f"##{character}" if within else character, known["[UNK]"]): 1}
            pieces[piece] = (max(counts[piece], 0.5), meaning)
    pieces[SPACE_SYMBOL] = (counts[SPACE_SYMBOL] or 0.5, {known["."]: 1})
    return pieces


def _tags(total: int, known: Mapping[str, int]) -> Pieces:
    return {
        start + tag: (total * 0.01, {known[part]: 1 for part in parts.split()})
        for tag, parts in TAGS.items()
        for start in ("", SPACE_SYMBOL)
    }


def _fill(
    pieces: Pieces, room: int, counts: Counts, meanings: Mapping[str, Counter[int]], known: Mapping[str, int]
) -> None:
    """Add the most frequent pieces of the reviews, then words that the pretrained model knows, the commonest first."""
    for piece, count in counts.most_common():
        if count < LEAST_OCCURRENCES or len(pieces) >= room:
            break
        if known["[UNK]"] not in meanings[piece]:
            pieces.setdefault(piece, (count, meanings[piece]))
    for word, index in sorted(known.items(), key=lambda item: item[1]):
        if len(pieces) >= room:
            break
        if word.isascii() and word.isalpha() and len(word) > 2:
            piece = SPACE_SYMBOL + word
            pieces.setdefault(piece, (counts[piece] + 0.5, {index: 1}))


def _empty_model() -> bytes:
    """A SentencePiece model with the usual normalisation, ALBERT's special pieces in their places, and no others."""
    written = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(["a b c d e f g"] * 10),
        model_writer=written,
        vocab_size=20,
        hard_vocab_limit=False,
        model_type="unigram",
        pad_id=0,
        unk_id=1,
        bos_id=2,
        eos_id=3,
        pad_piece="<pad>",
        unk_piece="<unk>",
        bos_piece="[CLS]",
        eos_piece="[SEP]",
        control_symbols=["[MASK]"],
        minloglevel=2,
    )
    model: Any = sentencepiece_model_pb2.ModelProto()  # type: ignore[attr-defined]
    model.ParseFromString(written.getvalue())
    del model.pieces[len(SPECIAL_PIECES) :]
    if [piece.piece for piece in model.pieces] != list(SPECIAL_PIECES):
        raise ValueError(f"SentencePiece put other pieces first: {[piece.piece for piece in model.pieces]}")
    return bytes(model.SerializeToString())
