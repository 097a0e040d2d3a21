"""Every shipped configuration runs `fit` and `test`, on tiny data. A new file is a new test."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import pytest
import torch
import yaml
from torch import nn

import al_lightning as al
import al_lightning.data
from al_lightning.cli.lightning_cli import LINKS
from al_lightning.cli.main import main
from al_lightning.configs import configs_folder, find_config
from al_lightning.experiments.spec import load_experiment, shipped_experiments

FOLDER = configs_folder()
CONFIGS = sorted(str(p.relative_to(FOLDER)) for p in FOLDER.rglob("*_[ab][lp].yaml"))


GROWING = sorted(str(p.relative_to(FOLDER)) for p in FOLDER.rglob("*_growing.yaml"))


def test_the_promised_configurations_exist() -> None:
    promised = {f"{d}/mlp_{k}.yaml" for d in ("digits", "diabetes") for k in ("al", "bp")}
    promised |= {f"fashion_mnist/{a}_{k}.yaml" for a in ("cnn", "vgg") for k in ("al", "bp")}
    promised |= {f"cifar10/{a}_{k}.yaml" for a in ("cnn", "vgg", "resnet") for k in ("al", "bp")}
    promised |= {
        f"paper/{d}/{a}_{k}.yaml" for d in ("fashion_mnist", "cifar10") for a in ("cnn", "vgg") for k in ("al", "bp")
    }
    sets = ("imdb", "ag_news", "sst2", "dbpedia")
    for folder in (*sets, *(f"paper/{d}" for d in sets)):
        promised |= {f"{folder}/{a}_{k}.yaml" for a in ("lstm", "transformer") for k in ("al", "bp")}
    assert promised <= set(CONFIGS)


@pytest.mark.parametrize("name", CONFIGS)
def test_fit_and_test(name: str, tiny_sets: None) -> None:
    tiny = ["--trainer.fast_dev_run", "2", "--trainer.accelerator", "cpu", "--data.batch_size", "10",
            "--trainer.enable_model_summary", "false", "--trainer.enable_progress_bar", "false"]  # fmt: skip
    if name.endswith("_al.yaml"):
        tiny += ["--model.target_dim", "16"]  # the paper's bridges hold up to 150 million parameters
    if "lstm" in name or "transformer" in name:
        tiny += ["--model.glove", "null"]
    cli = main(["fit", "--config", f"configs/{name}", *tiny])
    assert cli is not None
    assert cli.trainer.global_step == 2
    (tested,) = cli.trainer.test(cli.model, cli.datamodule, verbose=False)
    metric = cli.model.target.monitor
    assert metric == ("r2" if "diabetes" in name else "acc")
    assert tested[f"test_{metric}"] <= 1
    assert isinstance(cli.model, al.ALModule if name.endswith("_al.yaml") else al.BPModule)


@pytest.mark.parametrize("name", GROWING)
def test_networks_grow(name: str, tiny_sets: None) -> None:
    tiny = ["--trainer.limit_train_batches=4", "--trainer.limit_val_batches=1", "--trainer.accelerator=cpu",
            "--data.batch_size=10", "--model.target_dim=16", "--trainer.enable_model_summary=false",
            "--trainer.enable_progress_bar=false", "--trainer.max_epochs=4", "--trainer.callbacks.max_validations=1",
            "--trainer.num_sanity_val_steps=0", "--trainer.logger=false"]  # fmt: skip
    cli = main(["fit", "--config", f"configs/{name}", *tiny])
    assert cli is not None
    assert cli.model.active_depth == len(cli.model.layers)
    plain = yaml.safe_load((FOLDER / name.replace("_growing", "")).read_text())
    grown = yaml.safe_load((FOLDER / name).read_text())
    assert grown["data"] == plain["data"]
    schedule = ("lr_scheduler", "lr_scheduler_interval")  # over what is left of the run when a layer begins
    for config in (plain, grown):
        config["model"]["init_args"] = {k: v for k, v in config["model"]["init_args"].items() if k not in schedule}
    assert grown["model"] == plain["model"]


def test_every_family_has_one_that_grows() -> None:
    assert {Path(name).name.split("_")[0] for name in GROWING} == {"mlp", "cnn", "vgg", "resnet", "lstm", "transformer"}


def defaults(kind: type) -> dict[str, Any]:
    """What a constructor's arguments are when nobody says, those that a subclass passes on included."""
    found: dict[str, Any] = {}
    for cls in reversed(kind.__mro__):
        if "__init__" in vars(cls):
            parameters = inspect.signature(cls.__init__).parameters.values()
            found |= {p.name: p.default for p in parameters if p.default is not p.empty}
    return {name: list(value) if isinstance(value, tuple) else value for name, value in found.items()}


