"""Splits, label noise and loaders of all data modules."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import lightning.pytorch as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from lightning.pytorch.strategies import DDPStrategy
from torch import Tensor

from al_lightning import MLPAL, MLPBP
from al_lightning.data import (
    CIFAR10,
    IMDB,
    SST2,
    AGNews,
    BaseDataModule,
    DBpedia,
    Digits,
    FashionMNIST,
    TextClassification,
)
from al_lightning.data.dataset import LabelledDataset


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


# Samples, labels and batches of a seed stay the same from version to version; these are since every stream of random
# numbers is named by its purpose.
KNOWN: dict[str, tuple[Callable[[], Digits | IMDB | SST2 | TextClassification], str]] = {
    "digits": (Digits, "d29c47c35da7acb3"),
    "digits, another seed": (lambda: Digits(seed=3, batch_size=100), "50bb8aecfd88548b"),
    "digits, a subset": (lambda: Digits(train_samples=500, label_noise=0.4), "9c1f6e5d4029095e"),
    "digits, clean validation": (lambda: Digits(label_noise=0.4, noisy_validation=False), "7d3337b084e7bc6e"),
    "texts": (lambda: IMDB(batch_size=8, val_fraction=0.2), "0bb7c9c8f84eec39"),
    "texts, a noisy subset": (
        lambda: IMDB(batch_size=8, train_samples=40, label_noise=0.5, seed=2),
        "68634f93b7890fc4",
    ),
    "texts without a test split": (lambda: TextClassification(source="rows.parquet", batch_size=8), "0a18d4646eef04f4"),
    "a subset of these": (
        lambda: TextClassification(source="rows.parquet", train_samples=30, label_noise=0.5),
        "d7e9f845351d879f",
    ),
    "sentences": (lambda: SST2(batch_size=8, val_fraction=0.2), "1be1db58751990bc"),
    "a subset of sentences": (
        lambda: SST2(batch_size=8, val_fraction=0.2, train_samples=60, label_noise=0.3),
        "3982886fb65c719b",
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


# ---------------------------------------------------------------------- labels that are no classes


class Pairs(LabelledDataset[tuple[Tensor, Tensor]]):
    """Numbers and labels of any kind."""

    def __init__(self, labels: Tensor) -> None:
        self.labels = labels

    def __getitem__(self, index: Tensor) -> tuple[Tensor, Tensor]:
        return index, self.labels[index]


class Values(BaseDataModule[tuple[Tensor, Tensor], Pairs]):
    """The least that a kind of data has to say."""

    labels = torch.linspace(0, 1, 50)

    def __init__(self, **options: Any) -> None:
        super().__init__("data", 8, 0.2, 0, 0, **options)

    def load_split(self, split: str) -> tuple[Pairs, Tensor]:
        return Pairs(self.labels), self.own_part(self.labels, split)

    def load_unlabelled(self, path: Path) -> tuple[Pairs, list[str]]:
        raise NotImplementedError

    def prepare(self, batch: Any, training: bool = False, epoch: int = 0) -> tuple[Tensor, Tensor]:
        return batch[0].float().unsqueeze(1), batch[1]


class Rounded(Values):
    def strata(self, labels: Tensor) -> Tensor:
        return (labels > 0.5).long()


def test_values_are_split_at_random() -> None:
    data = Values(train_samples=30)
    assert data.num_classes is data.class_names is data.vocabulary is data.sample_names() is None
    parts = [data.indices(split).tolist() for split in ("train", "val", "test")]
    assert [len(part) for part in parts] == [24, 6, 10]
    assert len({n for part in parts for n in part}) == 40
    assert Values(train_samples=30).indices("val").tolist() == parts[1]
    assert torch.cat([y for _, y in data.train_dataloader()]).dtype == torch.float32
    with pytest.raises(ValueError, match=r"class numbers, because label_noise=0.1 .*num_classes=None .* torch.float32"):
        Values(label_noise=0.1).setup("fit")


def test_a_subclass_says_what_splits_keep_the_proportions_of() -> None:
    data = Rounded()
    assert [int((data.labels[data.indices(split)] > 0.5).sum()) for split in ("train", "val", "test")] == [16, 4, 5]


def test_an_empty_split_gets_a_sentence() -> None:
    class Empty(Values):
        def load_split(self, split: str) -> tuple[Pairs, Tensor]:
            return Pairs(torch.zeros(0)), torch.arange(0)

    with pytest.raises(ValueError, match="at least one sample in the test split of Empty, but it is empty. Look"):
        Empty().test_dataloader()


# ---------------------------------------------------------------------- shares and sets


class HalfTheRanks(DDPStrategy):
    """Two processes train each of three replicas, as the stages of a pipeline do."""

    @property
    def distributed_sampler_kwargs(self) -> dict[str, Any]:
        return {"num_replicas": 3, "rank": 1}


@pytest.mark.parametrize("split", ["train", "val", "test", "predict"])
def test_the_strategy_says_which_share_is_read(split: str) -> None:
    """Rank 4 of 6 reads the share of replica 1 of 3."""
    data = Digits(batch_size=10)
    data.trainer = SimpleNamespace(strategy=HalfTheRanks(), overfit_batches=0, global_rank=4, world_size=6)  # type: ignore[assignment]
    sampler: Any = getattr(data, f"{split}_dataloader")().sampler
    assert (sampler.rank, sampler.num_replicas) == (1, 3)
    alone = Digits(batch_size=30)
    whole: Any = getattr(alone, f"{split}_dataloader")().sampler
    for ours, everyones in zip(list(sampler)[:3], whole):
        assert torch.equal(ours, everyones[10:20])


@pytest.mark.parametrize("kind", [CIFAR10, Digits, FashionMNIST, AGNews, DBpedia, IMDB, SST2])
def test_named_sets_are_attributes_only(kind: type[BaseDataModule[Any, Any]]) -> None:
    assert "__init__" not in vars(kind)
    one, other = kind(), kind(root="elsewhere")
    assert isinstance(one.class_names, list)
    assert len(one.class_names) == one.num_classes
    one.class_names.append("another")
    assert other.class_names == kind().class_names != one.class_names
    arguments = one.plain_arguments()
    assert {"root", "batch_size", "val_fraction", "seed", "label_noise", "noisy_validation", "train_samples"} <= set(
        arguments
    )
