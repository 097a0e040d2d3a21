"""Values and labels through every exported network: fit, test, predict and a checkpoint."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import pytest
import torch
from networks import MODULES, PARTS, TEXT, arguments, build, inputs
from sklearn.metrics import accuracy_score, f1_score, mean_squared_error, r2_score
from torch import Tensor
from torch.utils.data import DataLoader, TensorDataset

import al_lightning as al
from al_lightning.targets import LabelTarget, Target, ValueTarget

Make = Callable[..., pl.Trainer]
N = 12


def kind(name: str) -> Target:
    if name == "values":
        return ValueTarget(["a", "b", "c", "d"], mean=[0.0, 1e5, -3.0, 1.0], std=[1.0, 2e4, 1e-3, 2.0])
    return LabelTarget(4, ["a", "b", "c", "d"])


def samples(network: str, target: Target) -> tuple[Tensor, Tensor]:
    torch.manual_seed(2)
    x, drawn = inputs(network, N), torch.randn(N, 4)
    return x, target.measured(drawn) if isinstance(target, ValueTarget) else (drawn > 0).to(torch.uint8)


@pytest.mark.parametrize("what", ["values", "labels"])
@pytest.mark.parametrize("network", MODULES)
def test_every_network_learns_every_kind(network: str, what: str, trainer: Make, tmp_path: Path) -> None:
    target = kind(what)
    module = build(network, num_classes=None, target=target, optimizer=torch.optim.SGD)  # VGG has 20 million weights
    x, y = samples(network, target)
    data = DataLoader(TensorDataset(x, y), batch_size=N // 2)
    before = copy.deepcopy(module.state_dict())
    fitted = trainer(max_epochs=2)
    fitted.fit(module, data, data)
    assert not all(torch.equal(value, before[name]) for name, value in module.state_dict().items())
    assert f"val_{target.monitor}" in fitted.callback_metrics
    (tested,) = trainer().test(module, data, verbose=False)
    predicted = torch.cat(trainer().predict(module, data))  # type: ignore[arg-type]
    assert predicted.shape == (N, 4)
    if what == "values":
        assert tested["test_r2"] == pytest.approx(r2_score(y, predicted), rel=1e-3)
        columns = [mean_squared_error(y[:, k], predicted[:, k]) ** 0.5 for k in range(4)]
        assert tested["test_rmse"] == pytest.approx(sum(columns) / 4, rel=1e-3)
    else:  # a temperature changes no label
        said = (predicted > 0.5).int()
        assert tested["test_f1"] == pytest.approx(f1_score(y, said, average="macro", zero_division=0), abs=1e-5)
        assert tested["test_exact"] == pytest.approx(accuracy_score(y, said), abs=1e-5)
        own = module.eval()(x).detach() / module.calibration.temperatures[module.active_readouts().index(
            module.readout_name())]  # fmt: skip
        torch.testing.assert_close(predicted, own.sigmoid(), rtol=1e-4, atol=1e-5)
    if isinstance(module, al.ALModule):
        first = module.layers[0]
        assert first.reconstruction_loss == ("mse" if what == "values" or network == "ALModule" else
                                             "binary_cross_entropy")  # fmt: skip
        assert {f"test_{target.monitor}_path{k}" for k in range(1, len(module.layers) + 1)} <= tested.keys()
    fitted.save_checkpoint(tmp_path / "kind.ckpt")
    parts = {key: value for key, value in arguments(network).items() if key in PARTS.get(network, ())}
    rebuilt: Any = {**arguments(network), "target": target} if network in PARTS else parts
    again = type(module).load_from_checkpoint(tmp_path / "kind.ckpt", **rebuilt)
    assert vars(again.target) == vars(target)
    torch.testing.assert_close(again.eval().answer(x).detach(), predicted, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("network", ["MLPAL", "LSTMAL"])
def test_samples_leave_early_where_all_labels_are_sure(network: str, trainer: Make) -> None:
    target = LabelTarget(4)
    module = build(network, num_classes=None, target=target).eval()
    x, _ = samples(network, target)
    paths = [module.predictions(s, k).detach() for k, s in enumerate(module.forward_paths(x), 1)]
    level = float(target.confidence(paths[0]).median())
    scores, left = module.forward_adaptive(x, level)
    expected = [next((k for k, p in enumerate(paths, 1) if float(target.confidence(p)[n]) > level or k == len(paths)))
                for n in range(N)]  # fmt: skip
    assert left.tolist() == expected
    assert 1 < sum(k == 1 for k in expected) < N
    values = build("MLPAL", num_classes=None, target=kind("values")).eval()
    with pytest.raises(ValueError, match="that say how sure they are, but those of ValueTarget do not"):
        values.forward_adaptive(inputs("MLPAL"), 0.5)


def test_a_single_validation_sample_ends_no_run(trainer: Make) -> None:
    module = build("MLPBP", num_classes=None, target=kind("values"))
    x, y = samples("MLPBP", module.target)
    fitted = trainer(max_epochs=1)
    one = DataLoader(TensorDataset(x[:1], y[:1]))
    fitted.fit(module, DataLoader(TensorDataset(x, y), batch_size=6), one)
    assert bool(fitted.callback_metrics["val_r2"].isnan())
    assert bool(fitted.callback_metrics["val_rmse"].isfinite())


def test_labels_that_are_not_of_the_kind_end_a_run_with_a_sentence(trainer: Make) -> None:
    x, y = samples("MLPAL", kind("values"))
    module = build("MLPAL", num_classes=None, target=LabelTarget(4))
    for wrong, message in ((torch.arange(N) % 4, "These look like class numbers"), (y, "of 0 and 1, but '0'")):
        with pytest.raises(ValueError, match=message):
            trainer(max_epochs=1).fit(module, DataLoader(TensorDataset(x, wrong), batch_size=6))
    with pytest.raises(ValueError, match="or else a `target` of another kind"):
        build("MLPAL", target=kind("values"))
    for association in ("contrast", "cross_entropy"):
        with pytest.raises(ValueError, match=f"`association` to be 'mse' for a LabelTarget, but got '{association}'"):
            build("MLPAL", num_classes=None, target=LabelTarget(4), association=association)
    with pytest.raises(
        ValueError, match="`reconstruction_loss` to be 'binary_cross_entropy' for a LabelTarget, but got 'mse'"
    ):
        build("MLPAL", num_classes=None, target=LabelTarget(4), reconstruction_loss="mse")
    assert TEXT  # networks of both kinds of input are among those above
