"""Training through stages: what it learns from, and that it goes on where it was interrupted."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from bert_parts import small_bert, write_bert

from worker.modelkit.train import loop
from worker.modelkit.train.calibration import fit_temperature
from worker.modelkit.train.loop import Trainer, crop
from worker.modelkit.train.pretrained import Pretrained, albert_of
from worker.modelkit.train.stages import STAGES, Example, Stage, examples, scaled
from worker.modelkit.train.teacher import together

FIRST = Stage("first", 6, None, 0, False, (1e-4, 5e-5), 2, 0.5, 0, batch_tokens=32)
SECOND = Stage("second", 8, (0, 4), 0, True, (5e-5, 0.0), 0, 1.0, 1, batch_tokens=32)
REVIEWS = [np.arange(10, 10 + 4 + length, dtype=np.int32) for length in range(12)]


def _examples(stage: Stage) -> list[Example]:
    return [Example(ids, index % 2) for index, ids in enumerate(REVIEWS)]


@pytest.fixture(scope="module")
def pretrained(tmp_path_factory: pytest.TempPathFactory) -> Pretrained:
    return Pretrained.read(write_bert(tmp_path_factory.mktemp("bert"), small_bert(1)))


def _train(
    pretrained: Pretrained,
    folder: Path,
    examples_of: Callable[[Stage], list[Example]] = _examples,
    *,
    threads: int = 2,
    report: Callable[[str], None] = print,
) -> tuple[dict[str, torch.Tensor], list[str]]:
    """Its weights by name, and the stages that ended."""
    torch.manual_seed(1)
    model = albert_of(pretrained, pretrained.word_embeddings, layers=1)
    ended: list[str] = []
    folder.mkdir(exist_ok=True)
    trainer = Trainer(model, folder, seed=3, threads=threads, report=report)
    trainer.stages([FIRST, SECOND], examples_of, lambda stage: ended.append(stage.name))
    return {name: weight.detach().clone() for name, weight in model.state_dict().items()}, ended


def _unequal(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> list[str]:
    assert one.keys() == other.keys()
    return [name for name, weight in one.items() if not torch.equal(weight, other[name])]


def test_every_stage_learns_and_leaves_a_checkpoint(pretrained: Pretrained, tmp_path: Path) -> None:
    _, ended = _train(pretrained, tmp_path)
    assert ended == ["first", "second"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["first.pt", "second.pt"]
    weights = [torch.load(tmp_path / f"{name}.pt")["m"]["classifier.weight"] for name in ("first", "second")]
    assert not torch.equal(*weights)


def test_an_interrupted_training_goes_on_from_its_last_checkpoint(pretrained: Pretrained, tmp_path: Path) -> None:
    def broken(stage: Stage) -> list[Example]:
        if stage is SECOND:
            raise KeyboardInterrupt
        return _examples(stage)

    with pytest.raises(KeyboardInterrupt):
        _train(pretrained, tmp_path, broken)
    first = (tmp_path / "first.pt").read_bytes()
    _, ended = _train(pretrained, tmp_path)
    assert ended == ["second"]
    assert (tmp_path / "first.pt").read_bytes() == first


def test_a_training_that_is_done_is_not_done_again(pretrained: Pretrained, tmp_path: Path) -> None:
    trained, _ = _train(pretrained, tmp_path)
    again, ended = _train(pretrained, tmp_path)
    assert ended == []
    assert _unequal(trained, again) == []


def test_a_seed_gives_the_same_weights_whatever_else_draws_and_on_any_number_of_threads(
    pretrained: Pretrained, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loop, "_REPORT_EVERY", 1)
    weights, _ = _train(pretrained, tmp_path / "one", threads=1)
    others, _ = _train(pretrained, tmp_path / "two", threads=4, report=lambda line: torch.rand(3))
    assert _unequal(weights, others) == []


def test_no_two_parts_and_no_two_steps_leave_out_the_same() -> None:
    draws = [torch.rand(8, generator=loop._generator(3, step, part)) for step in range(3) for part in range(3)]
    assert len({tuple(draw.tolist()) for draw in draws}) == 9


def test_a_training_that_stops_within_a_stage_goes_on_from_the_step_of_its_checkpoint(
    pretrained: Pretrained, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(line: str) -> None:
        if line.startswith("second 2/"):
            raise KeyboardInterrupt

    monkeypatch.setattr(loop, "_REPORT_EVERY", 1)
    monkeypatch.setattr(loop, "SAVE_EVERY_S", 0.0)
    with pytest.raises(KeyboardInterrupt):
        _train(pretrained, tmp_path, report=interrupted)
    assert torch.load(tmp_path / "second.pt")["step"] == 1
    lines: list[str] = []
    _, ended = _train(pretrained, tmp_path, report=lines.append)
    assert ended == ["second"]
    assert lines[0] == "second: going on from step 1"
    steps = [line.partition(" loss")[0] for line in lines[1:]]
    end = int(steps[-1].rpartition("/")[2])
    assert steps == [f"second {step}/{end}" for step in range(2, end + 1)]
    assert end > 2
    assert torch.load(tmp_path / "second.pt")["step"] == end


def test_a_crop_is_both_ends_or_a_part() -> None:
    ids = np.arange(100, dtype=np.int32)
    generator = random.Random(5)
    assert crop(ids[:20], 20, 1.0, generator).tolist() == list(range(20))
    both = crop(ids, 20, 1.0, generator).tolist()
    assert (both[0], both[-1], len(both)) == (0, 99, 20)
    part = crop(ids, 20, 0.0, generator).tolist()
    assert part == list(range(part[0], part[0] + 20))


def test_a_stage_may_have_sentences_and_the_opinion_of_a_teacher() -> None:
    stage = Stage("s", 8, (1, 3), 5, True, (1e-4, 0.0), 0, 1.0, 2)
    teacher = np.full(len(REVIEWS), 0.5, dtype=np.float32)
    others = [Example(REVIEWS[5], 0.25)]
    made = examples(
        stage, REVIEWS, [1] * len(REVIEWS), teacher, lambda texts: [REVIEWS[0]] * len(texts), others, seed=1
    )
    assert [example.target for example in made[:2]] == pytest.approx([0.75 * 0.97 + 0.25 * 0.5] * 2)
    assert made[-1:] == others
    assert len(made) == 2 + 5 + 1


@pytest.mark.parametrize("limit", [1, 100, 15_000])
def test_a_trial_with_fewer_reviews_has_some_for_every_stage(limit: int) -> None:
    for stage in STAGES:
        small = scaled(stage, limit / 20_000)
        assert replace(small, reviews=stage.reviews, unlabelled=stage.unlabelled) == stage
        assert bool(small.unlabelled) == bool(stage.unlabelled)
        if stage.reviews is not None:
            assert small.reviews is not None
            first, end = small.reviews
            assert 0 <= first < end <= limit
            assert end - first == pytest.approx((stage.reviews[1] - stage.reviews[0]) * limit / 20_000, abs=1)


def test_two_opinions_become_one_and_the_n_gram_model_is_never_quite_sure() -> None:
    said = together(np.array([2.0, -2.0, 0.0], dtype=np.float32), np.array([0.5, 0.5, 1.0], dtype=np.float32))
    assert said == pytest.approx([1 / (1 + np.exp(-1)), 1 / (1 + np.exp(1)), 1 / (1 + np.exp(-3))], rel=1e-4)


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0])
def test_the_temperature_that_logits_were_made_too_sure_by_is_found(temperature: float) -> None:
    generator = np.random.default_rng(4)
    honest = generator.normal(0, 2, 40_000)
    labels = (generator.random(40_000) < 1 / (1 + np.exp(-honest))).astype(int)
    assert fit_temperature(honest * temperature, labels) == pytest.approx(temperature, rel=0.05)
