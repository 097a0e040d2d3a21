"""A new network is one file: its trunk and a few lines; everything that a run needs comes from what it composes."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

import pytest
import torch

import al_lightning.modules
from al_lightning.cli.main import main

TOY = '''
from torch import nn
from typing_extensions import Unpack

from al_lightning.modules.converted import ConvertedAL, ConvertedBP
from al_lightning.modules.options import BPOptions, ConvertedOptions


def toy_blocks(in_channels: int, width: int) -> list[nn.Module]:
    return [
        nn.Sequential(nn.Conv2d(in_channels, width, 3, padding=1), nn.ELU()),
        nn.Sequential(nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(4 * width, width), nn.ELU()),
    ]


class ToyAL(ConvertedAL):
    """Two blocks by Associated Learning."""

    def __init__(
        self, num_classes: int | None = None, in_channels: int = 3, image_size: int = 32, *, width: int = 4,
        **options: Unpack[ConvertedOptions],
    ) -> None:
        super().__init__(toy_blocks(in_channels, width), num_classes, in_channels, image_size, **options)


class ToyBP(ConvertedBP):
    """The same by backpropagation."""

    def __init__(
        self, num_classes: int | None = None, in_channels: int = 3, image_size: int = 32, *, width: int = 4,
        **options: Unpack[BPOptions],
    ) -> None:
        def head(outputs: int) -> nn.Module:
            return nn.Linear(width, outputs)

        super().__init__(toy_blocks(in_channels, width), head, num_classes, in_channels, image_size, **options)
'''


@pytest.mark.parametrize("name", ["ToyAL", "ToyBP"])
def test_one_file_and_its_export(name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "toy.py").write_text(TOY)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "toy", raising=False)
    toy = importlib.import_module("toy")
    monkeypatch.setattr(al_lightning.modules, name, getattr(toy, name), raising=False)  # the export
    bridge = ["--model.bridge", "paper"] if name == "ToyAL" else []
    fitted = main(["fit", "--model", f"toy.{name}", "--data", "Digits", "--model.in_channels", "1", "--model.image_size",
                   "8", "--model.width", "5", *bridge, "--trainer.max_epochs", "2", "--trainer.accelerator", "cpu",
                   "--trainer.enable_progress_bar", "false"])  # fmt: skip
    assert fitted is not None
    (checkpoint,) = Path("lightning_logs").rglob("last.ckpt")
    assert torch.load(checkpoint, weights_only=True)["al_lightning"]["model"]["init_args"]["width"] == 5
    tested = main(["test", "--ckpt_path", str(checkpoint)])
    assert tested is not None
    assert 0 <= float(tested.trainer.callback_metrics["test_acc"]) <= 1
    assert set(vars(getattr(toy, name))) - {"__init__", "__module__", "__doc__", "__abstractmethods__", "_abc_impl",
                                            "__annotations__", "__firstlineno__", "__static_attributes__"} == set()  # fmt: skip
