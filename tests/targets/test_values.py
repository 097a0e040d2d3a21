"""Values: standardised for the network, in their own units for everybody else."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from sklearn.metrics import mean_absolute_error, r2_score, root_mean_squared_error
from torch import Tensor, nn

from al_lightning.targets import ValueTarget

#: Columns whose units could not be further apart.
Y = np.array([[1.2e6, 3e-7], [1.1e6, 1e-7], [1234567.0, 2e-7], [0.9e6, 2.5e-7], [1.05e6, 0.5e-7]])
NAMES = ["price", "trace"]


def scores(n: int = 5) -> Tensor:
    return torch.randn((n, 2), generator=torch.Generator().manual_seed(1))


def test_labels_are_standardised_as_numpy_does() -> None:
    target = ValueTarget.of(Y, NAMES)
    expected = (Y - Y.mean(0)) / Y.std(0)
    np.testing.assert_allclose(target.encode(torch.as_tensor(Y)), expected, rtol=1e-4, atol=1e-5)
    assert target.encode(torch.as_tensor(Y)).dtype == torch.float32
    again = ValueTarget.of(torch.as_tensor(Y), NAMES)
    assert (again.mean, again.std) == (target.mean, target.std)
    one = ValueTarget.of(Y[:, 0])
    assert one.columns == ("value",)
    for y in (torch.tensor([3, 4]), torch.tensor([[3], [4]], dtype=torch.uint8), torch.tensor([3.0, 4.0])):
        one.check(y)
        assert ValueTarget(["n"], [1.0], [2.0]).encode(y).tolist() == [[1.0], [1.5]]
    assert ValueTarget(NAMES).encode(torch.tensor([[1.0, 2.0]])).tolist() == [[1.0, 2.0]]


def test_half_precision_loses_no_digit_of_the_labels() -> None:
    target = ValueTarget(["n"], [1000.0], [1.0])
    y = torch.tensor([1001.0, 999.0])
    default = torch.get_default_dtype()
    torch.set_default_dtype(torch.bfloat16)
    try:
        assert target.encode(y).flatten().tolist() == [1.0, -1.0]
    finally:
        torch.set_default_dtype(default)
    read = target.calibration(1).to(torch.bfloat16).read(torch.tensor([[0.5]], dtype=torch.bfloat16), 0)
    assert read.tolist() == [[1000.5]]  # bfloat16 knows no number between 1000 and 1004


def test_metrics_are_scikit_learns_on_what_is_predicted() -> None:
    target, y = ValueTarget.of(Y, NAMES), torch.as_tensor(Y).float()
    module = target.calibration(2)
    predicted = module.read(scores(), 1)
    np.testing.assert_allclose(predicted, scores().double().numpy() * Y.std(0) + Y.mean(0), rtol=1e-6)
    torch.testing.assert_close(target.measured(scores()), predicted, rtol=0, atol=0)
    metrics = target.metrics()
    assert next(iter(metrics)) == target.monitor
    for metric in metrics.values():
        for part in (slice(0, 2), slice(2, 5)):
            metric.update(target.measured(scores()[part]), target.labels(y[part]))
    values = {name: float(metric.compute()) for name, metric in metrics.items()}
    assert values["r2"] == pytest.approx(r2_score(Y, predicted), rel=1e-4)
    assert values["rmse"] == pytest.approx(root_mean_squared_error(Y, predicted), rel=1e-4)
    assert values["mae"] == pytest.approx(mean_absolute_error(Y, predicted), rel=1e-4)


def test_r2_keeps_its_digits_far_from_zero() -> None:
    """Sums of squares of years in float32 have no digit left for their variance."""
    y = 2000 + np.arange(64.0) % 10
    target = ValueTarget.of(y, ["year"])
    metric = target.metrics()["r2"]
    guess = torch.as_tensor(y).float().unsqueeze(1) + 0.5
    metric.update(guess, torch.as_tensor(y).float().unsqueeze(1))
    assert float(metric.compute()) == pytest.approx(r2_score(y, guess), abs=1e-5)


def test_r2_of_one_sample_is_no_number() -> None:
    metric = ValueTarget(NAMES).metrics()["r2"]
    metric.update(scores(1), scores(1))
    assert bool(metric.compute().isnan())
    metric.update(scores(3), scores(3))
    assert float(metric.compute()) == 1


def test_the_loss_and_its_gradient() -> None:
    target = ValueTarget.of(Y, NAMES)
    own = scores().requires_grad_()
    y = torch.as_tensor(Y).float()
    loss = target.loss(own, y)
    expected = ((own.detach().double().numpy() - (Y - Y.mean(0)) / Y.std(0)) ** 2).mean()
    assert float(loss.detach()) == pytest.approx(expected, rel=1e-4)
    loss.backward()
    torch.testing.assert_close(own.grad, 2 * (own.detach() - target.encode(y)) / 10)
    for bad in (torch.nan, torch.inf, -torch.inf):
        wrong = y.clone()
        wrong[3, 1] = bad
        assert bool(target.loss(own, wrong).detach().isnan())
        assert target.encode(wrong).isnan().sum() == 1


def test_rows_have_the_digits_of_float32() -> None:
    target = ValueTarget(NAMES)
    (row,) = target.rows(torch.tensor([[1234567.0, 0.1]]))
    assert row == (1234567.0, 0.1)
    assert [target.written(v) for v in (1234567.0, 1e-7, float("nan"))] == ["1234567.0", "1e-07", "nan"]
    assert target.rows(torch.tensor([[1 / 3, 0.1]], dtype=torch.float64)) == [(1 / 3, 0.1)]


def test_a_traced_graph_reads_in_units() -> None:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.linear = nn.Linear(3, 2)
            self.calibration = ValueTarget.of(Y, NAMES).calibration(1)

        def forward(self, x: Tensor) -> Tensor:
            return self.calibration.read(self.linear(x), 0)

    net, x = Net().eval(), torch.randn(4, 3)
    exported = torch.export.export(net, (x,), dynamic_shapes=({0: torch.export.Dim("b")},))
    torch.testing.assert_close(exported.module()(x[:3]), net(x[:3]))
    assert not net.calibration.state_dict()
    assert torch.equal(copy.deepcopy(net)(x), net(x))


@pytest.mark.parametrize(
    ("y", "message"),
    [
        (torch.zeros(3), r"labels of shape \(B, 2\), real numbers for price, trace, but got \(3,\) of torch.float32"),
        (torch.zeros(3, 3), r"but got \(3, 3\)"),
        (torch.zeros(3, 2, dtype=torch.complex64), "of torch.complex64"),
        (torch.tensor([[0, 1], [2, torch.nan]]), "finite numbers, but 'trace' of sample 1 of the batch is nan"),
        (torch.tensor([[0, 1], [2, 3], [-torch.inf, 3]]), "'price' of sample 2 of the batch is -inf"),
    ],
)
def test_bad_labels_are_named(y: Tensor, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ValueTarget(NAMES).check(y)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (dict(names=[]), "one or more different names"),
        (dict(names=["a", "a"]), "one or more different names"),
        (dict(names=["a", ""]), "one or more different names"),
        (dict(names=NAMES, mean=[1.0]), "`mean` to hold one number for each of price, trace, but got 1"),
        (dict(names=NAMES, std=[1.0, 2.0, 3.0]), "`std` to hold one number for each of price, trace, but got 3"),
        (dict(names=NAMES, mean=[1.0, float("nan")]), "`mean` of 'trace' to be finite, but got nan"),
        (dict(names=NAMES, std=[float("inf"), 1.0]), "`std` of 'price' to be finite, but got inf"),
        (dict(names=NAMES, std=[1.0, 0.0]), "'trace' is constant: there is nothing to learn. Leave it out"),
        (dict(names=NAMES, std=[-1.0, 1.0]), "`std` of 'price' to be above 0, but got -1.0"),
    ],
)
def test_bad_arguments_are_named(arguments: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ValueTarget(**arguments)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="a list of names, but got 'price'"):
        ValueTarget("price")


@pytest.mark.parametrize(
    ("y", "names", "message"),
    [
        (np.array([[0.1, 1.0]] * 2 + [[0.1, 2.0]]), NAMES, "'price' is constant"),
        (np.array([[0.1, 1.0], [0.2, np.nan]]), NAMES, "'trace' of sample 1 of the training labels is nan"),
        (np.zeros((0, 2)), NAMES, "N and D at least 1"),
        (np.zeros((2, 2, 2)), NAMES, r"but got \(2, 2, 2\)"),
        (np.eye(3), NAMES, "a name for each of 3 columns, but got 2"),
    ],
)
def test_training_labels_that_cannot_be_learned(y: np.ndarray, names: list[str], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ValueTarget.of(y, names)
