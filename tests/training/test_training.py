"""Training as a Trainer sees it: steps, schedulers, clipping, accumulation, checkpoints, and what stops a run."""

from __future__ import annotations

import copy
import functools
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import pytest
import torch
from conftest import K, hand_layers, loader
from lightning.pytorch.cli import ReduceLROnPlateau
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

import al_lightning as al
from al_lightning.callbacks import AtomicCheckpointIO, Checkpoint

Make = Callable[..., pl.Trainer]


def al_module(depth: int = 2, **options: Any) -> al.ALModule:
    torch.manual_seed(0)
    return al.ALModule(hand_layers(depth), K, **options)


def bp_module(**options: Any) -> al.BPModule:
    torch.manual_seed(0)
    return al.BPModule(nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, K)), K, **options)


def sgd(lr: float) -> Callable[..., torch.optim.Optimizer]:
    return lambda parameters: torch.optim.SGD(parameters, lr=lr)


# ---------------------------------------------------------------------- steps


@pytest.mark.parametrize("depth", [1, 2, 4])
@pytest.mark.parametrize("isolated", [True, False])
def test_global_step_counts_batches(trainer: Make, depth: int, isolated: bool) -> None:
    fitted = trainer(max_epochs=2)
    fitted.fit(al_module(depth, isolated=isolated), loader(n=40))
    assert fitted.global_step == 10


def test_max_steps_means_batches(trainer: Make) -> None:
    seen: list[int] = []

    class Count(pl.Callback):
        def on_train_batch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule, *args: Any) -> None:
            seen.append(trainer.global_step)

    trainer(max_steps=10, max_epochs=-1, callbacks=[Count()], enable_checkpointing=False).fit(al_module(), loader(n=32))
    assert seen == list(range(1, 11))


def test_accumulation_counts_rounds_and_equals_the_large_batch(trainer: Make) -> None:
    """Four batches of 4 make the step of one batch of 16; the epoch's last, shorter round steps too."""
    small, large = al_module(optimizer=sgd(0.1), accumulate_grad_batches=4), al_module(optimizer=sgd(0.1))
    fitted = trainer(max_epochs=1)
    fitted.fit(small, loader(n=32, batch_size=4))
    assert fitted.global_step == 2
    trainer(max_epochs=1).fit(large, loader(n=32, batch_size=16))
    for a, b in zip(small.parameters(), large.parameters()):
        torch.testing.assert_close(a, b)
    odd = trainer(max_epochs=1)
    odd.fit(al_module(accumulate_grad_batches=4), loader(n=40, batch_size=4))
    assert odd.global_step == 3


@pytest.mark.parametrize("make", [al_module, bp_module])
def test_siblings_accumulate_alike(trainer: Make, make: Callable[..., Any]) -> None:
    fitted = trainer(max_epochs=2)
    fitted.fit(make(accumulate_grad_batches=4), loader(n=40, batch_size=4))
    assert fitted.global_step == 6


# ---------------------------------------------------------------------- optimizers and schedulers


class Rates(pl.Callback):
    def __init__(self) -> None:
        self.seen: list[list[float]] = []

    def on_train_batch_start(self, trainer: pl.Trainer, *args: Any) -> None:
        self.seen.append([group["lr"] for o in trainer.optimizers for group in o.param_groups])


def test_each_layer_has_its_optimizer_and_rate(trainer: Make) -> None:
    module = al_module(3, optimizer=torch.optim.RMSprop, layer_lr=[0.1, 0.2, 0.3])
    rates = Rates()
    fitted = trainer(max_epochs=1, callbacks=[rates], enable_checkpointing=False)
    fitted.fit(module, loader())
    assert rates.seen[0] == [0.1, 0.2, 0.3]
    assert [type(o) for o in fitted.optimizers] == [torch.optim.RMSprop] * 3
    for optimizer, layer in zip(fitted.optimizers, module.layers):
        assert {id(p) for g in optimizer.param_groups for p in g["params"]} == {id(p) for p in layer.parameters()}


