"""``model import``: from every kind of source to an artifact that is compared with it, or one clear line."""

from __future__ import annotations

import errno
import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from albert_reference import random_weights, write_checkpoint
from click.testing import CliRunner, Result
from safetensors.numpy import save_file
from sparknlp_models import real_model

from worker.cli.commands import commands
from worker.errors import ExitCode, UsageError
from worker.inference import Artifact
from worker.inference.artifact import MANIFEST
from worker.inference.classifier import Classifier
from worker.modelkit.convert import importing
from worker.modelkit.convert.shape import AlbertShape
from worker.modelkit.convert.sources.folder import read_folder

SMALL = {"max_position_embeddings": 40}


def run(*arguments: object) -> Result:
    return CliRunner().invoke(commands, ["model", "import", *map(str, arguments)])


def manifest_of(folder: Path) -> dict[str, object]:
    members: dict[str, object] = json.loads((folder / MANIFEST).read_bytes())
    return members


def refused(result: Result, code: ExitCode, message: str) -> None:
    assert result.exit_code == code, result.output
    errors = [line for line in result.output.splitlines() if line.startswith("error:")]
    assert len(errors) == 1
    assert message in errors[0]
    assert "Traceback" not in result.output


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_checkpoint(tmp_path_factory.mktemp("source") / "my-albert", **SMALL)


@pytest.mark.parametrize("precision", ["fp32", "fp16", "int8"])
def test_a_folder_becomes_an_artifact_that_classifies(checkpoint: Path, tmp_path: Path, precision: str) -> None:
    result = run(checkpoint, "--out", tmp_path / "out", "--precision", precision, "--version", "2.1")
    assert result.exit_code == 0, result.output
    artifact = Artifact.load(tmp_path / "out")
    assert (artifact.identity, artifact.precision) == ("my-albert@2.1", precision)
    assert "of a probability" in result.output
    manifest = manifest_of(tmp_path / "out")
    assert manifest["source"]["location"] == "my-albert"  # type: ignore[index]
    assert manifest["compared"]["texts"] > 20  # type: ignore[index]
    card = (tmp_path / "out" / "MODEL_CARD.md").read_text()
    assert "# my-albert" in card
    assert manifest["source"]["sha256"]["model.safetensors"] in card  # type: ignore[index]
    assert Classifier.load(tmp_path / "out", "cpu").predict(["I liked it."])[0].label in ("neg", "pos")
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


@pytest.mark.parametrize("name", ["albert_tiny_tf.zip", "albert_tiny_tf_344.zip", "albert_tiny_onnx.zip"])
def test_a_spark_nlp_model_keeps_its_labels_and_says_what_it_was_trained_to_say(tmp_path: Path, name: str) -> None:
    result = run(real_model(name), "--out", tmp_path / "out")
    assert result.exit_code == 0, result.output
    artifact = Artifact.load(tmp_path / "out")
    assert (artifact.name, artifact.labels, artifact.precision) == (name.removesuffix(".zip"), ("neg", "pos"), "fp32")
    assert manifest_of(tmp_path / "out")["compared"]["largest_difference"] < 1e-5  # type: ignore[index]


def test_labels_can_be_named_and_must_fit(tmp_path: Path) -> None:
    source = write_checkpoint(tmp_path / "source", id2label={"0": "LABEL_0", "1": "LABEL_1"}, **SMALL)
    refused(run(source, "--out", tmp_path / "out"), ExitCode.ARTIFACT, "--labels neg,pos")
    refused(run(source, "--out", tmp_path / "out", "--labels", "a,b,c"), ExitCode.ARTIFACT, "the model has 2")
    refused(run(source, "--out", tmp_path / "out", "--labels", "a,a"), ExitCode.USAGE, "that differ")
    assert run(source, "--out", tmp_path / "out", "--labels", "bad,good").exit_code == 0
    assert Artifact.load(tmp_path / "out").labels == ("bad", "good")


def test_int8_is_measured_on_held_out_reviews(checkpoint: Path, tmp_path: Path) -> None:
    data = tmp_path / "held-out.jsonl"
    rows = [{"text": f"review {number} is fine", "label": ("neg", "pos")[number % 2]} for number in range(30)]
    data.write_text("".join(json.dumps(row) + "\n" for row in rows))
    result = run(checkpoint, "--out", tmp_path / "out", "--precision", "int8", "--data", data, "--limit", 10)
    assert result.exit_code == 0, result.output
    measured = manifest_of(tmp_path / "out")["int8"]
    assert measured["chosen"]["reviews"] in range(5, 11)  # type: ignore[index]
    assert "int8 everywhere" in (tmp_path / "out" / "MODEL_CARD.md").read_text()


