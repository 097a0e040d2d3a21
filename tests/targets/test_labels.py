"""Labels: any number of K, each there or not."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from sklearn.metrics import accuracy_score, f1_score
from torch import Tensor

from al_lightning.targets import LabelTarget

NAMES = ["cat", "dog", "emu"]


def drawn(n: int = 40, seed: int = 0) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    y = torch.randint(0, 2, (n, 3), generator=generator)
    return 2 * (2 * y - 1) + 4 * torch.randn((n, 3), generator=generator), y


@pytest.mark.parametrize("dtype", [torch.bool, torch.uint8, torch.long, torch.float32, torch.float64, torch.float16])
def test_labels_of_any_type(dtype: torch.dtype) -> None:
    target, y = LabelTarget(3), torch.tensor([[1, 0, 1], [0, 0, 0]]).to(dtype)
    target.check(y)
    assert target.encode(y).tolist() == [[1, 0, 1], [0, 0, 0]]
    assert target.encode(y).dtype == torch.float32
    assert target.labels(y).dtype in (torch.float32, torch.float64)


def test_what_is_no_label_becomes_nan() -> None:
    target = LabelTarget(3)
    for wrong in (torch.tensor([[1, 0, 2]]), torch.tensor([[1.0, 0.0, 0.5]]), torch.tensor([[1.0, 0.0, torch.nan]])):
        assert target.encode(wrong).isnan().tolist() == [[False, False, True]]
        assert bool(target.loss(torch.zeros(1, 3), target.labels(wrong)).isnan())
        with pytest.raises(ValueError, match=r"of 0 and 1, but '2' of sample 0 of the batch is (2|0\.5|nan)"):
            target.check(wrong)


def test_metrics_are_scikit_learns() -> None:
    target = LabelTarget(3)
    scores, y = drawn()
    y[:, 2] = 0  # nobody has the last label: its F1 counts as 0
    metrics = target.metrics()
    assert next(iter(metrics)) == target.monitor
    for metric in metrics.values():
        for part in (slice(0, 7), slice(7, 40)):
            metric.update(target.measured(scores[part]), target.labels(y[part]))
    values = {name: float(metric.compute()) for name, metric in metrics.items()}
    said = (1 / (1 + np.exp(-scores.double().numpy())) > 0.5).astype(int)
    assert values["f1"] == pytest.approx(f1_score(y, said, average="macro", zero_division=0), abs=1e-6)
    assert values["acc"] == pytest.approx((said == y.numpy()).mean(), abs=1e-6)
    assert values["exact"] == pytest.approx(accuracy_score(y, said), abs=1e-6)


def test_scores_within_0_and_1_are_no_probabilities() -> None:
    """torchmetrics would take them for some: a score of 0.25 says that a label is there."""
    target = LabelTarget(1)
    metric = target.metrics()["acc"]
    metric.update(target.measured(torch.tensor([[0.25], [0.4]])), target.labels(torch.tensor([[1], [1]])))
    assert float(metric.compute()) == 1


def test_one_score_that_is_no_number_changes_no_other() -> None:
    target = LabelTarget(2)
    metric = target.metrics()["acc"]
    metric.update(target.measured(torch.tensor([[torch.nan, -1.0]])), target.labels(torch.tensor([[1, 0]])))
    assert float(metric.compute()) == 0.5


def test_the_loss_and_its_gradient() -> None:
    target = LabelTarget(3)
    scores, y = drawn()
    scores.requires_grad_()
    loss = target.loss(scores, y)
    torch.testing.assert_close(loss, F.binary_cross_entropy(scores.sigmoid(), y.float()))
    loss.backward()
    torch.testing.assert_close(scores.grad, (scores.detach().sigmoid() - y) / y.numel())


def test_one_temperature_for_all_labels_is_the_best() -> None:
    target = LabelTarget(3)
    scores, y = drawn(400)
    calibration = target.calibration(3)
    calibration.update([scores, 5 * scores], target.labels(y))
    calibration.fit(2)
    first, second, third = calibration.temperatures.tolist()
    grid = np.exp(np.linspace(np.log(0.05), np.log(20), 2000))
    losses = [float(F.binary_cross_entropy_with_logits(scores / t, y.float())) for t in grid]
    assert first == pytest.approx(grid[int(np.argmin(losses))], rel=0.01)
    assert second == pytest.approx(5 * first, rel=1e-3)
    assert third == 1
    torch.testing.assert_close(calibration.read(scores, 0), (scores / first).sigmoid())
    calibration.fit(2)  # without a sample nothing changes
    assert calibration.temperatures.tolist() == [first, second, third]


def test_what_predictions_say() -> None:
    target = LabelTarget(3, NAMES)
    assert target.columns == ("labels", "cat", "dog", "emu")
    p = torch.tensor([[0.9, 0.2, 0.7], [0.1, 0.25, 0.5], [torch.nan, torch.nan, torch.nan]])
    rows = target.rows(p)
    assert [row[0] for row in rows] == ["cat; emu", "", ""]
    assert rows[0][1:] == pytest.approx((0.9, 0.2, 0.7))
    torch.testing.assert_close(target.confidence(p[:2]), torch.tensor([0.7, 0.5]))
    assert not bool(target.confidence(p)[2] > 0.1)
    assert target.right(p, torch.tensor([[1, 0, 1], [0, 1, 0], [0, 0, 0]])).tolist() == [True, False, True]


@pytest.mark.parametrize(
    ("y", "message"),
    [
        (torch.tensor([0, 2, 1]), r"\(B, 3\), 0 or 1 for each of cat, dog, emu, .* These look like class numbers"),
        (torch.zeros(4, 2), r"but got \(4, 2\) of torch.float32. Give a column of 0 and 1 for each label"),
        (torch.tensor([[0, 1, 1], [0, 2, 1]]), "of 0 and 1, but 'dog' of sample 1 of the batch is 2"),
    ],
)
def test_bad_labels_are_named(y: Tensor, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        LabelTarget(3, NAMES).check(y)


def test_bad_arguments_are_named() -> None:
    for wrong in (0, -1, 2.0, True, "3"):
        with pytest.raises(ValueError, match="`num_labels` to be an integer of at least 1, but got"):
            LabelTarget(wrong)  # type: ignore[arg-type]
    for names in (["a"], ["a", "a"], ["a", ""]):
        with pytest.raises(ValueError, match="num_labels=2 different names"):
            LabelTarget(2, names)
    with pytest.raises(TypeError, match="`label_names` to be a list of names, but got 'ab'"):
        LabelTarget(2, "ab")
