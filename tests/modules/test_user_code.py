"""A user's own code: hooks, hyperparameters, constructors, frozen layers, labels and batches of other kinds."""

from __future__ import annotations

import copy
import enum
import functools
import subprocess
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import lightning.pytorch as pl
import numpy as np
import pytest
import torch
from lightning.pytorch.cli import OptimizerCallable
from networks import batches, build
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

import al_lightning as al
from al_lightning.cli.main import main
from al_lightning.data import Digits
from al_lightning.data.images.module import ImageBatch

Make = Callable[..., pl.Trainer]
SIBLINGS = ["MLPAL", "MLPBP"]
X, Y = torch.randn(64, 1, 4, 4, generator=torch.Generator().manual_seed(0)), torch.arange(64) % 2


def small(name: str, **options: Any) -> Any:
    return getattr(al, name)(2, 1, 4, hidden_dims=[8, 8], **options)


# ---------------------------------------------------------------------- hooks


class OwnStepAL(al.MLPAL):
    """Logs what it wants to; the calibration does not see its scores."""

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        self.log("mine", (self(batch[0]).argmax(-1) == batch[1]).float().mean())


class OwnStepBP(al.MLPBP):
    """The same by backpropagation, with a training step of its own."""

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        self.log("mine", (self(batch[0]).argmax(-1) == batch[1]).float().mean())

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        return nn.functional.cross_entropy(self(batch[0]), batch[1])


@pytest.mark.parametrize(("name", "own"), [("MLPAL", OwnStepAL), ("MLPBP", OwnStepBP)])
def test_a_validation_step_of_ones_own_keeps_the_temperatures(name: str, own: type, trainer: Make) -> None:
    ends = []
    for kind in (getattr(al, name), own):
        torch.manual_seed(0)
        module = kind(2, 1, 4, hidden_dims=[8, 8])
        module.run_seed = 1
        data = DataLoader(TensorDataset(X, Y), batch_size=16)
        trainer(max_epochs=2).fit(module, data, data)
        ends.append(module.calibration.temperatures)
    assert torch.equal(*ends)
    assert bool((ends[0] != 1).all())


class OwnBatches(al.MLPAL):
    """Reads dictionaries, and has attributes of usual names."""

    def __init__(self, num_classes: int) -> None:
        super().__init__(num_classes, 1, 4, hidden_dims=[8])
        self.seed, self.network, self.lr = 1, nn.Identity(), 0.1

    def training_step(self, batch: Any, batch_idx: int) -> None:
        return super().training_step((batch["image"], batch["label"]), batch_idx)

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        self.log("mine", self(batch["image"]).mean())


def test_batches_that_only_the_users_own_steps_read(trainer: Make) -> None:
    data = DataLoader([{"image": x, "label": y} for x, y in zip(X, Y)], batch_size=16)
    module = OwnBatches(2)
    with pytest.warns(
        UserWarning, match="The probabilities of OwnBatches are not calibrated: its own `validation_step`"
    ):
        trainer(max_epochs=1).fit(module, data, data)
    assert module.calibration.temperatures.tolist() == [1.0, 1.0, 1.0]  # one layer, three read-outs


def test_a_mixin_may_bring_the_hook_of_the_data(trainer: Make) -> None:
    class Mixin:
        def on_after_batch_transfer(self, batch: Any, dataloader_idx: int) -> Any:
            x, y = batch
            return x, y

    class Mixed(Mixin, Digits):
        """Its hook comes from elsewhere."""

    class Below(Mixed):
        """Extended once."""

    with pytest.warns(UserWarning, match="will not rebuild the Below"):
        trainer(max_epochs=1, limit_train_batches=1, limit_val_batches=1).fit(
            al.MLPAL(10, 1, 8, hidden_dims=[8]), Below(train_samples=100)
        )


def test_without_a_validation_sample_temperatures_stay(trainer: Make) -> None:
    module = small("MLPAL")
    module.calibration.temperatures.fill_(0.5)
    module.calibration.fit(2)
    assert module.calibration.temperatures.tolist() == [0.5] * 6


