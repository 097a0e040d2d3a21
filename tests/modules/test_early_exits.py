"""Early exits of every network: their ends, their thresholds, bad inputs, and what predictions and checkpoints do."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import pytest
import torch
from networks import AL, batches, build, inputs

import al_lightning as al
from al_lightning.nn.path import READOUTS, Readout
from al_lightning.training.finite import warn_of_bad_samples

Make = Callable[..., pl.Trainer]


@torch.no_grad()
def choose(module: Any, rows: Any, way: Readout) -> list[float]:
    """Thresholds by which half of the samples leave at each path, none of which is near to one."""
    thresholds = []
    for k, scores in enumerate(module.forward_paths(rows, way), 1):
        sure = module.probabilities(scores, k, way).amax(-1).sort().values
        middle = len(sure) // 2
        thresholds.append(sure[middle - 1 : middle + 1].mean().item())
    module.exits.keep(torch.tensor(thresholds), 0.002, 0.9, READOUTS.index(way))
    return thresholds


@pytest.mark.parametrize("readout", READOUTS)
@pytest.mark.parametrize("name", AL)
def test_the_ends_are_the_first_and_the_full_path(name: str, readout: Readout) -> None:
    module = build(name).eval()
    x = inputs(name, 7)
    scores, lengths = module.forward_adaptive(x, 1.0, readout)
    assert torch.equal(scores, module(x, readout=readout))
    assert (lengths == module.active_depth).all()
    scores, lengths = module.forward_adaptive(x, 0.0, readout)
    assert torch.equal(scores, module(x, 1, readout))
    assert (lengths == 1).all()


@torch.no_grad()
@pytest.mark.parametrize("readout", READOUTS)
@pytest.mark.parametrize("name", AL)
def test_each_path_has_its_threshold(name: str, readout: Readout) -> None:
    module = build(name).eval()
    x = inputs(name, 12)
    thresholds = choose(module, x, readout)
    paths = module.forward_paths(x, readout)
    scores, lengths = module.forward_adaptive(x)
    for n in range(12):
        sure = [
            float(module.probabilities(path[n : n + 1], k, readout).amax()) > thresholds[k - 1]
            for k, path in enumerate(paths, 1)
        ]
        left = next((k for k, yes in enumerate(sure[:-1], 1) if yes), len(paths))
        assert lengths[n] == left
        torch.testing.assert_close(scores[n], paths[left - 1][n], atol=1e-5, rtol=1e-5)
    order = torch.randperm(12)
    shuffled = type(x)(*(part[order] for part in x)) if isinstance(x, tuple) else x[order]
    again, other = module.forward_adaptive(shuffled)
    assert torch.equal(other, lengths[order])
    torch.testing.assert_close(again, scores[order], atol=1e-5, rtol=1e-5)


@torch.no_grad()
def test_a_sample_that_is_as_sure_as_the_threshold_stays() -> None:
    module = build("MLPAL").eval()
    x = inputs("MLPAL", 6)
    surest = module.probabilities(module.forward_paths(x)[0], 1).amax().item()
    assert (module.forward_adaptive(x, surest)[1] > 1).all()
    assert (module.forward_adaptive(x, surest - 1e-6)[1] == 1).any()


def test_a_path_that_is_asked_for_is_the_longest() -> None:
    module = build("MLPAL", path_length=1).eval()
    x = inputs("MLPAL", 5)
    scores, lengths = module.forward_adaptive(x, 1.0)
    assert torch.equal(scores, module(x))
    assert (lengths == 1).all()


@pytest.mark.parametrize("name", ["CNNAL", "LSTMAL", "TransformerAL"])
@pytest.mark.parametrize("samples", [0, 1])
def test_batches_of_none_and_of_one(name: str, samples: int) -> None:
    module = build(name).eval()
    x = inputs(name, 2)
    x = type(x)(*(part[:samples] for part in x)) if isinstance(x, tuple) else x[:samples]
    scores, lengths = module.forward_adaptive(x, 0.5)
    assert scores.shape == (samples, module.target.width)
    assert lengths.shape == (samples,)
    assert lengths.dtype == torch.int64


def test_a_sample_that_is_no_number_is_named_and_others_are_answered() -> None:
    module = build("CNNAL").eval()
    x = inputs("CNNAL", 6)
    whole, _ = module.forward_adaptive(x, 1.0)
    x[3] = torch.nan
    with pytest.warns(UserWarning, match=r"the scores of 1 of 6 samples are not: numbers \[3\] of the batch, from 0"):
        scores, _ = module.forward_adaptive(x, 1.0)
    kept = torch.tensor([0, 1, 2, 4, 5])
    torch.testing.assert_close(scores[kept], whole[kept])
    assert scores[3].isnan().all()


@torch.no_grad()
@pytest.mark.parametrize("confidence", [None, 0.5])
def test_predictions_of_a_sample_that_is_no_number_have_no_class(confidence: float | None) -> None:
    module = build("CNNAL", confidence=confidence).eval()
    x = inputs("CNNAL", 3)
    kept = module.target.rows(module.answer(x))
    x[1] = torch.nan
    with pytest.warns(UserWarning, match=r"the scores of 1 of 3 samples are not: numbers \[1\]"):
        rows = module.target.rows(module.answer(x))
    assert [name for name, _ in rows] == [kept[0][0], "", kept[2][0]]
    assert [p for _, p in rows] == pytest.approx([kept[0][1], float("nan"), kept[2][1]], abs=1e-6, nan_ok=True)


@pytest.mark.parametrize("shape", [(3,), (3, 2), (3, 2, 2)])
def test_scores_of_any_shape_are_looked_at(shape: tuple[int, ...]) -> None:
    scores = torch.zeros(shape)
    assert warn_of_bad_samples(scores) is scores
    assert warn_of_bad_samples(scores[:0]).shape == scores[:0].shape
    scores.view(3, -1)[2, -1] = torch.nan
    with pytest.warns(UserWarning, match=r"of 1 of 3 samples are not: numbers \[2\]"):
        warn_of_bad_samples(scores)


def test_thresholds_that_are_not_there_or_of_another_read_out() -> None:
    module = build("MLPAL").eval()
    x = inputs("MLPAL", 3)
    with pytest.raises(ValueError, match=r"none were calibrated\. Run `al-lightning inspect --calibrate"):
        module.forward_adaptive(x)
    with pytest.raises(ValueError, match="`confidence` to be in .* or 'calibrated', but got None"):
        module.forward_adaptive(x, None)
    choose(module, x, "codes")
    with pytest.raises(ValueError, match="`readout` to be 'codes', by which .* but got 'mean'"):
        module.forward_adaptive(x, readout="mean")
    with pytest.raises(ValueError, match="`confidence` to be in .* or 'calibrated', but got 'much'"):
        build("MLPAL", confidence="much")


def test_predictions_are_those_of_the_exits(trainer: Make) -> None:
    module = build("MLPAL", confidence=0.3).eval()
    x = inputs("MLPAL", 9)
    module.calibration.temperatures.copy_(torch.linspace(0.5, 2.0, len(module.calibration.temperatures)))
    module.confidence = module.probabilities(module(x, 1), 1).amax(-1).median().item()
    answers = module.answer(x)
    scores, lengths = module.forward_adaptive(x, module.confidence)
    assert {1, module.active_depth} <= set(lengths.tolist())
    for n, k in enumerate(lengths.tolist()):
        torch.testing.assert_close(answers[n], module.probabilities(scores[n : n + 1], k)[0])
    (predicted,) = trainer(enable_checkpointing=False).predict(module, torch.utils.data.DataLoader(x, 9))
    torch.testing.assert_close(predicted, answers)


def test_checkpoints_keep_thresholds_and_old_ones_have_none(trainer: Make, tmp_path: Path) -> None:
    module = build("MLPAL", confidence=0.5)
    fitted = trainer(max_epochs=1, enable_checkpointing=False)
    fitted.fit(module, batches("MLPAL"), batches("MLPAL", 12))
    choose(module.eval(), inputs("MLPAL", 9), "codes")
    path = tmp_path / "a.ckpt"
    fitted.save_checkpoint(path)
    again = al.MLPAL.load_from_checkpoint(path)
    assert torch.equal(again.exits.thresholds, module.exits.thresholds)
    assert again.confidence is None  # of a run, not of the network
    assert al.MLPAL.load_from_checkpoint(path, confidence="calibrated").confidence == "calibrated"
    old = torch.load(path, weights_only=True)
    for name in ("exits.thresholds", "exits.promise"):
        del old["state_dict"][name]
    torch.save(old, path)
    assert al.MLPAL.load_from_checkpoint(path).exits.chosen() is None
    trainer(max_epochs=2, enable_checkpointing=False).fit(
        build("MLPAL"), batches("MLPAL"), batches("MLPAL", 12), ckpt_path=str(path)
    )
