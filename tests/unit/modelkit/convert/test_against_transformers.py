"""The whole conversion against transformers itself: saved by it, read by us, and the same probabilities and token ids.

The models are tiny and random, made here, with weights that are spread so far that attention, activations and
normalisations all show in what comes out; a test says how much.
"""

from __future__ import annotations

import math
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnxruntime
import pytest
import torch
from albert_reference import random_weights
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from transformers import AlbertConfig, AlbertForSequenceClassification, AlbertTokenizer, AlbertTokenizerFast

from worker.inference.artifact import BUNDLED_PATH, PIECES
from worker.modelkit.convert.checkpoint import Checkpoint
from worker.modelkit.convert.graph import build_graph
from worker.modelkit.convert.shape import AlbertShape
from worker.modelkit.convert.sources.folder import read_folder
from worker.tokenization.tokenizer import SPECIAL_PIECES, Tokenizer

TOLERANCE = 1e-5
SMALL: dict[str, Any] = {
    "vocab_size": 30_000,
    "embedding_size": 12,
    "hidden_size": 16,
    "intermediate_size": 40,
    "num_hidden_layers": 3,
    "num_hidden_groups": 1,
    "inner_group_num": 1,
    "num_attention_heads": 2,
    "max_position_embeddings": 24,
    "hidden_act": "gelu_new",
    "hidden_dropout_prob": 0,
    "attention_probs_dropout_prob": 0,
    "num_labels": 2,
}
"""As a published model of the second version, but small."""
V1 = {"hidden_act": "gelu", "hidden_dropout_prob": 0.1, "attention_probs_dropout_prob": 0.1}
CONFIGURATIONS: dict[str, dict[str, Any]] = {
    "v2": {},
    "v1": V1,
    "gelu_pytorch_tanh": {"hidden_act": "gelu_pytorch_tanh"},
    "relu": {"hidden_act": "relu"},
    "three labels": {"num_labels": 3},
    "five labels, v1": {"num_labels": 5, **V1},
    "one layer": {"num_hidden_layers": 1},
    "as deep as base": {"num_hidden_layers": 12},
    "two groups": {"num_hidden_layers": 4, "num_hidden_groups": 2},
    "two groups, uneven": {"num_hidden_layers": 5, "num_hidden_groups": 2},
    "three groups, uneven": {"num_hidden_layers": 7, "num_hidden_groups": 3},
    "two layers inside": {"inner_group_num": 2},
    "two groups of two inside, uneven": {"num_hidden_layers": 5, "num_hidden_groups": 2, "inner_group_num": 2},
    "one head": {"num_attention_heads": 1},
    "many heads": {"num_attention_heads": 8},
    "embeddings wider than the layers": {"embedding_size": 40},
    "narrow embeddings": {"embedding_size": 4, "hidden_size": 48, "num_attention_heads": 6, "intermediate_size": 20},
    "wide, everything at once": {
        "embedding_size": 20,
        "hidden_size": 60,
        "num_attention_heads": 5,
        "intermediate_size": 100,
        "num_hidden_layers": 7,
        "num_hidden_groups": 3,
        "inner_group_num": 2,
        "num_labels": 5,
        "layer_norm_eps": 1e-3,
        "type_vocab_size": 3,
        "max_position_embeddings": 40,
        **V1,
    },
    "a vocabulary with room to spare": {"vocab_size": 30_016},
}
"""Transformers itself needs ``num_hidden_layers // num_hidden_groups >= inner_group_num``: its list of head masks ends
where that is not so."""
SPREAD, SPREAD_OF_BIASES = 2.0, 0.1
"""Chosen by trial: less, and many layers forget their input; more, and they blow rounding errors up."""
LENGTHS = (24, 1, 2, 9, 17, 24, 3)
"""Tokens in each row of a batch; the longest has no padding."""

