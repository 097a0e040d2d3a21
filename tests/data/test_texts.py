"""Text sets: what batches hold, what is cached, and what a user does wrong."""

from __future__ import annotations

import csv
import multiprocessing
import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from filelock import FileLock
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonargparse import ArgumentParser

from al_lightning.cli.main import main
from al_lightning.data import IMDB, SST2, AGNews, DBpedia, TextClassification, TextDataModule, tokens
from al_lightning.data.samplers import BatchIndices
from al_lightning.modules import LSTMBP
from al_lightning.nn.vocabulary import TextEncoder

POSITIVE, NEGATIVE = "a good film , really good", "bad"


def write(folder: str, rows: dict[str, list[dict[str, Any]]], kind: str = "parquet") -> None:
    Path(folder).mkdir(parents=True, exist_ok=True)
    for split, content in rows.items():
        table = pa.Table.from_pylist(content)
        if kind == "parquet":
            pq.write_table(table, f"{folder}/{split}-00000-of-00001.parquet")
        else:
            with open(f"{folder}/{split}.csv", "w", newline="", encoding="utf-8") as file:
                writer = csv.DictWriter(file, content[0].keys())
                writer.writeheader()
                writer.writerows(content)


def reviews(n: int) -> list[dict[str, Any]]:
    return [
        {"text": f"{POSITIVE if k % 2 else NEGATIVE} number {k}" + " long" * (k % 9), "label": k % 2} for k in range(n)
    ]


@pytest.fixture
def imdb() -> None:
    write("data/imdb", {"train": reviews(60), "test": reviews(21)})


def test_batches_are_the_encoded_texts(imdb: None) -> None:
    data = IMDB(batch_size=8, val_fraction=0.2, max_length=6)
    assert data.vocabulary[:2] == ["<pad>", "<unk>"]
    assert data.vocab_size == len(data.vocabulary)
    encode = TextEncoder(data.vocabulary, 6)
    dataset = data.dataset("train")
    rows = reviews(60)
    for n in (0, 1, 17, 59):
        x, y = dataset[torch.tensor([n])]
        assert torch.equal(x, encode([rows[n]["text"]]))
        assert y.item() == rows[n]["label"]
    x, y = dataset[torch.arange(9)]
    assert torch.equal(x, encode([row["text"] for row in rows[:9]]))
    assert x.dtype == y.dtype == torch.long
    assert len(data.indices("train")) == 48
    assert len(data.indices("val")) == 12
    seen = torch.cat([y for _, y in data.test_dataloader()])
    assert len(seen) == 21
    assert [len(b) for b, _ in data.predict_dataloader()] == [8, 8, 5]
    assert torch.equal(next(iter(data.predict_dataloader()))[0], encode([row["text"] for row in reviews(8)]))


def test_test_words_that_training_lacks_are_unknown(imdb: None) -> None:
    write("data/imdb", {"test": [{"text": "good surprise", "label": 1}]})
    data = IMDB()
    x, _ = data.dataset("test")[torch.tensor([0])]
    assert x.tolist() == [[data.vocabulary.index("good"), 1]]


def test_vocabulary_is_cut_and_counted(imdb: None) -> None:
    data = IMDB(max_words=2)
    counts = Counter(word for row in reviews(60) for word in row["text"].split())
    assert data.vocabulary[2:] == sorted(counts, key=lambda word: (-counts[word], word))[:2]
    assert data.vocab_size == 4
    total = sum(len(TextEncoder(IMDB().vocabulary)([row["text"]])[0]) for row in reviews(60))
    assert data.word_counts.sum() == total
    assert data.word_counts[0] == 0


def test_a_given_vocabulary_needs_no_training_text() -> None:
    write("data/imdb", {"test": reviews(4)})
    data = IMDB(vocabulary=["<pad>", "<unk>", "good"])
    assert set(torch.cat([x.flatten() for x, _ in data.test_dataloader()]).tolist()) == {0, 1, 2}


