"""Values and labels from the command line, out of csv files, and what happens when the files are gone."""

from __future__ import annotations

import csv
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from sklearn.datasets import make_multilabel_classification

import al_lightning as al
from al_lightning.cli.main import main
from al_lightning.targets import ClassTarget, LabelTarget, ValueTarget

QUIET = ["--trainer.enable_progress_bar=false", "--trainer.enable_model_summary=false", "--trainer.accelerator=cpu"]
SMALL = ["--model.hidden_dims=[16]", "--data.batch_size=32", "--trainer.max_epochs=6",
         "--model.optimizer=torch.optim.Adam", "--model.optimizer.lr=0.03"]  # fmt: skip
FEATURES = [f"f{n}" for n in range(6)]


def write(name: str, columns: dict[str, Any]) -> None:
    with open(name, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(columns)
        writer.writerows(zip(*columns.values()))


def features(x: np.ndarray) -> dict[str, list[float]]:
    return {name: x[:, n].tolist() for n, name in enumerate(FEATURES)}


@pytest.fixture
def values() -> list[str]:
    x = np.random.default_rng(0).normal(size=(120, 6))
    write(
        "mine.csv", {**features(x), "price": (1e6 + 2e5 * x[:, 0]).tolist(), "trace": (1e-7 * (x[:, 1] + 5)).tolist()}
    )
    write("new.csv", features(x[:5]))
    return ["--data", "Table", "--data.source=mine.csv", "--data.value_columns=[price,trace]"]


@pytest.fixture
def labels() -> list[str]:
    x, y = make_multilabel_classification(300, 6, n_classes=3, random_state=0)
    write("mine.csv", {**features(x), **{f"label{k}": y[:, k].tolist() for k in range(3)}})
    write("new.csv", features(x[:5]))
    return ["--data", "Table", "--data.source=mine.csv", "--data.label_columns=[label0,label1,label2]"]


def best(cli: Any) -> str:
    return str(cli.trainer.checkpoint_callback.best_model_path)


def predicted(path: str) -> tuple[Any, list[list[str]]]:
    Path("mine.csv").unlink()
    cli = main(["predict", "--ckpt_path", path, "--data.predict_from=new.csv", *QUIET])
    with open("predictions.csv", newline="", encoding="utf-8") as file:
        return cli, list(csv.reader(file))


def answers(cli: Any) -> torch.Tensor:
    """What the module says of the file, batch by batch."""
    data = cli.datamodule
    module = cli.model.eval()
    return torch.cat([module.answer(data.prepare(batch)[0]).detach() for batch in data.predict_dataloader()])


@pytest.mark.parametrize("model", ["MLPAL", "MLPBP"])
def test_values_out_of_a_csv_file(model: str, values: list[str]) -> None:
    cli: Any = main(["fit", "--model", model, *values, *SMALL, *QUIET])
    assert isinstance(cli.model.target, ValueTarget)
    assert cli.model.monitor == cli.trainer.checkpoint_callback.monitor == "val_r2"
    entry = torch.load(best(cli), weights_only=True)["al_lightning"]
    said = entry["model"]["init_args"]["target"]["init_args"]
    assert said == {"names": ["price", "trace"], "mean": cli.model.target.mean, "std": cli.model.target.std}
    assert entry["data"]["init_args"]["feature_columns"] == FEATURES
    tested: Any = main(["test", "--ckpt_path", best(cli), *QUIET])
    assert tested.trainer.callback_metrics["test_r2"] > 0.2
    again, (header, *rows) = predicted(best(cli))
    assert header == ["sample", "price", "trace"]
    assert [row[0] for row in rows] == ["0", "1", "2", "3", "4"]
    np.testing.assert_allclose([[float(v) for v in row[1:]] for row in rows], answers(again), rtol=1e-6)
    assert 5e5 < float(rows[0][1]) < 2e6
    rebuilt = getattr(al, model).load_from_checkpoint(best(cli))
    assert rebuilt.target.mean == said["mean"]


def test_labels_out_of_a_csv_file_by_al_and_by_bp(labels: list[str]) -> None:
    reached = {}
    for model in ("MLPAL", "MLPBP"):
        folder = f"--trainer.default_root_dir={model}"
        cli: Any = main(["fit", "--model", model, *labels, *SMALL, *QUIET, folder, "--trainer.max_epochs=8"])
        assert isinstance(cli.model.target, LabelTarget)
        tested: Any = main(["test", "--ckpt_path", best(cli), *QUIET])
        reached[model] = float(tested.trainer.callback_metrics["test_f1"])
        last = best(cli)
        if model == "MLPAL":
            main(["predict", "--ckpt_path", last, "--model.confidence=0.8", *QUIET, "--predictions.path=early.csv"])
            assert len(Path("early.csv").read_text().splitlines()) == 61
    assert min(reached.values()) > 0.6
    assert reached["MLPAL"] > reached["MLPBP"] - 0.1
    again, (header, *rows) = predicted(last)
    assert header == ["sample", "labels", "label0", "label1", "label2"]
    probabilities = answers(again)
    for row, own in zip(rows, probabilities):
        assert [float(v) for v in row[2:]] == pytest.approx(own.tolist(), abs=1e-4)
        assert row[1] == "; ".join(f"label{k}" for k in range(3) if own[k] > 0.5)


def test_inspect_knows_each_kind(values: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: Any) -> None:
    cli: Any = main(["fit", "--model", "MLPAL", *values, "--model.hidden_dims=[16,16]", *SMALL[1:], *QUIET])
    path = best(cli)
    rows: Any = main(["inspect", "--ckpt_path", path, *QUIET])
    assert "r2 by decoder" in capsys.readouterr().out
    assert rows is None or len(rows) == 2
    monkeypatch.setattr("al_lightning.cli.trainer_commands.run", lambda *_: pytest.fail("something was computed"))
    with pytest.raises(
        ValueError, match="right or wrong, but those of ValueTarget are near or far. Early exits cannot"
    ):
        main(["inspect", "--ckpt_path", path, "--calibrate", *QUIET])


def test_thresholds_of_labels_are_calibrated(labels: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("al_lightning.inspection.calibrate.SECONDS", 0.02)
    cli: Any = main(["fit", "--model", "MLPAL", *labels, "--model.hidden_dims=[16,16]", *SMALL[1:], *QUIET,
                     "--data.val_fraction=0.4"])  # fmt: skip
    main(["inspect", "--ckpt_path", best(cli), "--calibrate", "--max_loss=40", "--confidence=0.7", *QUIET,
          "--beside", best(cli)])  # fmt: skip
    module = al.MLPAL.load_from_checkpoint(best(cli))
    assert module.exits.chosen() is not None


def test_the_diabetes_data_need_nothing_else() -> None:
    cli: Any = main(["fit", "--model", "MLPAL", "--data", "Diabetes", *SMALL, *QUIET, "--trainer.max_epochs=1"])
    assert cli.model.target.names == ["progression"]
    assert cli.model.input_check.in_features == 10
    assert cli.model.target.mean == cli.datamodule.target.mean


def test_a_target_that_was_typed_wins_and_is_saved(capsys: pytest.CaptureFixture[str]) -> None:
    typed = ["--model.target=al_lightning.targets.ValueTarget", "--model.target.names=[digit]",
             "--model.target.mean=[4.5]", "--model.target.std=[2.9]"]  # fmt: skip
    data = ["--data", "Digits", "--data.train_samples=200"]
    cli: Any = main(["fit", "--model", "MLPAL", *data, *typed, *SMALL, *QUIET])
    assert (cli.model.target.names, cli.model.target.std) == (["digit"], [2.9])
    path = best(cli)
    again: Any = main(["fit", "--config", "lightning_logs/version_0/config.yaml", "--trainer.max_epochs=1"])
    assert vars(again.model.target) == vars(cli.model.target)
    saved = yaml.safe_load(Path("lightning_logs/version_0/config.yaml").read_text())
    assert "num_classes" not in saved["model"]["init_args"]
    tested: Any = main(["test", "--ckpt_path", path, *QUIET])
    assert vars(tested.model.target) == vars(cli.model.target)
    other = [argument.replace("4.5", "5") for argument in typed]
    with pytest.raises(ValueError, match="Expected --model.target to be .*'digit'.* was trained with, but got .*5.0"):
        main(["test", "--ckpt_path", path, *other, *QUIET])
    own: Any = main(["fit", "--model", "MLPBP", "--data", "Diabetes", *SMALL, *QUIET, "--trainer.max_epochs=1",
                     "--model.target=al_lightning.targets.ValueTarget", "--model.target.names=[own]"])  # fmt: skip
    assert own.model.target.names == ["own"]


def test_classes_out_of_a_csv_file(values: list[str]) -> None:
    x = np.random.default_rng(0).normal(size=(60, 6))
    write("mine.csv", {**features(x), "kind": ["hot" if a > 0 else "cold" for a in x[:, 0]]})
    cli: Any = main(["fit", "--model", "MLPAL", *values[:3], "--data.class_column=kind", *SMALL, *QUIET])
    assert isinstance(cli.model.target, ClassTarget)
    assert cli.model.target.class_names == ["cold", "hot"]
    _, rows = predicted(best(cli))
    assert {row[1] for row in rows[1:]} <= {"cold", "hot"}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--model.num_classes=3"], "`num_classes` .* or else a `target` of another kind"),
        (["--data.label_columns=[trace]"], "but got value_columns and label_columns"),
        (["--data.value_columns=[prise]"], "'prise' is not among f0, .*price, trace"),
    ],
)
def test_mistakes_are_sentences(arguments: list[str], message: str, values: list[str]) -> None:
    with pytest.raises(ValueError, match=re.compile(message, re.S)):
        main(["fit", "--model", "MLPAL", *values, *SMALL, *QUIET, *arguments])
