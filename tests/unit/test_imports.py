from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

HEAVY = (
    "faust",
    "mode",
    "opentelemetry",
    "torch",
    "onnx",
    "transformers",
    "sklearn",
    "rich",
    "jgo",
    "testcontainers",
    "matplotlib",
    "pyarrow",
)


def imported_by(code: str) -> set[str]:
    """Heavy packages that `code` imports, in a process of its own."""
    script = f"{code}\nimport sys\nprint(*(name for name in {HEAVY!r} if name in sys.modules))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    return set(done.stdout.splitlines()[-1].split())


@pytest.mark.parametrize("code", ["import worker", "import worker.cli", "from worker import Classifier"])
def test_importing_the_package_imports_nothing_heavy(code: str):
    assert imported_by(code) == set()


def test_predict_imports_neither_faust_nor_rich():
    code = "from worker.cli.commands import commands\ncommands(['predict', 'Great film'], standalone_mode=False)"
    assert imported_by(code) == set()


def test_the_running_worker_imports_no_library_of_training_conversion_or_display():
    assert imported_by("import worker.service") <= {"faust", "mode"}


def test_measuring_a_model_imports_what_it_needs_only(tmp_path: Path):
    data = tmp_path / "reviews.jsonl"
    data.write_text('{"text": "Great film", "label": "pos"}\n')
    arguments = ["model", "evaluate", "bundled", "--data", str(data), "--provider", "cpu"]
    code = f"from worker.cli.commands import commands\ncommands({arguments!r}, standalone_mode=False)"
    assert imported_by(code) == set()


def test_the_held_out_reviews_are_written_without_the_libraries_of_training():
    assert imported_by("import worker.modelkit.train.data") == set()
