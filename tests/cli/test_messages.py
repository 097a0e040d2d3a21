"""What a user reads after a mistake in a command."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from al_lightning.cli.main import main
from al_lightning.cli.messages import sentence

SMALL = ["--data", "Digits", "--data.train_samples", "200", "--trainer.accelerator", "cpu"]
AL = ["--model", "MLPAL", "--model.hidden_dims", "[16,16]", "--model.target_dim", "16"]


def refused(capsys: pytest.CaptureFixture[str], *args: str) -> str:
    """What the parser says before it ends the process."""
    with pytest.raises(SystemExit):
        main([*args])
    return re.sub(r"\s+", " ", capsys.readouterr().err)


def test_a_misspelt_key_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert "bridg" in refused(capsys, "fit", *AL, *SMALL, "--model.bridg", "lean")
    Path("wrong.yaml").write_text(
        yaml.safe_dump(
            {"model": {"class_path": "MLPAL", "init_args": {"dropuot": 1}}, "data": {"class_path": "Digits"}}
        )
    )
    assert "dropuot" in refused(capsys, "fit", "--config", "wrong.yaml")
    Path("wrong.yaml").write_text(yaml.safe_dump({"modle": {"class_path": "MLPAL"}}))
    assert "modle" in refused(capsys, "fit", "--config", "wrong.yaml")


def test_a_misspelt_class_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert "CNNNAL" in refused(capsys, "fit", "--model", "CNNNAL", *SMALL)
    assert "Digit" in refused(capsys, "fit", *AL, "--data", "Digit")
    assert "configs/digits/none.yaml" in refused(capsys, "fit", "--config", "configs/digits/none.yaml")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["--model.bridg", "lean"],
            r"argument of MLPAL, but got `bridg`. Did you mean `bridge`\? Accepted are: .*layer_lr",
        ),
        (["--data.augmet", "true"], r"argument of Digits, but got `augmet`. Did you mean `augment`\?"),
        (
            ["--traner.max_epochs", "3"],
            r"a known key, but got `traner.max_epochs`. Did you mean `trainer.max_epochs`\?",
        ),
        (
            ["--model", "CNNNAL"],
            r"--model to be a class, but there is no CNNNAL. Did you mean `CNNAL`\? Shipped are: CNNAL, ",
        ),
        (["--data", "Digit"], r"--data to be a class, but there is no Digit. Did you mean `Digits`\?"),
        (["--model", "mynet.MyNet"], "mynet.MyNet to be a class that can be imported from this folder, but: No module"),
        (
            ["--model.bridge", "paperr"],
            r"`bridge` of MLPAL accepts.* It accepts Literal\['lean', 'dense', 'conv', 'paper'\]; .* given paperr",
        ),
        (["--model.norm", "x"], r"`norm` of MLPAL accepts.* It accepts Literal\['batch'\], null; it was given x"),
        (
            ["--model.target_dim", "ten"],
            "a value that `target_dim` of MLPAL accepts.* It accepts int; it was given ten",
        ),
        (
            ["--model.optimizer.lr", "0.1"],
            "a class for `optimizer` of MLPAL before its argument `lr`, .* first, such as `--model.optimizer Adam`",
        ),
        (
            ["--model.lr_scheduler.T_max", "4"],
            "a class for `lr_scheduler` of MLPAL before its argument `T_max`, .*`--model.lr_scheduler CosineAnneal",
        ),
        (["--model.optimizer", "Adm"], r"`optimizer` of MLPAL to be a class, but .* no Adm. Did you mean `Adam`\?"),
        (
            ["--model.lr_scheduler", "CosineLR"],
            r"`lr_scheduler` of MLPAL to be a class, but there is no CosineLR. Did you mean `CosineAnnealingLR`\?",
        ),
        (
            ["--model.optimizer", "SGD", "--model.optimizer.lrr", "1"],
            r"an argument of SGD, but got `lrr`. Did you mean `lr`\? Accepted are: lr, momentum,",
        ),
        (
            ["--model.optimizer", "SGD", "--model.optimizer.lr", "x"],
            r"`lr` of SGD accepts, but got another one. It accepts float, torch.Tensor; it was given x\. \(",
        ),
        (
            ["--model.optimizer", "Adam", "--model.optimizer.betas", "3"],
            r"`betas` of Adam accepts, but got another one. It accepts tuple; it was given 3\. Write a list, such as '\[3\]'",
        ),
        (
            ["--trainer.precision", "17"],
            r"`--trainer.precision` accepts, .* It accepts Literal\[64, .*'bf16-mixed'.*, null; it was given 17\. \(",
        ),
        (
            ["--data", "Table", "--data.source", "a.csv", "--data.value_columns", "price"],
            r"`value_columns` of Table accepts, .* Sequence\[str\], null; .* given price. Write a list, such as '\[price\]'",
        ),
        (
            ["--trainer.callbacks+", "EarlyStoping"],
            r"`--trainer.callbacks` to be a class, .* mean `EarlyStopping`\? Those",
        ),
        (
            ["--trainer.logger", "CSVLoger"],
            r"`--trainer.logger` to be a class, .* no CSVLoger. Did you mean `CSVLogger`\?",
        ),
        (
            ["--checkpoint.save_top_k", "many"],
            r"`--checkpoint.save_top_k` accepts, .* It accepts int; .* given many\. \(",
        ),
        (
            ["--checkpoint.mode", "up"],
            r"`--checkpoint.mode` accepts, .* Literal\['min', 'max'\], null; .* given up\. \(",
        ),
        (
            ["--checkpoint.monitr", "a"],
            r"a known key, but got `checkpoint.monitr`. Did you mean `checkpoint.monitor`\?",
        ),
        (["--predictions.pth", "a"], r"a known key, but got `predictions.pth`. Did you mean `predictions.path`\?"),
        (["--seed_everything", "abc"], r"`--seed_everything` accepts, but got another one. .* it was given abc\. \("),
        (["--trainer.max_epochs", "many"], r"`--trainer.max_epochs` accepts, .* int, null; it was given many\. \("),
        (
            ["--config", "configs/digits/mlp_a.yaml"],
            r"`--config` to name a file, but there is no .*configs/digits/mlp_a.yaml. Did you mean `configs/digits/mlp_al",
        ),
    ],
)
def test_parser_reports_become_sentences(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    said = refused(capsys, "fit", *AL, *SMALL, *arguments)
    assert re.search(message, said), said
    assert "Union" not in said


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["--trainer.strategy=al_lightning.strategies.PipelineStrategy", "--trainer.strategy.in_flight=1"],
            "Expected `in_flight` to be at least 2, but got 1.",
        ),
        (
            ["--trainer.callbacks+=EarlyStopping", "--trainer.callbacks.monitor=a", "--trainer.callbacks.mode=mid"],
            "Expected arguments that EarlyStopping accepts, but: `mode` can be min, max, got mid.",
        ),
    ],
)
def test_what_a_class_refuses_is_said_by_it(arguments: list[str], message: str) -> None:
    """A class that stands where several types may: the report on all of them would bury what it said."""
    with pytest.raises(ValueError, match="Union") as caught:
        main(["fit", *AL, *SMALL, *arguments])
    assert sentence(caught.value) == message


def test_what_a_class_refused_in_another_process_is_said_too(tiny_sets: None) -> None:
    """What arrives from there is the report alone, without the errors that led to it."""
    with pytest.raises(ValueError, match="Union") as caught:
        main(["fit", "--config", "configs/paper/sst2/lstm_al.yaml"])
    arrived = ValueError(f"The run LSTM-AL, seed 0, failed. {caught.value} Finished runs are kept.")
    assert sentence(arrived).startswith("Expected a file of word vectors at data/glove/glove.6B.300d.txt, but there is")
