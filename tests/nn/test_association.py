"""Associations and read-outs by class codes, against the formulas written out."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from conftest import K, hand_layers
from torch import Tensor

import al_lightning as al
from al_lightning.nn.association import ClassCodes, class_scores, reconstruction_loss
from al_lightning.nn.exits import exit_early
from al_lightning.nn.path import CodePath, Reader, all_paths, encode_classes

LABELS = torch.tensor([0, 1, 1, 3, 0, 0, 1])


def classes() -> ClassCodes:
    return ClassCodes(torch.eye(K), LABELS)


def cosine(a: Tensor, b: Tensor) -> float:
    a, b = a.detach(), b.detach()
    return float((a * b).sum()) / math.sqrt(float((a * a).sum()) * float((b * b).sum()))


@pytest.mark.parametrize(("options", "temperature"), [({}, 0.1), ({"temperature": 0.3}, 0.3)])
@pytest.mark.parametrize("reconstruction", ["mse", "cross_entropy"])
def test_a_contrast_is_the_distance_and_a_cross_entropy_over_similarities(
    reconstruction: Any, options: dict[str, float], temperature: float
) -> None:
    (layer,) = hand_layers(1, association="contrast", reconstruction_loss=reconstruction, **options)
    s_next, t_next, losses = layer(torch.randn(7, 6), classes())
    codes, bridged = t_next.codes.detach(), layer.b(s_next).detach()
    torch.testing.assert_close(codes, layer.g(torch.eye(K)))
    assert torch.equal(t_next.labels, LABELS)
    expected = 0.0
    for n, y in enumerate(LABELS.tolist()):
        expected += float(((bridged[n] - codes[y]) ** 2).mean())
        similar = [math.exp(cosine(bridged[n], codes[k]) / temperature) for k in range(K)]
        expected -= math.log(similar[y] / sum(similar))
    assert losses.associated.item() == pytest.approx(expected / 7, rel=1e-5)
    decoded, expected = layer.h(codes).detach(), 0.0
    for y in LABELS.tolist():
        if reconstruction == "mse":
            expected += float(((decoded[y] - torch.eye(K)[y]) ** 2).mean())
        else:
            expected += float(decoded[y].logsumexp(0) - decoded[y, y])
    assert losses.reconstruction.item() == pytest.approx(expected / 7, rel=1e-5)


@pytest.mark.parametrize("detached", [False, True])
@pytest.mark.parametrize("reconstruction", ["mse", "cross_entropy"])
def test_one_code_per_class_trains_what_one_row_per_sample_trains(detached: bool, reconstruction: Any) -> None:
    (layer,) = hand_layers(1, detach_target=detached, reconstruction_loss=reconstruction)
    x, gradients = torch.randn(7, 6), []
    for t in (torch.eye(K)[LABELS], classes()):
        layer.zero_grad()
        losses = layer(x, t)[2]
        sum(losses).backward()  # type: ignore[union-attr]
        gradients.append([*losses, *(p.grad for p in layer.parameters())])
    torch.testing.assert_close(*gradients)


def test_a_contrast_depends_on_no_other_sample() -> None:
    (layer,) = hand_layers(1, association="contrast")
    x = torch.randn(7, 6)

    def losses(which: slice) -> Tensor:
        return torch.stack(layer(x[which], ClassCodes(torch.eye(K), LABELS[which]))[2])

    torch.testing.assert_close(losses(slice(0, 7)), (2 * losses(slice(0, 2)) + 5 * losses(slice(2, 7))) / 7)


@pytest.mark.parametrize("detached", [False, True])
def test_what_a_contrast_trains(detached: bool) -> None:
    (layer,) = hand_layers(1, association="contrast", detach_target=detached)
    for which, expected in ((0, "fb" if detached else "fbg"), (1, "gh")):
        layer.zero_grad()
        layer(torch.randn(7, 6), classes())[2][which].backward()
        trained = {
            n for n in "fbgh" if any(p.grad is not None and p.grad.any() for p in getattr(layer, n).parameters())
        }
        assert trained == set(expected)


def test_a_bridge_that_answers_zero_has_a_bounded_gradient() -> None:
    bridged = torch.zeros(2, 5, requires_grad=True)
    class_scores(bridged, torch.randn(K, 5)).sum().backward()
    assert bridged.grad is not None
    assert bridged.grad.isfinite().all()
    assert torch.equal(class_scores(torch.zeros(1, 5), torch.randn(K, 5)), torch.zeros(1, K))


def test_similarities_keep_their_precision_under_autocast() -> None:
    bridged, codes = torch.randn(50, 64), torch.randn(K, 64)
    with torch.autocast("cpu", torch.bfloat16):
        scores = class_scores(bridged, codes)
    assert scores.dtype == torch.float32
    torch.testing.assert_close(scores, class_scores(bridged, codes))


def test_a_contrast_needs_classes() -> None:
    (layer,) = hand_layers(1, association="contrast")
    with pytest.raises(ValueError, match=r"to be ClassCodes.*but got a tensor of shape \(7, 5\)"):
        layer(torch.randn(7, 6), torch.randn(7, K))
    with pytest.raises(
        ValueError, match="`association` to be 'mse' or 'contrast' or 'cross_entropy', but got 'cosine'"
    ):
        hand_layers(1, association="cosine")


# ------------------------------------------------------------------ read-outs


def reference(layers: list[al.ALLayer], x: Tensor, k: int) -> Tensor:
    """Similarities of path k with every class's code, one number at a time."""
    s, codes = x, torch.eye(K)
    for layer in layers[:k]:
        s, codes = layer.f(s), layer.g(codes)
    bridged = layers[k - 1].b(s)
    return torch.tensor([[cosine(row, code) / 0.1 for code in codes] for row in bridged])