@settings(max_examples=60, deadline=None)
@given(n=st.integers(1, 300), batch=st.integers(1, 16), ranks=st.integers(1, 4), epoch=st.integers(0, 3))
def test_global_batches_do_not_depend_on_the_number_of_processes(n: int, batch: int, ranks: int, epoch: int) -> None:
    lengths = torch.randint(1, 50, (n,), generator=torch.Generator().manual_seed(n))

    def batches(rank: int, world: int) -> list[torch.Tensor]:
        sampler = BatchIndices(
            torch.arange(n), batch * ranks // world, shuffle=True, seed=1, rank=rank, world_size=world, training=True,
            lengths=lengths,
        )  # fmt: skip
        sampler.set_epoch(epoch)
        found = list(sampler)
        assert len(found) == len(sampler)
        return found

    single, shards = batches(0, 1), [batches(rank, ranks) for rank in range(ranks)]
    assert len({len(shard) for shard in shards}) == 1
    for step in range(n // (batch * ranks)):  # whole batches
        assert sorted(torch.cat([shard[step] for shard in shards]).tolist()) == sorted(single[step].tolist())
    everything = torch.cat(single).tolist()
    assert len(set(everything)) == len(everything)


def test_buckets_save_padding_and_change_with_the_epoch() -> None:
    lengths = torch.randint(1, 100, (5000,), generator=torch.Generator().manual_seed(0))

    def padding(with_lengths: bool) -> float:
        sampler = BatchIndices(torch.arange(5000), 50, shuffle=True, lengths=lengths if with_lengths else None)
        longest = [lengths[b].max() * len(b) for b in sampler]
        return 1 - (lengths.sum() / torch.stack(longest).sum()).item()

    assert padding(True) < 0.1 < 0.4 < padding(False)
    sampler = BatchIndices(torch.arange(5000), 50, shuffle=True, lengths=lengths)
    first = torch.cat(list(sampler))
    assert torch.equal(first, torch.cat(list(sampler)))
    sampler.set_epoch(1)
    assert not torch.equal(first, torch.cat(list(sampler)))
    means = torch.stack([lengths[b].float().mean() for b in sampler])
    assert (means[1:] > means[:-1]).float().mean() < 0.7  # batches do not come sorted


@pytest.mark.parametrize(
    ("data", "classes", "columns", "test"),
    [(IMDB, 2, ["text"], "test"), (AGNews, 4, ["text"], "test"), (SST2, 2, ["sentence"], "validation"),
     (DBpedia, 14, ["title", "content"], "test")],
)  # fmt: skip
def test_named_sets_read_the_hubs_columns(
    data: type[TextDataModule], classes: int, columns: list[str], test: str
) -> None:
    rows = [{**{c: f"{c} {k}" for c in columns}, "label": k % classes} for k in range(10 * classes)]
    folder = {AGNews: "ag_news", DBpedia: "dbpedia_14"}.get(data, data.__name__.lower())
    write(f"data/{folder}", {"train": rows, test: rows[: 2 * classes]})
    module = data()
    assert module.num_classes == len(module.class_names) == classes
    assert len(module.dataset("test")) == 2 * classes
    x, _ = module.dataset("test")[torch.tensor([3])]
    assert [module.vocabulary[token] for token in x[0]] == " ".join(f"{c} 3" for c in columns).split()
    if data is SST2:
        assert "test is the official validation set" in (SST2.__doc__ or "").split("\n")[0]


def test_own_csv_by_arguments_alone() -> None:
    rows = [{"head": "good", "body": f"film {k}", "mood": ("sad", "glad")[k % 2]} for k in range(40)]
    write("mine", {"reviews": rows}, "csv")
    data = TextClassification(source="mine/reviews.csv", text_columns=["head", "body"], label_column="mood")
    assert data.class_names == ["glad", "sad"]
    assert len(data.indices("train")) + len(data.indices("val")) == 32
    assert len(data.indices("test")) == 8
    assert not set(data.indices("test").tolist()) & {*data.indices("train").tolist(), *data.indices("val").tolist()}
    assert torch.equal(TextClassification(source="mine/reviews.csv", text_columns=["body"], label_column="mood", seed=5)
                       .indices("test").sort().values, data.indices("test").sort().values)  # fmt: skip
    _, y = data.dataset("test")[torch.tensor([3])]
    assert y.item() == 0  # glad


def test_own_folder_with_numbers_from_one() -> None:
    rows = [{"text": f"t {k}", "label": 1 + k % 3} for k in range(30)]
    write("mine", {"train": rows, "test": rows[:4]}, "csv")
    data = TextClassification(root=".", source="mine")
    assert data.class_names == ["1", "2", "3"]
    assert data.dataset("test").labels.tolist() == [0, 1, 2, 0]


def test_rows_without_text_are_kept_and_predicted(caplog: pytest.LogCaptureFixture) -> None:
    rows = reviews(40)
    rows[3]["text"], rows[4]["text"] = None, "  "
    write("data/imdb", {"train": rows, "test": rows})
    data = IMDB()
    with caplog.at_level("INFO"):
        assert len(data.indices("test")) == 40
    assert "2 of 40 rows have no text" in caplog.text
    x, _ = data.dataset("test")[torch.tensor([3, 4])]
    assert x.tolist() == [[0], [0]]
    assert torch.isfinite(LSTMBP(2, data.vocab_size, embedding_dim=4, hidden_dims=[3])(x)).all()


def test_a_megabyte_is_cut(caplog: pytest.LogCaptureFixture) -> None:
    rows = reviews(20)
    rows[0]["text"] = "word " * 200_000
    write("data/imdb", {"train": rows, "test": rows})
    data = IMDB(max_length=50)
    with caplog.at_level("INFO"):
        x, _ = data.dataset("test")[torch.tensor([0])]
    assert x.shape == (1, 50)
    assert "1 of 20 texts cut to max_length=50" in caplog.text


def broken(kind: str) -> None:
    rows = reviews(20)
    if kind == "column":
        rows = [{"review": r["text"], "label": r["label"]} for r in rows]
    if kind == "label":
        rows[7]["label"] = 5
    if kind == "no label":
        rows[6]["label"] = None
    if kind == "numbers":
        rows = [{"text": k, "label": k % 2} for k in range(20)]
    if kind != "nothing":
        write("data/imdb", {"train": rows, "test": rows})
    if kind == "cut":
        path = Path("data/imdb/train-00000-of-00001.parquet")
        path.write_bytes(path.read_bytes()[:300])


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("column", "Expected columns text, label in the train split of imdb, but 'text' is not among review, label"),
        ("label", "Expected labels among 0, 1, but row 7 of the train split of imdb has 5"),
        ("no label", "Expected a label in every row, but row 6 of the train split"),
        ("numbers", "Expected texts in column 'text' of imdb, but row 0 .* holds 0"),
        ("cut", "Expected readable files, but data/imdb/train-.* cannot be read"),
    ],
)
def test_broken_files_get_a_sentence(kind: str, message: str) -> None:
    broken(kind)
    with pytest.raises(ValueError, match=message):
        IMDB().dataset("train")


