"""ELU is torch's, but for the time that it takes."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

import al_lightning as al
from al_lightning.nn import elu
from al_lightning.nn.elu import ELU


def numbers(*shape: int) -> torch.Tensor:
    x = 3 * torch.randn(*shape, generator=torch.Generator().manual_seed(0))
    x.view(-1)[:6] = torch.tensor([0.0, -0.0, torch.inf, -torch.inf, 200.0, -200.0])
    return x


@torch.no_grad()
@pytest.mark.parametrize("inplace", [False, True])
@pytest.mark.parametrize("alpha", [1.0, 0.3])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_it_says_what_torch_says(
    dtype: torch.dtype, alpha: float, inplace: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(elu, "CHUNK", 100)
    images = numbers(7, 3, 5, 5).to(dtype)
    for x in (images, images.to(memory_format=torch.channels_last), images[::2], images[0, 0, 0], images[:0]):
        before, given = x.clone(), x.clone(memory_format=torch.preserve_format)
        y = ELU(alpha, inplace)(given)
        torch.testing.assert_close(y, F.elu(before, alpha), atol=1e-6, rtol=0)
        assert y.stride() == F.elu(before, alpha).stride()
        assert (y is given) == inplace
        assert inplace or torch.equal(given, before)
    assert ELU()(torch.tensor([torch.nan])).isnan().all()


def test_training_half_precision_and_recording_are_torchs_own() -> None:
    x = numbers(4, 8)[1:].requires_grad_()
    y = ELU()(x)
    assert torch.equal(y, F.elu(x))
    (ours,) = torch.autograd.grad(y.sum(), x)
    (theirs,) = torch.autograd.grad(F.elu(x).sum(), x)
    assert torch.equal(ours, theirs)
    with torch.no_grad():
        half = x.bfloat16()
        assert torch.equal(ELU()(half), F.elu(half))
        assert torch.equal(ELU()(x[0, 0]), F.elu(x[0, 0]))
        graph = torch.export.export(ELU().eval(), (x.detach(),)).graph
    assert [node.target for node in graph.nodes if node.op == "call_function"] == [torch.ops.aten.elu.default]


@torch.no_grad()
def test_the_paper_s_cnn_uses_it() -> None:
    module = al.CNNAL(10, in_channels=1, image_size=8, target_dim=4)
    assert {type(part) for part in module.modules() if isinstance(part, torch.nn.ELU)} == {ELU}
