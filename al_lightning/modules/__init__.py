"""LightningModules: AL and BP, and every architecture with both siblings."""

from al_lightning.modules.al import ALModule
from al_lightning.modules.bp import BPModule
from al_lightning.modules.cnn import CNNAL, CNNBP
from al_lightning.modules.converted import ConvertedAL, ConvertedBP
from al_lightning.modules.converted_text import ConvertedTextAL, ConvertedTextBP
from al_lightning.modules.lstm import LSTMAL, LSTMBP
from al_lightning.modules.mlp import MLPAL, MLPBP
from al_lightning.modules.options import ALOptions, BPOptions, ConvertedOptions
from al_lightning.modules.resnet import ResNetAL, ResNetBP
from al_lightning.modules.transformer import TransformerAL, TransformerBP
from al_lightning.modules.vgg import VGGAL, VGGBP

__all__ = [
    "CNNAL",
    "CNNBP",
    "LSTMAL",
    "LSTMBP",
    "MLPAL",
    "MLPBP",
    "VGGAL",
    "VGGBP",
    "ALModule",
    "ALOptions",
    "BPModule",
    "BPOptions",
    "ConvertedAL",
    "ConvertedBP",
    "ConvertedOptions",
    "ConvertedTextAL",
    "ConvertedTextBP",
    "ResNetAL",
    "ResNetBP",
    "TransformerAL",
    "TransformerBP",
]  # fmt: skip