@pytest.mark.parametrize("interval", ["epoch", "step"])
@pytest.mark.parametrize("accumulate", [1, 2])
def test_schedulers_step_as_in_the_sibling(trainer: Make, interval: Any, accumulate: int) -> None:
    """The rates of every layer follow the trace that Lightning gives the BP sibling."""
    traces = []
    for make in (al_module, bp_module):
        rates = Rates()
        module = make(
            optimizer=sgd(0.1),
            lr_scheduler=lambda o: torch.optim.lr_scheduler.StepLR(o, 2, 0.5),
            lr_scheduler_interval=interval,
            accumulate_grad_batches=accumulate,
        )
        trainer(max_epochs=5, callbacks=[rates], enable_checkpointing=False).fit(module, loader(n=40))
        traces.append([step[0] for step in rates.seen])
        assert all(len(set(step)) == 1 for step in rates.seen)
    assert traces[0] == traces[1]
    assert len(set(traces[0])) > 2


def test_layer_rates_survive_a_scheduler(trainer: Make) -> None:
    rates = Rates()
    module = al_module(
        2,
        optimizer=sgd(9.0),
        layer_lr=[0.1, 0.2],
        lr_scheduler=lambda o: torch.optim.lr_scheduler.ExponentialLR(o, 0.5),
    )
    trainer(max_epochs=2, callbacks=[rates], enable_checkpointing=False).fit(module, loader(n=8))
    assert rates.seen == [[0.1, 0.2], [0.05, 0.1]]


def test_plateau_scheduler_looks_at_its_metric(trainer: Make) -> None:
    rates = Rates()
    module = al_module(
        lr_scheduler=lambda o: ReduceLROnPlateau(o, monitor="val_loss", mode="max", patience=0, factor=0.5)
    )
    trainer(max_epochs=4, callbacks=[rates], enable_checkpointing=False).fit(module, loader(n=64), loader(n=8))
    assert rates.seen[-1][0] < rates.seen[0][0]
    wrong = al_module(lr_scheduler=lambda o: ReduceLROnPlateau(o, monitor="val_los"))
    with pytest.raises(ValueError, match="monitor a logged metric, but got 'val_los'.*val_loss"):
        trainer(max_epochs=1).fit(wrong, loader(n=8), loader(n=8))
    plain = al_module(lr_scheduler=torch.optim.lr_scheduler.ReduceLROnPlateau)
    with pytest.raises(ValueError, match="lightning.pytorch.cli.ReduceLROnPlateau"):
        trainer(max_epochs=1).fit(plain, loader(n=8), loader(n=8))


def test_clipping_is_per_layer(trainer: Make) -> None:
    """One step of SGD with rate 1 moves each layer by at most the largest norm, and small gradients are left."""
    free, clipped = al_module(3, optimizer=sgd(1.0)), al_module(3, optimizer=sgd(1.0), gradient_clip_norm=0.05)
    start = copy.deepcopy(free)
    for module in (free, clipped):
        trainer(max_steps=1).fit(module, loader(n=8))

    def moved(module: al.ALModule) -> list[float]:
        return [
            float(torch.cat([(a - b).detach().flatten() for a, b in zip(x.parameters(), y.parameters())]).norm())
            for x, y in zip(module.layers, start.layers)
        ]

    for without, with_ in zip(moved(free), moved(clipped)):
        assert with_ == pytest.approx(min(without, 0.05), rel=1e-3)
    assert max(moved(free)) > 0.05


def test_clipping_is_per_layer_without_isolation(trainer: Make) -> None:
    """There all gradients are alive together, and each layer is still clipped by its own norm."""
    options = dict(isolated=False, optimizer=sgd(1.0), gradient_clip_norm=0.05)
    module, start = al_module(3, **options), al_module(3)
    trainer(max_steps=1).fit(module, loader(n=8))
    for ours, before in zip(module.layers, start.layers):
        moved = torch.cat([(a - b).detach().flatten() for a, b in zip(ours.parameters(), before.parameters())]).norm()
        assert float(moved) == pytest.approx(0.05, rel=1e-3)


