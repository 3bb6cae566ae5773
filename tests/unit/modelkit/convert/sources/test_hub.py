"""Repositories of the hub, from a fake one on this machine."""

from __future__ import annotations

import errno
import logging
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from albert_reference import write_checkpoint
from fake_hub import FakeHub, files_of, running_hub
from safetensors.numpy import load_file, save_file

from worker.modelkit.convert.checkpoint import Source, SourceOptions
from worker.modelkit.convert.shape import CheckpointError
from worker.modelkit.convert.sources import open_source
from worker.modelkit.convert.sources.folder import read_folder
from worker.modelkit.convert.sources.hub import is_hub_id, needed_files
from worker.modelkit.convert.sources.hub_download import fetch_snapshot

NAME = "someone/albert-reviews"
SECRET = "hf_a-secret-of-the-test"
UNREACHABLE = "http://127.0.0.1:9"
NEEDED = ["config.json", "model.safetensors", "spiece.model"]


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_checkpoint(tmp_path_factory.mktemp("hub") / "checkpoint", vocab_size=30_000)


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeHub]:
    for name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"):
        monkeypatch.delenv(name, raising=False)
    with running_hub() as hub:
        monkeypatch.setenv("HF_ENDPOINT", hub.endpoint)
        yield hub


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "cache"


def _open(cache: Path, name: str = NAME, **options: Any) -> Source:
    return open_source(name, SourceOptions(cache=str(cache), **options))


def _error(cache: Path, name: str = NAME, **options: Any) -> str:
    with pytest.raises(CheckpointError) as raised:
        _open(cache, name, **options)
    line = str(raised.value)
    assert "\n" not in line
    assert line.startswith(name)
    return line


@pytest.mark.parametrize(
    ("location", "expected"),
    [
        ("albert/albert-base-v2", True),
        ("someone/Model_1.5", True),
        ("albert-base-v2", False),
        ("./models/albert", False),
        ("models/albert/best", False),
        ("/models/albert", False),
        ("../albert", False),
        ("models/albert.onnx", False),
        ("models/albert.zip", False),
        ("https://huggingface.co/albert/albert-base-v2", False),
        ("~/albert", False),
        ("models/", False),
        ("a b/c", False),
    ],
)
def test_an_id_is_an_owner_and_a_name(location: str, expected: bool) -> None:
    assert is_hub_id(location) is expected


def test_a_repository_is_read_as_the_folder_that_it_is(hub: FakeHub, cache: Path, checkpoint: Path) -> None:
    repository = hub.add(NAME, checkpoint)

    source = _open(cache)

    local = read_folder(checkpoint)
    assert source.labels == ("neg", "pos")
    assert source.weights["classifier.weight"].tobytes() == local.weights["classifier.weight"].tobytes()
    provenance = source.provenance
    assert (provenance.kind, provenance.location, provenance.revision) == ("hub", NAME, repository.names["main"])
    assert provenance.files == local.provenance.files
    assert sorted(hub.fetched) == NEEDED


