"""``model verify`` and ``model inspect``: what an artifact is, and whether it says what its source says."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pyarrow
import pyarrow.parquet as parquet
import pytest
from albert_reference import write_checkpoint
from click.testing import CliRunner, Result
from logging_kept import logging_kept
from sparknlp_models import real_model

from worker.cli.commands import commands
from worker.errors import ExitCode
from worker.extras import install_command
from worker.inference import Artifact
from worker.inference.artifact import MANIFEST

SMALL = {"max_position_embeddings": 40}


def run(*arguments: object) -> Result:
    return CliRunner().invoke(commands, ["model", *map(str, arguments)])


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_checkpoint(tmp_path_factory.mktemp("source") / "my-albert", **SMALL)


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_checkpoint(tmp_path_factory.mktemp("other") / "other", seed=7, **SMALL)


@pytest.fixture(scope="module")
def artifact(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("artifact") / "out"
    with logging_kept():
        assert run("import", source, "--out", out).exit_code == 0
    return out


def test_an_artifact_says_what_its_source_says(artifact: Path, source: Path) -> None:
    result = run("verify", artifact, "--against", source)
    assert result.exit_code == 0, result.output
    for part in ("transformers", "largest difference", "100.00% the same", "32 of 32 texts the same", "texts/s"):
        assert part in result.output
    assert result.output.splitlines()[-1] == "the same"


def test_other_weights_are_not_the_same(artifact: Path, other: Path) -> None:
    result = run("verify", artifact, "--against", other)
    assert result.exit_code == 1
    assert "not the same: a probability differs" in result.output


def test_limits_can_be_chosen(artifact: Path, source: Path, other: Path) -> None:
    assert run("verify", artifact, "--against", source, "--tolerance", 0).exit_code == 1
    assert run("verify", artifact, "--against", other, "--tolerance", 1, "--min-agreement", 0).exit_code == 0
    strict = run("verify", artifact, "--against", other, "--tolerance", 1, "--min-agreement", 1)
    assert strict.exit_code == 1
    assert "of the labels are the same" in strict.output
    assert run("verify", artifact, "--against", source, "--tolerance", "nan").exit_code == ExitCode.USAGE


def test_texts_of_a_file_need_no_labels(artifact: Path, source: Path, tmp_path: Path) -> None:
    rows = [{"text": f"review {number}"} for number in range(7)] + [{"text": " "}]
    (tmp_path / "texts.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (tmp_path / "texts.csv").write_text("id,text\n" + "".join(f"{number},review {number}\n" for number in range(7)))
    for name in ("texts.jsonl", "texts.csv"):
        result = run("verify", artifact, "--against", source, "--data", tmp_path / name, "--json")
        assert result.exit_code == 0, result.output
        answer = json.loads(result.output)
        assert (answer["texts"], answer["moved"], answer["other_tokens"], answer["faults"]) == (7, 0, 0, [])
        assert answer["spark_nlp"] is None
    limited = run("verify", artifact, "--against", source, "--data", tmp_path / "texts.csv", "--json", "--limit", 3)
    assert json.loads(limited.output)["texts"] == 3


def test_texts_in_parquet(artifact: Path, source: Path, tmp_path: Path) -> None:
    parquet.write_table(pyarrow.table({"text": ["fine", "bad", "odd"]}), tmp_path / "texts.parquet")
    result = run("verify", artifact, "--against", source, "--data", tmp_path / "texts.parquet", "--json")
    assert json.loads(result.output)["texts"] == 3


def test_models_with_other_labels_cannot_be_compared(artifact: Path, source: Path) -> None:
    result = run("verify", artifact, "--against", source, "--labels", "bad,good")
    assert result.exit_code == ExitCode.ARTIFACT
    assert "those of the source bad, good" in result.output


def test_what_spark_nlp_itself_would_say_is_told_beside_it(tmp_path: Path) -> None:
    """Its recorded answers say how many labels its rules move."""
    rows = json.loads(real_model("reference.json").read_text())["rows"]
    (tmp_path / "texts.jsonl").write_text("".join(json.dumps({"text": row["text"]}) + "\n" for row in rows))
    told = [row for row in rows if row["text"].strip()]
    moved = sum(
        (row["transformers"]["pos"] > 0.5) != (row["spark_rule"]["mask_unk_0"]["pos"] > 0.5)
        for row in told
        if "spark_rule" in row
    )
    assert run("import", real_model("albert_tiny_tf.zip"), "--out", tmp_path / "out").exit_code == 0
    result = run(
        *("verify", tmp_path / "out", "--against", real_model("albert_tiny_tf.zip")),
        *("--data", tmp_path / "texts.jsonl", "--json"),
    )
    assert result.exit_code == 0, result.output
    answer = json.loads(result.output)["spark_nlp"]
    assert (answer["texts"], answer["moved"]) == (len(told), moved)
    assert answer["masked"] == sum(row["spark_rule"]["n_unk"] > 0 for row in told if "spark_rule" in row)


def test_inspect_says_what_it_is_and_where_it_came_from(artifact: Path) -> None:
    result = run("inspect", artifact)
    assert result.exit_code == 0, result.output
    for part in (
        "my-albert@1.0.0 (fp32)",
        "neg, pos",
        "40 tokens",
        "layers 2",
        "huggingface",
        "golden set",
        "weights.bin",
    ):
        assert part in result.output
    members = json.loads(run("inspect", artifact, "--json").output)
    assert (members["name"], members["labels"], members["format"]) == ("my-albert", ["neg", "pos"], 2)
    assert members["bytes"]["weights.bin"] == (artifact / "weights.bin").stat().st_size


@pytest.mark.parametrize(
    ("calibration", "said"),
    [
        (None, "none"),
        ({"temperature": 1.5}, "temperature 1.5, no prior"),
        (
            {"temperature": 1.5, "prior": [0.4, 0.6]},
            "temperature 1.5; from the model's scores to the prior (neg 0.4, pos 0.6) where unknown is 0.3 to 0.6",
        ),
    ],
)
def test_inspect_shows_the_calibration(
    artifact: Path, tmp_path: Path, calibration: dict[str, object] | None, said: str
) -> None:
    folder = shutil.copytree(artifact, tmp_path / "calibrated")
    manifest = json.loads((folder / MANIFEST).read_bytes())
    if calibration is not None:
        manifest["calibration"] = calibration
    (folder / MANIFEST).write_text(json.dumps(manifest))
    assert f"calibration {said}\n" in run("inspect", folder).output


def test_inspect_knows_the_bundled_model() -> None:
    result = run("inspect", "bundled")
    assert result.exit_code == 0, result.output
    assert Artifact.load().identity in result.output


def test_an_altered_artifact_is_refused_by_all(source: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert run("import", source, "--out", out).exit_code == 0
    with (out / "golden.json").open("ab") as file:
        file.write(b" ")
    for arguments in (["inspect", out], ["verify", out, "--against", source]):
        result = run(*arguments)
        assert result.exit_code == ExitCode.ARTIFACT
        assert "golden.json: altered" in result.output


@pytest.mark.parametrize(
    "change",
    [
        {"graph": "text"},
        {"source": "text"},
        {"compared": "text"},
        {"graph": {"kind": "built", "notes": 7}},
        {"source": {"notes": None}},
        {"source": {"sha256": ["a"]}},
    ],
    ids=str,
)
def test_a_manifest_that_is_not_whole_is_one_clear_line(
    artifact: Path, tmp_path: Path, change: dict[str, object]
) -> None:
    out = Path(shutil.copytree(artifact, tmp_path / "out"))
    manifest = json.loads((out / MANIFEST).read_bytes())
    (out / MANIFEST).write_text(json.dumps(manifest | change))
    result = run("inspect", out)
    assert result.exit_code == ExitCode.ARTIFACT
    assert str(out / MANIFEST) in result.output
    assert "Traceback" not in result.output


def test_a_missing_extra_is_named(artifact: Path, source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "safetensors", None)
    result = run("verify", artifact, "--against", source)
    assert result.exit_code == ExitCode.USAGE
    assert install_command("convert") in result.output


@pytest.mark.parametrize("command", [("verify", "bundled", "--against", "."), ("import", ".", "--out", "artifact")])
def test_without_the_extra_one_line_has_the_command_that_installs_it(command: tuple[str, ...], tmp_path: Path) -> None:
    arguments = ["reviews-worker", "model", *command]
    lacking = f"import sys; sys.modules['onnx'] = None; sys.argv = {arguments}; from worker.cli import main; main()"
    ended = subprocess.run(
        [sys.executable, "-c", lacking], cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False
    )
    assert (ended.returncode, ended.stdout) == (ExitCode.USAGE, "")
    assert ended.stderr == f"error: this command needs the extra convert: {install_command('convert')}\n"
