"""Ways of writing a command that are usual elsewhere, and data modules of a user's own."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import make_sets_tiny
from lightning.pytorch.cli import ReduceLROnPlateau

from al_lightning.cli.checkpoint_arguments import asked_checkpoint
from al_lightning.cli.main import main

QUIET = [
    "--trainer.enable_progress_bar",
    "false",
    "--trainer.enable_model_summary",
    "false",
    "--trainer.accelerator",
    "cpu",
]
SMALL = ["--model", "MLPAL", "--model.hidden_dims", "[8]", "--data", "Digits", "--data.train_samples", "100", *QUIET]
ONE = ["--trainer.max_epochs", "1"]
OWN = '''
import lightning.pytorch as pl
import torch
from torch.utils.data import DataLoader, TensorDataset

class Silent(pl.LightningDataModule):
    """Says nothing about its classes."""

    def train_dataloader(self):
        return DataLoader(TensorDataset(torch.randn(8, 1, 8, 8), torch.arange(8) % 3), batch_size=4)

    test_dataloader = train_dataloader

class Counts(Silent):
    """Counts its classes in `setup`, as Lightning's documentation does."""

    num_classes = None

    def prepare_data(self):
        self.prepared = True

    def setup(self, stage):
        assert self.prepared
        self.num_classes, self.in_channels, self.image_size = 3, 1, 8

class Measures(Counts):
    """Its number of classes is a property that nobody can compute before `setup`."""

    names = None
    num_classes = property(lambda self: len(self.names))

    def setup(self, stage):
        self.names, self.in_channels, self.image_size = "abc", 1, 8

class Wants(Silent):
    """Cannot be set up without a Trainer."""

    def setup(self, stage):
        self.num_classes = self.trainer.world_size + 2
