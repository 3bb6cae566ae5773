"""Reviews a second of one ALBERT on this machine, computed in the ways that people would choose from.

Run ``make bench-model``. Every program computes the same reviews; rounds alternate, so that whatever else the machine
does falls on all alike, and a ratio is the median of the ratios of the rounds. Writes ``build/bench/model.json``.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from entries import make_entry
from review_lengths import REVIEWS, lognormal_lengths, review_texts
from transformers import AlbertForSequenceClassification

from tests.benchmarks.base_model import base_albert
from tests.benchmarks.flops import forward_flops
from tests.benchmarks.machine import machine, table, write_results
from tests.benchmarks.model_subjects import (
    Batch,
    Subject,
    export_plain,
    matrix_peak,
    optimise_stock,
    our_subject,
    quantise_stock,
    stock_subject,
    transformers_subject,
)
from worker.batching import BatchLimits, BatchQueue
from worker.inference.artifact import BUNDLED_PATH, PIECES
from worker.modelkit.convert.sources.folder import read_folder
from worker.records import Encoding
from worker.service.model_loading import batch_limits
from worker.settings import Settings
from worker.tokenization.tokenizer import Tokenizer

PAD_ID = 0
ARRIVAL = (1, 8, 32)
OWN = "batcher"
Ways = Mapping[str, Sequence[Batch]]


def random_checkpoint(path: Path) -> Path:
    """ALBERT-base with random weights: as fast as any other weights, and no use for anything else."""
    torch.manual_seed(1)
    AlbertForSequenceClassification(base_albert(30_000)).save_pretrained(path)
    (path / PIECES).write_bytes((BUNDLED_PATH / PIECES).read_bytes())
    return path


def reviews(count: int) -> tuple[list[Encoding], str]:
    """Encodings of real reviews where the data is beside the repository, else random ids of like lengths."""
    if REVIEWS.exists():
        tokeniser = Tokenizer(BUNDLED_PATH / PIECES, max_length=512, lower_case=True)
        return tokeniser.encode_many(review_texts(count)), "film reviews"
    generator = np.random.default_rng(1)
    rows = [generator.integers(5, 30_000, length).astype(np.int32) for length in lognormal_lengths(count)]
    return [Encoding(row, truncated=False) for row in rows], "random ids with the lengths of film reviews"


def in_arrival_order(encodings: Sequence[Encoding], rows: int) -> list[Batch]:
    """Batches of `rows` as they come, padded to the longest of each."""
    batches = []
    for start in range(0, len(encodings), rows):
        chosen = encodings[start : start + rows]
        lengths = np.array([len(encoding.ids) for encoding in chosen], dtype=np.int32)
        ids = np.full((len(chosen), int(lengths.max())), PAD_ID, dtype=np.int32)
        for row, encoding in enumerate(chosen):
            ids[row, : len(encoding.ids)] = encoding.ids
        batches.append((ids, lengths))
    return batches


def by_our_batcher(encodings: Sequence[Encoding], limits: BatchLimits) -> list[Batch]:
    """As the worker cuts them while all of them wait."""
    queue = BatchQueue(limits)
    for number, encoding in enumerate(encodings):
        entry = make_entry(None, arrived_at=number / 1000, offset=number)
        entry.encoding = encoding
        queue.extend([entry])
    batches = []
    while (batch := queue.next_batch(0.0)) is not None:
        batches.append(batch.arrays(PAD_ID))
    return batches


def measure(subjects: Sequence[Subject], ways: Ways, count: int, rounds: int) -> dict[str, dict[str, list[float]]]:
    """Reviews a second: subject -> way -> one figure a round."""
    rates: dict[str, dict[str, list[float]]] = {subject.name: {way: [] for way in ways} for subject in subjects}
    for subject in subjects:
        subject.compute(ways["1"][:1])  # what is done once is not counted
    for number in range(rounds):
        for way, batches in ways.items():
            for subject in subjects:
                started = time.perf_counter()
                subject.compute(batches)
                rates[subject.name][way].append(count / (time.perf_counter() - started))
        print(f"round {number + 1} of {rounds} done", flush=True)
    return rates


def ratio(ours: Sequence[float], theirs: Sequence[float]) -> float:
    """Median over the rounds."""
    return statistics.median(mine / other for mine, other in zip(ours, theirs, strict=True))


def targets(rates: Mapping[str, Mapping[str, list[float]]]) -> dict[str, float]:
    """The figures that are to be reached; each compares what ran side by side."""
    plain, fp32, int8 = rates["plain export"], rates["ours, fp32"], rates["ours, int8"]
    best = max(plain, key=lambda way: statistics.median(plain[way]))
    return {
        "fp32_vs_plain_best": ratio(fp32[OWN], plain[best]),
        "fp32_vs_plain_arrival8": ratio(fp32[OWN], plain["8"]),
        "int8_vs_plain_best": ratio(int8[OWN], plain[best]),
        "int8_vs_transformers8": ratio(int8[OWN], rates["transformers (torch)"]["8"]),
    }


def main() -> None:
    """Print the tables, write the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--checkpoint", type=Path, help="Hugging Face folder; default: ALBERT-base with random weights")
    parser.add_argument("--reviews", type=int, default=48)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    print(machine())
    with tempfile.TemporaryDirectory() as folder:
        run(arguments.checkpoint or random_checkpoint(Path(folder) / "checkpoint"), Path(folder), arguments)