AWKWARD = (
    *SPECIAL_PIECES,
    *("<PAD>", "[cls]", "9,9", "1,000,000 ", "a9,b", "``", "''", "\u2019", "Σ", "ΑΣ", "ς", "İ", "ẞ", "ﬁ", "Å"),
    *("A\u030a", "\u0301", "\t", "\r\n", "\x00", "\x85", "\xa0", "\u200b", "\u2028", "\xad", "▁", "▁9,", "각", "漢字"),
    *("😀", "👩\u200d👧", "<br /><br />", "  ", "...", " movie", " GREAT ", "½", " 10/10.", "don't "),
)
TEXTS = st.lists(st.sampled_from(AWKWARD) | st.text(st.characters(exclude_categories=("Cs",)), max_size=8), max_size=12)


def _model(changes: dict[str, Any]) -> AlbertForSequenceClassification:
    """A random classifier; normalisations and biases, which transformers starts at one and zero, are random too."""
    labels = {index: f"label {index}" for index in range(changes.get("num_labels", SMALL["num_labels"]))}
    names = {"id2label": labels, "label2id": {name: index for index, name in labels.items()}}
    members = {name: value for name, value in (SMALL | changes).items() if name != "num_labels"}
    model = AlbertForSequenceClassification(AlbertConfig(**members, **names)).eval()
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in model.parameters():
            noise = torch.randn(parameter.shape, generator=generator)
            if parameter.dim() == 1:
                parameter.add_(noise * SPREAD_OF_BIASES)
            else:
                parameter.copy_(noise * (SPREAD / math.sqrt(parameter.shape[1])))
    return model


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    """More cost time with models of this size."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def _save(model: AlbertForSequenceClassification, folder: Path, **options: Any) -> Path:
    model.save_pretrained(folder, **options)
    shutil.copyfile(BUNDLED_PATH / PIECES, folder / PIECES)
    return folder


def _batch(vocabulary_size: int, longest: int, seed: int = 1) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int32]]:
    lengths = np.minimum(np.array(LENGTHS, dtype=np.int32), longest)
    ids = np.random.default_rng(seed).integers(5, vocabulary_size, (len(lengths), lengths.max()), dtype=np.int32)
    return np.where(np.arange(ids.shape[1]) < lengths[:, None], ids, 0), lengths


def _theirs(model: AlbertForSequenceClassification, ids: Any, lengths: Any) -> npt.NDArray[np.float64]:
    """Transformers' probabilities, computed in float64 so that its own rounding is not counted as ours."""
    mask = torch.from_numpy((np.arange(ids.shape[1]) < lengths[:, None]).astype(np.int64))
    with torch.no_grad():
        logits = model.double()(input_ids=torch.from_numpy(ids.astype(np.int64)), attention_mask=mask).logits
    return torch.softmax(logits, dim=-1).numpy()


def _ours(checkpoint: Checkpoint, ids: Any, lengths: Any) -> npt.NDArray[np.float32]:
    graph = build_graph(checkpoint.shape, checkpoint.weights, precision="fp32")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(graph.SerializeToString(), options, providers=["CPUExecutionProvider"])
    logits = session.run(["logits"], {"input_ids": ids, "lengths": lengths})[0]
    return torch.softmax(torch.from_numpy(logits), dim=-1).numpy()


def _check(folder: Path) -> Checkpoint:
    """The model in `folder`, read by both, says the same of a padded batch."""
    checkpoint = read_folder(folder)
    model = AlbertForSequenceClassification.from_pretrained(folder, dtype=torch.float32).eval()
    ids, lengths = _batch(checkpoint.shape.vocab_size, checkpoint.shape.max_position_embeddings)

    theirs = _theirs(model, ids, lengths)

    assert theirs.std(axis=0).max() > 0.01, "every row has the same answer, so that nothing would be noticed"
    np.testing.assert_allclose(_ours(checkpoint, ids, lengths), theirs, atol=TOLERANCE)
    assert checkpoint.labels == tuple(model.config.id2label.values())
    return checkpoint