@pytest.mark.parametrize("fused", [False, True])
@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed"])
@pytest.mark.parametrize(("theirs", "algorithm"), [(False, "norm"), (True, "norm"), (True, "value")])
def test_sibling_clips_too(trainer: Make, fused: bool, precision: Any, theirs: bool, algorithm: Any) -> None:
    """By the module's own argument and by the Trainer's, in every precision, whatever steps."""
    options = {} if theirs else {"gradient_clip_norm": 0.01}
    asked = {"gradient_clip_val": 0.01, "gradient_clip_algorithm": algorithm} if theirs else {}
    module, start = bp_module(optimizer=functools.partial(torch.optim.SGD, lr=1.0, fused=fused), **options), bp_module()
    trainer(max_steps=1, precision=precision, **asked).fit(module, loader(n=8))
    moved = torch.cat([(a - b).detach().flatten() for a, b in zip(module.parameters(), start.parameters())])
    assert float(moved.norm() if algorithm == "norm" else moved.abs().max()) == pytest.approx(0.01, rel=1e-3)


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [("gradient_clip_val", "gradient_clip_norm"), ("accumulate_grad_batches", "accumulate_grad_batches")],
)
def test_trainer_arguments_name_their_replacement(trainer: Make, theirs: str, ours: str) -> None:
    with pytest.raises(ValueError, match=f"Trainer's `{theirs}` to be left alone, but got 2.*`{ours}=2`"):
        trainer(max_epochs=1, **{theirs: 2}).fit(al_module(), loader())
    fitted = trainer(max_epochs=1, **{theirs: 2})
    fitted.fit(bp_module(), loader(n=64))
    assert fitted.global_step == (4 if theirs == "accumulate_grad_batches" else 8)
    if theirs == "accumulate_grad_batches":
        with pytest.raises(ValueError, match="Leave the Trainer's alone"):
            trainer(max_epochs=1, accumulate_grad_batches=2).fit(bp_module(accumulate_grad_batches=3), loader())


def test_active_depth_leaves_the_rest_alone(trainer: Make) -> None:
    module = al_module(3, active_depth=2)
    before = copy.deepcopy(module.layers[2].state_dict())
    fitted = trainer(max_epochs=1)
    fitted.fit(module, loader(), loader())
    assert all(torch.equal(before[k], v) for k, v in module.layers[2].state_dict().items())
    assert len(fitted.optimizers) == 3  # all exist, so that the next layer may begin at any time
    assert "val_acc_path2" in fitted.callback_metrics
    assert "val_acc_path3" not in fitted.callback_metrics
    with pytest.raises(ValueError, match=r"in 1\.\.2, the number of active AL layers, but got 3"):
        module(torch.randn(2, 6), path_length=3)


