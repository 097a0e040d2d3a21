"""The command line in process, as a user types it."""

from __future__ import annotations

import csv
import functools
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

import al_lightning as al
from al_lightning.cli.lightning_cli import CLI
from al_lightning.cli.main import console, main

SMALL = ["--data", "Digits", "--data.train_samples", "200", "--trainer.accelerator", "cpu"]
AL = [
    "--model",
    "MLPAL",
    "--model.in_channels",
    "1",
    "--model.image_size",
    "8",
    "--model.hidden_dims",
    "[16,16]",
    "--model.target_dim",
    "16",
]
BP = ["--model", "MLPBP", "--model.in_channels", "1", "--model.image_size", "8", "--model.hidden_dims", "[16,16]"]
QUIET = ["--trainer.enable_progress_bar", "false", "--trainer.enable_model_summary", "false"]


def run(*args: str) -> CLI:
    cli = main([*args])
    assert cli is not None
    return cli


def fit(*args: str, model: list[str] = AL) -> CLI:
    return run("fit", *model, *SMALL, *QUIET, "--trainer.max_epochs", "2", *args)


def refused(capsys: pytest.CaptureFixture[str], *args: str) -> str:
    """What the parser says before it ends the process."""
    with pytest.raises(SystemExit):
        main([*args])
    return re.sub(r"\s+", " ", capsys.readouterr().err)


@pytest.fixture
def trained() -> tuple[CLI, str]:
    cli = fit("--trainer.max_epochs", "4", "--model.optimizer", "torch.optim.SGD", "--model.optimizer.lr", "0.1")
    return cli, str(cli.trainer.checkpoint_callback.best_model_path)  # type: ignore[union-attr]


# ---------------------------------------------------------------------- fit


def test_fit_leaves_logs_config_and_checkpoints(capsys: pytest.CaptureFixture[str]) -> None:
    cli = fit()
    folder = Path("lightning_logs/version_0")
    assert {"config.yaml", "metrics.csv", "checkpoints"} <= {p.name for p in folder.iterdir()}
    assert list(folder.glob("events.out.tfevents*"))
    assert (folder / "checkpoints" / "last.ckpt").is_file()
    with open(folder / "metrics.csv", newline="") as file:
        columns = csv.DictReader(file).fieldnames or []
    assert {"train_loss", "val_loss", "val_acc", "val_acc_path1", "val_acc_path2", "train_layer1_associated"} <= set(
        columns
    )
    assert "Next: al-lightning test --ckpt_path" in capsys.readouterr().out
    assert {"train_loss", "val_acc"} <= set(cli.trainer.progress_bar_metrics)
    fit()
    assert Path("lightning_logs/version_1").is_dir()


def test_the_saved_config_repeats_the_run() -> None:
    first = fit("--model.layer_lr", "[0.01, 0.02]", "--seed_everything", "3")
    again = run("fit", "--config", "lightning_logs/version_0/config.yaml")
    assert all(torch.equal(a, b) for a, b in zip(first.model.parameters(), again.model.parameters()))


def test_two_runs_are_bit_equal() -> None:
    first, second = fit(), fit()
    a, b = (Path(c.trainer.log_dir or "") / "checkpoints" / "last.ckpt" for c in (first, second))
    one, two = (torch.load(p, weights_only=True)["state_dict"] for p in (a, b))
    assert all(torch.equal(one[key], two[key]) for key in one)
    other = fit("--seed_everything", "1")
    assert not all(torch.equal(x, y) for x, y in zip(first.model.parameters(), other.model.parameters()))


def test_two_runs_without_a_logger_share_a_folder() -> None:
    for _ in range(2):
        fit("--trainer.logger", "false")
    assert {p.name for p in Path().glob("*.yaml")} == {"config.yaml", "config-1.yaml"}


def test_checkpoints_by_arguments() -> None:
    fit("--checkpoint.monitor", "null", "--checkpoint.every_n_train_steps", "1", "--checkpoint.save_top_k", "-1",
        "--checkpoint.filename", "{step}", "--trainer.max_epochs", "1")  # fmt: skip
    assert {"step=1.ckpt", "step=2.ckpt", "last.ckpt"} <= {p.name for p in Path().rglob("*.ckpt")}


