"""Parameter counts, against the numbers of the published layer tables."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

import al_lightning as al


def on_meta(make: Callable[[], Any]) -> Any:
    """Counting needs shapes only: 164 million weights are not filled."""
    with torch.device("meta"):
        return make()


def test_published_cnn() -> None:
    module = on_meta(lambda: al.CNNAL(10, norm=None, bridge="paper"))
    assert module.training_parameters() == 80_518_122
    assert module.inference_parameters() == 5_929_962
    assert [round(module.inference_parameters(k) / 1e6, 2) for k in (1, 2, 3)] == [42.28, 10.91, 21.52]
    assert on_meta(lambda: al.CNNBP(10, norm=None)).training_parameters() == 5_929_962
    assert on_meta(lambda: al.CNNBP(10, 1, 28, norm=None)).training_parameters() == 4_700_586


def test_published_vgg() -> None:
    module = on_meta(lambda: al.VGGAL(10, norm=None, bridge="paper"))
    assert round(module.training_parameters() / 1e6, 2) == 164.36
    assert round(module.inference_parameters() / 1e6, 2) == 12.20
    assert round(on_meta(lambda: al.VGGBP(10)).training_parameters() / 1e6, 2) == 10.60


@pytest.mark.parametrize(
    ("name", "options", "al_millions", "bp_millions"),
    [
        ("LSTM", {}, 12.87, 13.77),
        ("Transformer", {}, 10.2, 10.34),
        ("Transformer", dict(norm_first=False, activation="relu"), 10.2, 10.34),
    ],
)
@pytest.mark.parametrize("classes", [2, 4, 14])
def test_text_networks_of_tables_7_and_8(
    name: str, options: dict[str, Any], al_millions: float, bp_millions: float, classes: int
) -> None:
    """The paper forces AL to have no more parameters than its sibling (section 3.2)."""
    ours = on_meta(lambda: getattr(al, f"{name}AL")(classes, vocab_size=30_002, **options))
    theirs = on_meta(lambda: getattr(al, f"{name}BP")(classes, vocab_size=30_002, **options))
    assert ours.inference_parameters() < ours.training_parameters() <= theirs.training_parameters()
    assert ours.training_parameters() / 1e6 == pytest.approx(al_millions, abs=0.05)
    assert theirs.training_parameters() / 1e6 == pytest.approx(bp_millions, abs=0.05)


@pytest.mark.parametrize(("depth", "millions"), [(20, 0.27), (32, 0.46)])
def test_resnet_of_he_et_al(depth: int, millions: float) -> None:
    """Table 6 of He et al. (2016): 0.27 M and 0.46 M parameters."""
    assert round(on_meta(lambda: al.ResNetBP(10, depth=depth)).training_parameters() / 1e6, 2) == millions


@pytest.mark.parametrize("name", ["CNNAL", "VGGAL", "ResNetAL"])
def test_lean_bridges_are_lean(name: str) -> None:
    module = on_meta(lambda: getattr(al, name)(10))
    paper = on_meta(lambda: getattr(al, name)(10, bridge="paper"))
    assert module.training_parameters() < paper.training_parameters() / 2
    assert (
        module.inference_parameters()
        <= on_meta(lambda: getattr(al, name.replace("AL", "BP"))(10)).training_parameters() * 2
    )


def test_number_of_layers() -> None:
    depth = {
        ("CNNAL", 4): 4, ("CNNAL", 8): 8, ("VGGAL", 4): 4, ("VGGAL", 8): 8, ("ResNetAL", "stage"): 3, ("ResNetAL", "block"): 9,
    }  # fmt: skip
    for (name, cuts), layers in depth.items():
        assert len(on_meta(lambda n=name, c=cuts: getattr(al, n)(10, cuts=c)).layers) == layers


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: al.VGGAL(10, image_size=28), "`image_size` to be a multiple of 16 .* but got 28. Pad"),
        (lambda: al.CNNAL(10, cuts=3), "`cuts` to be 4 or 8, but got 3"),  # type: ignore[arg-type]
        (lambda: al.VGGAL(10, cuts=5), "`cuts` to be 4 or 8, but got 5"),  # type: ignore[arg-type]
        (lambda: al.ResNetAL(10, depth=21), "`depth` to be 6n \\+ 2"),
        (lambda: al.ResNetAL(10, cuts="half"), "'stage' or 'block', but got 'half'"),  # type: ignore[arg-type]
        (lambda: al.CNNBP(10, in_channels=0), "`in_channels` to be at least 1, but got 0"),
        (lambda: al.CNNAL(10, bridge="fat"), "`bridge` to be 'lean', 'dense', 'conv' or 'paper', but got 'fat'"),  # type: ignore[arg-type]
        (lambda: al.CNNAL(10, activation="swish"), "`activation` to be one of relu, .* but got 'swish'"),  # type: ignore[arg-type]
        (lambda: al.CNNAL(10, target_dim=0), "`target_dim` to be at least 1, but got 0"),
        (lambda: al.CNNAL(10, target_activation="relu"), "`target_activation` to be 'tanh' or 'sigmoid'"),  # type: ignore[arg-type]
        (lambda: al.CNNAL(1), "`num_classes` to be at least 2, but got 1"),
        (lambda: al.CNNAL(10, layer_lr=[0.1]), "one learning rate above 0 for each of the 4 layers"),
        (lambda: al.CNNAL(10, active_depth=5), r"`active_depth` to be in 1\.\.4, but got 5"),
        (lambda: al.CNNAL(10, associated_layers=[9], isolated=False), r"`associated_layers` to be in 1\.\.4"),
        (lambda: al.CNNAL(10, associated_layers=[4]), "the other encoders would never learn"),
        (lambda: al.CNNAL(10, gradient_clip_norm=0.0), "`gradient_clip_norm` to be above 0, but got 0"),
        (lambda: al.CNNBP(10, accumulate_grad_batches=0), "`accumulate_grad_batches` to be at least 1, but got 0"),
        (lambda: al.CNNBP(10, class_names=["a"]), "`class_names` to hold num_classes=10 names, but got 1"),
        (lambda: al.MLPAL(10, hidden_dims=[]), "`hidden_dims` to hold widths"),
        (lambda: al.LSTMAL(2), "Expected `vocab_size` or `vocabulary`"),
        (lambda: al.LSTMAL(2, 9, ["<pad>", "<unk>", "a"]), "`vocab_size` to be the vocabulary's 3, but got 9"),
        (lambda: al.LSTMBP(2, vocabulary=["a", "b", "c"]), "vocabulary that starts with"),
        (lambda: al.LSTMBP(2, vocabulary=["<pad>", "<unk>", "a", "a"]), "every word of a vocabulary once"),
        (lambda: al.LSTMAL(2, 9, glove="x.txt"), "a `vocabulary` beside `glove`"),
        (lambda: al.LSTMAL(2, 9, hidden_dims=[]), "`hidden_dims` to hold widths"),
        (lambda: al.LSTMAL(2, 9, dropout=1.0), r"`dropout` to be in \[0, 1\), but got 1.0"),
        (lambda: al.LSTMAL(2, 9, embedding_dim=0), "`embedding_dim` to be at least 1, but got 0"),
        (lambda: al.LSTMAL(2, 9, bridge="fat"), "`bridge` to be 'lean', 'dense' or 'paper', but got 'fat'"),  # type: ignore[arg-type]
        (lambda: al.TransformerAL(2, 9, heads=7), "`heads` to divide embedding_dim=300, but got 7"),
        (lambda: al.TransformerAL(2, 9, feedforward_dims=[]), "`feedforward_dims` to hold widths"),
        (lambda: al.TransformerAL(2, 9, activation="elu"), "`activation` to be 'relu' or 'gelu', but got 'elu'"),  # type: ignore[arg-type]
        (lambda: al.LSTMAL(2, 9, bridge_activation="relu"), "`bridge_activation` to be 'tanh', 'sigmoid' or None, but"),  # type: ignore[arg-type]
        (lambda: al.CNNAL(10, bridge_activation="relu"), "`bridge_activation` to be 'tanh', 'sigmoid' or None, but got 'relu'"),  # type: ignore[arg-type]
        (lambda: al.CNNAL(10, bridge="paper", bridge_activation="tanh"), "None beside bridge='paper', .* but got 'tanh'. Leave"),
        (lambda: al.LSTMAL(2, 9, bridge="paper", bridge_activation="tanh"), "None beside bridge='paper', .* but got 'tanh'. Leave"),
        (lambda: al.MLPAL(10, in_features=0), "`in_features` to be at least 1, but got 0"),
        (lambda: al.TransformerBP(2, 9, positions="learned"), "`positions` to be 'sinusoidal' or None"),  # type: ignore[arg-type]
        (lambda: al.associate([torch.nn.Identity()], [], 2), "one bridge for each of the 1 blocks, but got 0"),
        (lambda: al.ALModule([], 10), "at least one layer, but got none"),
        (lambda: al.to_al_layers([], 10, torch.zeros(1)), "at least one block to convert, but got none"),
        (lambda: al.to_al_layers([torch.nn.Unflatten(2, (2, 2))], 10, torch.zeros(1, 1, 4, 4)), r"Block 1 \(Unflatten\) cannot be bridged"),
    ],
)  # fmt: skip
def test_wrong_arguments_get_a_sentence(make: Callable[[], Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        on_meta(make)