def test_compiled_layers_keep_their_names(trainer: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[nn.Module] = []
    monkeypatch.setattr(nn.Module, "compile", lambda self, *args, **kwargs: calls.append(self))
    module = al_module(compile_layers=True)
    assert calls == list(module.layers)
    assert module.state_dict().keys() == al_module().state_dict().keys()


# ---------------------------------------------------------------------- randomness


class DropoutLayers:
    """A stack with dropout in the encoders."""

    def __new__(cls) -> Any:
        layers = hand_layers(2)
        for layer in layers:
            layer.f.append(nn.Dropout(0.5))
        return al.ALModule(layers, K)


def test_dropout_has_a_stream_of_its_own(trainer: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """The global stream is neither read nor moved, and layer, batch and epoch have different masks."""
    monkeypatch.setenv("PL_GLOBAL_SEED", "5")
    finals = []
    for disturbance in (0, 3):
        torch.manual_seed(0)
        module = DropoutLayers()
        torch.manual_seed(disturbance)
        before = torch.get_rng_state()
        trainer(max_epochs=2).fit(module, loader(n=24))
        assert torch.equal(before, torch.get_rng_state())
        assert module.run_seed == 5
        finals.append([p.detach().clone() for p in module.parameters()])
    assert all(torch.equal(a, b) for a, b in zip(*finals))


def test_masks_differ_by_layer_batch_and_epoch(trainer: Make) -> None:
    module = DropoutLayers()
    masks: list[tuple[bool, ...]] = []
    for layer in module.layers:
        layer.f[-1].register_forward_hook(lambda m, args, out: masks.append(tuple((out == 0).flatten().tolist())))
    trainer(max_epochs=3).fit(module, loader(n=16))
    assert len(masks) == 12
    assert len(set(masks)) == 12


# ---------------------------------------------------------------------- checkpoints


def test_a_checkpoint_by_step_holds_what_it_says(trainer: Make, tmp_path: Path) -> None:
    """step=N holds the weights after exactly N batches."""
    steps = Checkpoint(
        dirpath=str(tmp_path), filename="{step}", monitor=None, save_top_k=-1, every_n_train_steps=3, save_last=False
    )
    trainer(max_epochs=1, callbacks=[steps]).fit(al_module(), loader(n=64))
    files = sorted(p.name for p in tmp_path.glob("*.ckpt"))
    assert files == ["step=3.ckpt", "step=6.ckpt"]
    for n in (3, 6):
        saved = torch.load(tmp_path / f"step={n}.ckpt", weights_only=True)
        assert saved["global_step"] == n
        reference = al_module()
        trainer(max_steps=n).fit(reference, loader(n=64))
        assert all(torch.equal(saved["state_dict"][k], v) for k, v in reference.state_dict().items() if "layers" in k)


def test_a_checkpoint_by_time(trainer: Make, tmp_path: Path) -> None:
    by_time = Checkpoint(
        dirpath=str(tmp_path),
        filename="{step}",
        monitor=None,
        save_top_k=-1,
        train_time_interval=timedelta(0),
        save_last=False,
    )
    trainer(max_epochs=1, callbacks=[by_time]).fit(al_module(), loader(n=32))
    assert sorted(p.name for p in tmp_path.glob("*.ckpt")) == [f"step={n}.ckpt" for n in (1, 2, 3, 4)]


def test_the_best_checkpoint_belongs_to_its_metric(trainer: Make, tmp_path: Path) -> None:
    """With a step trigger and a monitored metric, best is written where the metric was measured."""
    both = Checkpoint(dirpath=str(tmp_path), filename="{step}-{val_acc:.4f}", every_n_train_steps=2)
    fitted = trainer(max_epochs=3, callbacks=[both])
    fitted.fit(al_module(), loader(n=32), loader(n=16, seed=3))
    best = torch.load(both.best_model_path, weights_only=True)
    assert best["global_step"] % 4 == 0  # at the end of an epoch, where validation ran
    module = al_module()
    fitted.validate(module, loader(n=16, seed=3), ckpt_path=both.best_model_path, verbose=False)
    assert float(fitted.callback_metrics["val_acc"]) == pytest.approx(float(both.best_model_score))
    assert torch.load(tmp_path / "last.ckpt", weights_only=True)["global_step"] == 12


def test_last_is_the_last_one_even_if_it_is_no_better(trainer: Make, tmp_path: Path) -> None:
    kept = Checkpoint(dirpath=str(tmp_path))
    trainer(max_epochs=3, callbacks=[kept]).fit(al_module(optimizer=sgd(0.0)), loader(n=16), loader(n=16))
    assert torch.load(kept.best_model_path, weights_only=True)["global_step"] == 2
    assert torch.load(tmp_path / "last.ckpt", weights_only=True)["global_step"] == 6


def test_without_validation_the_last_epoch_is_kept(trainer: Make, tmp_path: Path) -> None:
    kept = Checkpoint(dirpath=str(tmp_path))
    trainer(max_epochs=2, callbacks=[kept]).fit(al_module(), loader(n=16))
    assert torch.load(kept.best_model_path, weights_only=True)["global_step"] == 4


def test_resume_goes_on_where_it_stopped(trainer: Make, tmp_path: Path) -> None:
    """From the last checkpoint, at the end of an epoch, to the same weights and rates."""
    whole, part = DropoutLayers(), DropoutLayers()
    part.load_state_dict(whole.state_dict())
    schedule = lambda o: torch.optim.lr_scheduler.StepLR(o, 1, 0.5)  # noqa: E731
    whole.lr_scheduler = part.lr_scheduler = schedule
    whole.run_seed = part.run_seed = 11
    trainer(max_epochs=4).fit(whole, loader())
    kept = Checkpoint(dirpath=str(tmp_path), monitor=None)
    trainer(max_epochs=2, callbacks=[kept]).fit(part, loader())
    resumed = DropoutLayers()
    resumed.lr_scheduler = schedule
    second = trainer(max_epochs=4)
    second.fit(resumed, loader(), ckpt_path=tmp_path / "last.ckpt")
    assert second.global_step == 32
    assert [o.param_groups[0]["lr"] for o in second.optimizers] == [0.001 * 0.5**4] * 2
    assert all(torch.equal(a, b) for a, b in zip(whole.parameters(), resumed.parameters()))


def test_a_full_disk_leaves_the_old_checkpoint(trainer: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    io, path = AtomicCheckpointIO(), tmp_path / "last.ckpt"
    io.save_checkpoint({"state_dict": {}, "n": 1}, path)

    def full(checkpoint: Any, file: Any) -> None:
        file.write(b"half of it")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(torch, "save", full)
    with pytest.raises(OSError, match="could not .*No space left.*written before are whole"):
        io.save_checkpoint({"state_dict": {}, "n": 2}, path)
    assert torch.load(path, weights_only=True)["n"] == 1
    assert [p.name for p in tmp_path.iterdir()] == ["last.ckpt"]
    with pytest.raises(OSError, match="No space left"):
        trainer(max_epochs=1, callbacks=[Checkpoint(dirpath=str(tmp_path))]).fit(al_module(), loader(), loader())
    assert torch.load(path, weights_only=True)["n"] == 1


def test_another_architecture_is_named(trainer: Make, tmp_path: Path) -> None:
    fitted = trainer(max_epochs=1)
    fitted.fit(al.MLPAL(4, 1, 4, hidden_dims=[8], target_dim=8), loader(shape=(1, 4, 4)))
    fitted.save_checkpoint(tmp_path / "mlp.ckpt")
    other = al.MLPAL(4, 1, 4, hidden_dims=[8, 8], target_dim=8)
    with pytest.raises(
        ValueError, match=r"Expected a checkpoint of this MLPAL.*MLPAL\(num_classes=4.*hidden_dims=\[8\]"
    ):
        trainer().test(other, loader(shape=(1, 4, 4)), ckpt_path=tmp_path / "mlp.ckpt")
    with pytest.raises(ValueError, match=r"Expected a checkpoint of CNNAL, but .* holds MLPAL"):
        al.CNNAL.load_from_checkpoint(tmp_path / "mlp.ckpt")
    with pytest.raises(FileNotFoundError, match="there is none at"):
        al.CNNAL.load_from_checkpoint(tmp_path / "nothing.ckpt")
    whole = (tmp_path / "mlp.ckpt").read_bytes()
    (tmp_path / "cut.ckpt").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ValueError, match="Expected a whole checkpoint .* cannot be read"):
        al.MLPAL.load_from_checkpoint(tmp_path / "cut.ckpt")


def test_another_version_warns_and_works(trainer: Make, tmp_path: Path) -> None:
    fitted = trainer(max_epochs=1)
    fitted.fit(al.MLPAL(4, 1, 4, hidden_dims=[8], target_dim=8), loader(shape=(1, 4, 4)))
    fitted.save_checkpoint(tmp_path / "a.ckpt")
    saved = torch.load(tmp_path / "a.ckpt", weights_only=True)
    saved["al_lightning"]["version"] = "0.0.1"
    torch.save(saved, tmp_path / "b.ckpt")
    with pytest.warns(UserWarning, match=r"written by al_lightning 0\.0\.1"):
        al.MLPAL.load_from_checkpoint(tmp_path / "b.ckpt")


def test_optimizers_are_rebuilt_from_a_checkpoint(trainer: Make, tmp_path: Path) -> None:
    from functools import partial

    fitted = trainer(max_epochs=1)
    module = al.MLPAL(
        4, 1, 4, hidden_dims=[8], target_dim=8, optimizer=partial(torch.optim.SGD, lr=0.25), path_length=1
    )
    fitted.fit(module, loader(shape=(1, 4, 4)))
    fitted.save_checkpoint(tmp_path / "a.ckpt")
    saved = torch.load(tmp_path / "a.ckpt", weights_only=True)["al_lightning"]["model"]["init_args"]
    assert saved["optimizer"] == {"class_path": "torch.optim.sgd.SGD", "init_args": {"lr": 0.25}}
    assert "path_length" not in saved
    again = al.MLPAL.load_from_checkpoint(tmp_path / "a.ckpt")
    optimizer = again.optimizer([nn.Parameter(torch.zeros(1))])
    assert isinstance(optimizer, torch.optim.SGD)
    assert optimizer.param_groups[0]["lr"] == 0.25


# ---------------------------------------------------------------------- what stops a run


def spoiled(value: float, batch: int, batches: int = 4) -> DataLoader[Any]:
    x, y = torch.randn(8 * batches, 6), torch.arange(8 * batches) % K
    x[8 * batch] = value
    return DataLoader(TensorDataset(x, y), batch_size=8)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_loss_that_is_no_number_names_itself(trainer: Make, tmp_path: Path, value: float) -> None:
    module = al_module()
    module.layers[0].f = nn.Linear(6, 8)
    kept = Checkpoint(dirpath=str(tmp_path), monitor=None, every_n_train_steps=1, save_top_k=-1)
    with pytest.raises(
        FloatingPointError, match=r"associated loss of layer 1 became (nan|inf) at batch 2 of epoch 0.*last\.ckpt"
    ):
        trainer(max_epochs=1, callbacks=[kept]).fit(module, spoiled(value, 2))
    assert all(bool(torch.isfinite(p).all()) for p in module.parameters())  # stopped before the step
    saved = torch.load(tmp_path / "last.ckpt", weights_only=True)
    assert saved["global_step"] == 2
    assert all(bool(torch.isfinite(v).all()) for v in saved["state_dict"].values())


def test_the_layer_is_named(trainer: Make) -> None:
    module = al_module(3)
    with torch.no_grad():
        module.layers[1].h.bias.fill_(torch.inf)
    with pytest.raises(FloatingPointError, match="reconstruction loss of layer 2 became inf at batch 0"):
        trainer(max_epochs=1).fit(module, loader())


def test_sibling_stops_too(trainer: Make) -> None:
    with pytest.raises(FloatingPointError, match="training loss became nan at batch 1"):
        trainer(max_epochs=1).fit(bp_module(), spoiled(float("nan"), 1))


@pytest.mark.parametrize("make", [al_module, bp_module])
@pytest.mark.parametrize("label", [-1, K])
def test_labels_outside_the_classes(trainer: Make, make: Callable[..., Any], label: int) -> None:
    y = torch.arange(16) % K
    y[3] = label
    data = DataLoader(TensorDataset(torch.randn(16, 6), y), batch_size=8)
    module = make()
    before = [p.detach().clone() for p in module.parameters()]
    with pytest.raises(ValueError, match=rf"labels in 0\.\.{K - 1}, but the batch holds {label}"):
        trainer(max_epochs=1).fit(module, data)
    assert all(torch.equal(a, b) for a, b in zip(before, module.parameters()))
    with pytest.raises(ValueError, match="but the batch holds"):
        trainer().test(module, data)
    with pytest.raises(ValueError, match=r"integer type, but got \(16, 4\)"):
        module.target.check(torch.eye(K)[torch.zeros(16, dtype=torch.long)])


@pytest.mark.parametrize("make", [al_module, bp_module])
def test_an_empty_loader_is_an_error_and_one_batch_is_not(trainer: Make, make: Callable[..., Any]) -> None:
    with pytest.raises(ValueError, match="at least one batch to train on, but the training loader is empty"):
        trainer(max_epochs=1).fit(make(), loader(n=0))
    fitted = trainer(max_epochs=1)
    fitted.fit(make(), loader(n=8))
    assert fitted.global_step == 1
    trainer(max_epochs=1, limit_train_batches=0).fit(make(), loader(n=8))  # asked for


def test_double_precision(trainer: Make) -> None:
    module = al_module()
    x, y = next(iter(loader()))
    data = DataLoader(TensorDataset(x.double(), y), batch_size=4)
    trainer(max_epochs=1, precision="64-true").fit(module, data)
    assert {p.dtype for p in module.parameters()} == {torch.float64}


def test_bf16_mixed(trainer: Make) -> None:
    module = al_module()
    trainer(max_epochs=1, precision="bf16-mixed").fit(module, loader(), loader())
    assert all(bool(torch.isfinite(p).all()) for p in module.parameters())


# ---------------------------------------------------------------------- calibration


def test_temperature_minimises_cross_entropy() -> None:
    from al_lightning.targets.temperature import FittedTemperature

    torch.manual_seed(0)
    y = torch.randint(K, (500,))
    scores: Tensor = 0.05 * torch.eye(K)[y] + 0.03 * torch.randn(500, K)
    fit = FittedTemperature()
    for part, labels in zip(scores.split(100), y.split(100)):
        fit.update(part, labels)
    found = float(fit.compute())
    grid = torch.logspace(-2, 2, 4001)
    losses = [float(nn.functional.cross_entropy(scores / t, y)) for t in grid]
    assert found == pytest.approx(float(grid[losses.index(min(losses))]), rel=3e-3)


def test_calibrated_probabilities_match_accuracy(trainer: Make) -> None:
    """The mean confidence of a fitted module equals its accuracy on the validation data, roughly."""
    module = al_module()
    fitted = trainer(max_epochs=30)
    fitted.fit(module, loader(n=200), loader(n=200, seed=0))
    x = torch.cat([b[0] for b in loader(n=200)])
    confidence = module.eval().probabilities(module(x)).amax(-1).mean().detach()
    assert float(confidence) == pytest.approx(float(fitted.callback_metrics["val_acc"]), abs=0.05)