@pytest.mark.parametrize("k", [1, 2, 3])
def test_a_path_read_out_by_codes(k: int) -> None:
    layers, x = hand_layers(3), torch.randn(5, 6)
    path = CodePath(layers[:k], torch.eye(K))
    torch.testing.assert_close(path(x), reference(layers, x, k))
    used = [p for layer in layers[:k] for p in layer.f.parameters()] + list(layers[k - 1].b.parameters())
    assert {id(p) for p in path.parameters()} == {id(p) for p in used}  # no g, no h, one bridge
    assert path.parameter_count() == sum(p.numel() for p in used) + K * 5


@pytest.mark.parametrize("k", [1, 2, 3])
def test_the_mean_over_paths_is_that_of_their_probabilities(k: int) -> None:
    layers, x = hand_layers(3), torch.randn(5, 6)
    expected = torch.stack([reference(layers, x, j).softmax(-1) for j in range(1, k + 1)]).mean(0)
    torch.testing.assert_close(CodePath(layers[:k], torch.eye(K), mean=True)(x).softmax(-1), expected)


@pytest.mark.parametrize("readout", ["decoder", "codes", "mean"])
def test_the_module_reads_out_as_it_is_told(readout: Any) -> None:
    module, x = al.ALModule(hand_layers(3), K, readout=readout).eval(), torch.randn(6, 6)
    layers = module.layers.active()
    codes = encode_classes(layers, torch.eye(K))
    walked = [scores for _, scores in all_paths(layers, x, Reader(layers, readout, codes))]
    _, evaluated = module.evaluate(x, torch.arange(6) % K)
    for k, (scores, one) in enumerate(zip(walked, module.forward_paths(x)), 1):
        torch.testing.assert_close(one, scores)
        torch.testing.assert_close(module(x, k), scores)
        torch.testing.assert_close(module.path(k)(x), scores)
        torch.testing.assert_close(evaluated[module.readout_name(k)], scores)
        assert module.inference_parameters(k) == module.path(k).parameter_count()
    other = al.ALModule(module.layers, K).eval()
    assert other.readout_name() == "path3"
    torch.testing.assert_close(other(x, readout=readout), walked[2])
    other.readout = readout  # at any time
    torch.testing.assert_close(other(x), walked[2])


@pytest.mark.parametrize("readout", ["decoder", "codes", "mean"])
def test_early_exits_by_every_read_out(readout: Any) -> None:
    module, x = al.ALModule(hand_layers(3), K).eval(), torch.randn(6, 6)
    paths = module.forward_paths(x, readout)
    sure = torch.tensor([True, False, False, True, False, False])
    layers = module.layers.active()
    read = Reader(layers, readout, encode_classes(layers, torch.eye(K)))
    answers = {1: sure, 2: torch.tensor([False, True, False, False])}
    scores, exits = exit_early(layers, x, lambda path, k: answers[k], read)
    assert exits.tolist() == [1, 3, 2, 1, 3, 3]
    for row, k in enumerate(exits.tolist()):
        torch.testing.assert_close(scores[row], paths[k - 1][row])
    scores, exits = module.forward_adaptive(x, 1.0, readout)
    torch.testing.assert_close(scores, paths[-1])


def test_binary_cross_entropy_is_the_formula_and_its_gradient() -> None:
    decoded, t = 3 * torch.randn(5, 3), torch.randint(0, 2, (5, 3)).float()
    own = decoded.clone().requires_grad_()
    loss = reconstruction_loss("binary_cross_entropy", own, t)
    p = 1 / (1 + torch.exp(-decoded.double()))
    expected = -(t * p.log() + (1 - t) * (1 - p).log()).mean()
    assert float(loss.detach()) == pytest.approx(float(expected), rel=1e-5)
    loss.backward()
    torch.testing.assert_close(own.grad, ((p - t) / t.numel()).float())
    half = reconstruction_loss("binary_cross_entropy", decoded.bfloat16(), t.bfloat16())
    assert half.dtype == torch.float32
    codes = ClassCodes(t[:4], torch.tensor([0, 3, 3, 1]))
    of_classes = reconstruction_loss("binary_cross_entropy", decoded[:4], codes)
    rows = torch.tensor([0, 3, 3, 1])
    torch.testing.assert_close(of_classes, reconstruction_loss("binary_cross_entropy", decoded[rows], t[rows]))
