"""A trained ALBERT of the size of ALBERT-base, to measure precisions with: trained weights show what int8 costs.

Run ``python -m tests.benchmarks.base_model --data DIRECTORY --out DIRECTORY``. It starts from the bundled model, made
three times as wide without changing what it computes (every unit is there three times, as in Chen et al., "Net2Net",
2016), and grows from two layers to twelve while it learns on: cheap, since ALBERT's layers share their weights.
It is no good model for anything else: it has seen little, and short crops only.
"""

from __future__ import annotations

import random
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import click
import numpy as np
import numpy.typing as npt
import torch
from bundled_weights import EMBEDDING_SIZE, bundled_weights
from transformers import AlbertConfig, AlbertForSequenceClassification

from worker.inference.artifact import BUNDLED_PATH, PIECES
from worker.modelkit.train.data import LABELS, split_reviews
from worker.modelkit.train.teacher import Teacher
from worker.tokenization.tokenizer import Tokenizer

Ids = npt.NDArray[np.int32]
SEED = 20261124
CROP_TOKENS = 64
BATCH_REVIEWS = 32
WARM_UP_STEPS = 30
STAGES = (
    (2, 0.03, 2e-4),
    (3, 0.08, 2e-4),
    (4, 0.12, 2e-4),
    (6, 0.17, 1e-4),
    (7, 0.06, 5e-5),
    (8, 0.08, 5e-5),
    (10, 0.12, 5e-5),
    (12, 0.34, 5e-5),
)
"""Layers, the share of the time that is spent with so many, and the learning rate; deeper ones diverge with more."""
COPIES = 3
NOISE = 0.1
"""Standard deviation of the random factor on each weight, so that the three copies of a unit learn apart."""


def base_albert(vocabulary_size: int) -> AlbertConfig:
    """The shape of ``albert-base-v2``, but for the embeddings, which are as wide as the bundled model's."""
    return AlbertConfig(
        vocab_size=vocabulary_size,
        embedding_size=EMBEDDING_SIZE,
        hidden_size=768,
        num_hidden_layers=12,
        num_attention_heads=12,
        intermediate_size=3072,
        hidden_act="gelu_new",
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
        classifier_dropout_prob=0.0,
        max_position_embeddings=512,
        id2label=dict(enumerate(LABELS)),
        label2id={label: index for index, label in enumerate(LABELS)},
        bos_token_id=2,
        eos_token_id=3,
        pad_token_id=0,
    )


