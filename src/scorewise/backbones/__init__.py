"""Backbones: networks that turn an example into features."""

from scorewise.backbones.convnet import ConvNet
from scorewise.backbones.glow import Glow
from scorewise.backbones.made import MADE
from scorewise.backbones.masked_mlp import MaskedMLP
from scorewise.backbones.masked_transformer import MaskedTransformer
from scorewise.backbones.mlp import MLP
from scorewise.backbones.noisy_mlp import NoisyMLP
from scorewise.backbones.patch_transformer import PatchTransformer
from scorewise.backbones.pixelcnnpp import PixelCNNPP
from scorewise.backbones.transformer import Transformer
from scorewise.backbones.unet import UNet

__all__ = [
    "MADE",
    "MLP",
    "ConvNet",
    "Glow",
    "MaskedMLP",
    "MaskedTransformer",
    "NoisyMLP",
    "PatchTransformer",
    "PixelCNNPP",
    "Transformer",
    "UNet",
]