def run(checkpoint: Path, folder: Path, arguments: argparse.Namespace) -> None:
    model = AlbertForSequenceClassification.from_pretrained(checkpoint).eval()
    shape = read_folder(checkpoint).shape
    plain = export_plain(model, folder / "plain.onnx")
    optimised = optimise_stock(plain, folder / "optimised.onnx", shape.num_attention_heads, shape.hidden_size)
    quantised = quantise_stock(plain, folder / "quantised.onnx")
    fp32, fp32_folder = our_subject(checkpoint, folder / "fp32", "fp32")
    int8, int8_folder = our_subject(checkpoint, folder / "int8", "int8")
    subjects = [
        transformers_subject(model),
        stock_subject("plain export", "fp32", plain),
        stock_subject("stock-optimised", "fp32", optimised),
        stock_subject("stock-quantised", "int8", quantised),
        fp32,
        int8,
    ]
    sizes = {
        "transformers (torch)": sum(path.stat().st_size for path in checkpoint.glob("*.safetensors")),
        "plain export": plain.stat().st_size,
        "stock-optimised": optimised.stat().st_size,
        "stock-quantised": quantised.stat().st_size,
        "ours, fp32": sum(path.stat().st_size for path in fp32_folder.iterdir()),
        "ours, int8": sum(path.stat().st_size for path in int8_folder.iterdir()),
    }
    encodings, kind = reviews(arguments.reviews)
    lengths = [len(encoding.ids) for encoding in encodings]
    ways: dict[str, Sequence[Batch]] = {str(rows): in_arrival_order(encodings, rows) for rows in ARRIVAL}
    ways[OWN] = by_our_batcher(encodings, batch_limits(Settings(), "cpu", 512))
    print(f"{len(lengths)} {kind}, {np.mean(lengths):.0f} tokens in the mean; {arguments.rounds} rounds")
    peaks = {precision: matrix_peak(precision) for precision in ("fp32", "int8")}
    rates = measure(subjects, ways, len(lengths), arguments.rounds)
    medians = {name: {way: statistics.median(values) for way, values in of.items()} for name, of in rates.items()}
    flops = {ours: forward_flops(shape, lengths, last_layer_cls_only=ours) / len(lengths) for ours in (True, False)}
    shares = {
        subject.name: max(medians[subject.name].values()) * flops[subject.ours] / peaks[subject.precision]
        for subject in subjects
    }
    rows = [[name, *(medians[name][way] for way in ways), sizes[name] / 1e6, f"{shares[name]:.0%}"] for name in medians]
    header = ["reviews/s", *(f"batch {way}" if way != OWN else "our batcher" for way in ways), "MB", "share of peak"]
    table("Medians of the rounds; batches of 1, 8 and 32 in arrival order", header, rows)
    reached = targets(rates)
    table("To be reached", ["ratio", "median"], [[name, value] for name, value in reached.items()])
    print(f"\npeak of a matrix product: fp32 {peaks['fp32'] / 1e9:.0f}, int8 {peaks['int8'] / 1e9:.0f} GFLOP/s")
    path = write_results(
        "model",
        {
            "machine": machine(),
            "reviews": len(lengths),
            "mean_tokens": float(np.mean(lengths)),
            "reviews_per_second": medians,
            "rounds": rates,
            "bytes": sizes,
            "peak_flops": peaks,
            "share_of_peak": shares,
            **reached,
        },
    )
    print(f"written to {path}")


if __name__ == "__main__":
    main()
