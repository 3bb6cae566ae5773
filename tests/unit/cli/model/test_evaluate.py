"""The command, end to end: the bundled model on small files."""

from __future__ import annotations

import csv
import gzip
import json
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from albert_reference import write_tiny_artifact
from click.testing import CliRunner, Result

from worker.cli.commands import commands
from worker.errors import ExitCode
from worker.inference import Artifact

ROWS = [
    ("A superb, moving film.", "pos"),
    ("Awful. Dull and badly acted.", "neg"),
    ("Wonderful! " * 400, "neg"),
    ("Terrible, a waste of time.", "pos"),
    ("I loved it, a great story.", "pos"),
]
"""As it sees them: right, right, longer than the model and wrong, wrong, right."""


def write(path: Path, rows: Sequence[tuple[str, object]] = ROWS) -> Path:
    if path.suffix == ".parquet":
        pq.write_table(pa.table({"text": [text for text, _ in rows], "label": [label for _, label in rows]}), path)
    elif path.suffix == ".csv":
        with path.open("w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows([("text", "label"), *rows])
    else:
        lines = b"".join(json.dumps({"text": text, "label": label}).encode() + b"\n" for text, label in rows)
        path.write_bytes(gzip.compress(lines) if path.suffix == ".gz" else lines)
    return path


def run(*arguments: object) -> Result:
    """The command with the bundled model, unless another is named first."""
    words = [str(argument) for argument in arguments]
    model = [] if words and not words[0].startswith("-") else ["bundled"]
    return CliRunner().invoke(commands, ["model", "evaluate", *model, *words, "--provider", "cpu"])


def figures_of(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return found


@pytest.mark.parametrize("name", ["a.jsonl", "a.jsonl.gz", "a.csv", "a.parquet"])
def test_the_bundled_model_is_measured_on_every_kind_of_file(tmp_path: Path, name: str) -> None:
    result = run("--data", write(tmp_path / name), "--figures", tmp_path / "out.json")
    assert result.exit_code == 0, result.output
    figures = figures_of(tmp_path / "out.json")
    assert figures["confusion_matrix"] == {"labels": ["neg", "pos"], "true_by_predicted": [[1, 1], [1, 2]]}
    assert figures["eval_accuracy"] == 0.6
    assert figures["eval_precision"] == figures["eval_recall"] == pytest.approx(2 / 3)
    assert figures["averaging"] == {"method": "binary", "labels": ["pos"]}
    assert figures["length"]["longer"] == {"count": 1, "accuracy": 0.0}
    assert figures["length"]["others"] == {"count": 4, "accuracy": 0.75}
    assert figures["data"] == {"file": name}


def test_what_is_printed_starts_with_the_model_and_the_published_figures(tmp_path: Path) -> None:
    result = run("--data", write(tmp_path / "a.jsonl"))
    lines = result.stdout.splitlines()
    assert lines[0] == f"{Artifact.load().identity} (int8) on a.jsonl, 5 rows"
    assert [line.split()[0] for line in lines[2:10]] == [
        "eval_loss",
        "eval_accuracy",
        "eval_f1",
        "eval_precision",
        "eval_recall",
        "eval_runtime",
        "eval_samples_per_second",
        "eval_steps_per_second",
    ]
    assert lines[3].split() == ["eval_accuracy", "0.6000"]


def test_without_a_terminal_nothing_but_the_figures_is_printed(tmp_path: Path) -> None:
    result = run("--data", write(tmp_path / "a.jsonl"))
    assert result.stderr == ""
    assert "\x1b" not in result.stdout
    assert "\r" not in result.stdout


def test_a_model_of_ones_own_has_its_own_labels_and_macro_averages(tmp_path: Path) -> None:
    folder = write_tiny_artifact(tmp_path / "own", id2label={"0": "bad", "1": "fair", "2": "good"})
    data = write(tmp_path / "a.jsonl", [("fine", "bad"), ("fair", 1), ("so so", "2"), ("great", "GOOD")])
    result = run(folder, "--data", data, "--figures", tmp_path / "out.json")
    assert result.exit_code == 0, result.output
    figures = figures_of(tmp_path / "out.json")
    assert figures["averaging"]["method"] == "macro"
    assert [figures["per_label"][label]["support"] for label in ("bad", "fair", "good")] == [1, 1, 2]
    assert "tiny@1.2.3 (fp32)" in result.stdout


def test_fields_and_labels_may_be_called_otherwise(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("body,stars\nA superb film.,5\nAwful and dull.,1\n")
    options = ["--text-field", "body", "--label-field", "stars", "--map", "5=pos", "--map", "1=neg"]
    result = run("--data", path, *options, "--figures", tmp_path / "out.json")
    assert result.exit_code == 0, result.output
    assert figures_of(tmp_path / "out.json")["eval_accuracy"] == 1.0


def test_the_positive_label_may_be_the_first(tmp_path: Path) -> None:
    result = run("--data", write(tmp_path / "a.jsonl"), "--positive-label", "neg", "--figures", tmp_path / "out.json")
    assert figures_of(tmp_path / "out.json")["eval_f1"] == 0.5
    assert "those of the label 'neg'" in result.stdout


def test_a_limit_leaves_the_rest_unread(tmp_path: Path) -> None:
    rows = [*ROWS[:2], ("no label", None)]
    result = run("--data", write(tmp_path / "a.jsonl", rows), "--limit", 2)
    assert "rows: 2 read, 2 measured" in result.stdout


def test_blank_and_unlabelled_rows_are_counted(tmp_path: Path) -> None:
    rows = [*ROWS, (" ", "pos"), ("mixed feelings", "mixed"), ("none", None)]
    result = run("--data", write(tmp_path / "a.jsonl", rows), "--skip-unlabelled")
    assert (
        "rows: 8 read, 5 measured; left out: 1 blank, 1 without a label, 1 with a label that the model does not know"
        in result.stdout
    )


def test_pictures_are_drawn_on_request(tmp_path: Path) -> None:
    result = run("--data", write(tmp_path / "a.jsonl"), "--plot", tmp_path / "plots" / "new")
    assert result.exit_code == 0, result.output
    for name in ("confusion-matrix.png", "reliability.png"):
        path = tmp_path / "plots" / "new" / name
        assert path.read_bytes().startswith(b"\x89PNG")
        assert str(path) in result.stderr


def fault(result: Result, code: ExitCode = ExitCode.USAGE) -> str:
    """The one line of an error; nothing else is printed."""
    assert result.exit_code == code, result.output
    assert result.stdout == ""
    (line,) = result.stderr.splitlines()
    assert line.startswith("error: ")
    assert "secret" not in line
    return line.removeprefix("error: ")


def test_a_row_with_an_unknown_label_is_one_line(tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl", [*ROWS, ("a secret", "mixed")])
    assert fault(run("--data", path)) == (
        f"{path}, line 6: the label is 'mixed', and the model knows neg, pos (--map SPELLING=LABEL translates);"
        " --skip-unlabelled leaves such rows out"
    )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--map", "good"], "--map good: SPELLING=LABEL is needed, as in --map positive=pos"),
        (["--map", "=pos"], "--map =pos: SPELLING=LABEL is needed, as in --map positive=pos"),
        (["--map", "a=pos", "--map", "a=neg"], "--map gives 'a' two labels, pos and neg"),
        (["--map", "a=good"], "--map a=good: the model has no label 'good'; it knows neg, pos"),
        (["--positive-label", "good"], "--positive-label good: the model knows neg, pos"),
        (["--label-field", "text"], "--text-field and --label-field both name 'text'"),
    ],
)
def test_an_option_that_cannot_be_is_one_line(tmp_path: Path, options: list[str], message: str) -> None:
    assert fault(run("--data", write(tmp_path / "a.jsonl"), *options)) == message


def test_a_file_of_an_unknown_kind_is_one_line(tmp_path: Path) -> None:
    assert "unknown kind of file" in fault(run("--data", write(tmp_path / "a.txt")))


def test_a_missing_file_is_a_usage_error(tmp_path: Path) -> None:
    assert run("--data", tmp_path / "a.jsonl").exit_code == ExitCode.USAGE


def test_a_missing_model_is_one_line_with_its_own_code(tmp_path: Path) -> None:
    message = fault(run(tmp_path / "none", "--data", write(tmp_path / "a.jsonl")), ExitCode.ARTIFACT)
    assert "no such folder" in message


def test_an_error_leaves_no_figures_behind(tmp_path: Path) -> None:
    out = tmp_path / "out.json"
    fault(run("--data", write(tmp_path / "a.jsonl", [("a secret", "mixed")]), "--figures", out))
    assert not out.exists()


def test_a_place_that_cannot_be_written_to_is_found_before_the_work(tmp_path: Path) -> None:
    bad = write(tmp_path / "a.jsonl", [("a secret", "mixed")])  # an error of its own, once it is read
    assert "--figures" in fault(run("--data", bad, "--figures", tmp_path / "none" / "out.json"))
    assert "--plot" in fault(run("--data", bad, "--plot", bad / "plots"))


def test_json_prints_the_figures_as_one_object(tmp_path: Path) -> None:
    result = run("--data", write(tmp_path / "a.jsonl"), "--json", "--figures", tmp_path / "out.json")
    assert result.exit_code == 0
    assert json.loads(result.stdout) == figures_of(tmp_path / "out.json")


def test_figures_may_go_to_a_device_and_nothing_takes_its_place(tmp_path: Path) -> None:
    link = tmp_path / "null"
    link.symlink_to("/dev/null")
    assert run("--data", write(tmp_path / "a.jsonl"), "--figures", link).exit_code == 0
    assert link.is_symlink()


def test_figures_that_cannot_be_written_are_printed_all_the_same(tmp_path: Path) -> None:
    (tmp_path / "out.json.part").mkdir()
    result = run("--data", write(tmp_path / "a.jsonl"), "--figures", tmp_path / "out.json")
    assert result.exit_code == ExitCode.USAGE
    assert "eval_accuracy" in result.stdout
    assert len(result.stderr.splitlines()) == 1


def test_without_matplotlib_the_extra_is_named_before_the_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    bad = write(tmp_path / "a.jsonl", [("a secret", "mixed")])
    assert "[evaluate]'" in fault(run("--data", bad, "--plot", tmp_path))


def test_an_interrupt_prints_nothing_and_leaves_no_file(tmp_path: Path) -> None:
    data = tmp_path / "a.jsonl"
    os.mkfifo(data)
    arguments = ["model", "evaluate", "bundled", "--data", str(data), "--figures", str(tmp_path / "out.json")]
    process = subprocess.Popen(
        [sys.executable, "-m", "worker.cli", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        # A shell starts what runs in the background, perhaps these tests, with interrupts ignored.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509
    )
    with data.open("wb"):  # opens once the command does, which then waits for rows
        process.send_signal(signal.SIGINT)
        stdout, stderr = process.communicate(timeout=60)
    assert (process.returncode, stdout, stderr) == (ExitCode.KILLED, b"", b"")
    assert not (tmp_path / "out.json").exists()