def test_every_optimizer_and_scheduler_from_arguments() -> None:
    cli = fit("--model.optimizer", "AdamW", "--model.optimizer.weight_decay", "0.1",
              "--model.lr_scheduler", "CosineAnnealingLR", "--model.lr_scheduler.T_max", "2",
              "--model.gradient_clip_norm", "1.0", "--model.accumulate_grad_batches", "2")  # fmt: skip
    assert [type(o) for o in cli.trainer.optimizers] == [torch.optim.AdamW] * 2
    assert [o.param_groups[0]["lr"] for o in cli.trainer.optimizers] == pytest.approx([0, 0], abs=1e-9)


# ---------------------------------------------------------------------- checkpoints


@pytest.mark.parametrize("command", ["test", "validate", "predict"])
def test_a_checkpoint_is_enough(trained: tuple[CLI, str], command: str) -> None:
    fitted, path = trained
    again = run(command, "--ckpt_path", path, *QUIET)
    assert type(again.model) is al.MLPAL
    assert again.datamodule.train_samples == 200
    best = torch.load(path, weights_only=True)["state_dict"]
    assert all(torch.equal(v, best[k]) for k, v in again.model.state_dict().items())
    optimizer = again.model.optimizer(again.model.parameters())
    assert isinstance(optimizer, torch.optim.SGD)
    assert optimizer.param_groups[0]["lr"] == 0.1
    if command == "predict":
        with open("predictions.csv", newline="") as file:
            rows = list(csv.DictReader(file))
        assert [r["sample"] for r in rows] == [str(i) for i in range(360)]
        assert {r["class"] for r in rows} <= {str(i) for i in range(10)}
    assert not list(Path().glob("lightning_logs/version_1"))


def test_a_python_run_is_tested_from_the_command_line(trained: tuple[CLI, str], trainer: Any) -> None:
    from al_lightning.data import Digits

    fitted = trainer(max_epochs=1)
    sgd = functools.partial(torch.optim.SGD, lr=0.1)  # says less than the parser, which fills in defaults
    fitted.fit(al.MLPAL(10, 1, 8, hidden_dims=[8], optimizer=sgd), Digits(train_samples=200))
    fitted.save_checkpoint("python.ckpt")
    cli = run("test", "--ckpt_path", "python.ckpt", *QUIET)
    assert cli.model.target.class_names == [str(i) for i in range(10)]


def test_path_length_is_chosen_at_run_time(trained: tuple[CLI, str]) -> None:
    _, path = trained
    full, short = (run("test", f"--ckpt_path={path}", "--model.path_length", k, *QUIET) for k in ("2", "1"))
    for cli, k in ((full, 2), (short, 1)):
        metrics = cli.trainer.callback_metrics
        assert metrics["test_acc"] == metrics[f"test_acc_path{k}"]
    with pytest.raises(ValueError, match=r"`path_length` to be in 1\.\.2, .* but got 3"):
        run("test", "--ckpt_path", path, "--model.path_length", "3", *QUIET)


def test_read_out_is_chosen_at_run_time(trained: tuple[CLI, str]) -> None:
    for readout in ("codes", "mean"):
        cli = run("test", "--ckpt_path", trained[1], "--model.readout", readout, *QUIET)
        metrics = cli.trainer.callback_metrics
        assert metrics["test_acc"] == metrics[f"test_acc_{readout}2"]
    with pytest.raises(SystemExit):
        run("test", "--ckpt_path", trained[1], "--model.readout", "nearest", *QUIET)


