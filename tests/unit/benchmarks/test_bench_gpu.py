"""The benchmark on a GPU: what it says where it cannot run, and its parts, on a CPU."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from absent import Absent
from albert_reference import TINY

from tests.benchmarks import machine
from tests.benchmarks.bench_gpu import HEADER, Row, main, measure
from tests.benchmarks.flops import forward_flops
from tests.benchmarks.gpu_parts import (
    as_they_come,
    batched,
    make_entries,
    missing,
    open_graph,
    peak_flops,
    peak_model,
    write_random_artifact,
)
from tests.review_lengths import lognormal_lengths
from worker.batching import Batch
from worker.inference import SessionOptions, providers
from worker.modelkit.convert.shape import AlbertShape

ROOT = Path(__file__).parents[3]
CONFIG = TINY | {"vocab_size": 30_000, "max_position_embeddings": 512}
needs_cuda_build = Absent.CUDA_BUILD.unless(providers.cuda_is_built_in())


def test_without_a_gpu_it_says_what_is_missing_and_ends_with_2() -> None:
    command = [sys.executable, "-m", "tests.benchmarks.bench_gpu"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
    assert (done.returncode, done.stdout, len(done.stderr.splitlines())) == (2, "", 1)
    assert done.stderr.startswith("bench-gpu: ")


def test_an_onnx_runtime_without_cuda_is_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(providers, "cuda_is_built_in", lambda: False)
    assert main([]) == 2
    assert "pip install onnxruntime-gpu" in capsys.readouterr().err


def test_a_missing_driver_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(providers, "cuda_is_built_in", lambda: True)
    monkeypatch.setattr(providers, "driver_is_there", lambda: False)
    assert "no NVIDIA driver" in str(missing())


def test_a_driver_without_that_gpu_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(providers, "cuda_is_built_in", lambda: True)
    monkeypatch.setattr(providers, "driver_is_there", lambda: True)
    monkeypatch.setattr(providers, "gpu_count", lambda: 1)
    assert "no GPU 1 to this process (it offers 1)" in str(missing(1))


@needs_cuda_build
def test_missing_libraries_are_named_with_the_command_that_installs_them(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(providers, "driver_is_there", lambda: True)
    monkeypatch.setattr(providers, "gpu_count", lambda: 1)
    assert "pip install -e '.[cuda]'" in str(missing())
    assert capfd.readouterr() == ("", "")


def test_every_review_is_in_one_batch_within_the_budget() -> None:
    lengths = lognormal_lengths(500)
    entries = make_entries(lengths, 30_000)
    for budget in (4_096, 16_384):
        for batches in (batched(entries, budget, 512), as_they_come(entries, budget)):
            numbers = [entry.record.offset for batch in batches for entry in batch.parts]
            assert sorted(numbers) == list(range(500))
            assert max(batch.padded_tokens for batch in batches) <= budget


def test_reviews_as_they_come_keep_their_order() -> None:
    batches = as_they_come(make_entries(lognormal_lengths(200), 30_000), 4_096)
    assert [entry.record.offset for batch in batches for entry in batch.parts] == list(range(200))


def _wasted(batches: list[Batch]) -> float:
    return 1 - sum(batch.real_tokens for batch in batches) / sum(batch.padded_tokens for batch in batches)


def test_the_workers_batches_waste_less() -> None:
    entries = make_entries(lognormal_lengths(4_096), 30_000)
    assert _wasted(batched(entries, 8_192, 512)) < 0.3 * _wasted(as_they_come(entries, 8_192))


def test_a_measurement_gives_a_row_for_each_subject_and_plan(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    artifact = write_random_artifact(tmp_path / "fp32", "fp32", CONFIG)
    options = SessionOptions("cpu", threads=1)
    lengths = lognormal_lengths(20)
    entries = make_entries(lengths, artifact.vocabulary_size)
    plans = [((budget, "as they come"), as_they_come(entries, budget)) for budget in (1_024, 4_096)]
    work = forward_flops(AlbertShape.from_config(CONFIG), lengths, last_layer_cls_only=True)
    subjects = [
        (("fp32", "padded"), lambda: open_graph(artifact, padding_free=False, options=options)),
        (("fp32", "padding-free"), lambda: open_graph(artifact, padding_free=True, options=options)),
    ]

    rows = list(measure(subjects, plans, work, {"fp32": 1e9}, rounds=1))

    assert [(row.graph, row.max_batch_tokens) for row in rows] == [("padded", 1_024), ("padded", 4_096)]
    assert "fp32 padding-free: left out" in capsys.readouterr().err
    assert all(row.share_of_peak == pytest.approx(row.flops_per_s / 1e9) for row in rows)
    machine.table("title", HEADER, [row.cells for row in rows])
    printed = [line for line in capsys.readouterr().out.splitlines() if line.startswith("|")]
    assert len(printed) == 2 + len(rows)
    assert {line.count("|") for line in printed} == {len(HEADER) + 1}


def test_a_row_counts_real_tokens_only() -> None:
    cut = [Batch(make_entries([10, 30], 100))]
    row = Row.of(("fp16", "padded"), (64, "as they come"), cut, seconds=2.0, work=8e12, peak=16e12)
    assert (row.reviews_per_s, row.tokens_per_s, row.padding_waste) == (1.0, 20.0, pytest.approx(1 - 40 / 60))
    assert (row.flops_per_s, row.share_of_peak) == (4e12, 0.25)


def test_the_peak_is_a_chain_of_products() -> None:
    model = peak_model(4, np.float16, 3)
    assert [node.op_type for node in model.graph.node] == ["Add", *["MatMul"] * 3, "ReduceMax"]
    assert peak_flops(["CPUExecutionProvider"], np.float32, size=64, products=2, rounds=1) > 0


def test_the_driver_says_its_own_version(tmp_path: Path) -> None:
    file = tmp_path / "version"
    file.write_text("NVRM version: NVIDIA UNIX x86_64 Kernel Module  570.86.15  Fri Jan 24\nGCC version: 12.3.0\n")
    assert machine._driver_version(file) == "570.86.15"
    assert machine._driver_version(tmp_path / "none") == "?"


def test_results_are_written_as_json(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "RESULTS", tmp_path)
    assert json.loads(machine.write_results("gpu", {"rows": []}).read_text()) == {"rows": []}
