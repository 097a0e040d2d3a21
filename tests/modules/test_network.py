"""Networks that somebody else built: what their weights start from, whether they learn, and what runs them."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import pytest
import torch
from conftest import loader
from small_networks import SmallResNet, small_resnet
from torch import nn

import al_lightning as al

Make = Callable[..., pl.Trainer]
SMALL = dict(network=small_resnet, num_classes=4, in_channels=1, image_size=4)


def test_weights_come_from_a_file_or_from_the_builder(tmp_path: Path) -> None:
    net = SmallResNet(classes=9)
    with torch.no_grad():
        for value in [*net.parameters(), *net.buffers()]:
            value.copy_(torch.randn(value.shape))
    theirs = net.state_dict()
    torch.save(theirs, tmp_path / "weights.pt")
    old = {n: value for n, value in theirs.items() if not n.endswith("num_batches_tracked")}
    torch.save(old, tmp_path / "old.pt")
    al.ConvertedBP(**SMALL, weights=str(tmp_path / "old.pt"))
    torch.save({"epoch": 3, "state_dict": {f"module.{n}": value for n, value in theirs.items()}}, tmp_path / "run.ckpt")
    for kind in (al.ConvertedAL, al.ConvertedBP):
        for file in ("weights.pt", "run.ckpt"):
            module = kind(**SMALL, weights=str(tmp_path / file))  # its last layer has other outputs
            own = {n: value for n, value in module.state_dict().items() if n.startswith(("layers.", "net."))}
            found = {name: [v for n, v in own.items() if n.endswith(f".{name}")] for name in theirs}
            assert all(len(found[name]) == 1 for name in theirs if not name.startswith("fc"))
            assert all(torch.equal(found[name][0], theirs[name]) for name in theirs if not name.startswith("fc"))
            assert "weights" not in module.recipe()["init_args"]  # the file may be gone
    asked: list[Any] = []

    def builder(weights: str | None = None, width: int = 4) -> nn.Module:
        asked.append((weights, width))
        return small_resnet(width=width)

    al.ConvertedAL(network=builder, network_args={"width": 5}, weights="DEFAULT", num_classes=4, in_channels=1, image_size=4,
                   cuts=2)  # fmt: skip
    assert asked == [("DEFAULT", 5)]
    (tmp_path / "other.pt").write_bytes(b"no")
    torch.save(SmallResNet(width=6).state_dict(), tmp_path / "wide.pt")
    torch.save({"epoch": 3}, tmp_path / "run.pt")
    torch.save(SmallResNet(blocks=4).state_dict(), tmp_path / "deep.pt")
    for file, said in (("other", "a state dict in .* cannot be read"), ("run", "holds something else. Write it by"),
                       ("wide", r"weights of this SmallResNet in .*, but \d+ are missing, of another shape or of another network, first stem.weight"),
                       ("deep", r"but 12 are missing.* or of another network, first blocks.3.conv1.weight"),
                       ("none", "`weights` to be the file of a state dict, but there is none at")):  # fmt: skip
        with pytest.raises(ValueError, match=f"Expected .*{said}"):
            al.ConvertedAL(**SMALL, weights=str(tmp_path / f"{file}.pt"))


@pytest.mark.parametrize("kind", [al.ConvertedAL, al.ConvertedBP])
def test_a_frozen_encoder_stays_as_it_is(kind: Any, trainer: Make, tmp_path: Path) -> None:
    """Weights, statistics of batch norm, and no dropout; what is not the encoder learns."""
    module = kind(**SMALL, network_args={"p": 0.5}, freeze_encoder=True)
    before = {n: value.clone() for n, value in module.state_dict().items()}
    fitted = trainer(max_epochs=2)
    fitted.fit(module, loader(32, 8, (1, 4, 4)), loader(16, 8, (1, 4, 4)))
    after = module.state_dict()
    encoder = [n for n in before if re.search(r"^(layers\.\d\.f|net\.0)\.", n)]
    assert len(encoder) == 3 * 14 + 2
    assert all(torch.equal(after[n], before[n]) for n in encoder)
    learned = [n for n, p in module.named_parameters() if n not in encoder]
    assert all(p.requires_grad == (n in learned) for n, p in module.named_parameters())
    assert all(not torch.equal(after[n], before[n]) for n in learned)
    module.train()
    parts = [layer.f for layer in module.layers] if kind is al.ConvertedAL else [module.net[0]]
    assert not any(part.training for block in parts for part in block.modules())
    fitted.save_checkpoint(tmp_path / "frozen.ckpt")
    again = type(module).load_from_checkpoint(tmp_path / "frozen.ckpt")
    x = torch.randn(3, 1, 4, 4)
    assert torch.equal(again.eval()(x), module.eval()(x))
    assert again.training_parameters() == module.training_parameters()
    open_again = type(module).load_from_checkpoint(tmp_path / "frozen.ckpt", freeze_encoder=False)
    assert torch.equal(open_again.eval()(x), module(x))
    before = {n: p.detach().clone() for n, p in open_again.named_parameters()}
    open_again.train()
    trainer(max_epochs=1).fit(open_again, loader(32, 8, (1, 4, 4)))
    assert all(not torch.equal(p, before[n]) for n, p in open_again.named_parameters())
    again.train()
    again.unfreeze()
    assert all(part.training for part in again.modules())
    assert all(p.requires_grad for p in again.parameters())


def test_a_network_of_another_type_and_what_runs_it_are_read() -> None:
    for dtype in (torch.float64, torch.bfloat16):
        module = al.ConvertedAL(network=SmallResNet().to(dtype), num_classes=4, in_channels=1, image_size=4)
        assert module.layers[0].f.get_parameter("stem.weight").dtype == dtype
    parallel = nn.DataParallel(SmallResNet())
    assert len(al.ConvertedAL(network=parallel, num_classes=4, in_channels=1, image_size=4).layers) == 4
    compiled = torch.compile(SmallResNet())
    assert al.ConvertedBP(network=compiled, num_classes=4, in_channels=1, image_size=4)(
        torch.randn(2, 1, 4, 4)
    ).shape == (2, 4)
