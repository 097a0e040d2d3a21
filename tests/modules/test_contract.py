"""What every exported module promises. A new architecture is tested by being exported."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_type_hints

import lightning.pytorch as pl
import pytest
import torch
from networks import (
    AL,
    ARCHITECTURES,
    CLASSES,
    IMAGE,
    MODULES,
    PARTS,
    SMALL,
    TEXT,
    arguments,
    batches,
    build,
    inputs,
    shape,
)

import al_lightning as al
import al_lightning.modules


def test_every_module_has_a_small_size() -> None:
    assert set(CLASSES) <= set(SMALL)


@pytest.mark.parametrize("name", MODULES)
def test_scores(name: str) -> None:
    module = build(name).eval()
    x = inputs(name)
    scores = module(x)
    assert scores.shape == (5, 4)
    torch.testing.assert_close(module(x.flip(0)).flip(0), scores)  # samples do not see each other
    probabilities = module.probabilities(scores)
    torch.testing.assert_close(probabilities.sum(-1), torch.ones(5))


@pytest.mark.parametrize("name", AL)
def test_paths(name: str) -> None:
    module = build(name).eval()
    x = inputs(name)
    paths = module.forward_paths(x)
    depth = len(module.layers)
    assert len(paths) == depth
    for k, scores in enumerate(paths, 1):
        torch.testing.assert_close(module(x, path_length=k), scores)
    torch.testing.assert_close(module(x), paths[-1])
    assert all(module.training_parameters() > module.inference_parameters(k) for k in range(1, depth + 1))
    for wrong in (0, depth + 1, -1):
        with pytest.raises(ValueError, match=rf"`path_length` to be in 1..{depth}.*but got {wrong}"):
            module(x, path_length=wrong)
        with pytest.raises(ValueError, match="path_length"):
            build(name, path_length=wrong)


@pytest.mark.parametrize("name", AL)
def test_early_exits_are_the_paths(name: str) -> None:
    module = build(name).eval()
    x = inputs(name, 9)
    paths = module.forward_paths(x)
    sure = module.probabilities(paths[0], 1).amax(-1).median().item()
    scores, exits = module.forward_adaptive(x, confidence=sure)
    assert 0 < (exits == 1).sum() < 9
    for n in range(9):
        torch.testing.assert_close(scores[n], paths[int(exits[n]) - 1][n])
    assert (module.forward_adaptive(x, 1.0)[1] == len(paths)).all()
    assert (module.forward_adaptive(x, 0.0)[1] == 1).all()
    with pytest.raises(ValueError, match=r"`confidence` to be in \[0, 1\] or 'calibrated', but got 1.5"):
        module.forward_adaptive(x, 1.5)
    with pytest.raises(RuntimeError, match="eval"):
        module.train().forward_adaptive(x, 0.5)


@pytest.mark.parametrize("name", MODULES)
def test_fit_test_and_checkpoint(name: str, trainer: Callable[..., pl.Trainer], tmp_path: Path) -> None:
    module = build(name)
    start = {n: p.detach().clone() for n, p in module.named_parameters()}
    fitted = trainer(max_epochs=2, enable_checkpointing=False)
    fitted.fit(module, batches(name), batches(name, 12))
    assert fitted.global_step == 6
    assert fitted.current_epoch == 2
    metrics = fitted.callback_metrics
    assert {"train_loss", "val_loss", "val_acc"} <= set(metrics)
    if name in AL:
        depth = len(module.layers)
        expected = {f"val_acc_path{k}" for k in range(1, depth + 1)}
        expected |= {f"train_layer{i}_{w}" for i in range(1, depth + 1) for w in ("associated", "reconstruction")}
        assert expected <= set(metrics)
        assert metrics["val_acc"] == metrics[f"val_acc_path{depth}"]
    unmoved = [n for n, p in module.named_parameters() if torch.equal(p, start[n])]
    assert not unmoved
    assert (module.calibration.temperatures != 1).all()
    (tested,) = fitted.test(module, batches(name, 12), verbose=False)
    assert tested["test_acc"] == metrics["val_acc"]  # the same batches
    fitted.save_checkpoint(tmp_path / "a.ckpt")
    loaded = torch.load(tmp_path / "a.ckpt", weights_only=True)
    assert loaded["al_lightning"]["version"] == al.__version__
    by_hand = {"num_classes": 4, **arguments(name)} if name in PARTS else {}
    again = type(module).load_from_checkpoint(tmp_path / "a.ckpt", **by_hand)
    x = inputs(name)
    assert torch.equal(again(x), module.eval()(x))
    assert torch.equal(again.calibration.temperatures, module.calibration.temperatures)


@pytest.mark.parametrize("name", MODULES)
def test_same_seed_same_weights(name: str, trainer: Callable[..., pl.Trainer], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PL_GLOBAL_SEED", "0")  # where an AL layer's dropout starts from

    def train() -> dict[str, torch.Tensor]:
        module = build(name)
        trainer(max_epochs=1).fit(module, batches(name), batches(name, 12))
        return module.state_dict()

    first, second = train(), train()
    assert all(torch.equal(first[key], second[key]) for key in first)


@pytest.mark.parametrize("name", IMAGE)
def test_wrong_images_get_a_sentence(name: str) -> None:
    channels, size, _ = shape(name)
    with pytest.raises(ValueError, match=r"Expected images of shape .*in_channels=1.*but got \(2, 3,"):
        build(name)(torch.randn(2, 3, size, size))
    with pytest.raises(ValueError, match=rf"image_size={size}, but got"):
        build(name)(torch.randn(2, channels, size + 4, size + 4))


@pytest.mark.parametrize("name", [n for n in IMAGE if n in AL])
def test_siblings_share_trunk_and_controls(name: str) -> None:
    """Same `norm` and `activation` in both give the controlled comparison: the trunk's parameters are the same."""
    sibling = name.replace("AL", "BP")
    for norm in ("batch", None):
        ours, theirs = build(name, norm=norm, activation="relu"), build(sibling, norm=norm, activation="relu")
        encoders = [layer.f for layer in ours.layers]
        if name == "VGGAL":
            encoders.pop()  # published heads: AL's last layer is dense, and not the sibling's
        trunk = [tuple(p.shape) for f in encoders for p in f.parameters()]
        assert [tuple(p.shape) for p in theirs.net.parameters()][: len(trunk)] == trunk