class BrightDigits(Digits):
    """Hooks of the data without `super()`."""

    def setup(self, stage: str) -> None: ...
    def on_after_batch_transfer(self, batch: Any, dataloader_idx: int) -> Any:
        x, y = batch
        assert x.dtype == torch.float32  # prepared already
        return x + 1, y


class BrighterDigits(Digits):
    """The same with `super()`."""

    def on_after_batch_transfer(self, batch: Any, dataloader_idx: int) -> Any:
        x, y = super().on_after_batch_transfer(batch, dataloader_idx)
        return x + 1, y


class OwnLoader(Digits):
    """Loaders that yield what the user likes."""

    def train_dataloader(self) -> Any:
        return DataLoader(TensorDataset(torch.randn(8, 1, 8, 8), torch.arange(8)), batch_size=4)


def test_hooks_of_the_data_need_no_super(trainer: Make) -> None:
    seen: dict[str, Tensor] = {}

    class See(pl.Callback):
        def on_train_batch_start(self, trainer: Any, module: Any, batch: Any, batch_idx: int) -> None:
            seen.setdefault(type(trainer.datamodule).__name__, batch[0])

    for data in (Digits, BrightDigits, BrighterDigits, OwnLoader):
        fitted = trainer(max_epochs=1, limit_train_batches=2, callbacks=[See()])
        fitted.fit(al.MLPAL(10, 1, 8, hidden_dims=[8]), data(train_samples=100, batch_size=16))
    assert torch.equal(seen["BrightDigits"], seen["Digits"] + 1)
    assert torch.equal(seen["BrighterDigits"], seen["Digits"] + 1)
    assert seen["OwnLoader"].shape == (4, 1, 8, 8)
    raw = Digits(train_samples=100)
    assert isinstance(next(iter(raw.train_dataloader())), ImageBatch)


# ---------------------------------------------------------------------- constructors


class Saves(al.MLPAL):
    """Does what Lightning's documentation does in every example."""

    def __init__(self, num_classes: int = 10, width: int = 8, optimizer: OptimizerCallable = torch.optim.SGD) -> None:
        super().__init__(num_classes, 1, 8, hidden_dims=[width], optimizer=functools.partial(optimizer, lr=0.1))
        self.save_hyperparameters()


class Plain(al.MLPAL):
    """Arguments of usual types."""

    def __init__(
        self,
        num_classes: int,
        width: int = 8,
        rate: float = 0.1,
        folder: Path | None = None,
        act: type[nn.Module] = nn.ReLU,
        fn: Callable = torch.relu,  # type: ignore[type-arg]
        untyped=nn.Identity,  # type: ignore[no-untyped-def]  # as users write it
        **options: Any,
    ) -> None:
        super().__init__(num_classes, 1, 8, hidden_dims=[width], **options)
        self.given = (rate, folder, act, fn)


