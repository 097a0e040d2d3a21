"""Classes: encoding, and labels that are none."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from al_lightning.targets import ClassTarget


def test_labels_become_one_hot_rows_and_others_nan() -> None:
    """NaN stops an accelerator's run at the loss, where looking at labels would wait for the device."""
    target = ClassTarget(4)
    y = torch.tensor([3, 0, 2])
    assert torch.equal(target.encode(y), F.one_hot(y, 4).float())
    for wrong in (-1, 4, 100):
        rows = target.encode(torch.tensor([1, wrong]))
        assert rows[0].tolist() == [0, 1, 0, 0]
        assert bool(rows[1].isnan().all())
        assert bool(target.loss(torch.zeros(2, 4), torch.tensor([1, wrong])).isnan())
        with pytest.raises(ValueError, match=rf"labels in 0\.\.3, but the batch holds {wrong}"):
            target.check(torch.tensor([1, wrong]))
