"""LightningModules: AL and BP, and every architecture with both siblings."""

from al_lightning.modules.al import ALModule, ALOptions
from al_lightning.modules.bp import BPModule, BPOptions
from al_lightning.modules.cnn import CNNAL, CNNBP
from al_lightning.modules.mlp import MLPAL, MLPBP
from al_lightning.modules.resnet import ResNetAL, ResNetBP
from al_lightning.modules.vgg import VGGAL, VGGBP

__all__ = [
    "CNNAL",
    "CNNBP",
    "MLPAL",
    "MLPBP",
    "VGGAL",
    "VGGBP",
    "ALModule",
    "ALOptions",
    "BPModule",
    "BPOptions",
    "ResNetAL",
    "ResNetBP",
]  # fmt: skip
