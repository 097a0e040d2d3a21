"""Networks of others, converted: built from a configuration, trained layer by layer, started from weights, frozen."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import pytest
import torch
import torchvision.models as models
from conftest import loader
from small_networks import SmallResNet, small_functional, small_mlp, small_resnet
from torch import Tensor, nn

import al_lightning as al
from al_lightning.cli.main import main

Make = Callable[..., pl.Trainer]
#: Networks of torchvision at a size at which they are quick.
NETWORKS: dict[str, dict[str, Any]] = {
    "resnet18": {},
    "resnet50": {},
    "vgg16": {},
    "mobilenet_v3_small": {},
    "convnext_tiny": {},
    "vit_b_16": {"image_size": 32},
}
SMALL = dict(network=small_resnet, num_classes=4, in_channels=1, image_size=4)
#: Does not move any weight.
NOTHING = 1e-300


def moved(module: nn.Module, before: dict[str, Tensor]) -> set[str]:
    return {name for name, p in module.named_parameters() if not torch.equal(p, before[name])}


@pytest.mark.parametrize("name", NETWORKS)
def test_one_step_changes_every_layer_and_nothing_else(name: str, trainer: Make) -> None:
    sgd = functools.partial(torch.optim.SGD, lr=0.1)
    module = al.ConvertedAL(network=getattr(models, name), network_args=NETWORKS[name], num_classes=4, optimizer=sgd,
                            layer_lr=[NOTHING, 0.1, NOTHING, NOTHING], cuts=4, target_dim=8)  # fmt: skip
    data = loader(4, 4, (3, 32, 32))
    before = {n: p.detach().clone() for n, p in module.named_parameters()}
    trainer(max_steps=1).fit(module, data)
    changed = moved(module, before)
    assert {n.split(".")[1] for n in changed} == {"1"}  # of layer 2 alone
    assert {n.split(".")[2] for n in changed} == {"f", "b", "g", "h"}
    module.layer_lr = None
    trainer(max_steps=1).fit(module, data)
    changed = moved(module, before)
    assert {tuple(n.split(".")[1:3]) for n in changed} == {(str(i), part) for i in range(4) for part in "fbgh"}
    assert module.eval()(torch.randn(2, 3, 32, 32)).shape == (2, 4)


def test_it_learns_what_its_sibling_learns(trainer: Make) -> None:
    accuracies = []
    for kind, options in ((al.ConvertedAL, {"cuts": 3, "target_dim": 16}), (al.ConvertedBP, {})):
        torch.manual_seed(0)
        adam = functools.partial(torch.optim.Adam, lr=1e-2)
        module = kind(**SMALL, network_args={"width": 8}, optimizer=adam, **options)
        fitted = trainer(max_epochs=12)
        fitted.fit(module, loader(160, 16, (1, 4, 4)), loader(80, 16, (1, 4, 4)))
        accuracies.append(float(fitted.callback_metrics["val_acc"]))
    assert min(accuracies) > 0.9


def test_the_sibling_is_the_network_with_another_last_layer() -> None:
    net = models.resnet18(num_classes=9)
    module = al.ConvertedBP(network=net, num_classes=4)
    kept = {id(p) for p in net.parameters()} - {id(net.fc.weight), id(net.fc.bias)}
    assert kept < {id(p) for p in module.parameters()}
    assert module.training_parameters() == sum(p.numel() for p in net.parameters()) - 5 * 513
    net.fc = nn.Identity()  # features
    x = torch.randn(2, 3, 32, 32)
    linear = module.net[-1].get_submodule("fc")
    torch.testing.assert_close(module.eval()(x), linear(net.eval()(x)))
    squeeze = al.ConvertedBP(network=models.squeezenet1_1, num_classes=4, image_size=64)  # ends in a convolution
    assert squeeze(torch.randn(2, 3, 64, 64)).shape == (2, 4)


def test_blocks_are_cut_too() -> None:
    trunk = nn.Sequential(nn.Conv2d(1, 3, 3), nn.ELU(), nn.Conv2d(3, 3, 1), nn.ELU(), nn.Flatten(), nn.Linear(12, 5))
    module = al.ConvertedAL(trunk, 4, 1, 4, cuts=[2, 5])
    assert [layer.b[-1].in_features if isinstance(layer.b, nn.Sequential) else layer.b.in_features
            for layer in module.layers] == [12, 12, 5]  # fmt: skip
    assert len(al.ConvertedAL(list(trunk), 4, 1, 4).layers) == 6
    assert len(al.ConvertedAL(list(trunk), 4, 1, 4, cuts=2).layers) == 2
    vectors = al.ConvertedAL(network=small_mlp, num_classes=4, in_features=6, cuts=3)
    assert vectors(torch.randn(5, 6)).shape == (5, 4)
    assert al.ConvertedBP(network=small_mlp, num_classes=4, in_features=6)(torch.randn(5, 6)).shape == (5, 4)


def test_a_checkpoint_keeps_where_blocks_begin(trainer: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever a later version counts, the blocks are those that were trained."""
    module = al.ConvertedAL(**SMALL, cuts=2)
    fitted = trainer(max_epochs=1)
    fitted.fit(module, loader(16, 8, (1, 4, 4)))
    fitted.save_checkpoint(tmp_path / "cut.ckpt")
    monkeypatch.setattr("al_lightning.nn.cuts.balance", lambda costs, groups: [range(3), range(3, len(costs))])
    assert len(list(al.ConvertedAL(**SMALL, cuts=2).layers[0].f.parameters())) != len(
        list(module.layers[0].f.parameters())
    )
    again = al.ConvertedAL.load_from_checkpoint(tmp_path / "cut.ckpt")
    x = torch.randn(3, 1, 4, 4)
    assert torch.equal(again.eval()(x), module.eval()(x))


