"""Training through one stage, with checkpoints to go on from."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch.nn import functional
from transformers import AlbertForSequenceClassification

from worker.modelkit.train.forward import Ids, logits, padded
from worker.modelkit.train.pretrained import IDENTITY
from worker.modelkit.train.stages import Example, Stage

PARTS = 4
"""Parts that a batch is computed in, side by side. Each thread takes the next one, so none waits long for another."""
MOST_ROWS = 64
SAVE_EVERY_S = 180.0
_WINDOW = 2048
_REPORT_EVERY = 25


@dataclass(frozen=True)
class Trainer:
    """A model in training; `stage` goes through one stage of it."""

    model: AlbertForSequenceClassification
    folder: Path
    """For the checkpoints, one for each stage."""
    seed: int
    threads: int
    report: Callable[[str], None] = print

    def stages(
        self, stages: Sequence[Stage], examples_of: Callable[[Stage], list[Example]], after: Callable[[Stage], None]
    ) -> None:
        """Go through `stages`, from the last checkpoint on; `after` is called at the end of each one computed."""
        optimiser = _optimiser(self.model)
        done = [stage for stage in stages if self._path(stage).exists()]
        for stage in stages:
            start = 0
            if done and stage in done[:-1]:
                continue
            if done and stage is done[-1]:
                start = self._load(stage, optimiser)
            batches = _batches(examples_of(stage), stage, random.Random(self.seed + stage.seed_offset))
            if start < _end(stage, batches):
                self._stage(stage, batches, optimiser, start)
                after(stage)

    def _stage(self, stage: Stage, batches: _Batches, optimiser: torch.optim.Optimizer, start: int) -> None:
        seed, steps, end = self.seed + stage.seed_offset, len(batches.rows), _end(stage, batches)
        # After an interruption the random crops differ from those of an uninterrupted run.
        generator = random.Random(seed * 7919 + start)
        weights = _learnt(self.model)
        mean_loss, tokens, started, saved = None, 0, time.monotonic(), time.monotonic()
        with ThreadPoolExecutor(self.threads) as pool:
            for step in range(start, end):
                _set_rate(optimiser, stage, step, steps)
                chosen = [batches.examples[index] for index in batches.rows[step]]
                crops = [crop(example.ids, stage.room, stage.both_ends, generator) for example in chosen]
                targets = [example.target for example in chosen]
                loss, computed = self._step(pool, crops, targets, weights, (seed, step))
                torch.nn.utils.clip_grad_norm_(weights, 1.0)
                optimiser.step()
                optimiser.zero_grad(set_to_none=True)
                mean_loss = loss if mean_loss is None else mean_loss + 0.02 * (loss - mean_loss)
                tokens += computed
                if step % _REPORT_EVERY == _REPORT_EVERY - 1:
                    speed = tokens / (time.monotonic() - started)
                    self.report(f"{stage.name} {step + 1}/{end} loss {mean_loss:.4f}, {speed:.0f} tokens/s")
                if time.monotonic() - saved > SAVE_EVERY_S:
                    self._save(stage, optimiser, step + 1)
                    saved = time.monotonic()
        self._save(stage, optimiser, end)

    def _step(
        self,
        pool: ThreadPoolExecutor,
        crops: list[Ids],
        targets: list[float],
        weights: list[torch.Tensor],
        place: tuple[int, int],
    ) -> tuple[float, int]:
        """Set the gradients of `weights`; answers the mean loss and the tokens computed. `place` is seed and step."""
        count = len(crops)
        parts = min(PARTS, count)
        ends = [count * part // parts for part in range(parts + 1)]

        def compute(part: int) -> tuple[float, int, tuple[torch.Tensor, ...]]:
            rows = slice(ends[part], ends[part + 1])
            ids, mask = padded(crops[rows])
            target = torch.tensor(targets[rows], dtype=torch.float32)
            said = functional.log_softmax(logits(self.model, ids, mask, _generator(*place, part)), -1)
            loss = -(target * said[:, 1] + (1 - target) * said[:, 0]).sum() / count
            return loss.item(), ids.numel(), torch.autograd.grad(loss, weights)

        computed = list(pool.map(compute, range(parts)))
        gradients = list(computed[0][2])
        for _, _, others in computed[1:]:
            torch._foreach_add_(gradients, list(others))
        for weight, gradient in zip(weights, gradients, strict=True):
            weight.grad = gradient
        return sum(part[0] for part in computed), sum(part[1] for part in computed)

    def _path(self, stage: Stage) -> Path:
        return self.folder / f"{stage.name}.pt"

    def _save(self, stage: Stage, optimiser: torch.optim.Optimizer, step: int) -> None:
        unfinished = self._path(stage).with_suffix(".tmp")
        torch.save({"m": self.model.state_dict(), "o": optimiser.state_dict(), "step": step}, unfinished)
        unfinished.replace(self._path(stage))

    def _load(self, stage: Stage, optimiser: torch.optim.Optimizer) -> int:
        state = torch.load(self._path(stage), weights_only=True)
        self.model.load_state_dict(state["m"])
        optimiser.load_state_dict(state["o"])
        self.report(f"{stage.name}: going on from step {state['step']}")
        return int(state["step"])


def _generator(*place: int) -> torch.Generator:
    """One of its own for each part of a step: parts are computed side by side, in no certain order."""
    (seed,) = np.random.SeedSequence(place).generate_state(1, np.uint64)
    return torch.Generator().manual_seed(int(seed))


def crop(ids: Ids, room: int, both_ends: float, generator: random.Random) -> Ids:
    """At most `room` tokens: beginning and end together, or a random part."""
    if len(ids) <= room:
        return ids
    if generator.random() < both_ends:
        head = int(room * generator.uniform(0.2, 0.45))
        return np.concatenate((ids[:head], ids[len(ids) - room + head :]))
    start = generator.randint(0, len(ids) - room)
    return ids[start : start + room]


@dataclass(frozen=True)
class _Batches:
    examples: list[Example]
    rows: list[list[int]]
    """The examples of each batch."""


def _batches(examples: list[Example], stage: Stage, generator: random.Random) -> _Batches:
    """Each example once, in batches of similar lengths and about equal token counts, in random order."""
    order = list(range(len(examples)))
    generator.shuffle(order)
    rows: list[list[int]] = []
    for start in range(0, len(order), _WINDOW):
        window = sorted(order[start : start + _WINDOW], key=lambda index: min(len(examples[index].ids), stage.room))
        first = 0
        while first < len(window):
            count = 1
            while (
                first + count < len(window)
                and count < MOST_ROWS
                and (count + 1) * (min(len(examples[window[first + count]].ids), stage.room) + 2) <= stage.batch_tokens
            ):
                count += 1
            rows.append(window[first : first + count])
            first += count
    generator.shuffle(rows)
    return _Batches(examples, rows)


def _end(stage: Stage, batches: _Batches) -> int:
    return min(len(batches.rows), stage.stop_after or len(batches.rows))


def _learnt(model: AlbertForSequenceClassification) -> list[torch.Tensor]:
    """All weights but those that stay the identity."""
    return [weight for name, weight in model.named_parameters() if IDENTITY not in name]


def _optimiser(model: AlbertForSequenceClassification) -> torch.optim.Optimizer:
    weights = _learnt(model)
    groups = [
        {"params": [weight for weight in weights if weight.ndim > 1], "weight_decay": 0.01},
        {"params": [weight for weight in weights if weight.ndim <= 1], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=1e-4, betas=(0.9, 0.98), fused=True)


def _set_rate(optimiser: torch.optim.Optimizer, stage: Stage, step: int, steps: int) -> None:
    first, last = stage.rates
    rate = (first + (last - first) * step / steps) * (min(1, (step + 1) / stage.warm_up) if stage.warm_up else 1)
    for group in optimiser.param_groups:
        group["lr"] = rate