def test_resume_from_the_command_line(trained: tuple[CLI, str]) -> None:
    cli = run(
        "fit", "--ckpt_path", "lightning_logs/version_0/checkpoints/last.ckpt", "--trainer.max_epochs", "6", *QUIET
    )
    assert cli.trainer.current_epoch == 6
    assert cli.trainer.global_step == 12


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--model", "CNNAL"], "Expected --model to be MLPAL, which .* holds, but got CNNAL"),
        (["--model.target_dim", "8"], "Expected --model.target_dim to be 16, .* but got 8"),
        (["--model.optimizer.lr", "0.5"], "Expected --model.optimizer to be .*'lr': 0.1.* but got .*'lr': 0.5"),
        (["--data.seed", "4"], "Expected --data.seed to be 0, .* but got 4"),
        (["--data", "FashionMNIST"], "Expected --data to be Digits, which .* holds, but got FashionMNIST"),
    ],
)
def test_contradictions_are_refused(trained: tuple[CLI, str], arguments: list[str], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        run("test", "--ckpt_path", trained[1], *arguments, *QUIET)


def test_run_time_arguments_of_the_data_are_free(trained: tuple[CLI, str]) -> None:
    cli = run("test", "--ckpt_path", trained[1], "--data.batch_size", "7", "--data.root", "elsewhere", *QUIET)
    assert cli.datamodule.batch_size == 7


def test_predicting_image_files(trained: tuple[CLI, str]) -> None:
    Path("photos").mkdir()
    for n in range(3):
        Image.new("L", (20, 20), 80 * n).save(f"photos/{n}.png")
    run(
        "predict", "--ckpt_path", trained[1], "--data.predict_from", "photos", "--predictions.path", "table.csv", *QUIET
    )
    with open("table.csv", newline="") as file:
        assert [Path(r["sample"]).name for r in csv.DictReader(file)] == ["0.png", "1.png", "2.png"]


def test_missing_and_hand_made_checkpoints(trainer: Any) -> None:
    from conftest import hand_layers, loader

    with pytest.raises(FileNotFoundError, match="there is none at nothing.ckpt"):
        run("test", "--ckpt_path", "nothing.ckpt")
    fitted = trainer(max_epochs=1)
    fitted.fit(al.ALModule(hand_layers(2), 4), loader())
    fitted.save_checkpoint("parts.ckpt")
    with pytest.raises(ValueError, match="made by hand from parts. Pass `--model yourmodule.YourClass`"):
        run("test", "--ckpt_path", "parts.ckpt")


# ---------------------------------------------------------------------- mistakes


def test_options_of_the_base_are_checked_and_shown(capsys: pytest.CaptureFixture[str]) -> None:
    assert "gradient_clip_norm" in refused(capsys, "fit", *AL, *SMALL, "--model.gradient_clip_norm", "much")
    with pytest.raises(SystemExit):
        main(["fit", "--model.help", "CNNAL"])
    shown = capsys.readouterr().out
    for option in (
        "layer_lr",
        "gradient_clip_norm",
        "accumulate_grad_batches",
        "lr_scheduler",
        "path_length",
        "bridge",
    ):
        assert f"--model.{option}" in shown


def test_trainer_arguments_that_are_replaced() -> None:
    with pytest.raises(ValueError, match="Give the model `gradient_clip_norm=1.0` instead"):
        fit("--trainer.gradient_clip_val", "1.0")


def test_the_data_say_what_images_are() -> None:
    """Channels and size are linked; a module of the user's own data, which has neither, may be told."""
    cli = run("fit", "--model", "MLPAL", "--model.hidden_dims", "[8]", *SMALL, *QUIET, "--trainer.fast_dev_run", "1")
    assert cli.model.input_check.shape == (1, 8, 8)
    assert list(Path().rglob("*.ckpt")) == []  # a quick look leaves nothing behind
    Path("mydata.py").write_text(
        "import lightning.pytorch as pl\nimport torch\nfrom torch.utils.data import DataLoader, TensorDataset\n"
        "class Own(pl.LightningDataModule):\n"
        "    def train_dataloader(self):\n"
        "        return DataLoader(TensorDataset(torch.randn(8, 2, 4, 4), torch.arange(8) % 3), batch_size=4)\n"
    )
    told = ["--model.num_classes", "3", "--model.in_channels", "2", "--model.image_size", "4"]
    own = run("fit", "--model", "MLPAL", "--model.hidden_dims", "[8]", "--data", "mydata.Own", *told, *QUIET,
              "--trainer.fast_dev_run", "1", "--trainer.accelerator", "cpu")  # fmt: skip
    assert own.model.input_check.shape == (2, 4, 4)


def test_a_mistake_is_a_sentence_not_a_traceback(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["al-lightning", "fit", *AL, *SMALL, "--data.val_fraction", "1"])
    with pytest.raises(SystemExit) as ended:
        console()
    assert ended.value.code not in (0, None)
    error = capsys.readouterr().err
    assert "Expected `val_fraction` to be in [0, 1)" in error
    assert "Traceback" not in error


def test_help_lists_every_command() -> None:
    shown = subprocess.run([sys.executable, "-m", "al_lightning", "--help"], capture_output=True, text=True, check=True)
    for command in ("fit", "validate", "test", "predict", "reproduce"):
        assert command in shown.stdout
    version = subprocess.run(
        [sys.executable, "-m", "al_lightning", "--version"], capture_output=True, text=True, check=True
    )
    assert al.__version__ in version.stdout