def test_blocks_that_begin_without_a_module_are_found_again(trainer: Make, tmp_path: Path) -> None:
    module = al.ConvertedAL(network=small_functional, num_classes=4, in_features=6, cuts=2)
    fitted = trainer(max_epochs=1)
    fitted.fit(module, loader(16, 8))
    fitted.save_checkpoint(tmp_path / "functional.ckpt")
    again = al.ConvertedAL.load_from_checkpoint(tmp_path / "functional.ckpt")
    x = torch.randn(3, 6)
    assert torch.equal(again.eval()(x), module.eval()(x))


DIGITS = ["--data", "Digits", "--data.train_samples", "100", "--trainer.accelerator", "cpu", "--trainer.enable_progress_bar",
          "false", "--trainer.enable_model_summary", "false", "--trainer.max_epochs", "1"]  # fmt: skip


@pytest.mark.parametrize(("name", "cuts"), [("ConvertedAL", ["--model.cuts", "[blocks.1]"]), ("ConvertedBP", [])])
def test_from_a_command_alone(name: str, cuts: list[str]) -> None:
    network = ["--model.network", "small_networks.small_resnet", "--model.network_args", "{width: 5}"]
    fitted = main(["fit", "--model", name, *network, *cuts, *DIGITS])
    best = fitted.trainer.checkpoint_callback.best_model_path
    kept = torch.load(best, weights_only=True)["al_lightning"]["model"]["init_args"]
    assert kept["network"] == "small_networks.small_resnet"
    assert kept["network_args"] == {"width": 5}
    if name == "ConvertedAL":
        assert len(fitted.model.layers) == 2
    tested = main(["test", "--ckpt_path", best, "--trainer.enable_progress_bar", "false"])
    assert 0 <= float(tested.trainer.callback_metrics["test_acc"]) <= 1
    theirs, ours = torch.load(best, weights_only=True)["state_dict"], tested.model.state_dict()
    assert all(torch.equal(ours[n], theirs[n]) for n in ours if n.startswith(("layers.", "net.")))


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ("small_networks.none", "module 'small_networks' has no attribute 'none'"),
        ("nomodule.net", "No module named 'nomodule'"),
    ],
)
def test_a_builder_that_is_not_there_is_named(given: str, reason: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["fit", "--model", "ConvertedAL", "--model.network", given, *DIGITS])
    said = capsys.readouterr().err
    assert (
        f"Expected `network` of ConvertedAL to be a function or class that can be imported here, but got {given}"
        in said
    )
    assert reason in said


def test_a_class_and_its_arguments_from_a_command() -> None:
    fitted = main(["fit", "--model", "ConvertedAL", "--model.network", "small_networks.SmallResNet", "--model.network_args",
                   "{width: 5, blocks: 1}", *DIGITS])  # fmt: skip
    best = fitted.trainer.checkpoint_callback.best_model_path
    assert al.ConvertedAL.load_from_checkpoint(best).training_parameters() == fitted.model.training_parameters()
    starts = torch.load(best, weights_only=True)["al_lightning"]["model"]["init_args"]["block_starts"]
    assert starts == ["blocks.0"]


@pytest.mark.parametrize(
    ("build", "said"),
    [
        (lambda: al.ConvertedAL(num_classes=4), "`blocks`, or a `network` that is cut into blocks, but got neither"),
        (lambda: al.ConvertedAL([nn.Linear(4, 4)], network=small_resnet, num_classes=4), "but got both"),
        (lambda: al.ConvertedAL([nn.Flatten()], 4, weights="a"), "`network_args` and `weights` beside a `network`, but got blocks"),
        (lambda: al.ConvertedBP([nn.Flatten()], num_classes=4), "`head` beside `blocks`, to make scores"),
        (lambda: al.ConvertedAL(**SMALL, network_args={"wdth": 3}), r"arguments that small_resnet accepts, but got {'wdth': 3}"),
        (lambda: al.ConvertedAL(network=models.resnet18, num_classes=4, weights="NONE"), "arguments that resnet18 accepts.*`weights`, which is a file or a name"),
        (lambda: al.ConvertedAL(network=SmallResNet(), network_args={"width": 3}, num_classes=4), "a function or class that builds the network"),
        (lambda: al.ConvertedAL(network=models.resnet18, num_classes=4, in_channels=1), r"ResNet to read inputs of shape \(B, 1, 32, 32\), but conv1 cannot"),
        (lambda: al.ConvertedAL(**SMALL, cuts=True), "`cuts` to be a whole number or a list of modules, but got True"),
        (lambda: al.ConvertedAL(**SMALL, cuts=9), r"`cuts` to be in 1\.\.\d, because SmallResNet has so many parts"),
    ],
)  # fmt: skip
def test_wrong_arguments_get_a_sentence(build: Callable[[], Any], said: str) -> None:
    with pytest.raises(ValueError, match=f"Expected .*{said}"):
        build()


def test_a_builder_has_to_build_a_network() -> None:
    with pytest.raises(TypeError, match="Expected dict to build an nn.Module, but it returned a dict"):
        al.ConvertedAL(network=dict, num_classes=4)
    with pytest.raises(TypeError, match="a function or class that builds one, but got 'mynet.build'. Import it"):
        al.ConvertedAL(network="mynet.build", num_classes=4)
    for given in (SmallResNet(), small_resnet):
        with pytest.raises(TypeError, match=r"`blocks` to be a list of blocks .* Pass a network .* as `network`"):
            al.ConvertedAL(given, 4)
