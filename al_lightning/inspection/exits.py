"""Early exits calibrated from Python: what ``al-lightning inspect --calibrate`` does, for a module in memory."""

from __future__ import annotations

import lightning.pytorch as pl
import torch

from al_lightning.inspection.calibrate import choose_exits
from al_lightning.inspection.held_out import collect
from al_lightning.inspection.thresholds import Choice
from al_lightning.modules.layered import LayeredModule
from al_lightning.targets.base import Target


def calibrate_exits(
    module: LayeredModule,
    data: pl.LightningDataModule,
    max_loss: float = 0.2,
    confidence: float = 0.9,
    trainer: pl.Trainer | None = None,
) -> Choice:
    """Choose thresholds for early exits on validation data, and give them to a module, with its temperatures.

    ``forward_adaptive(x)`` uses them from then on, and ``predict`` of a module whose ``confidence`` is
    ``"calibrated"``. They are part of the state dict, so that ``trainer.save_checkpoint`` keeps them. They belong to
    the module's ``readout`` and ``path_length`` of now.

    Args:
        module: trained; its weights stay as they are, and it is left in evaluation mode.
        data: whose validation split decides; it must not have trained the module.
        max_loss: percentage points of accuracy, above 0 and below 100, that early exits may lose against the module's
            own path.
        confidence: probability, above 0 and below 1, with which they lose no more.
        trainer: of one process, whose device and precision answer the samples; if None, one with a single device and
            Lightning's defaults.

    Returns:
        The thresholds, the loss that is promised and the loss of the samples that decided; losses in [-1, 1].

    Raises:
        ValueError: if an argument is out of its range, there are no held-out data, or they cannot promise that.
    """
    if not 0 < max_loss < 100:
        raise ValueError(f"Expected `max_loss` to be above 0 and below 100 points, but got {max_loss}.")
    if not 0 < confidence < 1:
        raise ValueError(f"Expected `confidence` to be above 0 and below 1, but got {confidence}.")
    check_exits(module.target)
    device = module.device
    if trainer is None:
        trainer = pl.Trainer(
            devices=1,
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
        )
    if trainer.world_size > 1:
        raise ValueError(f"Expected one process to calibrate early exits, but got {trainer.world_size}. Pass a Trainer "
                         "with `devices=1`.")  # fmt: skip
    if not trainer.validate(module, data, verbose=False):  # it also connects the data to the Trainer
        raise ValueError("Expected held-out data to calibrate early exits on, but there are none. Hold some out, such "
                         "as by `val_fraction=0.1`.")  # fmt: skip
    module.to(trainer.strategy.root_device).eval()
    answers = collect(module, trainer, data, data.val_dataloader())
    before = {name: value.clone() for name, value in module.calibration.state_dict().items()}
    try:
        choice, _ = choose_exits(module, answers, max_loss / 100, confidence)
    except ValueError:
        module.calibration.load_state_dict(before)
        raise
    finally:
        module.to(device)
    return choice


def check_exits(target: Target) -> None:
    """Refuse a target that has no early exits, before anything is computed.

    Raises:
        ValueError: saying so.
    """
    if type(target).right is Target.right:
        target.right(torch.empty(0), torch.empty(0))  # raises, as it does for all labels
