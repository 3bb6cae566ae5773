"""Folders in Hugging Face's layout: what their configurations say, and what is no classifier of ours."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from albert_reference import TINY, random_weights, write_checkpoint
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.numpy import load_file, save_file

from worker.errors import ArtifactError
from worker.modelkit.convert.checkpoint import SourceOptions
from worker.modelkit.convert.shape import AlbertShape, CheckpointError
from worker.modelkit.convert.sources.folder import is_folder_checkpoint, read_albert_config, read_folder

PUBLISHED: dict[str, Any] = {
    "architectures": ["AlbertForMaskedLM"],
    "attention_probs_dropout_prob": 0,
    "bos_token_id": 2,
    "classifier_dropout_prob": 0.1,
    "down_scale_factor": 1,
    "embedding_size": 128,
    "eos_token_id": 3,
    "gap_size": 0,
    "hidden_dropout_prob": 0,
    "initializer_range": 0.02,
    "inner_group_num": 1,
    "layer_norm_eps": 1e-12,
    "max_position_embeddings": 512,
    "model_type": "albert",
    "net_structure_type": 0,
    "num_hidden_groups": 1,
    "num_memory_blocks": 0,
    "pad_token_id": 0,
    "type_vocab_size": 2,
    "vocab_size": 30_000,
}
"""What the ``config.json`` of all eight published models have in common."""
SIZES = {
    "base": (12, 768, 12, 3072, 11.7e6),
    "large": (24, 1024, 16, 4096, 17.7e6),
    "xlarge": (24, 2048, 16, 8192, 58.7e6),
    "xxlarge": (12, 4096, 64, 16_384, 222.6e6),
}
"""Layers, hidden size, heads, intermediate size, and parameters (the paper's table 1 rounds them)."""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_checkpoint(tmp_path / "checkpoint")


def _configure(folder: Path, **changes: Any) -> Path:
    """Change the ``config.json``; a value of ``...`` removes the member."""
    path = folder / "config.json"
    config = json.loads(path.read_text()) | changes
    path.write_text(json.dumps({name: value for name, value in config.items() if value is not ...}))
    return folder


def _error(folder: Path, options: SourceOptions | None = None) -> str:
    with pytest.raises(CheckpointError) as raised:
        read_folder(folder, options)
    line = str(raised.value)
    assert "\n" not in line
    return line


@pytest.mark.parametrize("version", ["v1", "v2"])
@pytest.mark.parametrize("size", SIZES)
def test_the_published_models_have_the_shapes_of_the_paper(tmp_path: Path, size: str, version: str) -> None:
    layers, hidden, heads, intermediate, parameters = SIZES[size]
    own = {
        "hidden_act": "gelu" if version == "v1" else "gelu_new",
        "hidden_size": hidden,
        "intermediate_size": intermediate,
        "num_attention_heads": heads,
        "num_hidden_layers": layers,
    }
    dropout = {"hidden_dropout_prob": 0.1, "attention_probs_dropout_prob": 0.1} if version == "v1" else {}
    path = tmp_path / "config.json"
    path.write_text(json.dumps(PUBLISHED | own | dropout))

    shape = AlbertShape.from_config(read_albert_config(path) | {"id2label": {"0": "neg", "1": "pos"}})

    assert (shape.num_hidden_layers, shape.hidden_size, shape.num_attention_heads) == (layers, hidden, heads)
    assert (shape.intermediate_size, shape.embedding_size, shape.vocab_size) == (intermediate, 128, 30_000)
    assert (shape.max_position_embeddings, shape.type_vocab_size) == (512, 2)
    assert shape.hidden_act == own["hidden_act"]
    assert shape.layers == ["albert.encoder.albert_layer_groups.0.albert_layers.0."] * layers
    expected = shape.expected_weights()
    in_encoder = sum(int(np.prod(size)) for name, size in expected.items() if not name.startswith("classifier"))
    assert in_encoder == pytest.approx(parameters, rel=0.005)


def test_what_a_configuration_leaves_out_is_as_transformers_has_it(tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    path.write_text(json.dumps({"model_type": "albert"}))
    shape = AlbertShape.from_config(read_albert_config(path) | {"id2label": {"0": "neg", "1": "pos"}})
    assert (shape.hidden_size, shape.num_attention_heads, shape.num_hidden_layers) == (4096, 64, 12)
    assert (shape.intermediate_size, shape.embedding_size, shape.vocab_size) == (16_384, 128, 30_000)
    assert (shape.hidden_act, shape.num_hidden_groups, shape.inner_group_num) == ("gelu_new", 1, 1)


def test_where_it_came_from_is_written_down(folder: Path) -> None:
    (folder / "tokenizer_config.json").write_text('{"do_lower_case": false, "model_max_length": 9}')
    checkpoint = read_folder(folder)
    provenance = checkpoint.provenance
    assert (provenance.kind, provenance.location, provenance.revision) == ("huggingface", "checkpoint", None)
    names = ("config.json", "model.safetensors", "spiece.model", "tokenizer_config.json")
    assert provenance.files == {name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in names}
    assert (checkpoint.lower_case, checkpoint.max_length) == (False, 9)


@pytest.mark.parametrize(("said", "length"), [("1e30", 16), ("512", 16), ("8", 8)])
def test_the_longest_encoding_is_never_longer_than_the_places(folder: Path, said: str, length: int) -> None:
    (folder / "tokenizer_config.json").write_text(f'{{"model_max_length": {said}}}')
    assert read_folder(folder).max_length == length


def test_what_a_person_says_comes_first(folder: Path) -> None:
    (folder / "tokenizer_config.json").write_text('{"do_lower_case": false, "model_max_length": 9}')
    options = SourceOptions(labels=("bad", "good"), lower_case=True, max_length=12)
    checkpoint = read_folder(folder, options)
    assert (checkpoint.labels, checkpoint.lower_case, checkpoint.max_length) == (("bad", "good"), True, 12)


def test_a_folder_is_known_by_its_configuration(folder: Path, tmp_path: Path) -> None:
    assert is_folder_checkpoint(folder)
    assert not is_folder_checkpoint(tmp_path)


@pytest.mark.parametrize("family", ["bert", "distilbert", "roberta", "deberta-v2", "electra", "xlnet", "gpt2"])
def test_another_family_is_named(folder: Path, family: str) -> None:
    assert f"model_type is '{family}'" in _error(_configure(folder, model_type=family, id2label=...))


def test_a_configuration_of_2019_has_no_family(folder: Path) -> None:
    assert read_folder(_configure(folder, model_type=...)).labels == ("neg", "pos")
    assert "model_type is None" in _error(_configure(folder, architectures=...))


@pytest.mark.parametrize(
    "architecture",
    ["AlbertForMaskedLM", "AlbertForPreTraining", "AlbertModel", "TFAlbertForMaskedLM", "AlbertForQuestionAnswering"],
)
def test_a_model_without_a_classifier_is_no_classifier(folder: Path, architecture: str) -> None:
    weights = load_file(folder / "model.safetensors")
    save_file(
        {name: value for name, value in weights.items() if "classifier" not in name}, folder / "model.safetensors"
    )
    line = _error(_configure(folder, architectures=[architecture]))
    assert "not a sequence classification checkpoint" in line
    assert architecture.removeprefix("TF") in line


@pytest.mark.parametrize("architecture", ["AlbertForTokenClassification", "AlbertForMultipleChoice"])
def test_another_head_that_is_called_classifier_too_is_refused(folder: Path, architecture: str) -> None:
    assert architecture in _error(_configure(folder, architectures=[architecture]))


@pytest.mark.parametrize("architectures", [["AlbertForSequenceClassification"], ["TFAlbertForSequenceClassification"]])
def test_a_classifier_needs_no_note(folder: Path, architectures: list[str]) -> None:
    assert read_folder(_configure(folder, architectures=architectures)).provenance.notes == ()


def test_a_classifier_by_another_name_is_read_and_noted(folder: Path) -> None:
    (note,) = read_folder(_configure(folder, architectures=["AlbertForMaskedLM"])).provenance.notes
    assert "AlbertForMaskedLM" in note


@pytest.mark.parametrize("problem", ["multi_label_classification", "regression"])
def test_what_no_softmax_ends_is_refused(folder: Path, problem: str) -> None:
    assert f"problem_type is '{problem}'" in _error(_configure(folder, problem_type=problem))
    assert read_folder(_configure(folder, problem_type="single_label_classification"))
    assert read_folder(_configure(folder, problem_type=None))


@pytest.mark.parametrize("said", [{"num_labels": 1, "id2label": ...}, {"id2label": {"0": "LABEL_0"}}])
def test_one_output_is_a_regression(folder: Path, said: dict[str, Any]) -> None:
    assert "a regression" in _error(_configure(folder, **said))


@pytest.mark.parametrize(
    "said", [{}, {"num_labels": 3}, {"id2label": {str(index): f"LABEL_{index}" for index in range(3)}}]
)
def test_labels_without_names_are_asked_for(tmp_path: Path, said: dict[str, Any]) -> None:
    folder = write_checkpoint(tmp_path / "three", id2label={"0": "a", "1": "b", "2": "c"})
    _configure(folder, **({"id2label": ...} | said))
    assert "say --labels label0,label1,label2" in _error(folder)
    assert "--labels names 2 labels" in _error(folder, SourceOptions(labels=("neg", "pos")))
    assert read_folder(folder, SourceOptions(labels=("neg", "neutral", "pos"))).labels == ("neg", "neutral", "pos")


def test_weights_of_an_encoder_saved_by_itself_are_found(folder: Path) -> None:
    weights = load_file(folder / "model.safetensors")
    old = {
        name.removeprefix("albert.")
        .replace("LayerNorm.weight", "LayerNorm.gamma")
        .replace("orm.bias", "orm.beta"): value
        for name, value in weights.items()
    }
    assert {"encoder.albert_layer_groups.0.albert_layers.0.attention.LayerNorm.gamma"} < set(old)
    ignored = {
        "predictions.bias": np.zeros(3, np.float32),
        "sop_classifier.classifier.weight": np.zeros((2, 8), np.float32),
        "albert.embeddings.position_ids": np.arange(16),
    }
    save_file(old | ignored, folder / "model.safetensors")

    read = read_folder(folder).weights

    assert {name: value.tobytes() for name, value in read.items()} == {
        name: value.tobytes() for name, value in weights.items()
    }


def test_more_embeddings_than_pieces_are_noted(tmp_path: Path) -> None:
    (note,) = read_folder(write_checkpoint(tmp_path / "padded", vocab_size=30_016)).provenance.notes
    assert "30016 word embeddings" in note
    assert "30000" in note


def test_fewer_embeddings_than_pieces_are_refused(tmp_path: Path) -> None:
    assert "belongs to another model" in _error(write_checkpoint(tmp_path / "small", vocab_size=100))


def test_a_missing_vocabulary_says_what_to_do(folder: Path) -> None:
    (folder / "spiece.model").rename(folder / "tokenizer.json")
    assert "spiece.model is missing (tokenizer.json cannot replace it)" in _error(folder)


SIZE = st.integers(-2, 40)
VALUE = st.none() | st.booleans() | SIZE | st.floats() | st.text(max_size=4) | st.lists(SIZE, max_size=2)
LABELS = VALUE | st.dictionaries(st.sampled_from(["0", "1", "2", "x"]), VALUE, max_size=3)
MEMBERS = sorted({*TINY, "num_labels", "problem_type", "position_embedding_type"} - {"id2label"})


@pytest.fixture(scope="module")
def ready(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_checkpoint(tmp_path_factory.mktemp("fuzz") / "checkpoint")


@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None, max_examples=80)
@given(changes=st.dictionaries(st.sampled_from(MEMBERS), VALUE, max_size=3), labels=st.none() | LABELS)
def test_whatever_the_configuration_says_there_is_an_answer_or_one_line(
    ready: Path, changes: dict[str, Any], labels: Any
) -> None:
    config = TINY | {"vocab_size": 30_000} | changes | ({} if labels is None else {"id2label": labels})
    (ready / "config.json").write_text(json.dumps(config))
    try:
        read_folder(ready)
    except ArtifactError as error:
        assert "\n" not in str(error)


def test_large_weights_are_never_in_memory_twice(tmp_path: Path) -> None:
    """Reading maps the file: what the classifier does not need, here most of it, is never read."""
    import tracemalloc

    folder = write_checkpoint(tmp_path / "pretrained")
    weights = random_weights(AlbertShape.from_config(TINY | {"vocab_size": 30_000}))
    unneeded = np.zeros((4096, 4096), np.float32)
    save_file(weights | {"predictions.decoder.weight": unneeded}, folder / "model.safetensors")

    tracemalloc.start()
    read_folder(folder)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert peak < unneeded.nbytes / 2
    shutil.rmtree(folder)