def test_only_what_is_needed_is_fetched(hub: FakeHub, cache: Path, checkpoint: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(checkpoint, tmp_path / "full")
    unneeded = ("pytorch_model.bin", "tf_model.h5", "optimizer.bin", "README.md", "onnx/model.onnx", "runs/config.json")
    for name in unneeded:
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(b"large")
    (folder / "tokenizer_config.json").write_text("{}")
    hub.add(NAME, folder)

    _open(cache)

    assert sorted(hub.fetched) == sorted([*NEEDED, "tokenizer_config.json"])


def test_shards_are_fetched_with_their_index() -> None:
    texts = ["config.json", "spiece.model"]
    shards = ["model.safetensors.index.json", "model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"]
    old = ["pytorch_model.bin.index.json", "pytorch_model-00001-of-00001.bin"]
    others = ["adapter.safetensors", "training_args.bin", "other/model-00001-of-00002.safetensors"]
    assert sorted(needed_files([*texts, *shards, *old, *others])) == sorted([*texts, *shards])
    assert sorted(needed_files([*texts, *old, *others])) == sorted([*texts, *old])


def test_an_onnx_model_is_taken_only_where_there_is_nothing_else() -> None:
    texts = ["config.json", "spiece.model"]
    onnx = ["onnx/model.onnx", "onnx/model.onnx_data"]
    assert needed_files([*texts, "pytorch_model.bin", *onnx]) == [*texts, "pytorch_model.bin"]
    assert needed_files([*texts, *onnx, "onnx/model_quantized.onnx"]) == [*texts, *onnx]
    assert needed_files([*texts, "reviews.onnx"]) == [*texts, "reviews.onnx"]
    with pytest.raises(CheckpointError, match="2 ONNX models"):
        needed_files([*texts, "a.onnx", "b.onnx"])


def test_an_onnx_repository_is_fetched_whole(hub: FakeHub, cache: Path, checkpoint: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(checkpoint, tmp_path / "onnx")
    (folder / "model.safetensors").rename(folder / "model.onnx")
    hub.add(NAME, folder)

    snapshot = fetch_snapshot(NAME, SourceOptions(cache=str(cache)), needed_files)

    assert snapshot.names == ("config.json", "model.onnx", "spiece.model")


def test_a_branch_a_tag_and_a_commit_name_a_revision(hub: FakeHub, cache: Path, checkpoint: Path) -> None:
    repository = hub.add(NAME, checkpoint)
    files = files_of(checkpoint)
    other = files | {"config.json": files["config.json"].replace(b'"pos"', b'"good"')}
    commit = repository.commit(other, "v2.0", "experiments")

    for revision in ("v2.0", "experiments", commit):
        source = _open(cache, revision=revision)
        assert source.labels == ("neg", "good")
        assert source.provenance.revision == commit
    assert _open(cache).labels == ("neg", "pos")
    assert "no revision 'v3.0'" in _error(cache, revision="v3.0")


def test_a_private_repository_opens_with_its_token_only(
    hub: FakeHub, cache: Path, checkpoint: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    hub.add(NAME, checkpoint, token=SECRET)
    caplog.set_level(logging.DEBUG)

    assert "set HF_TOKEN" in _error(cache)
    assert "set HF_TOKEN" in (line := _error(cache, token="hf_another"))
    assert "hf_another" not in line
    assert _open(cache, token=f"{SECRET}\n").labels == ("neg", "pos")
    assert hub.tokens == {None, "hf_another", SECRET}

    monkeypatch.setenv("HF_TOKEN", SECRET)
    shutil.rmtree(cache)
    assert _open(cache).labels == ("neg", "pos")
    assert SECRET not in caplog.text
    assert SECRET not in repr(SourceOptions(token=SECRET))


def test_a_token_that_is_none_is_not_quoted(hub: FakeHub, cache: Path) -> None:
    with pytest.raises(CheckpointError, match="characters that no token has") as raised:
        _open(cache, token="hf_first\nhf_second")
    assert "hf_" not in str(raised.value)


def test_a_gated_repository_says_what_to_do(hub: FakeHub, cache: Path, checkpoint: Path) -> None:
    hub.add(NAME, checkpoint, token=SECRET, gated=True)

    assert "gated: accept its terms" in _error(cache)
    assert "gated: accept its terms" in _error(cache, token="hf_another")
    assert _open(cache, token=SECRET).labels == ("neg", "pos")


def test_a_repository_that_is_not_there_says_so(hub: FakeHub, cache: Path) -> None:
    assert "no such repository" in _error(cache)


@pytest.mark.parametrize(
    ("status", "message"), [(401, "refuses the token"), (403, "refuses the token"), (503, "answers with status 503")]
)
def test_what_the_hub_refuses_is_one_line(hub: FakeHub, cache: Path, status: int, message: str) -> None:
    hub.status = status
    assert message in _error(cache)


def test_the_cache_is_enough_offline(
    hub: FakeHub, cache: Path, checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    repository = hub.add(NAME, checkpoint)
    commit = repository.names["main"]
    assert "not in the cache" in _error(cache, offline=True)
    _open(cache)
    monkeypatch.setenv("HF_ENDPOINT", UNREACHABLE)

    assert _open(cache, offline=True).provenance.revision == commit
    assert _open(cache, offline=True, revision=commit).provenance.revision == commit
    assert "not in the cache" in _error(cache, offline=True, revision="v2.0")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert _open(cache).provenance.revision == commit


def test_half_a_repository_in_the_cache_is_not_enough(hub: FakeHub, cache: Path, checkpoint: Path) -> None:
    hub.add(NAME, checkpoint)
    options = SourceOptions(cache=str(cache))
    fetch_snapshot(NAME, options, lambda names: ["config.json", "spiece.model", "model.safetensors"])
    next(cache.glob("*/snapshots/*/model.safetensors")).unlink()

    assert "run once without --offline" in _error(cache, offline=True)
    assert _open(cache).labels == ("neg", "pos")


def test_what_the_cache_has_is_not_fetched_again(hub: FakeHub, cache: Path, checkpoint: Path) -> None:
    hub.add(NAME, checkpoint)
    _open(cache)
    _open(cache)
    assert sorted(hub.fetched) == NEEDED


def test_the_password_of_a_mirror_is_not_shown(cache: Path, hub: FakeHub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "http://reader:secret@127.0.0.1:9/mirror")
    assert f"{UNREACHABLE}/mirror cannot be reached" in _error(cache)


def test_no_network_names_the_ways_without_it(cache: Path, hub: FakeHub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_ENDPOINT", UNREACHABLE)
    line = _error(cache)
    assert f"{UNREACHABLE} cannot be reached" in line
    assert "--offline" in line
    assert "HF_ENDPOINT" in line


def test_a_full_disk_is_one_line(hub: FakeHub, cache: Path, checkpoint: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hub.add(NAME, checkpoint)

    def full(*_: Any, **__: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(shutil, "move", full)  # how the library puts a finished file into its place
    assert "no space left" in _error(cache)


def test_a_cache_that_cannot_be_written_is_one_line(hub: FakeHub, cache: Path, checkpoint: Path) -> None:
    hub.add(NAME, checkpoint)
    cache.write_bytes(b"a file where the folder should be")
    assert "cache cannot be written" in _error(cache)


def test_a_repository_without_a_model_for_us_says_what_is_missing(
    hub: FakeHub, cache: Path, checkpoint: Path, tmp_path: Path
) -> None:
    files = files_of(checkpoint)
    repository = hub.add(NAME, checkpoint)
    for missing, message in (("config.json", "has no config.json"), ("spiece.model", "spiece.model is missing")):
        repository.commit({name: data for name, data in files.items() if name != missing})
        assert message in _error(cache)
    repository.commit({name: data for name, data in files.items() if "safetensors" not in name} | {"tf_model.h5": b""})
    assert "only TensorFlow weights" in _error(cache)
    assert hub.fetched == []


def test_what_is_wrong_inside_names_the_repository(hub: FakeHub, cache: Path, checkpoint: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(checkpoint, tmp_path / "pretrained")
    weights = load_file(folder / "model.safetensors")
    save_file(
        {name: value for name, value in weights.items() if "classifier" not in name}, folder / "model.safetensors"
    )
    hub.add(NAME, folder)
    assert "not a sequence classification checkpoint" in _error(cache)


def test_there_are_no_progress_bars_but_on_a_terminal(
    hub: FakeHub, cache: Path, checkpoint: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    hub.add(NAME, checkpoint)
    _open(cache)
    assert capfd.readouterr() == ("", "")