@pytest.mark.parametrize("changes", CONFIGURATIONS.values(), ids=CONFIGURATIONS.keys())
def test_every_configuration_gives_the_same_probabilities(tmp_path: Path, changes: dict[str, Any]) -> None:
    _check(_save(_model(changes), tmp_path))


def _half(model: AlbertForSequenceClassification, folder: Path) -> None:
    _save(model.half(), folder)


def _brain(model: AlbertForSequenceClassification, folder: Path) -> None:
    _save(model.to(torch.bfloat16), folder)


def _shards(model: AlbertForSequenceClassification, folder: Path) -> None:
    _save(model, folder, max_shard_size="20KB")
    assert len(list(folder.glob("model-*-of-*.safetensors"))) > 2


def _shards_of_half(model: AlbertForSequenceClassification, folder: Path) -> None:
    _shards(model.half(), folder)


def _torch_file(model: AlbertForSequenceClassification, folder: Path) -> None:
    _save(model, folder, safe_serialization=False)
    assert (folder / "pytorch_model.bin").is_file()


def _torch_file_of_brain(model: AlbertForSequenceClassification, folder: Path) -> None:
    _torch_file(model.to(torch.bfloat16), folder)


def _torch_shards(model: AlbertForSequenceClassification, folder: Path) -> None:
    _save(model, folder, safe_serialization=False, max_shard_size="20KB")
    assert len(list(folder.glob("pytorch_model-*-of-*.bin"))) > 2


def _old_names(model: AlbertForSequenceClassification, folder: Path) -> None:
    """As files of 2019 have them: TensorFlow's words, and the heads of pretraining still there."""
    _save(model, folder)
    (folder / "model.safetensors").unlink()
    old = {
        name.replace("LayerNorm.weight", "LayerNorm.gamma").replace("LayerNorm.bias", "LayerNorm.beta"): value
        for name, value in model.state_dict().items()
    }
    others = {"predictions.bias": torch.zeros(7), "albert.embeddings.position_ids": torch.arange(24)[None]}
    torch.save(old | others, folder / "pytorch_model.bin", _use_new_zipfile_serialization=False)


FORMS = (_half, _brain, _shards, _shards_of_half, _torch_file, _torch_file_of_brain, _torch_shards, _old_names)


@pytest.mark.parametrize("write", FORMS, ids=[write.__name__.strip("_") for write in FORMS])
def test_every_form_of_weights_gives_the_same_probabilities(
    tmp_path: Path, write: Callable[[AlbertForSequenceClassification, Path], None]
) -> None:
    write(_model(CONFIGURATIONS["two groups of two inside, uneven"]), tmp_path)
    _check(tmp_path)


@pytest.mark.parametrize(
    "changes",
    [{"hidden_act": "gelu"}, {"layer_norm_eps": 1e-4}, {"num_hidden_layers": 6}, {"num_attention_heads": 4}],
    ids=str,
)
def test_a_small_difference_of_the_configuration_would_be_noticed(tmp_path: Path, changes: dict[str, Any]) -> None:
    model = _model(CONFIGURATIONS["two groups of two inside, uneven"])
    checkpoint = read_folder(_save(model, tmp_path))
    ids, lengths = _batch(checkpoint.shape.vocab_size, checkpoint.shape.max_position_embeddings)
    other = AlbertForSequenceClassification(AlbertConfig(**(model.config.to_dict() | changes))).eval()
    other.load_state_dict(model.state_dict())

    difference = np.abs(_ours(checkpoint, ids, lengths) - _theirs(other, ids, lengths)).max()

    assert difference > 10 * TOLERANCE


@pytest.fixture(scope="module", params=[True, False], ids=["lower-cased", "cased"])
def tokenisers(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Tokenizer]:
    """Transformers' own and ours, the second read from what the first saved."""
    folder = tmp_path_factory.mktemp("tokeniser")
    theirs = AlbertTokenizer(str(BUNDLED_PATH / PIECES), do_lower_case=request.param, model_max_length=20)
    _save(_model({}), folder)
    theirs.save_pretrained(folder)
    return theirs, read_folder(folder).tokeniser()


