"""What all text sets share: batches, vocabulary, and raw text from training to prediction."""

from __future__ import annotations

import csv
import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import pytest
import torch
from jsonargparse import ArgumentParser
from set_files import NEGATIVE, POSITIVE, reviews, write

from al_lightning.cli.main import main
from al_lightning.data import IMDB
from al_lightning.data.samplers import BatchIndices
from al_lightning.modules import LSTMBP
from al_lightning.nn.sequence import Tokens
from al_lightning.nn.vocabulary import TextEncoder


def test_batches_are_the_encoded_texts(imdb: None) -> None:
    data = IMDB(batch_size=8, val_fraction=0.2, max_length=6)
    assert data.vocabulary[:2] == ["<pad>", "<unk>"]
    assert data.vocab_size == len(data.vocabulary)
    encode = TextEncoder(data.vocabulary, 6)
    dataset = data.dataset("train")
    rows = reviews(60)
    for n in (0, 1, 17, 59):
        x, lengths, y = dataset[torch.tensor([n])]
        assert torch.equal(x, encode([rows[n]["text"]]))
        assert lengths.tolist() == [x.shape[1]]
        assert y.item() == rows[n]["label"]
    batch = x, lengths, y = dataset[torch.arange(9)]
    assert torch.equal(x, encode([row["text"] for row in rows[:9]]))
    assert torch.equal(lengths, (x != 0).sum(1))
    prepared = data.prepare(batch, training=True)
    assert type(prepared) is tuple
    assert isinstance(prepared[0], Tokens)
    assert prepared == (Tokens(x, lengths), y)
    assert x.dtype == y.dtype == torch.long
    assert len(data.indices("train")) == 48
    assert len(data.indices("val")) == 12
    seen = torch.cat([batch.labels for batch in data.test_dataloader()])
    assert len(seen) == 21
    assert [len(b.tokens) for b in data.predict_dataloader()] == [8, 8, 5]
    assert torch.equal(next(iter(data.predict_dataloader()))[0], encode([row["text"] for row in reviews(8)]))


def test_batches_of_any_lengths(imdb: None) -> None:
    """Without bucketing the batches are the epoch's order, cut; with it, similar lengths stand together."""
    any_lengths, similar = IMDB(batch_size=8, bucketing=False), IMDB(batch_size=8)
    assert any_lengths.lengths("train") is None
    assert similar.lengths("train") is not None
    plain = BatchIndices(any_lengths.indices("train"), 8, shuffle=True, seed=0)
    for data, same in ((any_lengths, True), (similar, False)):
        sampler = data.train_dataloader().sampler
        for epoch in (0, 1):
            sampler.set_epoch(epoch)
            plain.set_epoch(epoch)
            assert ([b.tolist() for b in sampler] == [b.tolist() for b in plain]) is same
    assert any_lengths.indices("val").tolist() == similar.indices("val").tolist()


def test_test_words_that_training_lacks_are_unknown(imdb: None) -> None:
    write("data/imdb", {"test": [{"text": "good surprise", "label": 1}]})
    data = IMDB()
    x, _, _ = data.dataset("test")[torch.tensor([0])]
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
    assert set(torch.cat([batch.tokens.flatten() for batch in data.test_dataloader()]).tolist()) == {0, 1, 2}


def test_rows_without_text_are_kept_and_predicted(caplog: pytest.LogCaptureFixture) -> None:
    rows = reviews(40)
    rows[3]["text"], rows[4]["text"] = None, "  "
    write("data/imdb", {"train": rows, "test": rows})
    data = IMDB()
    with caplog.at_level("INFO"):
        assert len(data.indices("test")) == 40
    assert "2 of 40 rows have no text" in caplog.text
    x, lengths, _ = data.dataset("test")[torch.tensor([3, 4])]
    assert x.tolist() == [[0], [0]]
    assert lengths.tolist() == [0, 0]
    assert torch.isfinite(LSTMBP(2, data.vocab_size, embedding_dim=4, hidden_dims=[3])(x)).all()


def test_a_megabyte_is_cut(caplog: pytest.LogCaptureFixture) -> None:
    rows = reviews(20)
    rows[0]["text"] = "word " * 200_000
    write("data/imdb", {"train": rows, "test": rows})
    data = IMDB(max_length=50)
    with caplog.at_level("INFO"):
        x, _, _ = data.dataset("test")[torch.tensor([0])]
    assert x.shape == (1, 50)
    assert "1 of 20 texts cut to max_length=50" in caplog.text


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


@pytest.mark.parametrize("data", ["IMDB", "Digits"])
def test_a_runs_own_configuration_agrees_with_its_checkpoint(imdb: None, data: str) -> None:
    """What the data found out themselves, such as the vocabulary, is no contradiction."""
    model = ["LSTMBP", *SMALL] if data == "IMDB" else ["MLPBP", "--model.in_channels", "1", "--model.image_size", "8"]
    main(["fit", "--data", data, "--model", *model, "--trainer.max_epochs", "1", "--trainer.accelerator", "cpu"])
    (checkpoint,) = Path("lightning_logs").rglob("last.ckpt")
    tested = main(["test", "--ckpt_path", str(checkpoint), "--config", "lightning_logs/version_0/config.yaml"])
    assert tested is not None
    assert "test_acc" in tested.trainer.callback_metrics


def test_the_share_of_padding_stems_from_the_lengths(imdb: None, trainer: Callable[..., pl.Trainer]) -> None:
    data = IMDB(batch_size=9)
    fitted = trainer(max_epochs=1)
    fitted.fit(LSTMBP(2, data.vocab_size, embedding_dim=4, hidden_dims=[3]), data)
    batches = [batch.tokens for batch in data.train_dataloader()]
    padding = sum(int((tokens == 0).sum()) for tokens in batches) / sum(tokens.numel() for tokens in batches)
    assert padding > 0
    assert fitted.callback_metrics["train_padding"] == pytest.approx(padding)


def test_predicting_takes_inputs_with_and_without_labels(imdb: None) -> None:
    data = IMDB(batch_size=8)
    module = LSTMBP(2, data.vocab_size, embedding_dim=4, hidden_dims=[3]).eval()
    x, y = data.prepare(next(iter(data.test_dataloader())))
    expected = module.predict_step((x, y), 0)
    assert len(expected) == 8
    for batch in ([x, y], x, x.tokens, (x.tokens, y)):
        torch.testing.assert_close(module.predict_step(batch, 0), expected)