def test_held_out_reviews_need_labels(checkpoint: Path, tmp_path: Path) -> None:
    data = tmp_path / "texts.jsonl"
    data.write_text('{"text": "fine"}\n')
    result = run(checkpoint, "--out", tmp_path / "out", "--precision", "int8", "--data", data)
    refused(result, ExitCode.USAGE, "line 1")
    assert not (tmp_path / "out").exists()


def test_an_artifact_is_replaced_only_when_asked(checkpoint: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert run(checkpoint, "--out", out, "--name", "first").exit_code == 0
    refused(run(checkpoint, "--out", out, "--name", "second"), ExitCode.USAGE, "--replace")
    assert Artifact.load(out).name == "first"
    assert run(checkpoint, "--out", out, "--name", "second", "--replace").exit_code == 0
    assert Artifact.load(out).name == "second"


def test_nothing_that_somebody_else_made_is_removed(checkpoint: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / MANIFEST).write_text("{}")
    (out / "thesis.txt").write_text("years of work")
    refused(run(checkpoint, "--out", out, "--replace"), ExitCode.USAGE, "name a new one")
    shutil.rmtree(out)
    assert run(checkpoint, "--out", out).exit_code == 0
    (out / "thesis.txt").write_text("years of work")
    refused(run(checkpoint, "--out", out, "--replace"), ExitCode.USAGE, "thesis.txt")
    assert (out / "thesis.txt").read_text() == "years of work"


def test_a_source_is_never_replaced_by_its_own_artifact(tmp_path: Path) -> None:
    source = write_checkpoint(tmp_path / "source", **SMALL)
    refused(run(source, "--out", source, "--replace"), ExitCode.USAGE, "--out")
    assert (source / "model.safetensors").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--version", ""], "--version ''"),
        (["--name", "a b"], "--name 'a b'"),
        (["--name", ""], "--name ''"),
    ],
)
def test_a_name_that_predictions_could_not_carry_is_refused(
    checkpoint: Path, tmp_path: Path, arguments: list[str], message: str
) -> None:
    refused(run(checkpoint, "--out", tmp_path / "out", *arguments), ExitCode.USAGE, message)