def widened(name: str, value: npt.NDArray[np.float32], shape: Sequence[int]) -> npt.NDArray[np.float32]:
    """`value` with every hidden unit three times; what reads three copies of a unit weighs each by a third."""
    if tuple(value.shape) == tuple(shape):
        return value
    repeats = [wanted // has for wanted, has in zip(shape, value.shape, strict=True)]
    reads_copies = value.ndim == 2 and repeats[1] == COPIES
    return np.tile(value, repeats) / (COPIES if reads_copies else 1)


@click.command()
@click.option("--data", type=click.Path(exists=True, file_okay=False, path_type=Path), required=True)
@click.option("--out", type=click.Path(file_okay=False, path_type=Path), required=True)
@click.option("--minutes", default=60.0, show_default=True, help="How long to train.")
@click.option("--threads", default=2, show_default=True, help="Processor cores to train on.")
@click.option("--from-layers", default=2, show_default=True, help="Go on from the checkpoint in --out, at this stage.")
def main(data: Path, out: Path, minutes: float, threads: int, from_layers: int) -> None:
    """Train, and write a checkpoint in Hugging Face's layout after each stage."""
    torch.set_num_threads(threads)
    torch.manual_seed(SEED)
    out.mkdir(parents=True, exist_ok=True)
    (out / PIECES).write_bytes((BUNDLED_PATH / PIECES).read_bytes())
    split = split_reviews(data, seed=20261123)
    texts = split.train.texts + split.unlabelled[:20_000]
    tokenizer = Tokenizer(BUNDLED_PATH / PIECES, max_length=100_000, lower_case=True)
    encoded = [encoding.ids[1:-1] for encoding in tokenizer.encode_many(texts)]
    held = [encoding.ids[1:-1] for encoding in tokenizer.encode_many(split.development.texts)]
    soft_labels = Teacher(split.train).probabilities(texts)
    fresh = from_layers == STAGES[0][0]
    model = _start(tokenizer.vocabulary_size) if fresh else AlbertForSequenceClassification.from_pretrained(out)

    def accuracy() -> float:
        scores = probabilities(model, held[300:700], length=256)
        return float(np.mean((scores > 0.5) == np.asarray(split.development.labels[300:700], dtype=bool)))

    stages = [stage for stage in STAGES if stage[0] >= from_layers]
    model.config.num_hidden_layers = from_layers
    click.echo(f"{len(texts)} reviews; accuracy {accuracy():.3f} before; training for {minutes} minutes")
    if fresh:
        with torch.no_grad():
            for weight in model.albert.encoder.parameters():
                weight.mul_(1 + NOISE * torch.randn_like(weight))
    optimiser = torch.optim.AdamW(model.parameters(), lr=1.0, weight_decay=0.01, betas=(0.9, 0.98))
    steps = _steps(encoded, random.Random(SEED))
    for layers, share, peak in stages:
        model.config.num_hidden_layers = layers
        seconds = minutes * 60 * share / sum(stage[1] for stage in stages)
        started, step, mean_loss = time.monotonic(), 0, 0.0
        while (done := (time.monotonic() - started) / seconds) < 1:
            rate = peak * min(1.0, (step + 1) / WARM_UP_STEPS, max(0.05, (1 - done) / 0.7))
            for group in optimiser.param_groups:
                group["lr"] = rate
            loss = _step(model, optimiser, *next(steps), soft_labels)
            mean_loss = 0.95 * mean_loss + 0.05 * loss if mean_loss else loss
            step += 1
            if step % 25 == 0:
                click.echo(f"{layers} layers, step {step}, {done:.0%}, loss {mean_loss:.4f}")
        click.echo(f"{layers} layers: accuracy {accuracy():.3f} on 400 development reviews, cut at 256 tokens")
        model.config.num_hidden_layers = 12
        model.save_pretrained(out)


def _start(vocabulary_size: int) -> AlbertForSequenceClassification:
    model = AlbertForSequenceClassification(base_albert(vocabulary_size))
    narrow = bundled_weights()
    state = {
        name: torch.from_numpy(np.ascontiguousarray(widened(name, narrow[name], tuple(weight.shape))))
        for name, weight in model.state_dict().items()
        if name in narrow
    }
    model.load_state_dict(state)
    return model


def _steps(encoded: Sequence[Ids], generator: random.Random):
    while True:
        for chosen in _batches(encoded, CROP_TOKENS, BATCH_REVIEWS, generator):
            yield chosen, _crops([encoded[index] for index in chosen], CROP_TOKENS, generator)


def _step(model, optimiser, chosen, inputs, soft_labels) -> float:
    model.train()
    target = torch.from_numpy(soft_labels[chosen])
    with torch.autocast("cpu", dtype=torch.bfloat16):
        logits = model(**inputs).logits
    logs = torch.log_softmax(logits.float(), dim=-1)
    loss = -(target * logs[:, 1] + (1 - target) * logs[:, 0]).mean()
    optimiser.zero_grad(set_to_none=True)
    loss.backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimiser.step()
    return float(loss.item())


def probabilities(
    model: AlbertForSequenceClassification, encoded: Sequence[Ids], *, length: int = 512
) -> npt.NDArray[np.float32]:
    """Probability of ``pos`` of each review, cut to `length` tokens: shape ``[len(encoded)]``, float32."""
    order = sorted(range(len(encoded)), key=lambda index: len(encoded[index]))
    scores = np.empty(len(encoded), dtype=np.float32)
    was_training = model.training
    model.eval()
    with torch.inference_mode():
        for start in range(0, len(order), 32):
            chosen = order[start : start + 32]
            logits = model(**_pad([_framed(encoded[index][: length - 2]) for index in chosen])).logits
            scores[chosen] = torch.softmax(logits.float(), dim=-1)[:, 1].numpy()
    model.train(was_training)
    return scores


def _batches(encoded: Sequence[Ids], length: int, size: int, generator: random.Random) -> Iterator[list[int]]:
    """Every review once, batches of like lengths, in random order."""
    indices = list(range(len(encoded)))
    generator.shuffle(indices)
    batches: list[list[int]] = []
    for start in range(0, len(indices), size * 64):
        window = sorted(indices[start : start + size * 64], key=lambda index: min(len(encoded[index]), length))
        batches.extend(window[first : first + size] for first in range(0, len(window), size))
    generator.shuffle(batches)
    return iter(batches)


def _crops(chosen: Sequence[Ids], length: int, generator: random.Random) -> dict[str, torch.Tensor]:
    """A random window of each review. Half of them keep the place they had, so that every position is learnt."""
    crops, offsets = [], []
    for ids in chosen:
        start = generator.randint(0, max(0, len(ids) - (length - 2)))
        crop = ids[start : start + length - 2]
        crops.append(_framed(crop))
        offsets.append(generator.randint(0, 512 - len(crop) - 2) if generator.random() < 0.5 else 0)
    inputs = _pad(crops)
    columns = torch.arange(inputs["input_ids"].shape[1])
    positions = columns + torch.tensor(offsets).unsqueeze(1) * (columns > 0)
    return {**inputs, "position_ids": positions.clamp(max=511)}


def _framed(ids: Ids) -> Ids:
    return np.concatenate(([2], ids, [3])).astype(np.int32)


def _pad(rows: Sequence[Ids]) -> dict[str, torch.Tensor]:
    longest = max(len(row) for row in rows)
    ids = np.zeros((len(rows), longest), dtype=np.int64)
    mask = np.zeros((len(rows), longest), dtype=np.int64)
    for index, row in enumerate(rows):
        ids[index, : len(row)] = row
        mask[index, : len(row)] = 1
    return {"input_ids": torch.from_numpy(ids), "attention_mask": torch.from_numpy(mask)}


if __name__ == "__main__":
    main()
