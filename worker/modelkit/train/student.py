"""The student: a small ALBERT that learns the teacher's probabilities."""

from __future__ import annotations

import math
import random
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from transformers import AlbertConfig, AlbertForSequenceClassification

Ids = npt.NDArray[np.int32]


@dataclass(frozen=True)
class Schedule:
    """How long and how fast to learn. Each epoch has its own crop length in tokens."""

    epoch_lengths: tuple[int, ...] = (256, 256, 512)
    """The learning rate falls to zero over all of them, also when fewer are computed."""
    stop_after: int = 2
    """Epochs to compute."""
    batch_reviews: int = 32
    learning_rate: float = 1e-3
    warm_up_share: float = 0.06
    weight_decay: float = 0.01
    max_gradient_norm: float = 1.0


def small_albert(vocabulary_size: int) -> AlbertConfig:
    """2 layers that share their weights, 4.8 million parameters with 30,000 pieces."""
    return AlbertConfig(
        vocab_size=vocabulary_size,
        embedding_size=128,
        hidden_size=256,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=1024,
        hidden_act="gelu_new",
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
        classifier_dropout_prob=0.1,
        max_position_embeddings=512,
        num_labels=2,
        id2label={0: "neg", 1: "pos"},
        label2id={"neg": 0, "pos": 1},
        bos_token_id=2,
        eos_token_id=3,
        pad_token_id=0,
    )


def train_student(
    model: AlbertForSequenceClassification,
    encoded: Sequence[Ids],
    soft_labels: npt.NDArray[np.float32],
    schedule: Schedule,
    *,
    seed: int,
    checkpoint: Path,
    evaluate: Callable[[], str],
    report: Callable[[str], None] = print,
) -> None:
    """Train in place. `encoded` has no special pieces; `soft_labels` are probabilities of ``pos``."""
    torch.manual_seed(seed)
    generator = random.Random(seed)
    decayed = [weight for weight in model.parameters() if weight.ndim > 1]
    others = [weight for weight in model.parameters() if weight.ndim <= 1]
    optimiser = torch.optim.AdamW(
        [{"params": decayed, "weight_decay": schedule.weight_decay}, {"params": others, "weight_decay": 0.0}],
        lr=schedule.learning_rate,
        betas=(0.9, 0.98),
    )
    steps_per_epoch = math.ceil(len(encoded) / schedule.batch_reviews)
    steps = steps_per_epoch * len(schedule.epoch_lengths)
    warm_up = int(steps * schedule.warm_up_share)
    rate = torch.optim.lr_scheduler.LambdaLR(
        optimiser, lambda step: min((step + 1) / warm_up, (steps - step) / (steps - warm_up))
    )
    step, started, mean_loss = 0, time.monotonic(), 0.0
    for epoch, length in enumerate(schedule.epoch_lengths[: schedule.stop_after]):
        for chosen in _batches(encoded, length, schedule.batch_reviews, generator):
            inputs = _crops([encoded[index] for index in chosen], length, generator)
            target = torch.from_numpy(soft_labels[chosen])
            with torch.autocast("cpu", dtype=torch.bfloat16):
                logits = model(**inputs).logits
            log_probabilities = torch.log_softmax(logits.float(), dim=-1)
            loss = -(target * log_probabilities[:, 1] + (1 - target) * log_probabilities[:, 0]).mean()
            optimiser.zero_grad(set_to_none=True)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), schedule.max_gradient_norm)
            optimiser.step()
            rate.step()
            step += 1
            mean_loss += 0.01 * (loss.item() - mean_loss) if step > 100 else (loss.item() - mean_loss) / step
            if step % 100 == 0:
                elapsed = time.monotonic() - started
                remaining = elapsed / step * (steps - step)
                report(f"step {step}/{steps} loss {mean_loss:.4f} {elapsed:.0f} s, {remaining:.0f} s to go")
        model.save_pretrained(checkpoint)
        report(f"epoch {epoch + 1}: {evaluate()}")


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
