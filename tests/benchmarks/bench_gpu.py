"""The model on an NVIDIA GPU: precisions, with and without padding, budgets of tokens, share of the card's peak.

Run ``python -m tests.benchmarks.bench_gpu`` (``make bench-gpu``); it needs nothing but the repository and its packages,
and where no GPU can be used it says what is missing and ends with exit code 2. The model has the shape of ALBERT-base
and random weights. Prints a table in Markdown and writes ``build/bench/gpu.json``.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from tests.benchmarks.flops import forward_flops
from tests.benchmarks.gpu_parts import (
    BASE,
    Predict,
    as_they_come,
    batched,
    make_entries,
    median_seconds,
    missing,
    open_graph,
    peak_flops,
    write_random_artifact,
)
from tests.benchmarks.machine import graphics_card, machine, table, write_results
from tests.review_lengths import MAX_LENGTH, REVIEWS, lognormal_lengths, word_lengths
from worker.batching import Batch
from worker.inference import SessionOptions, providers
from worker.inference.session import cuda_options
from worker.modelkit.convert.shape import AlbertShape

BUDGETS = (4_096, 8_192, 16_384, 32_768, 65_536)
TYPES = {"fp32": np.float32, "fp16": np.float16}
HEADER = (
    "precision",
    "graph",
    "tokens a batch",
    "batches",
    "reviews/s",
    "tokens/s",
    "padding",
    "TFLOP/s",
    "share of peak",
)


@dataclass(frozen=True)
class Row:
    """One line of the table."""

    precision: str
    graph: str
    max_batch_tokens: int
    batches: str
    reviews_per_s: float
    tokens_per_s: float
    """Real tokens."""
    padding_waste: float
    flops_per_s: float
    """Of real tokens; padding is no work."""
    share_of_peak: float

    @classmethod
    def of(
        cls,
        subject: tuple[str, str],
        plan: tuple[int, str],
        cut: Sequence[Batch],
        seconds: float,
        work: float,
        peak: float,
    ) -> Row:
        """`subject` is precision and graph, `plan` budget and kind of batches, `work` in operations."""
        real = sum(batch.real_tokens for batch in cut)
        return cls(
            precision=subject[0],
            graph=subject[1],
            max_batch_tokens=plan[0],
            batches=plan[1],
            reviews_per_s=sum(len(batch.parts) for batch in cut) / seconds,
            tokens_per_s=real / seconds,
            padding_waste=1 - real / sum(batch.padded_tokens for batch in cut),
            flops_per_s=work / seconds,
            share_of_peak=work / seconds / peak,
        )

    @property
    def cells(self) -> tuple[object, ...]:
        """For `table`."""
        return (
            self.precision,
            self.graph,
            self.max_batch_tokens,
            self.batches,
            self.reviews_per_s,
            self.tokens_per_s,
            f"{self.padding_waste:.1%}",
            self.flops_per_s / 1e12,
            f"{self.share_of_peak:.1%}",
        )


Subject = tuple[tuple[str, str], Callable[[], Predict | None]]
Plan = tuple[tuple[int, str], Sequence[Batch]]


def measure(
    subjects: Sequence[Subject], plans: Sequence[Plan], work: float, peaks: dict[str, float], rounds: int
) -> Iterator[Row]:
    """The rows of every subject that can be opened, over every plan; `work` and `peaks` in operations (a second)."""
    opened = []
    for name, open_subject in subjects:
        predict = open_subject()
        if predict is None:
            print(f"{' '.join(name)}: left out, ONNX Runtime cannot compute it here", file=sys.stderr)
        else:
            opened.append((name, predict))
    for plan, cut in plans:
        seconds = median_seconds({" ".join(name): (predict, cut) for name, predict in opened}, rounds)
        for name, _ in opened:
            yield Row.of(name, plan, cut, seconds[" ".join(name)], work, peaks[name[0]])


def open_transformers(device_id: int) -> Predict | None:
    """transformers in half precision on the same card; None where torch has no CUDA."""
    try:
        import torch
        from transformers import AlbertConfig, AlbertForSequenceClassification
    except ImportError:
        return None
    if not torch.cuda.is_available():
        return None
    device = f"cuda:{device_id}"
    model = AlbertForSequenceClassification(AlbertConfig(**BASE)).eval().half().to(device)

    def predict(ids: np.ndarray, lengths: np.ndarray) -> object:
        mask = np.arange(ids.shape[1]) < lengths[:, None]
        with torch.inference_mode():
            inputs = torch.from_numpy(ids).to(device), torch.from_numpy(mask.astype(np.int64)).to(device)
            return model(*inputs).logits.float().softmax(-1).cpu().numpy()

    return predict


def main(argv: Sequence[str] | None = None) -> int:
    """Print the table, or say what is missing; answers the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", type=int, default=0, help="number of the GPU")
    parser.add_argument("--reviews", type=int, default=4096, help="to classify in each round")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--budgets", type=int, nargs="+", default=list(BUDGETS), help="padded tokens of a batch")
    arguments = parser.parse_args(argv)
    problem = missing(arguments.device)
    if problem is not None:
        print(f"bench-gpu: {problem}", file=sys.stderr)
        return 2
    run(arguments)
    return 0


def run(arguments: argparse.Namespace) -> None:
    """Measure everything on the GPU `arguments.device`."""
    lengths = word_lengths(arguments.reviews) if REVIEWS.exists() else lognormal_lengths(arguments.reviews)
    shape = AlbertShape.from_config(BASE)
    entries = make_entries(lengths, shape.vocab_size)
    plans: list[Plan] = [
        plan
        for budget in arguments.budgets
        for plan in (
            ((budget, "worker's"), batched(entries, budget, MAX_LENGTH)),
            ((budget, "as they come"), as_they_come(entries, budget)),
        )
    ]
    place = f"{graphics_card(arguments.device)}; {machine()}"
    print(place)
    chosen = [(providers.CUDA, cuda_options(arguments.device))]
    peaks = {precision: peak_flops(chosen, dtype) for precision, dtype in TYPES.items()}
    print(
        f"peak by products of 8,192: {', '.join(f'{name} {peak / 1e12:.0f} TFLOP/s' for name, peak in peaks.items())}"
    )
    with tempfile.TemporaryDirectory() as folder:
        subjects = _subjects(Path(folder), SessionOptions("cuda", arguments.device))
        subjects.append((("fp16", "transformers (torch)"), lambda: open_transformers(arguments.device)))
        work = forward_flops(shape, lengths, last_layer_cls_only=True)
        rows = list(measure(subjects, plans, work, peaks, arguments.rounds))
    source = "real" if REVIEWS.exists() else "made-up"
    title = f"ALBERT-base, {len(lengths)} reviews of {source} lengths, {np.mean(lengths):.0f} tokens in the mean"
    table(title, HEADER, [row.cells for row in rows])
    figures = {"machine": place, "lengths": source, "peak_flops_per_s": peaks, "rows": [asdict(row) for row in rows]}
    print(f"\nwritten to {write_results('gpu', figures)}")


def _subjects(folder: Path, options: SessionOptions) -> list[Subject]:
    subjects: list[Subject] = []
    for precision in TYPES:
        artifact = write_random_artifact(folder / precision, precision)
        for graph, padding_free in (("padded", False), ("padding-free", True)):
            subjects.append(
                (
                    (precision, graph),
                    lambda artifact=artifact, padding_free=padding_free: open_graph(
                        artifact, padding_free=padding_free, options=options
                    ),
                )
            )
    return subjects


if __name__ == "__main__":
    sys.exit(main())