class Positional(al.MLPAL):
    """Passes on whatever comes."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)


def train(module: Any, trainer: Make) -> list[str]:
    """Fit, save to `a.ckpt`, and return what was said about rebuilding."""
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        fitted = trainer(max_epochs=1, limit_train_batches=1, limit_val_batches=1)
        fitted.fit(module, Digits(train_samples=100))
    fitted.save_checkpoint("a.ckpt")
    torch.load("a.ckpt", weights_only=True)
    return [str(one.message) for one in said if "will not rebuild" in str(one.message)]


def test_hyperparameters_stay_plain(trainer: Make) -> None:
    assert train(Saves(np.int64(10), optimizer=torch.optim.Adam), trainer) == []
    saved = torch.load("a.ckpt", weights_only=True)["hyper_parameters"]
    assert saved["width"] == 8
    assert type(saved["num_classes"]) is int
    again = Saves.load_from_checkpoint("a.ckpt")
    assert again.hparams["width"] == 8
    cli = main(
        ["test", "--ckpt_path", "a.ckpt", "--trainer.accelerator", "cpu", "--trainer.enable_progress_bar", "false"]
    )
    assert type(cli.model).__name__ == "Saves"


@pytest.mark.parametrize(
    "make",
    [
        lambda: Plain(np.int64(10), np.int32(8), rate=np.float64(0.25), folder=Path("a/b"), act=nn.Tanh, fn=torch.tanh),
        lambda: Plain(
            10,
            optimizer=torch.optim.SGD,
            lr_scheduler=functools.partial(torch.optim.lr_scheduler.StepLR, step_size=np.int64(2)),
        ),
        lambda: Positional(num_classes=10, in_channels=1, image_size=8, hidden_dims=(8,)),
    ],
)
def test_arguments_of_usual_types_are_rebuilt(make: Callable[[], Any], trainer: Make) -> None:
    module = make()
    assert train(module, trainer) == []
    again = type(module).load_from_checkpoint("a.ckpt")
    assert all(torch.equal(a, b) for a, b in zip(module.parameters(), again.parameters()))
    if isinstance(module, Plain):
        assert again.given == module.given
    kept = module.optimizer(module.parameters())
    assert type(again.optimizer(again.parameters())) is type(kept)


def local() -> Any:
    class Local(al.MLPAL):
        """Nobody can import it."""

    return Local(10, 1, 8, hidden_dims=[8])


def test_enumerations_and_long_doubles(trainer: Make) -> None:
    class Bridge(str, enum.Enum):
        LEAN = "lean"

    module = al.MLPAL(10, 1, 8, hidden_dims=[8], bridge=Bridge.LEAN)
    assert train(module, trainer) == []
    assert torch.load("a.ckpt", weights_only=True)["al_lightning"]["model"]["init_args"]["bridge"] == "lean"
    assert "its argument `rate` is not made of plain types" in train(Plain(10, rate=np.longdouble(1)), trainer)[0]


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda: Positional(10, 1, 8, hidden_dims=[8]), r"what comes as `\*args` has no names. Pass it by name"),
        (lambda: Plain(10, untyped=nn.ReLU), "its argument `untyped` has no type"),
        (local, "Local stands inside a function. Put the class into a file"),
        (lambda: Plain(10, optimizer=torch.device("cpu")), "its argument `optimizer` is not made of plain types"),
    ],
)
def test_what_cannot_be_rebuilt_is_said_when_fit_starts(
    make: Callable[[], Any], reason: str, trainer: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = make()
    module.optimizer = torch.optim.SGD if isinstance(module.optimizer, torch.device) else module.optimizer
    said = train(module, trainer)
    assert len(said) == 1
    import re

    assert re.search(reason, said[0]), said
    with pytest.raises(ValueError, match="Pass the constructor's arguments beside the path"):
        type(module).load_from_checkpoint("a.ckpt")


SCRIPT = '''
import sys
import lightning.pytorch as pl
import al_lightning as al
from al_lightning.data import Digits

class Mine(al.MLPAL):
    """A network in the script that trains it."""

class MyDigits(Digits):
    """Data in the same script."""

if __name__ == "__main__":
    trainer = pl.Trainer(max_epochs=1, accelerator="cpu", logger=False, enable_checkpointing=False,
                         enable_progress_bar=False, enable_model_summary=False, limit_train_batches=1)
    trainer.fit(Mine(10, 1, 8, hidden_dims=[8]), MyDigits(train_samples=100))
    trainer.save_checkpoint("mine.ckpt")
    assert type(al.MLPAL.load_from_checkpoint("mine.ckpt")) is Mine
    assert MyDigits.load_from_checkpoint("mine.ckpt").train_samples == 100
'''


def test_classes_in_the_script_that_trains(tmp_path: Path) -> None:
    (tmp_path / "script.py").write_text(SCRIPT)
    environment = {
        **__import__("os").environ,
        "PYTHONPATH": str(Path(al.__file__).parent.parent),
        "PYTHONWARNINGS": "ignore",
    }
    ended = subprocess.run(
        [sys.executable, "script.py"], check=False, cwd=tmp_path, capture_output=True, text=True, env=environment
    )
    assert ended.returncode == 0, ended.stderr
    assert "will not rebuild" not in ended.stderr
    tested = subprocess.run(
        [sys.executable, "-m", "al_lightning", "test", "--ckpt_path", "mine.ckpt", "--trainer.accelerator", "cpu"],
        check=False, cwd=tmp_path, capture_output=True, text=True, env=environment,
    )  # fmt: skip
    assert tested.returncode == 0, tested.stderr
    assert "test_acc" in tested.stdout


def test_a_class_of_a_notebook_is_rebuilt_there_and_said(trainer: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    main_module = sys.modules["__main__"]
    monkeypatch.setattr(main_module, "__spec__", None)
    monkeypatch.delattr(main_module, "__file__", raising=False)
    typed = type("Typed", (al.MLPAL,), {"__module__": "__main__", "__doc__": "A cell's class."})
    monkeypatch.setattr(main_module, "Typed", typed, raising=False)
    (said,) = train(typed(10, 1, 8, hidden_dims=[8]), trainer)
    assert "it was typed into a notebook" in said
    assert type(typed.load_from_checkpoint("a.ckpt")) is typed


# ---------------------------------------------------------------------- loading


def test_lightnings_own_arguments_of_loading(trainer: Make) -> None:
    module = small("MLPAL")
    fitted = trainer(max_epochs=1)
    fitted.fit(module, DataLoader(TensorDataset(X, Y), batch_size=16))
    fitted.save_checkpoint("a.ckpt")
    for options in (
        {"strict": True},
        {"strict": False},
        {"weights_only": True},
        {"weights_only": False},
        {"map_location": lambda storage, _: storage},
        {"map_location": {"cuda:0": "cpu"}},
        {"map_location": torch.device("cpu")},
        {"hparams_file": None},
    ):
        again = al.MLPAL.load_from_checkpoint("a.ckpt", **options)
        assert all(torch.equal(a, b) for a, b in zip(module.parameters(), again.parameters()))
    with open("a.ckpt", "rb") as file:
        assert isinstance(al.MLPAL.load_from_checkpoint(file), al.MLPAL)
    assert isinstance(al.MLPAL.load_from_checkpoint(Path("a.ckpt").absolute().as_uri()), al.MLPAL)
    Path("more.yaml").write_text("path_length: 1\n")
    assert al.MLPAL.load_from_checkpoint("a.ckpt", hparams_file="more.yaml").path_length == 1
    fewer = torch.load("a.ckpt", weights_only=True)
    del fewer["state_dict"]["layers.1.g.0.bias"]
    torch.save(fewer, "fewer.ckpt")
    with pytest.raises(ValueError, match="1 of them differ, first layers.1.g.0.bias"):
        al.MLPAL.load_from_checkpoint("fewer.ckpt")
    assert isinstance(al.MLPAL.load_from_checkpoint("fewer.ckpt", strict=False), al.MLPAL)


def test_data_are_built_from_a_checkpoint(trainer: Make) -> None:
    fitted = trainer(max_epochs=1, limit_train_batches=1, limit_val_batches=1)
    fitted.fit(al.MLPAL(10, 1, 8, hidden_dims=[8]), Digits(train_samples=100, seed=4))
    fitted.save_checkpoint("a.ckpt")
    data = Digits.load_from_checkpoint("a.ckpt", batch_size=7)
    assert (data.train_samples, data.seed, data.batch_size) == (100, 4, 7)


# ---------------------------------------------------------------------- frozen layers


@pytest.mark.parametrize("frozen", [[0], [1], [0, 1]])
def test_a_frozen_layer_is_passed_through(frozen: list[int], trainer: Make) -> None:
    """The others learn what they learn in plain torch, and the frozen one keeps its weights."""
    torch.manual_seed(0)
    module = build("ALModule", optimizer=functools.partial(torch.optim.SGD, lr=0.1))
    for number in frozen:
        module.layers[number].requires_grad_(False)
    reference = copy.deepcopy(module.layers)
    data = batches("ALModule", 16)
    fitted = trainer(max_epochs=1)
    fitted.fit(module, data)
    for x, y in data:
        s, t = x, torch.eye(4)[y]
        for number, layer in enumerate(reference):
            s, t, losses = layer(s, t)
            if number not in frozen:
                optimizer = torch.optim.SGD(layer.parameters(), lr=0.1)
                optimizer.zero_grad()
                (losses.associated + losses.reconstruction).backward()
                optimizer.step()
            s, t = s.detach(), t.detach()
    assert all(torch.allclose(a, b, atol=1e-6) for a, b in zip(module.layers.parameters(), reference.parameters()))
    assert fitted.global_step == len(data)


@pytest.mark.parametrize("name", SIBLINGS)
def test_nothing_to_learn_is_said(name: str, trainer: Make) -> None:
    with pytest.raises(ValueError, match="Expected at least one parameter to train, but all are frozen"):
        trainer(max_epochs=1).fit(small(name).requires_grad_(False), DataLoader(TensorDataset(X, Y)))


# ---------------------------------------------------------------------- labels, images, batches


class Pair(NamedTuple):
    """A batch with names."""

    image: Tensor
    label: Tensor


def through_all(name: str, data: DataLoader[Any], trainer: Make) -> dict[str, Tensor]:
    torch.manual_seed(0)
    module = small(name)
    module.run_seed = 1
    fitted = trainer(max_epochs=1)
    fitted.fit(module, data, data)
    fitted.test(module, data, verbose=False)
    fitted.predict(module, data)
    return module.state_dict()


@pytest.mark.parametrize("name", SIBLINGS)
@pytest.mark.parametrize(
    "samples",
    [
        TensorDataset(X, Y.to(torch.uint8)),
        TensorDataset(X, Y.bool()),
        TensorDataset(X, Y.to(torch.int32)),
        TensorDataset(X.double(), Y),
        [Pair(x, y) for x, y in zip(X, Y)],
        [(x, int(y)) for x, y in zip(X, Y)],
    ],
    ids=["uint8 labels", "bool labels", "int32 labels", "float64 images", "named", "plain integers"],
)
def test_other_types_learn_the_same(name: str, samples: Any, trainer: Make) -> None:
    ours = through_all(name, DataLoader(samples, batch_size=16), trainer)
    usual = through_all(name, DataLoader(TensorDataset(X, Y), batch_size=16), trainer)
    assert all(torch.equal(ours[key], usual[key]) for key in usual)


@pytest.mark.parametrize("name", [*SIBLINGS, "LSTMAL"])
@pytest.mark.parametrize(
    ("samples", "message"),
    [
        (
            [{"image": x, "label": y} for x, y in zip(X, Y)],
            r"a dictionary with the keys image, label.*`return batch\['image'\], batch\['label'\]`",
        ),
        (TensorDataset(X, Y, Y), "got list of Tensor, Tensor, Tensor"),
        (TensorDataset(X), "got list of Tensor. Let the data set return the two"),
        (
            TensorDataset(X, Y.float()),
            r"labels of shape \(B,\) and an integer type, but got \(16,\) of torch.float32. Give class numbers \(`y.long\(\)`\)",
        ),
    ],
)
def test_other_batches_are_told_what_to_return(name: str, samples: Any, message: str, trainer: Make) -> None:
    module = build(name) if name == "LSTMAL" else small(name)
    with pytest.raises(ValueError, match=message):
        trainer(max_epochs=1).fit(module, DataLoader(samples, batch_size=16))


@pytest.mark.parametrize("name", SIBLINGS)
def test_images_of_whole_numbers_are_told_to_be_scaled(name: str, trainer: Make) -> None:
    whole = (X * 20).abs().to(torch.uint8)
    with pytest.raises(ValueError, match=r"floating-point type, but got torch.uint8. Scale and normalise"):
        trainer(max_epochs=1).fit(small(name), DataLoader(TensorDataset(whole, Y), batch_size=16))
    with pytest.raises(ValueError, match=r"floating-point type"):
        small(name)(whole)


def test_a_number_of_classes_is_an_integer() -> None:
    with pytest.raises(ValueError, match=r"Expected `num_classes` to be an integer, but got 10.0 \(float\)"):
        al.MLPAL(10.0, 1, 8)  # type: ignore[arg-type]
    assert type(al.MLPAL(np.int64(3), 1, 8).target.width) is int