@pytest.mark.parametrize("name", [n for n in TEXT if n in AL])
def test_text_siblings_share_trunk(name: str) -> None:
    ours, theirs = build(name), build(name.replace("AL", "BP"))
    trunk = [tuple(p.shape) for layer in ours.layers for p in layer.f.parameters()]
    assert [tuple(p.shape) for p in theirs.net.parameters()][: len(trunk)] == trunk


@pytest.mark.parametrize(("options", "module"), [(al.ALOptions, al.ALModule), (al.BPOptions, al.BPModule)])
def test_options_are_the_arguments(options: Any, module: type) -> None:
    """The TypedDict that architectures pass on says what the base takes."""
    taken = {n for n, p in inspect.signature(module.__init__).parameters.items() if p.kind is p.KEYWORD_ONLY}
    assert set(options.__annotations__) == taken
    ours, theirs = get_type_hints(options), get_type_hints(module.__init__)
    assert all(ours[name] == theirs[name] for name in taken)


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_an_architecture_defines_only_its_constructor(name: str) -> None:
    own = {n for n in vars(getattr(al, name)) if not n.startswith("__") and n != "_abc_impl"}
    assert own == set()


@pytest.mark.parametrize("name", CLASSES)
def test_public_docstrings_name_every_argument(name: str) -> None:
    documented = inspect.getdoc(getattr(al, name)) or ""
    for argument, parameter in list(inspect.signature(getattr(al, name).__init__).parameters.items())[1:]:
        assert f"{argument}:" in documented, f"{name} does not document {argument} ({parameter})"
