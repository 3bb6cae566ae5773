"""A small BERT with random weights, as a folder in Hugging Face's layout."""

from __future__ import annotations

from pathlib import Path

import torch
from transformers import BertConfig, BertModel

WORDS = (
    "the",
    "a",
    "film",
    "plot",
    "was",
    "not",
    "good",
    "dull",
    "fine",
    "and",
    "very",
    "it",
    "br",
    "red",
    "heart",
    "up",
)
MARKS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
LETTERS = [chr(code) for code in range(33, 127) if not chr(code).isupper()]


def small_bert(layers: int = 2) -> BertModel:
    """As wide as the pretrained one, with its own vocabulary."""
    torch.manual_seed(7)
    size = len(wordpieces())
    return BertModel(
        BertConfig(
            vocab_size=size,
            hidden_size=384,
            num_hidden_layers=layers,
            num_attention_heads=12,
            intermediate_size=1536,
            max_position_embeddings=512,
        )
    ).eval()


def wordpieces() -> list[str]:
    """The vocabulary, in the order of the ids."""
    return [*MARKS, *LETTERS, *(f"##{letter}" for letter in LETTERS if letter.isalnum()), *WORDS]


def write_bert(folder: Path, model: BertModel) -> Path:
    """`model` in `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    model.save_pretrained(folder)
    (folder / "vocab.txt").write_text("\n".join(wordpieces()) + "\n", encoding="utf-8")
    return folder