def test_mixed_encodings_name_the_line() -> None:
    Path("mine.csv").write_bytes("text,label\nété,0\n".encode() + "été,1\n".encode("latin-1"))
    with pytest.raises(ValueError, match=r"Expected mine.csv to be utf-8 text, but line 3 is not: encodings are mixed"):
        TextClassification(source="mine.csv")


def test_without_network_and_files(monkeypatch: pytest.MonkeyPatch) -> None:
    import datasets

    def offline(*_: Any, **__: Any) -> None:
        raise ConnectionError("Couldn't reach the Hub")

    monkeypatch.setattr(datasets, "load_dataset", offline)
    with pytest.raises(
        FileNotFoundError, match=r"train-\*.parquet or train.csv in data/imdb, .*Couldn't reach.* Fetch"
    ):
        IMDB().dataset("train")
    with pytest.raises(FileNotFoundError, match="no set of the Hub is named"):
        TextClassification(source="no/such/file.csv")


@pytest.mark.parametrize("damage", ["tokens.npy", "description.json", "cut", "shorter"])
def test_a_damaged_cache_is_made_again(imdb: None, damage: str) -> None:
    expected = IMDB().dataset("train")[torch.arange(9)]
    (path,) = (p for p in Path("data/.al_lightning").iterdir() if p.is_dir())
    if damage == "shorter":
        np.save(path / "labels.npy", np.load(path / "labels.npy")[:-1])
    elif damage == "cut":
        (path / "labels.npy").write_bytes((path / "labels.npy").read_bytes()[:-8])
    else:
        (path / damage).unlink()
    partial = path.with_name(f".{path.name}.1.tmp")  # what a killed run leaves
    partial.mkdir()
    again = IMDB().dataset("train")[torch.arange(9)]
    assert torch.equal(again.tokens, expected.tokens)
    assert not partial.exists()


def test_a_mistake_leaves_no_lock(imdb: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """A notebook keeps the traceback, and the lock in it: a second try must not wait for the first."""

    def fails(_: Any) -> None:
        raise ValueError("no network")

    with monkeypatch.context() as broken:
        broken.setattr(tokens, "read_rows", fails)
        with pytest.raises(ValueError, match="no network") as kept:
            IMDB().setup("fit")
    (name,) = (p for p in Path("data/.al_lightning").iterdir() if p.suffix == ".lock")
    with FileLock(name, timeout=1):
        assert kept.tb is not None
    assert len(IMDB().vocabulary) > 2


def test_changed_files_are_tokenized_again(imdb: None) -> None:
    assert len(IMDB().dataset("train")) == 60
    write("data/imdb", {"train": reviews(40)})
    assert len(IMDB().dataset("train")) == 40


def _build(_: int) -> int:
    return sum(IMDB().dataset("train")[torch.arange(60)].tokens.flatten().tolist())


def test_two_processes_build_one_cache(imdb: None, monkeypatch: pytest.MonkeyPatch) -> None:
    context = multiprocessing.get_context("fork")
    with context.Pool(3) as pool:
        sums = pool.map(_build, range(3))
    assert len(set(sums)) == 1
    assert len([p for p in Path("data/.al_lightning").iterdir() if p.is_dir()]) == 1


def test_any_number_of_processes_makes_the_same_arrays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tokens, "_CHUNK", 7)
    rows = tokens.Rows([r["text"] for r in reviews(50)], [k % 2 for k in range(50)], None, 0)
    one, three = tokens.tokenize_rows(rows, 1), tokens.tokenize_rows(rows, 3)
    assert one.words == three.words
    assert (one.tokens == three.tokens).all()
    assert (one.offsets == three.offsets).all()


