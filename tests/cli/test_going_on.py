"""A run that was stopped goes on by its checkpoint alone: what was typed for it need not be typed again."""

from __future__ import annotations

from pathlib import Path

import lightning.pytorch as pl
import pytest
import torch
from lightning.pytorch.utilities.exceptions import MisconfigurationException

from al_lightning.cli.lightning_cli import CLI
from al_lightning.cli.main import main
from al_lightning.cli.messages import sentence

QUIET = ["--trainer.enable_progress_bar=false", "--trainer.enable_model_summary=false", "--trainer.accelerator=cpu"]
RUN = [
    "fit", "--model=MLPAL", "--model.hidden_dims=[8,8,8]", "--data=Digits", "--data.train_samples=100",
    "--data.batch_size=20", "--trainer.max_epochs=23", "--trainer.limit_train_batches=3", "--trainer.precision=bf16-mixed",
    "--trainer.check_val_every_n_epoch=2", "--trainer.callbacks+=LayerAccumulation", "--trainer.callbacks.max_validations=2",
    *QUIET,
]  # fmt: skip
STOP = '''
from pathlib import Path

import lightning.pytorch as pl

class Stop(pl.Callback):
    """Ctrl-C after so many steps, once."""

    def __init__(self, step: int) -> None:
        self.step = step

    def on_train_batch_end(self, trainer, *args) -> None:
        if trainer.global_step == self.step and not Path("stopped").exists():
            Path("stopped").touch()
            raise KeyboardInterrupt
'''


@pytest.fixture
def stopped(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> str:
    """The newest checkpoint of a run of 69 steps that was stopped in the middle of an epoch."""
    monkeypatch.syspath_prepend(tmp_path)
    Path("stop.py").write_text(STOP)
    with pytest.raises(SystemExit):
        main(
            [
                *RUN,
                "--checkpoint.every_n_train_steps=5",
                "--trainer.callbacks+=stop.Stop",
                "--trainer.callbacks.step=38",
            ]
        )
    path = "lightning_logs/version_0/checkpoints/last.ckpt"
    assert f"Go on: al-lightning fit --ckpt_path '{path}'\n" in capsys.readouterr().out
    return path


def kinds(cli: CLI) -> list[str]:
    return [type(callback).__name__ for callback in cli.trainer.callbacks]


def test_the_run_that_nobody_stopped(stopped: str) -> None:
    whole = main(RUN)
    resumed = main(["fit", "--ckpt_path", stopped, *QUIET])
    assert whole.trainer.global_step == resumed.trainer.global_step == 69
    assert whole.trainer.precision == resumed.trainer.precision == "bf16-mixed"
    assert kinds(resumed).count("LayerAccumulation") == 1
    assert resumed.model.active_depth == whole.model.active_depth == 3
    saved = resumed.trainer.checkpoint_callback
    assert saved._every_n_train_steps == 5
    theirs = resumed.model.state_dict()
    for name, value in whole.model.state_dict().items():
        assert torch.equal(value, theirs[name]), name


def test_what_is_typed_counts(stopped: str) -> None:
    typed = ["--trainer.max_epochs=14", "--trainer.precision=32-true", "--trainer.check_val_every_n_epoch=3"]
    callbacks = ["--trainer.callbacks+=LayerAccumulation", "--trainer.callbacks.max_validations=100"]
    resumed = main(["fit", "--ckpt_path", stopped, *typed, *callbacks, "--checkpoint.every_n_train_steps=7", *QUIET])
    assert resumed.trainer.current_epoch == 14
    assert resumed.trainer.precision == "32-true"
    assert kinds(resumed).count("LayerAccumulation") == 1
    assert "Stop" not in kinds(resumed)
    assert resumed.trainer.checkpoint_callback._every_n_train_steps == 7


def test_fewer_epochs_than_are_trained(stopped: str) -> None:
    with pytest.raises(MisconfigurationException) as caught:
        main(["fit", "--ckpt_path", stopped, "--trainer.max_epochs=3", *QUIET])
    assert sentence(caught.value) == (
        "Expected `--trainer.max_epochs` to be 11, as many as are trained already, or more, but got 3."
    )


def test_other_commands_take_nothing_of_it(stopped: str) -> None:
    tested = main(["test", "--ckpt_path", stopped, *QUIET])
    assert tested.trainer.precision == "32-true"
    assert "LayerAccumulation" not in kinds(tested)


def test_a_run_from_python_says_nothing(tmp_path: Path) -> None:
    """As before: the length is the command's."""
    cli = main([*RUN[:5], "--trainer.max_epochs=1", *QUIET])
    trainer = pl.Trainer(max_epochs=1, accelerator="cpu", logger=False, enable_progress_bar=False)
    trainer.fit(cli.model, cli.datamodule)
    trainer.save_checkpoint("python.ckpt")
    assert not {"trainer", "checkpoint"} & torch.load("python.ckpt", weights_only=True)["al_lightning"].keys()
    assert main(["fit", "--ckpt_path=python.ckpt", *QUIET]).trainer.current_epoch == 20
