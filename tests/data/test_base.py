"""Splits, label noise and loaders of all data modules."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from al_lightning import MLPAL, MLPBP
from al_lightning.data import IMDB, SST2, Digits, TextClassification


def fingerprint(data: Digits | IMDB | SST2 | TextClassification) -> str:
    """One short string for the splits, their labels, and the batches of two epochs."""
    numbers = {split: data.indices(split).tolist() for split in ("train", "val", "test", "predict")}
    labels = {split: data.dataset(split).labels[data.indices(split)].tolist() for split in numbers}
    sampler = data.train_dataloader().sampler
    batches = []
    for epoch in (0, 1):
        sampler.set_epoch(epoch)
        batches += [batch.tolist() for batch in sampler]
    return hashlib.sha256(json.dumps([numbers, labels, batches]).encode()).hexdigest()[:16]


@pytest.fixture(autouse=True)
def _texts() -> None:
    rows = [{"text": f"{('bad', 'good')[k % 2]} {k}" + " long" * (k % 9), "label": k % 2} for k in range(60)]
    sentences = [f"the {k} film is {('awful', 'fine')[k % 2]} for {k} hours" for k in range(100, 140)]
    phrases = [
        {"sentence": text, "label": k % 2}
        for k, sentence in enumerate(sentences)
        for text in (" ".join(sentence.split()[1:]), " ".join(sentence.split()[:4]), sentence)
    ]
    for path, table in (
        ("data/imdb/train-0.parquet", rows), ("data/imdb/test-0.parquet", rows[:21]), ("rows.parquet", rows),
        ("data/sst2/train-0.parquet", phrases), ("data/sst2/validation-0.parquet", phrases[:9]),
    ):  # fmt: skip
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(pa.Table.from_pylist(table), path)


# Computed before images and texts shared one base class.
KNOWN: dict[str, tuple[Callable[[], Digits | IMDB | SST2 | TextClassification], str]] = {
    "digits": (Digits, "ce9612ca842f96a8"),
    "digits, another seed": (lambda: Digits(seed=3, batch_size=100), "268b9bb2f2d30019"),
    "digits, a subset": (lambda: Digits(train_samples=500, label_noise=0.4), "a4cb8181b0c9d7b4"),
    "digits, clean validation": (lambda: Digits(label_noise=0.4, noisy_validation=False), "05572e74a86875de"),
    "texts": (lambda: IMDB(batch_size=8, val_fraction=0.2), "c1e4fedb08fda202"),
    "texts, a noisy subset": (
        lambda: IMDB(batch_size=8, train_samples=40, label_noise=0.5, seed=2),
        "6755cf0f55743cde",
    ),
    "texts without a test split": (lambda: TextClassification(source="rows.parquet", batch_size=8), "828930abc539cd1f"),
    "a subset of these": (
        lambda: TextClassification(source="rows.parquet", train_samples=30, label_noise=0.5),
        "ed865d168f310788",
    ),
    "sentences": (lambda: SST2(batch_size=8, val_fraction=0.2), "9a7caffd06ed28b5"),
    "a subset of sentences": (
        lambda: SST2(batch_size=8, val_fraction=0.2, train_samples=60, label_noise=0.3),
        "91387293ef2ea4d1",
    ),
}


@pytest.mark.parametrize("name", KNOWN)
def test_samples_and_labels_of_a_seed(name: str) -> None:
    make, known = KNOWN[name]
    assert fingerprint(make()) == known


def test_validation_split_is_seeded_and_stratified() -> None:
    a, b, c = Digits(seed=0), Digits(seed=0), Digits(seed=1)
    for data in (a, b, c):
        data.setup("fit")
    assert torch.equal(a.indices("val"), b.indices("val"))
    assert not torch.equal(a.indices("val"), c.indices("val"))
    assert len(a.indices("val")) == 144
    assert not set(a.indices("val").tolist()) & set(a.indices("train").tolist())
    counts = a.dataset("val").labels[a.indices("val")].bincount()
    assert counts.max() - counts.min() <= 2
    assert len(a.indices("test")) == 360
    x, y = a.prepare(next(iter(a.train_dataloader())))
    assert abs(float(x.mean())) < 0.1
    assert abs(float(x.std()) - 1) < 0.1


@pytest.mark.parametrize("theta", [0.0, 0.4, 1.0])
def test_label_noise_redraws_over_all_classes(theta: float) -> None:
    clean, noisy = Digits(), Digits(label_noise=theta)
    kept = Digits(label_noise=theta, noisy_validation=False)
    for data in (clean, noisy, kept):
        data.setup("fit")
    changed = (clean.dataset("train").labels != noisy.dataset("train").labels).float().mean()
    assert float(changed) == pytest.approx(0.9 * theta, abs=0.03)  # one redraw in ten hits the same class
    assert torch.equal(clean.indices("val"), noisy.indices("val"))
    val = kept.indices("val")
    assert torch.equal(kept.dataset("val").labels[val], clean.dataset("val").labels[val])
    train = kept.indices("train")
    assert torch.equal(kept.dataset("train").labels[train], noisy.dataset("train").labels[train])
    assert torch.equal(clean.dataset("test").labels, noisy.dataset("test").labels)


def test_label_noise_is_uniform() -> None:
    data = Digits(label_noise=1.0)
    data.setup("fit")
    shares = data.dataset("train").labels.bincount(minlength=10) / 1437
    assert shares.tolist() == pytest.approx([0.1] * 10, abs=0.03)


def test_a_subset_of_the_training_data() -> None:
    data = Digits(train_samples=500)
    data.setup("fit")
    assert len(data.indices("train")) + len(data.indices("val")) == 500
    assert len(data.indices("test")) == 360


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (dict(val_fraction=1.0), r"`val_fraction` to be in \[0, 1\), but got 1\.0: 1 would leave nothing"),
        (dict(val_fraction=-0.1), r"`val_fraction` to be in \[0, 1\), but got -0\.1"),
        (dict(batch_size=0), "`batch_size` to be at least 1, but got 0"),
        (dict(num_workers=-1), "`num_workers` to be at least 0, but got -1"),
        (dict(seed=-1), "`seed` to be at least 0, but got -1"),
        (dict(label_noise=1.5), r"`label_noise` to be in \[0, 1\], but got 1\.5"),
        (dict(image_size=0), "`image_size` to be at least 1, but got 0"),
        (dict(train_samples=0), "`train_samples` to be at least 1, but got 0"),
    ],
)
def test_wrong_arguments_get_a_sentence(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Digits(**arguments)


def test_no_validation(trainer: Callable[..., pl.Trainer]) -> None:
    data = Digits(val_fraction=0, train_samples=200)
    fitted = trainer(max_epochs=1)
    fitted.fit(MLPAL(10, 1, 8, hidden_dims=[8]), data)
    assert "val_acc" not in fitted.callback_metrics
    assert len(data.indices("train")) == 200


def test_workers_change_nothing(trainer: Callable[..., pl.Trainer]) -> None:
    finals = []
    for workers in (0, 1):
        torch.manual_seed(0)
        module = MLPBP(10, 1, 8, hidden_dims=[8])
        trainer(max_epochs=1).fit(module, Digits(train_samples=200, num_workers=workers))
        finals.append([p.detach().clone() for p in module.parameters()])
    assert all(torch.equal(a, b) for a, b in zip(*finals))