SMALL = ["--model.embedding_dim", "6", "--model.hidden_dims", "[4]", "--trainer.max_epochs", "2",
         "--trainer.accelerator", "cpu", "--trainer.enable_progress_bar", "false", "--data.batch_size", "10"]  # fmt: skip


def test_fit_test_and_predict_raw_text(imdb: None) -> None:
    """The vocabulary travels in the checkpoint: predicting needs neither data nor cache."""
    main(["fit", "--model", "LSTMAL", "--data", "IMDB", "--model.target_dim", "8", *SMALL,
          "--trainer.max_epochs", "12", "--model.optimizer", "torch.optim.Adam", "--model.optimizer.lr", "0.03"])  # fmt: skip
    (checkpoint,) = Path("lightning_logs").rglob("last.ckpt")
    tested = main(["test", "--ckpt_path", str(checkpoint)])
    assert tested is not None
    assert tested.trainer.callback_metrics["test_acc"] > 0.9
    shutil.rmtree("data")
    Path("new.txt").write_text(f"{POSITIVE}\n\n{NEGATIVE} bad bad, bad\n", encoding="utf-8")
    main(["predict", "--ckpt_path", str(checkpoint), "--data.predict_from", "new.txt"])
    with open("predictions.csv", newline="", encoding="utf-8") as file:
        rows = list(csv.reader(file))
    assert [row[0] for row in rows] == ["sample", POSITIVE, "", f"{NEGATIVE} bad bad, bad"]
    assert [row[1] for row in rows[1::2]] == ["positive", "negative"]
    loaded = torch.load(checkpoint, weights_only=True)["al_lightning"]["model"]["init_args"]
    assert loaded["vocabulary"][:2] == ["<pad>", "<unk>"]
    for text, message in ((b"", "at least one line"), ("été".encode("latin-1"), "line 1 is not")):
        Path("bad.txt").write_bytes(text)
        with pytest.raises(ValueError, match=message):
            main(["predict", "--ckpt_path", str(checkpoint), "--data.predict_from", "bad.txt"])


def test_a_set_without_a_source_gets_a_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["fit", "--model", "LSTMBP", "--data", "TextClassification"])
    assert "Expected `source` of TextClassification to be given, but it is not." in capsys.readouterr().err


def test_a_checkpoint_keeps_its_vocabulary_beside_a_configuration(imdb: None) -> None:
    Path("mine.yaml").write_text("data:\n  class_path: IMDB\n  init_args:\n    batch_size: 7\n")
    main(["fit", "--model", "LSTMBP", "--data", "IMDB", *SMALL])
    (checkpoint,) = Path("lightning_logs").rglob("last.ckpt")
    write("data/imdb", {"train": [{"text": "other words", "label": k % 2} for k in range(60)]})
    tested = main(["test", "--ckpt_path", str(checkpoint), "--config", "mine.yaml"])
    assert tested is not None
    assert tested.datamodule.batch_size == 7
    assert "really" in tested.datamodule.vocabulary


@pytest.mark.parametrize("kind", [LSTMBP, IMDB])
def test_the_command_line_takes_a_vocabulary_as_one_value(kind: Any) -> None:
    """Word by word, jsonargparse needs minutes for 30,000 words: the reason why the type has a name of its own."""
    parser = ArgumentParser(exit_on_error=False)
    parser.add_subclass_arguments(kind, "object")
    words = ["<pad>", "<unk>", *(f"w{n}" for n in range(30_000))]
    arguments = {"vocabulary": words, **({"num_classes": 2} if kind is LSTMBP else {})}
    parsed = parser.parse_object({"object": {"class_path": kind.__name__, "init_args": arguments}})
    assert parsed.object.init_args.vocabulary == words


def test_a_text_model_on_images_gets_a_sentence() -> None:
    with pytest.raises(Exception, match="Expected `vocab_size` or `vocabulary`"):
        main(["fit", "--model", "LSTMBP", "--data", "Digits", "--trainer.fast_dev_run", "1"])