'''


def refused(capsys: pytest.CaptureFixture[str], *args: str) -> str:
    with pytest.raises(SystemExit):
        main([*args])
    return re.sub(r"\s+", " ", capsys.readouterr().err)


def test_words_that_look_like_numbers_stay_words(monkeypatch: pytest.MonkeyPatch) -> None:
    """``7e7`` is an aeroplane in AG News."""
    make_sets_tiny(monkeypatch)
    words = ["<pad>", "<unk>", "word0", "7e7", "-1e5", "1_0e2", "1e-3", ".5", "1.", "null", "true", "2001-01-01", "inf"]
    network = ["--model", "LSTMAL", "--model.embedding_dim=4", "--model.hidden_dims=[4]", "--model.target_dim=4"]
    data = ["--data", "AGNews", f"--data.vocabulary={json.dumps(words)}"]
    path = main(["fit", *network, *data, *QUIET, *ONE]).trainer.checkpoint_callback.best_model_path
    assert main(["test", "--ckpt_path", path, *QUIET]).model.vocabulary == words


@pytest.fixture
def best() -> str:
    return str(main(["fit", *SMALL, *ONE]).trainer.checkpoint_callback.best_model_path)


def test_the_best_checkpoint_has_a_name(best: str) -> None:
    assert Path(best) == Path("lightning_logs/version_0/checkpoints/best.ckpt").absolute()
    main(["fit", *SMALL, *ONE, "--checkpoint.dirpath", str(Path(best).parent)])
    assert {p.name for p in Path(best).parent.iterdir()} >= {
        "best.ckpt",
        "best-v1.ckpt",
        "last.ckpt",
    }  # nothing is lost
    main(["fit", *SMALL, *ONE, "--data.val_fraction", "0", "--checkpoint.dirpath", "unjudged"])
    assert not list(Path("unjudged").glob("best*"))


def test_a_checkpoint_in_a_configuration(best: str) -> None:
    Path("test.yaml").write_text(f"ckpt_path: {best}\ntrainer: {{accelerator: cpu, enable_progress_bar: false}}\n")
    cli = main(["test", "--config", "test.yaml"])
    saved = torch.load(best, weights_only=True)["state_dict"]
    assert all(torch.equal(value, saved[key]) for key, value in cli.model.state_dict().items())
    with pytest.raises(ValueError, match="Expected --data.seed to be 0"):
        main(["test", "--config", "test.yaml", "--data.seed", "3"])


@pytest.mark.parametrize(
    ("args", "path"),
    [
        (["--ckpt_path", "a"], "a"),
        (["--ckpt_path=a"], "a"),
        (["--ckpt_path", "null"], None),
        (["--ckpt_path=null"], None),
        (["--ckpt_path", "best"], "best"),
        (["--ckpt_path", "a", "--config", "null.yaml"], "a"),
        (["--config", "b.yaml"], "b"),
        (["-c", "b.yaml", "--ckpt_path", "a"], "a"),
        (["--ckpt_path", "a", "--config=b.yaml"], "b"),
        (["--config", "b.yaml", "--ckpt_path", "null"], None),
        (["--config", "none.yaml"], None),
    ],
)
def test_which_checkpoint_is_asked_for(args: list[str], path: str | None) -> None:
    Path("b.yaml").write_text("ckpt_path: b\n")
    Path("null.yaml").write_text("ckpt_path: null\n")
    assert asked_checkpoint(args) == path


@pytest.mark.parametrize("config_last", [True, False])
def test_the_configuration_that_a_run_saved_takes_no_checkpoint_back(best: str, config_last: bool) -> None:
    """It says `ckpt_path: null`; tested would be weights that were never trained."""
    arguments = [["--ckpt_path", best], ["--config", "lightning_logs/version_0/config.yaml"]]
    both = arguments if config_last else arguments[::-1]
    cli = main(["test", *both[0], *both[1], "--trainer.logger", "false"])
    saved = torch.load(best, weights_only=True)["state_dict"]
    assert all(torch.equal(value, saved[key]) for key, value in cli.model.state_dict().items())


def test_a_broken_configuration_is_left_to_the_parser(capsys: pytest.CaptureFixture[str]) -> None:
    Path("broken.yaml").write_text("model: [")
    assert "while parsing a flow node" in refused(capsys, "fit", "--config", "broken.yaml")


def test_no_checkpoint_is_none(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["fit", *SMALL, *ONE, "--ckpt_path", "null"]).trainer.global_step > 0
    said = refused(capsys, "test", "--ckpt_path", "null")
    assert "Expected `--ckpt_path` to name a checkpoint, or `--model` and `--data` to name classes" in said


@pytest.mark.parametrize(
    "config",
    [
        ["-c", "configs/digits/mlp_al.yaml"],
        ["-c=configs/digits/mlp_al.yaml"],
        ["-cconfigs/digits/mlp_al.yaml"],
        ["--config=configs/digits/mlp_al.yaml"],
    ],
)
def test_configurations_by_their_short_name(config: list[str]) -> None:
    assert main(["fit", *config, *QUIET, "--trainer.fast_dev_run", "1"]).model.target.num_classes == 10


@pytest.mark.parametrize(
    "arguments",
    [
        ["--model.lr_scheduler", "ReduceLROnPlateau", "--model.lr_scheduler.monitor", "val_loss"],
        ["--model.lr_scheduler=ReduceLROnPlateau", "--model.lr_scheduler.monitor=val_loss"],
        ["--model.init_args.lr_scheduler", "ReduceLROnPlateau", "--model.init_args.lr_scheduler.monitor", "val_loss"],
    ],
)
def test_a_bare_plateau_scheduler(arguments: list[str]) -> None:
    cli = main(["fit", *SMALL, *ONE, *arguments])
    assert [type(config.scheduler) for config in cli.trainer.lr_scheduler_configs] == [ReduceLROnPlateau]


@pytest.mark.parametrize("name", ["StepLR", "CosineAnnealingLR", "ExponentialLR"])
def test_a_bare_scheduler_lacks_an_argument(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    lacking = {"StepLR": "step_size", "CosineAnnealingLR": "T_max", "ExponentialLR": "gamma"}[name]
    said = refused(capsys, "fit", *SMALL, "--model.lr_scheduler", name)
    assert f"Expected `{lacking}` of {name} to be given, but it is not. Pass it behind" in said


def test_numbers_of_classes_on_the_command_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert "It accepts int, null; it was given 10.0." in refused(capsys, "fit", *SMALL, "--model.num_classes", "10.0")
    with pytest.raises(
        ValueError, match="Expected --model.num_classes to be 10, as Digits says, but got 5. Leave it out"
    ):
        main(["fit", *SMALL, "--model.num_classes", "5"])
    with pytest.raises(ValueError, match="Expected --model.in_channels to be 1, as Digits says, but got 2"):
        main(["fit", *SMALL, "--model.in_channels", "2"])


@pytest.fixture
def own(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[str]:
    import sys

    (tmp_path / "owndata.py").write_text(OWN)
    monkeypatch.delitem(sys.modules, "owndata", raising=False)
    return ["--model", "MLPAL", "--model.hidden_dims", "[8]", *QUIET, *ONE]


@pytest.mark.parametrize("data", ["Counts", "Measures"])
def test_data_that_count_their_classes_in_setup(data: str, own: list[str]) -> None:
    cli = main(["fit", *own, "--data", f"owndata.{data}"])
    assert cli.model.target.num_classes == 3
    assert cli.model.input_check.shape == (1, 8, 8)


def test_data_that_do_not_say_their_classes(own: list[str]) -> None:
    with pytest.raises(
        ValueError, match="Silent has no `num_classes`. Set the attribute .* or pass `--model.num_classes 3`"
    ):
        main(["fit", *own, "--data", "owndata.Silent"])
    with pytest.raises(
        ValueError, match=r"Wants has no `num_classes` before its `setup`, which cannot run without a Trainer"
    ):
        main(["fit", *own, "--data", "owndata.Wants"])
    shape = ["--model.in_channels", "1", "--model.image_size", "8"]
    cli = main(["fit", *own, "--data", "owndata.Silent", "--model.num_classes", "3", *shape])
    last: Any = cli.trainer.checkpoint_callback.last_model_path
    tested = main(["test", "--ckpt_path", last, "--data", "owndata.Silent", *QUIET])
    assert tested.model.target.num_classes == 3


def test_what_data_find_out_contradicts_no_checkpoint(best: str) -> None:
    Path("data.yaml").write_text(
        "data:\n  class_path: Digits\n  init_args: {augment: null, image_size: null, train_samples: 100}\n"
    )
    main(["test", "--ckpt_path", best, "--config", "data.yaml", *QUIET])
    main(["test", "--ckpt_path", best, "--data.image_size", "8", "--data.augment", "false", *QUIET])
    with pytest.raises(ValueError, match="Expected --data.image_size to be 8"):
        main(["test", "--ckpt_path", best, "--data.image_size", "16", *QUIET])