@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None, max_examples=150)
@given(parts=TEXTS)
def test_awkward_texts_have_the_same_token_ids(tokenisers: tuple[Any, Tokenizer], parts: list[str]) -> None:
    theirs, ours = tokenisers
    text = "".join(parts)
    assert ours.encode(text).ids.tolist() == theirs(text, truncation=True)["input_ids"]


def test_what_the_fast_tokeniser_saves_is_read_too(tmp_path: Path) -> None:
    _save(_model({}), tmp_path)
    AlbertTokenizerFast(str(BUNDLED_PATH / PIECES), do_lower_case=False, model_max_length=11).save_pretrained(tmp_path)
    checkpoint = read_folder(tmp_path)
    assert (checkpoint.lower_case, checkpoint.max_length) == (False, 11)


def test_a_text_has_the_same_probabilities_from_end_to_end(tmp_path: Path) -> None:
    _save(_model({"num_labels": 3, **V1}), tmp_path)
    theirs = AlbertTokenizer(str(BUNDLED_PATH / PIECES), model_max_length=24)
    theirs.save_pretrained(tmp_path)
    checkpoint = read_folder(tmp_path)
    texts = ["I really liked that movie!", "", "NOT good... 3/10", "long " * 40, "Amélie''s “café” 9,9"]

    encodings = checkpoint.tokeniser().encode_many(texts)
    lengths = np.array([len(encoding) for encoding in encodings], dtype=np.int32)
    ids = np.zeros((len(texts), lengths.max()), dtype=np.int32)
    for row, encoding in zip(ids, encodings, strict=True):
        row[: len(encoding)] = encoding.ids
    model = AlbertForSequenceClassification.from_pretrained(tmp_path).eval()
    with torch.no_grad():
        logits = model(**theirs(texts, truncation=True, padding=True, return_tensors="pt")).logits

    expected = torch.softmax(logits, dim=-1).numpy()
    np.testing.assert_allclose(_ours(checkpoint, ids, lengths), expected, atol=TOLERANCE)


BASE: dict[str, Any] = {
    **SMALL,
    "model_type": "albert",
    "embedding_size": 128,
    "hidden_size": 768,
    "intermediate_size": 3072,
    "num_hidden_layers": 12,
    "num_attention_heads": 12,
    "max_position_embeddings": 512,
    "id2label": {"0": "neg", "1": "pos"},
}
FILES: dict[str, dict[str, Any]] = {
    "base": {},
    "layers inside groups": {
        "hidden_size": 240,
        "intermediate_size": 960,
        "num_hidden_groups": 2,
        "inner_group_num": 2,
    },
}


@pytest.mark.parametrize("changes", FILES.values(), ids=FILES.keys())
def test_a_file_is_as_large_as_the_weights_that_it_needs(changes: dict[str, Any]) -> None:
    shape = AlbertShape.from_config(BASE | changes)
    weights = random_weights(shape)
    sizes = shape.expected_weights()
    quantised = {
        name
        for name, dimensions in sizes.items()
        if len(dimensions) == 2
        and not name.startswith(("classifier", "albert.embeddings.position", "albert.embeddings.t"))
    }
    fp32 = sum(4 * int(np.prod(dimensions)) for dimensions in sizes.values())
    int8 = sum(
        int(np.prod(dimensions)) + 4 * dimensions[0] if name in quantised else 4 * int(np.prod(dimensions))
        for name, dimensions in sizes.items()
    )

    assert build_graph(shape, weights, precision="fp32").ByteSize() == pytest.approx(fp32, rel=0.05)
    assert build_graph(shape, weights, precision="int8").ByteSize() == pytest.approx(int8, rel=0.05)
