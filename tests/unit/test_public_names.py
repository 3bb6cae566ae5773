"""What ``import worker`` offers, and what it costs."""

from __future__ import annotations

import subprocess
import sys

import pytest

import worker

HEAVY = ("torch", "onnx", "transformers", "rich", "faust", "safetensors", "sklearn")


def test_every_name_in_all_exists_and_is_listed() -> None:
    assert worker.__all__ == sorted(worker.__all__)
    for name in worker.__all__:
        assert getattr(worker, name).__name__ == name
        assert name in dir(worker)


def test_a_name_that_does_not_exist_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="Clasifier"):
        _ = worker.Clasifier


@pytest.mark.parametrize(
    "statement", ["import worker", "import worker.inference.classifier", "from worker import Classifier"]
)
def test_importing_the_worker_imports_nothing_heavy(statement: str) -> None:
    code = f"{statement}\nimport sys\nprint(*sorted({set(HEAVY)!r} & sys.modules.keys()))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=True)
    assert done.stdout.strip() == ""


def test_importing_the_worker_alone_does_not_even_import_onnxruntime() -> None:
    code = "import worker, sys; print('onnxruntime' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=True)
    assert done.stdout.strip() == "False"
