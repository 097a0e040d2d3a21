"""Train deep networks without end-to-end backpropagation, by Associated Learning, in PyTorch Lightning."""

from al_lightning._version import __version__
from al_lightning.modules import (
    CNNAL,
    CNNBP,
    LSTMAL,
    LSTMBP,
    MLPAL,
    MLPBP,
    VGGAL,
    VGGBP,
    ALModule,
    ALOptions,
    BPModule,
    BPOptions,
    ConvertedAL,
    ConvertedBP,
    ConvertedOptions,
    ConvertedTextAL,
    ConvertedTextBP,
    ResNetAL,
    ResNetBP,
    TransformerAL,
    TransformerBP,
)
from al_lightning.nn.convert import associate, to_al_layers
from al_lightning.nn.layer import ALLayer, LayerLosses
from al_lightning.nn.split import SplitNetwork, split_network
from al_lightning.nn.state import detach
from al_lightning.strategies import PipelineStrategy

__all__ = [
    "CNNAL",
    "CNNBP",
    "LSTMAL",
    "LSTMBP",
    "MLPAL",
    "MLPBP",
    "VGGAL",
    "VGGBP",
    "ALLayer",
    "ALModule",
    "ALOptions",
    "BPModule",
    "BPOptions",
    "ConvertedAL",
    "ConvertedBP",
    "ConvertedOptions",
    "ConvertedTextAL",
    "ConvertedTextBP",
    "LayerLosses",
    "PipelineStrategy",
    "ResNetAL",
    "ResNetBP",
    "SplitNetwork",
    "TransformerAL",
    "TransformerBP",
    "__version__",
    "associate",
    "detach",
    "split_network",
    "to_al_layers",
]  # fmt: skip
