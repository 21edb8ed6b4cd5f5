"""Backbones: networks that turn an example into features."""

from scorewise.backbones.made import MADE
from scorewise.backbones.mlp import MLP

__all__ = ["MADE", "MLP"]