def stated(name: str) -> dict[str, tuple[type, dict[str, Any]]]:
    """Class and arguments of model and data, as a configuration writes them."""
    config = yaml.safe_load((FOLDER / name).read_text())
    packages = {"model": al, "data": al_lightning.data}
    return {
        key: (getattr(package, config[key]["class_path"]), config[key].get("init_args", {}))
        for key, package in packages.items()
    }


def resolved(name: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Arguments of model and data with which a configuration builds them, defaults included."""
    model, data = ({**defaults(kind), **arguments} for kind, arguments in stated(name).values())
    kind = stated(name)["data"][0]
    if issubclass(kind, al_lightning.data.ImageDataModule) and data["augment"] is None:
        data["augment"] = kind.default_augment
    return model, data


@pytest.mark.parametrize("name", CONFIGS)
def test_nothing_states_a_default(name: str) -> None:
    config = yaml.safe_load((FOLDER / name).read_text())
    assert config.get("seed_everything") != 0
    assert (config.get("trainer") or {}).get("max_epochs") != 20
    for kind, arguments in stated(name).values():
        usual = defaults(kind)
        for argument, value in arguments.items():
            assert argument not in LINKS or issubclass(kind, pl.LightningDataModule), f"{argument} comes from the data"
            assert argument not in usual or usual[argument] != value, f"{argument}: {value} is the default"


TEXT = [n for n in CONFIGS if "lstm" in n or "transformer" in n]


def built(name: str) -> Any:
    """The model of a configuration, without weights and word vectors."""
    kind, arguments = stated(name)["model"]
    rest = {k: v for k, v in arguments.items() if k not in ("glove", "optimizer", "lr_scheduler")}
    with torch.device("meta"):
        return kind(4, vocab_size=30_002, **rest)


@pytest.mark.parametrize("name", [n for n in TEXT if n.startswith("paper/")])
def test_the_papers_recipe_for_text(name: str) -> None:
    """Sections 2.1 and 6.5, Tables 7 and 8; where the paper is silent, the published text code (4hfly)."""
    config = yaml.safe_load((FOLDER / name).read_text())
    (model, data), lstm = resolved(name), "lstm" in name
    assert config["trainer"]["max_epochs"] == 50
    assert model["embedding_dim"] == 300
    assert "glove" in model["glove"]
    assert data["batch_size"] == (64 if lstm else 128)
    assert model["optimizer"]["init_args"]["lr"] == (1e-4 if lstm else 2.5e-4)
    assert (data["val_fraction"], data["bucketing"], model["dropout"]) == (0.2, False, 0)
    assert (data["max_length"], data["max_words"]) == (500, 30_000)
    ours = name.endswith("_al.yaml")
    if lstm:
        assert model["hidden_dims"] == ([300, 300] if ours else [350, 350])
        assert model["gradient_clip_norm"] == 5
    else:
        assert model["feedforward_dims"] == ([256, 256] if ours else [512, 512])
        assert (model["heads"], model["positions"]) == (6, None)
        assert (model["norm_first"], model["activation"]) == (False, "relu")
    if ours:
        assert (model["target_dim"], model["detach_target"], model["reconstruction_loss"]) == (128, False, "mse")
        functions = [f for layer in built(name).layers for f in (layer.g, layer.h)]
        assert all([type(part) for part in f] == [nn.Linear, nn.Tanh] for f in functions)
        assert all(isinstance(layer.b[-1], nn.Linear) for layer in built(name).layers)


@pytest.mark.parametrize("name", [n for n in CONFIGS if n.startswith("paper/")])
def test_the_papers_recipes_say_where_each_value_comes_from(name: str) -> None:
    """The header has a part for the paper, for the published code and for what is ours, and is not too long to read."""
    lines = (FOLDER / name).read_text().splitlines()
    header = [line for line in lines if line.startswith("#")]
    assert lines[: len(header)] == header
    assert len(header) <= 22
    for source in ("# The paper says:", "# Published code (", "# Ours:"):
        assert sum(line.startswith(source) for line in header) == 1
    assert any(line == f"#   al-lightning fit --config configs/{name}" for line in header)


def test_the_papers_other_learning_rate_is_one_argument_away(tiny_sets: None) -> None:
    """Section 6.5.1: 0.0005 and 0.0001 were tried for the standard LSTM."""
    for key in ("imdb", "ag_news", "sst2", "dbpedia"):
        header = (FOLDER / f"paper/{key}/lstm_bp.yaml").read_text()
        assert "--model.optimizer.init_args.lr 5.0e-4" in header
    parsed = main(["fit", "--config", "configs/paper/sst2/lstm_bp.yaml", "--model.optimizer.init_args.lr", "5.0e-4",
                   "--model.glove", "null", "--model.embedding_dim", "4", "--model.hidden_dims", "[4]", "--trainer.fast_dev_run", "1",
                   "--trainer.accelerator", "cpu", "--trainer.enable_progress_bar", "false"])  # fmt: skip
    assert parsed is not None
    assert parsed.trainer.optimizers[0].param_groups[0]["lr"] == 5e-4


@pytest.mark.parametrize("name", [n for n in CONFIGS if n.startswith("paper/") and n not in TEXT])
def test_the_papers_recipe(name: str) -> None:
    """Section 6.6: batch 128, Adam at 1e-4, cross-entropy for BP; attached targets and MSE for AL.

    Activations, decay, epochs and the penalty on VGG's convolutions are the published code's.
    """
    model, data = resolved(name)
    assert data["batch_size"] == 128
    assert model["optimizer"]["class_path"].endswith("Adam")
    assert model["optimizer"]["init_args"]["lr"] == 1e-4
    if name.endswith("_al.yaml"):
        assert model["detach_target"] is False
        assert model["reconstruction_loss"] == "mse"
        assert model["bridge"] == "paper"
    assert data["augment"] == ("cifar10" in name)
    assert data["val_fraction"] == 0.1
    config, ours = yaml.safe_load((FOLDER / name).read_text()), name.endswith("_al.yaml")
    assert config["trainer"]["max_epochs"] == 200
    assert model["lr_scheduler"]["init_args"] == dict(milestones=[80, 120, 160], gamma=0.1)
    assert model["activation"] == ("elu" if ours else "relu")
    assert model["norm"] == ("batch" if "vgg_bp" in name else None)
    penalty = (1e-5 if ours else 5e-4) if "vgg" in name else None
    assert model["optimizer"]["init_args"].get("weight_decay") == penalty
    if ours:
        assert model["target_activation"] == model["score_activation"] == "sigmoid"


def test_siblings_of_ours_are_controlled() -> None:
    """Same norm, same activation, same data, same budget on both sides."""
    for name in CONFIGS:
        if name.startswith("paper/") or not name.endswith("_al.yaml"):
            continue
        ours, theirs = (yaml.safe_load((FOLDER / n).read_text()) for n in (name, name.replace("_al", "_bp")))
        assert ours["trainer"] == theirs["trainer"]
        assert ours["data"] == theirs["data"]
        (our_model, _), (their_model, _) = resolved(name), resolved(name.replace("_al", "_bp"))
        for key in ("norm", "activation", "embedding_dim", "glove", "positions", "norm_first"):
            assert our_model.get(key) == their_model.get(key)


def test_configurations_are_found_from_anywhere(tmp_path: Path) -> None:
    assert Path(find_config("configs/digits/mlp_al.yaml")).is_file()
    assert find_config("configs/none.yaml") == "configs/none.yaml"
    Path("configs/digits").mkdir(parents=True)
    Path("configs/digits/mlp_al.yaml").write_text("mine: true")
    assert find_config("configs/digits/mlp_al.yaml") == "configs/digits/mlp_al.yaml"  # the user's own comes first


@pytest.mark.parametrize("name", shipped_experiments())
def test_experiments_name_configurations_that_exist(name: str) -> None:
    experiment = load_experiment(name)
    assert {run.config for run in experiment.runs} <= {*CONFIGS, *GROWING}
    assert len({run.name for run in experiment.runs}) == len(experiment.runs)