def test_a_place_below_a_file_is_one_clear_line(checkpoint: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    refused(run(checkpoint, "--out", tmp_path / "file" / "out"), ExitCode.USAGE, "--out")
    refused(run(checkpoint, "--out", tmp_path / "file"), ExitCode.USAGE, "--out")
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    refused(run(checkpoint, "--out", tmp_path / "link"), ExitCode.USAGE, "leads nowhere")


def test_what_is_no_model_is_one_clear_line(tmp_path: Path) -> None:
    refused(run(tmp_path / "nowhere", "--out", tmp_path / "out"), ExitCode.ARTIFACT, "no such file or folder")
    (tmp_path / "folder").mkdir()
    refused(run(tmp_path / "folder", "--out", tmp_path / "out"), ExitCode.ARTIFACT, "none of")
    (tmp_path / "text.zip").write_text("no zip")
    refused(run(tmp_path / "text.zip", "--out", tmp_path / "out"), ExitCode.ARTIFACT, "text.zip")
    assert not (tmp_path / "out").exists()


def test_a_failure_leaves_the_artifact_that_was_there(checkpoint: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert run(checkpoint, "--out", out).exit_code == 0
    broken = write_checkpoint(tmp_path / "broken", **SMALL)
    config = json.loads((broken / "config.json").read_text())
    weights = random_weights(AlbertShape.from_config(config))
    del weights["albert.pooler.weight"]
    save_file(weights, broken / "model.safetensors")
    refused(run(broken, "--out", out, "--replace"), ExitCode.ARTIFACT, "albert.pooler.weight")
    assert Artifact.load(out).name == "my-albert"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["broken", "out"]


def test_a_token_shows_nowhere(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("hf_secret")
    result = run(
        "owner/name", "--out", tmp_path / "out", "--offline", "--cache", tmp_path, "--token-file", tmp_path / "token"
    )
    assert result.exit_code == ExitCode.ARTIFACT
    assert "hf_secret" not in result.output
    (tmp_path / "token").write_text("two words")
    result = run("owner/name", "--out", tmp_path / "out", "--token-file", tmp_path / "token")
    refused(result, ExitCode.USAGE, "one line with the token")
    assert "two words" not in result.output


COMMAND = (sys.executable, "-m", "worker.cli", "model", "import")
NAMESPACE = ("unshare", "--user", "--map-root-user", "--mount")
"""A process that may mount, and nobody else sees what it mounts."""


def may_mount() -> bool:
    """Whether this machine lets a process do so."""
    if shutil.which("unshare") is None:
        return False
    trial = [*NAMESPACE, "mount", "-t", "tmpfs", "none", "/mnt"]
    return subprocess.run(trial, capture_output=True, check=False).returncode == 0


@pytest.mark.parametrize("kind", ["a file system of its own", "a folder that is mounted"])
def test_a_mount_point_is_refused_and_what_is_in_it_stays(
    checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    out, kept = tmp_path / "out", tmp_path / "kept"
    out.mkdir()
    assert run(checkpoint, "--out", kept, "--name", "first").exit_code == 0
    bound = kind == "a folder that is mounted"
    if may_mount():
        mount = f"mount --bind {kept} {out}" if bound else f"mount -t tmpfs none {out}"
        imports = [*map(str, (*COMMAND, checkpoint, "--out", out, "--replace"))]
        script = f"{mount} && exec {shlex.join(imports)}"
        command = [*NAMESPACE, "sh", "-c", script]
        done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
        code, output = done.returncode, done.stdout + done.stderr
    else:  # as the system would answer

        def busy(new: Path, place: Path) -> None:
            raise OSError(errno.EBUSY, os.strerror(errno.EBUSY), str(place))

        if bound:
            monkeypatch.setattr(importing, "put_in_place", busy)
        else:
            monkeypatch.setattr(Path, "is_mount", lambda self: self == out)
        result = run(checkpoint, "--out", out, "--replace")
        code, output = result.exit_code, result.output
    assert code == ExitCode.USAGE, output
    assert f"error: --out {out}: a mount point, which cannot be replaced as a whole; name a folder in it" in output
    assert Artifact.load(kept).name == "first"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["kept", "out"]


@pytest.mark.parametrize("end", [signal.SIGTERM, signal.SIGKILL], ids=lambda end: end.name)
def test_an_import_that_is_ended_leaves_the_artifact_that_was_there(
    checkpoint: Path, tmp_path: Path, end: signal.Signals
) -> None:
    out = tmp_path / "out"
    assert run(checkpoint, "--out", out, "--name", "first").exit_code == 0
    arguments = map(str, (*COMMAND, checkpoint, "--out", out, "--name", "second", "--replace"))
    with subprocess.Popen(list(arguments), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        for line in process.stderr:
            if "comparing it" in line:  # it is all written, and not yet in its place
                process.send_signal(end)
    assert process.returncode == (ExitCode.KILLED if end is signal.SIGTERM else -end)
    assert Artifact.load(out).name == "first"
    others = [path.name for path in tmp_path.iterdir() if path != out]
    assert len(others) == (0 if end is signal.SIGTERM else 1)


def test_what_somebody_has_put_there_meanwhile_is_not_removed(checkpoint: Path, tmp_path: Path) -> None:
    out, source = tmp_path / "out", read_folder(checkpoint)
    assert run(checkpoint, "--out", out, "--name", "first").exit_code == 0
    description = importing.ArtifactDescription("second", "1", "fp32")

    def report(line: str) -> None:
        if line.startswith("comparing it"):
            (out / "thesis.txt").write_text("years of work")

    with pytest.raises(UsageError, match=r"the folder has thesis\.txt in it"):
        importing.import_model(source, out, description, replace=True, report=report)
    assert (out / "thesis.txt").read_text() == "years of work"
    (out / "thesis.txt").unlink()
    assert Artifact.load(out).name == "first"


def test_a_disk_that_is_full_leaves_the_artifact_that_was_there(
    checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    assert run(checkpoint, "--out", out, "--name", "first").exit_code == 0
    write_text = Path.write_text

    def full(self: Path, *arguments: Any, **options: Any) -> int:
        if self.name == "MODEL_CARD.md":
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return write_text(self, *arguments, **options)

    monkeypatch.setattr(Path, "write_text", full)
    refused(run(checkpoint, "--out", out, "--replace"), ExitCode.EXHAUSTED, "there is no room left on the disk")
    assert Artifact.load(out).name == "first"
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
