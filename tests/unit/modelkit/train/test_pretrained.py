"""BERT's weights in an ALBERT: the same function, and a vocabulary whose pieces keep their embeddings."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from bert_parts import small_bert, wordpieces, write_bert

from worker.modelkit.train.emoji import COMMON_EMOJI
from worker.modelkit.train.forward import logits, padded, scores
from worker.modelkit.train.pretrained import Pretrained, albert_of
from worker.modelkit.train.vocabulary import build_vocabulary
from worker.tokenization.tokenizer import SPACE_SYMBOL, Tokenizer

TEXTS = ["The film was very good and the plot was fine.<br /><br />It was not dull!"] * 60


@pytest.fixture(scope="module")
def pretrained(tmp_path_factory: pytest.TempPathFactory) -> Pretrained:
    return Pretrained.read(write_bert(tmp_path_factory.mktemp("bert"), small_bert()))


@pytest.fixture(scope="module")
def vocabulary(pretrained: Pretrained, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, np.ndarray]:
    path = tmp_path_factory.mktemp("pieces") / "spiece.model"
    return path, build_vocabulary(TEXTS, pretrained, path)


def test_an_albert_takes_over_berts_weights_one_to_one(pretrained: Pretrained) -> None:
    ids = torch.tensor([[2, 100, 101, 60, 3], [2, 70, 3, 0, 0]])
    mask = torch.tensor([[1, 1, 1, 1, 1], [1, 1, 1, 0, 0]])
    albert = albert_of(pretrained, pretrained.word_embeddings, layers=2).eval()
    with torch.no_grad():
        theirs = small_bert()(input_ids=ids, attention_mask=mask)
        ours = albert.albert(input_ids=ids, attention_mask=mask)
    real = mask.bool()
    torch.testing.assert_close(ours.last_hidden_state[real], theirs.last_hidden_state[real], rtol=0, atol=1e-5)
    torch.testing.assert_close(ours.pooler_output, theirs.pooler_output, rtol=0, atol=1e-5)


def test_training_computes_what_transformers_computes(pretrained: Pretrained) -> None:
    model = albert_of(pretrained, pretrained.word_embeddings, layers=2).eval()
    rows = [np.array([60, 61, 62, 63], dtype=np.int32), np.array([70], dtype=np.int32)]
    ids, mask = padded(rows)
    assert mask is not None
    with torch.no_grad():
        expected = model(input_ids=ids, attention_mask=mask.long()).logits
        torch.testing.assert_close(logits(model, ids, mask), expected, rtol=0, atol=0.02)  # bfloat16
    difference = (expected[:, 1] - expected[:, 0]).numpy()
    np.testing.assert_allclose(scores(model, rows), difference, atol=0.02)


def test_a_piece_that_is_a_wordpiece_has_its_embedding(
    pretrained: Pretrained, vocabulary: tuple[Path, np.ndarray]
) -> None:
    path, embeddings = vocabulary
    tokenizer = Tokenizer(path, max_length=64, lower_case=True)
    assert len(embeddings) == tokenizer.vocabulary_size
    known = {piece: row for row, piece in enumerate(wordpieces())}
    for text, words in (("The film was good", "the film was good"), ("dull", "dull")):
        ids = tokenizer.encode(text).ids[1:-1]
        np.testing.assert_allclose(
            embeddings[ids], [pretrained.word_embeddings[known[word]] for word in words.split()], rtol=1e-6
        )


def test_no_ascii_text_is_unknown_and_no_piece_has_a_space_within(vocabulary: tuple[Path, np.ndarray]) -> None:
    tokenizer = Tokenizer(vocabulary[0], max_length=512, lower_case=True)
    text = "".join(map(chr, range(32, 127)))
    assert tokenizer.encode(text + " " + text[::-1]).unknown == 0.0
    pieces = [tokenizer._pieces.IdToPiece(index) for index in range(tokenizer.vocabulary_size)]
    assert not [piece for piece in pieces if SPACE_SYMBOL in piece[1:]]


def test_the_common_emoji_are_pieces(vocabulary: tuple[Path, np.ndarray]) -> None:
    tokenizer = Tokenizer(vocabulary[0], max_length=512, lower_case=True)
    assert len(COMMON_EMOJI) >= 100
    assert [emoji for emoji in COMMON_EMOJI if tokenizer.encode(emoji).unknown] == []
    assert tokenizer.encode("".join(COMMON_EMOJI)).unknown == 0.0
    assert tokenizer.encode("👍🏽❤️").unknown == 0.0
