"""An artifact is checked before it is used; whatever is wrong with it is one clear line."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from albert_reference import write_tiny_artifact

from worker.errors import ArtifactError
from worker.inference import Artifact
from worker.inference.artifact import BUNDLED_PATH, CONFIG, GRAPH, MANIFEST, PADDING_FREE_GRAPH, PIECES, WEIGHTS
from worker.inference.calibration import Calibration
from worker.inference.golden import GOLDEN


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_artifact(tmp_path_factory.mktemp("artifact") / "tiny")


@pytest.fixture
def folder(original: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(original, tmp_path / "tiny"))


def _edit(path: Path, change: Callable[[dict[str, Any]], object]) -> None:
    members = json.loads(path.read_text())
    change(members)
    path.write_text(json.dumps(members))


def _edit_config(folder: Path, change: Callable[[dict[str, Any]], object]) -> None:
    """Change the configuration as its author would: with the hash that belongs to it."""
    _edit(folder / CONFIG, change)
    digest = hashlib.sha256((folder / CONFIG).read_bytes()).hexdigest()
    _edit(folder / MANIFEST, lambda members: members["sha256"].update({CONFIG: digest}))


def _refusal(folder: Path) -> str:
    with pytest.raises(ArtifactError) as raised:
        Artifact.load(folder)
    assert "\n" not in str(raised.value)
    return str(raised.value)


def test_a_sound_artifact_says_what_it_is(folder: Path) -> None:
    artifact = Artifact.load(folder)
    assert artifact.identity == "tiny@1.2.3"
    assert artifact.labels == ("neg", "pos")
    assert (artifact.precision, artifact.max_length, artifact.lower_case) == ("fp32", 16, True)
    assert artifact.model_path == folder / GRAPH


def test_an_artifact_without_a_calibration_has_one_that_changes_nothing(folder: Path) -> None:
    calibration = Artifact.load(folder).calibration
    assert calibration.temperature == 1.0
    assert calibration.readable((0.9, 0.1), unknown=1.0) == (0.9, 0.1)


def test_a_calibration_comes_from_the_manifest(folder: Path) -> None:
    said = {"temperature": 1.5, "prior": [0.5, 0.5], "unknown_from": 0.2, "unknown_to": 0.4}
    _edit(folder / MANIFEST, lambda members: members.update(calibration=said))
    assert Artifact.load(folder).calibration == Calibration(1.5, (0.5, 0.5), 0.2, 0.4)


@pytest.mark.parametrize(
    "wrong",
    [
        {"temperature": 0},
        {"temperature": "1"},
        {"temperature": 1e-40},
        {"temperature": 101},
        {"temperature": 10**400},
        {"prior": [10**400, 0.5]},
        {"prior": [float("nan"), 0.5]},
        {"unknown_to": 10**400},
        {"temperature": float("nan")},
        {"prior": [0.5, 0.2]},
        {"prior": [1.0]},
        {"unknown_from": 0.6, "unknown_to": 0.6},
        {"warmth": 1.0},
        [1.0],
    ],
)
def test_a_calibration_that_is_none_is_refused(folder: Path, wrong: object) -> None:
    _edit(folder / MANIFEST, lambda members: members.update(calibration=wrong))
    assert "manifest.json: calibration" in _refusal(folder)


def test_without_a_path_it_is_the_bundled_artifact() -> None:
    artifact = Artifact.load(None)
    assert artifact.path == BUNDLED_PATH
    assert artifact.labels == ("neg", "pos")
    assert (artifact.precision, artifact.max_length, artifact.lower_case) == ("int8", 512, True)


def test_the_bundled_artifact_stays_small() -> None:
    assert sum(path.stat().st_size for path in BUNDLED_PATH.iterdir()) < 8_000_000


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    assert str(tmp_path / "nowhere") in _refusal(tmp_path / "nowhere")


@pytest.mark.parametrize("name", [GRAPH, PIECES, CONFIG, MANIFEST, WEIGHTS, PADDING_FREE_GRAPH])
def test_a_missing_file_is_named(folder: Path, name: str) -> None:
    (folder / name).unlink()
    assert f"{name}: the file is missing" in _refusal(folder)


@pytest.mark.parametrize("name", [GRAPH, PIECES, CONFIG, WEIGHTS, PADDING_FREE_GRAPH])
def test_an_altered_file_is_named(folder: Path, name: str) -> None:
    with (folder / name).open("ab") as file:
        file.write(b" ")
    assert f"{name}: altered" in _refusal(folder)


@pytest.mark.parametrize("content", [b"", b"{", b"\xff", b"[]", b'"text"'])
def test_a_manifest_that_is_no_json_object_is_refused(folder: Path, content: bytes) -> None:
    (folder / MANIFEST).write_bytes(content)
    assert MANIFEST in _refusal(folder)


@pytest.mark.parametrize(
    ("member", "value"),
    [
        ("format", 1),
        ("format", 3),
        ("format", None),
        ("name", ""),
        ("version", 3),
        ("precision", None),
        ("max_length", "512"),
        ("max_length", True),
        ("max_length", 2),
        ("max_length", 17),
        ("lower_case", "yes"),
        ("sha256", []),
    ],
)
def test_a_manifest_with_a_wrong_member_is_refused_by_its_name(folder: Path, member: str, value: object) -> None:
    _edit(folder / MANIFEST, lambda members: members.update({member: value}))
    refusal = _refusal(folder)
    assert MANIFEST in refusal
    assert member in refusal


def test_a_file_without_a_hash_is_refused(folder: Path) -> None:
    _edit(folder / MANIFEST, lambda members: members["sha256"].pop(GRAPH))
    assert f"{MANIFEST} has no sha256" in _refusal(folder)


@pytest.mark.parametrize("name", ["../outside.bin", "/etc/hostname", "folder/file.bin", ""])
def test_a_listed_file_outside_of_the_folder_is_refused(folder: Path, name: str) -> None:
    _edit(folder / MANIFEST, lambda members: members["sha256"].update({name: "0" * 64}))
    assert f"sha256 lists {name!r}" in _refusal(folder)


def test_a_graph_that_is_not_listed_is_not_part_of_the_artifact(folder: Path) -> None:
    assert Artifact.load(folder).padding_free_path == folder / PADDING_FREE_GRAPH
    _edit(folder / MANIFEST, lambda members: members["sha256"].pop(PADDING_FREE_GRAPH))
    artifact = Artifact.load(folder)
    assert artifact.padding_free_path is None
    assert artifact.files == {GRAPH, WEIGHTS, PIECES, CONFIG, GOLDEN}


@pytest.mark.parametrize(
    "labels",
    [
        None,
        {},
        {"0": "neg"},
        {"0": "neg", "2": "pos"},
        {"0": "neg", "1": "neg"},
        {"0": "neg", "1": ""},
        {"0": "neg", "1": 1},
        {"0": "LABEL_0", "1": "LABEL_1"},
    ],
)
def test_labels_that_nobody_has_named_are_refused(folder: Path, labels: object) -> None:
    _edit_config(folder, lambda members: members.update(id2label=labels))
    assert "label" in _refusal(folder)


def test_a_vocabulary_larger_than_the_model_is_refused(folder: Path) -> None:
    _edit_config(folder, lambda members: members.update(vocab_size=100))
    artifact = Artifact.load(folder)
    with pytest.raises(ArtifactError, match="belongs to another model"):
        artifact.load_tokeniser()
