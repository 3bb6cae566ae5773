"""BERT's weights in an ALBERT: the same function, and a vocabulary whose pieces keep their embeddings."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from bert_parts import small_bert, wordpieces, write_bert
from torch.nn import functional
from transformers import AlbertForSequenceClassification, BertModel

from worker.modelkit.train import forward
from worker.modelkit.train import vocabulary as vocabulary_module
from worker.modelkit.train.emoji import COMMON_EMOJI
from worker.modelkit.train.forward import logits, padded, scores
from worker.modelkit.train.pretrained import Pretrained, albert_of
from worker.modelkit.train.vocabulary import add_pieces, build_vocabulary
from worker.tokenization.tokenizer import SPACE_SYMBOL, Tokenizer

TEXTS = ["The film was very good and the plot was fine.<br /><br />It was not dull!"] * 60


MOST_USED = [
    emoji
    for line in (Path(__file__).parents[3] / "data" / "common_emoji.txt").read_text(encoding="utf-8").splitlines()
    if not line.startswith("#")
    for emoji in line.split()
]
BFLOAT16 = 0.08
"""Three times what the logits of `bert` lose in bfloat16; what is computed wrongly differs by 0.25 or more."""


@pytest.fixture(scope="module")
def bert() -> BertModel:
    """With weights so large that attention is not nearly even, and biases that are not zero."""
    model = small_bert()
    generator = torch.Generator().manual_seed(11)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            noise = 0.1 * torch.randn(weight.shape, generator=generator)
            weight.copy_(weight + noise if "LayerNorm" in name else weight * 3 if weight.ndim > 1 else noise)
    return model


@pytest.fixture(scope="module")
def pretrained(bert: BertModel, tmp_path_factory: pytest.TempPathFactory) -> Pretrained:
    return Pretrained.read(write_bert(tmp_path_factory.mktemp("bert"), bert))


@pytest.fixture(scope="module")
def albert(pretrained: Pretrained) -> AlbertForSequenceClassification:
    model = albert_of(pretrained, pretrained.word_embeddings, layers=2).eval()
    generator = torch.Generator().manual_seed(5)
    with torch.no_grad():
        for weight in model.classifier.parameters():
            weight.copy_(0.1 * torch.randn(weight.shape, generator=generator))
    return model


@pytest.fixture(scope="module")
def vocabulary(pretrained: Pretrained, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, np.ndarray]:
    path = tmp_path_factory.mktemp("pieces") / "spiece.model"
    return path, build_vocabulary(TEXTS, pretrained, path)


@pytest.fixture(scope="module")
def rows() -> list[np.ndarray]:
    generator = np.random.default_rng(3)
    return [generator.integers(5, 100, size=length).astype(np.int32) for length in (1, 3, 8, 20, 33, 60)]


def test_an_albert_takes_over_berts_weights_one_to_one(
    bert: BertModel, albert: AlbertForSequenceClassification, rows: list[np.ndarray]
) -> None:
    ids, mask = padded(rows)
    assert mask is not None
    with torch.no_grad():
        theirs = bert(input_ids=ids, attention_mask=mask.long())
        ours = albert.albert(input_ids=ids, attention_mask=mask.long())
    torch.testing.assert_close(ours.last_hidden_state[mask], theirs.last_hidden_state[mask], rtol=0, atol=1e-4)
    torch.testing.assert_close(ours.pooler_output, theirs.pooler_output, rtol=0, atol=1e-4)


def _wrong_by(albert: AlbertForSequenceClassification, rows: list[np.ndarray], *, with_mask: bool = True) -> float:
    """How far the logits are from those of transformers, at most."""
    ids, mask = padded(rows)
    assert mask is not None
    with torch.no_grad():
        expected = albert(input_ids=ids, attention_mask=mask.long()).logits
        found = logits(albert, ids, mask if with_mask else None)
    return float((found - expected).abs().max())


def test_training_computes_what_transformers_computes(
    albert: AlbertForSequenceClassification, rows: list[np.ndarray]
) -> None:
    assert _wrong_by(albert, rows) < BFLOAT16
    for row in rows:
        ids, mask = padded([row])
        assert mask is None
        with torch.no_grad():
            both = albert(input_ids=ids).logits[0]
        assert scores(albert, [row])[0] == pytest.approx(float(both[1] - both[0]), abs=2 * BFLOAT16)


def test_what_is_computed_wrongly_would_show(
    albert: AlbertForSequenceClassification, rows: list[np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert _wrong_by(albert, rows, with_mask=False) > 2 * BFLOAT16
    for holder, name, other in (
        (functional, "gelu", functional.relu),
        (forward, "_SCALE", forward._SCALE * 0.8),
        (forward, "_SCALE", forward._SCALE * 2),
    ):
        with monkeypatch.context() as once:
            once.setattr(holder, name, other)
            assert _wrong_by(albert, rows) > 2 * BFLOAT16


def test_what_the_classifier_does_not_see_is_chosen_by_the_generator(
    albert: AlbertForSequenceClassification, rows: list[np.ndarray]
) -> None:
    ids, mask = padded(rows)
    with torch.no_grad():
        all_seen = logits(albert, ids, mask)
        one, same, other = (logits(albert, ids, mask, torch.Generator().manual_seed(seed)) for seed in (1, 1, 2))
        many = [logits(albert, ids, mask, torch.Generator().manual_seed(seed)) for seed in range(200)]
    assert torch.equal(one, same)
    assert not torch.equal(one, other)
    torch.testing.assert_close(torch.stack(many).mean(0), all_seen, rtol=0, atol=0.1)


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
    assert len(MOST_USED) == len(set(MOST_USED)) == 100
    assert [emoji for emoji in MOST_USED if tokenizer.encode(emoji).unknown] == []
    assert [emoji for emoji in MOST_USED if tokenizer.encode(emoji + "\ufe0f").unknown] == []
    assert tokenizer.encode("".join(MOST_USED)).unknown == 0.0


@pytest.mark.parametrize("emoji", ["👍🏽", "❤️", "🤷\u200d♀️", "🤦🏽\u200d♂️", "🤷\u200d♀", "1️⃣", "1\u20e3"])
def test_emoji_of_several_characters_are_known_whole(vocabulary: tuple[Path, np.ndarray], emoji: str) -> None:
    tokenizer = Tokenizer(vocabulary[0], max_length=64, lower_case=True)
    assert tokenizer.encode(emoji).unknown == tokenizer.encode(f"good {emoji} film").unknown == 0.0


def test_a_vocabulary_has_as_many_pieces_as_it_may(
    pretrained: Pretrained, vocabulary: tuple[Path, np.ndarray], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert vocabulary_module.PIECES == 20_000
    fewer = len(vocabulary[1]) - 3
    monkeypatch.setattr(vocabulary_module, "PIECES", fewer)
    assert len(build_vocabulary(TEXTS, pretrained, tmp_path / "spiece.model")) == fewer


def test_pieces_can_be_added_to_a_model_in_training_in_place_of_the_rarest(
    pretrained: Pretrained, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, checkpoint = tmp_path / "spiece.model", tmp_path / "last.pt"
    with monkeypatch.context() as earlier:
        earlier.setattr(vocabulary_module, "emoji_pieces", lambda: [*COMMON_EMOJI[:20]])
        embeddings = build_vocabulary(TEXTS, pretrained, path)
    before = Tokenizer(path, max_length=64, lower_case=True)
    assert before.encode("the film 🥺").unknown > 0
    name = "albert.embeddings.word_embeddings.weight"
    torch.save({"m": {name: torch.from_numpy(embeddings.copy())}, "o": {}, "step": 7}, checkpoint)

    gone = add_pieces(path, checkpoint, ["🥺", "❤", "🥺\ufe0f"])
    assert len(gone) == len(set(gone)) == 2  # one of the three was there
    whole = {
        piece: before._pieces.GetScore(index)
        for index in range(before.vocabulary_size)
        if not before._pieces.IsControl(index) and len(piece := before._pieces.IdToPiece(index)) > 2
    }
    kept = [score for piece, score in whole.items() if piece not in gone]
    assert max(whole[piece] for piece in gone) <= min(kept)
    after = Tokenizer(path, max_length=64, lower_case=True)
    assert after.vocabulary_size == before.vocabulary_size
    assert after.encode("the film 🥺").unknown == 0.0
    assert after.encode("the film was not good").ids.tolist() == before.encode("the film was not good").ids.tolist()
    state = torch.load(checkpoint)
    assert state["step"] == 7
    found = state["m"][name].numpy()
    mean = embeddings[before.encode("face with pleading eyes").ids[1:-1]].mean(0)
    places = [after._pieces.PieceToId(piece) for piece in ("🥺", "🥺\ufe0f")]
    np.testing.assert_allclose(found[places], [mean, mean], rtol=1e-5)
    others = np.setdiff1d(np.arange(len(found)), places)
    np.testing.assert_array_equal(found[others], embeddings[others])
    assert add_pieces(path, checkpoint, ["🥺", "❤", "🥺\ufe0f"]) == []
