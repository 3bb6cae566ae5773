"""A trained ALBERT of the size of ALBERT-base, to measure precisions with: what int8 costs shows in trained weights only.

Run ``python -m tests.benchmarks.base_model --data DIRECTORY --out DIRECTORY``. Its layers share their weights, so it
learns with few layers first, which is cheap, and with all twelve at the end. It is no good model for anything else:
it has seen little, and short crops only.
"""

from __future__ import annotations

import time
from pathlib import Path

import click
import numpy as np
import torch
from transformers import AlbertConfig, AlbertForSequenceClassification

from worker.tokenization import Tokenizer
from worker.train.data import LABELS, split_reviews
from worker.train.embeddings import cooccurrence_embeddings
from worker.train.pieces import train_pieces
from worker.train.student import probabilities
from worker.train.student import _batches, _crops  # noqa: PLC2701
from worker.train.teacher import Teacher

SEED = 20261124
CROP_TOKENS = 128
BATCH_REVIEWS = 32
STAGES = ((2, 0.35), (4, 0.25), (12, 0.4))
"""Layers, and the share of the time that is spent with so many."""


def base_albert(vocabulary_size: int) -> AlbertConfig:
    """The shape of ``albert-base-v2``."""
    return AlbertConfig(
        vocab_size=vocabulary_size,
        embedding_size=128,
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


@click.command()
@click.option("--data", type=click.Path(exists=True, file_okay=False, path_type=Path), required=True)
@click.option("--out", type=click.Path(file_okay=False, path_type=Path), required=True)
@click.option("--minutes", default=60.0, show_default=True, help="How long to train.")
@click.option("--threads", default=2, show_default=True)
def main(data: Path, out: Path, minutes: float, threads: int) -> None:
    """Train, and write a checkpoint in Hugging Face's layout after each stage."""
    torch.set_num_threads(threads)
    torch.manual_seed(SEED)
    out.mkdir(parents=True, exist_ok=True)
    split = split_reviews(data, seed=20261123)
    texts = split.train.texts + split.unlabelled[:20_000]
    pieces = train_pieces(texts, out / "spiece")
    tokenizer = Tokenizer(pieces, max_length=100_000, lower_case=True)
    encoded = [encoding.ids[1:-1] for encoding in tokenizer.encode_many(texts)]
    development = [encoding.ids[1:-1] for encoding in tokenizer.encode_many(split.development.texts)]
    soft_labels = Teacher(split.train).probabilities(texts)
    model = AlbertForSequenceClassification(base_albert(tokenizer.vocabulary_size))
    embeddings = cooccurrence_embeddings(encoded, vocabulary_size=tokenizer.vocabulary_size, dimensions=128, seed=SEED)
    with torch.no_grad():
        model.albert.embeddings.word_embeddings.weight.copy_(torch.from_numpy(embeddings))
    click.echo(f"{len(texts)} reviews; training for {minutes} minutes")
    generator = np.random.default_rng(SEED)
    optimiser = torch.optim.AdamW(model.parameters(), lr=1.0, weight_decay=0.01, betas=(0.9, 0.98))
    for layers, share in STAGES:
        model.config.num_hidden_layers = layers
        _train(
            model, encoded, soft_labels, optimiser, minutes * 60 * share, generator, peak=6e-4 if layers == 2 else 2e-4
        )
        scores = probabilities(model, development[:400], length=256)
        right = np.mean((scores > 0.5) == np.asarray(split.development.labels[:400], dtype=bool))
        mixed = np.mean(
            (probabilities(model, development[-400:], length=256) > 0.5)
            == np.asarray(split.development.labels[-400:], dtype=bool)
        )
        click.echo(f"{layers} layers: accuracy {(right + mixed) / 2:.3f} on 800 development reviews, cut at 256 tokens")
        model.config.num_hidden_layers = 12
        model.save_pretrained(out)


def _train(model, encoded, soft_labels, optimiser, seconds, generator, *, peak) -> None:  # noqa: ANN001
    import random

    shuffler = random.Random(int(generator.integers(1 << 30)))
    started, step, mean_loss = time.monotonic(), 0, 0.0
    model.train()
    while True:
        for chosen in _batches(encoded, CROP_TOKENS, BATCH_REVIEWS, shuffler):
            done = (time.monotonic() - started) / seconds
            if done >= 1:
                return
            for group in optimiser.param_groups:
                group["lr"] = peak * min(1.0, (step + 1) / 60, (1 - done) / 0.5)
            inputs = _crops([encoded[index] for index in chosen], CROP_TOKENS, shuffler)
            target = torch.from_numpy(soft_labels[chosen])
            with torch.autocast("cpu", dtype=torch.bfloat16):
                logits = model(**inputs).logits
            logs = torch.log_softmax(logits.float(), dim=-1)
            loss = -(target * logs[:, 1] + (1 - target) * logs[:, 0]).mean()
            optimiser.zero_grad(set_to_none=True)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimiser.step()
            step += 1
            mean_loss += (loss.item() - mean_loss) / min(step, 50)
            if step % 50 == 0:
                click.echo(f"{model.config.num_hidden_layers} layers, step {step}, {done:.0%}, loss {mean_loss:.4f}")


if __name__ == "__main__":
    main()
