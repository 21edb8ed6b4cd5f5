"""Ways of running one and the same causal network: over a whole image, or over one more row or pixel of it."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Generator, Tensor
from torch.nn import functional

from scorewise.backbones.dropout import drop
from scorewise.backbones.shifted import Shifted, Up

Coarser = Callable[["Pass", Tensor], Tensor]
MARGIN = 2
"""Rows above an image, and at most columns beside it, that windows reach."""


class Pass(ABC):
    """How the layers of a network of shifted convolutions are run."""

    @abstractmethod
    def first(self, layer: Shifted) -> Tensor:
        """Return a layer's output on the image itself."""

    @abstractmethod
    def conv(self, layer: Shifted, h_BCHW: Tensor) -> Tensor:
        """Return a layer's output."""

    @abstractmethod
    def coarser(self, down: Shifted, up: Up, h_BCHW: Tensor, below: Coarser) -> Tensor:
        """Return the output of what runs at half the resolution, brought back to this one."""

    @abstractmethod
    def beside(self, h_BCHW: Tensor) -> Tensor:
        """Return the part of the stack above that lies at the places which this pass computes."""

    @abstractmethod
    def drop(self, h_BCHW: Tensor) -> Tensor:
        """Return h with a share of its entries dropped, in training."""


class Whole(Pass):
    """A pass over whole images.

    Args:
        image_BCHW: what the first layers see.
        share: of dropped activations.
        generator: of the dropout; None for none.
        initialising: sets the scales and biases of all layers from their outputs on this batch.
    """

    def __init__(
        self, image_BCHW: Tensor, share: float = 0.0, generator: Generator | None = None, initialising: bool = False
    ) -> None:
        self.image_BCHW, self.share, self.generator, self.initialising = image_BCHW, share, generator, initialising

    def first(self, layer: Shifted) -> Tensor:
        """Return a layer's output on the images."""
        return self.conv(layer, self.image_BCHW)

    def conv(self, layer: Shifted | Up, h_BCHW: Tensor) -> Tensor:
        """Return a layer's output everywhere."""
        out_BCHW: Tensor = layer(h_BCHW)
        return layer.normalise(out_BCHW) if self.initialising else out_BCHW

    def coarser(self, down: Shifted, up: Up, h_BCHW: Tensor, below: Coarser) -> Tensor:
        """Return the coarser resolutions everywhere, cropped where a side is odd."""
        height, width = h_BCHW.shape[-2:]
        return self.conv(up, below(self, self.conv(down, h_BCHW)))[..., :height, :width]

    def beside(self, h_BCHW: Tensor) -> Tensor:
        """Return the stack above everywhere."""
        return h_BCHW

    def drop(self, h_BCHW: Tensor) -> Tensor:
        """Return h with a share of its entries dropped."""
        return drop(h_BCHW, self.share, self.generator)


@dataclass
class Memory:
    """What passes over parts of images leave for later ones.

    Args:
        image_BCHW: pixels so far, with a margin of MARGIN zeros on every side.
        rows: the last two rows that each layer was given, with a margin of one column.
        coarse: the last row that each coarser resolution gave.
        weights: of each layer, so that weights are normalised once per stream.
    """

    image_BCHW: Tensor
    rows: dict[Shifted, Tensor] = field(default_factory=dict)
    coarse: dict[Up, Tensor] = field(default_factory=dict)
    weights: dict[Shifted, tuple[Tensor, Tensor]] = field(default_factory=dict)


class Part(Pass):
    """A pass over one row, or one pixel, after passes over all parts before it; dropout is off.

    Every layer computes the new places only and keeps the two rows that its window reaches. At half the resolution
    there is something to compute only where row and column are even; elsewhere it is what was computed then.

    Args:
        memory: of the passes before.
        width: columns of the images at this resolution.
        y, x: the row, and the pixel in it; None for the whole row.
    """

    def __init__(self, memory: Memory, width: int, y: int, x: int | None) -> None:
        self.memory, self.width, self.y, self.x = memory, width, y, x

    @property
    def _even(self) -> bool:
        return self.y % 2 == 0 and (self.x is None or self.x % 2 == 0)

    def _columns(self, layer: Shifted, margin: int) -> slice:
        """Return the columns of a padded row that the windows of a layer reach."""
        first = margin - layer.left + (self.x or 0)
        return slice(first, first + (self.width if self.x is None else 1) + layer.window[1] - 1)

    def _run(self, layer: Shifted, window_BCHW: Tensor) -> Tensor:
        if layer not in self.memory.weights:
            self.memory.weights[layer] = layer.weights()
        return functional.conv2d(window_BCHW, *self.memory.weights[layer], layer.stride)

    def _remember(self, layer: Shifted, h_BCHW: Tensor) -> Tensor:
        """Return the window of a layer once it was given the new places."""
        rows = self.memory.rows.get(layer)
        if not self.x:  # a new row
            empty = h_BCHW.new_zeros(*h_BCHW.shape[:2], 1, self.width + 2)
            rows = torch.cat([empty if rows is None else rows[:, :, 1:], empty], dim=2)
        assert rows is not None
        place = slice(1, -1) if self.x is None else slice(1 + self.x, 2 + self.x)
        rows[:, :, 1:, place] = h_BCHW
        self.memory.rows[layer] = rows
        return rows[:, :, 1 - layer.up : 1 - layer.up + layer.window[0], self._columns(layer, 1)]

    def first(self, layer: Shifted) -> Tensor:
        """Return a layer's output on the pixels so far."""
        top = MARGIN + self.y - layer.up
        rows = self.memory.image_BCHW[:, :, top : top + layer.window[0]]
        return self._run(layer, rows[..., self._columns(layer, MARGIN)])

    def conv(self, layer: Shifted, h_BCHW: Tensor) -> Tensor:
        """Return a layer's output at the new places."""
        return self._run(layer, h_BCHW if layer.window == (1, 1) else self._remember(layer, h_BCHW))

    def coarser(self, down: Shifted, up: Up, h_BCHW: Tensor, below: Coarser) -> Tensor:
        """Return the coarser resolutions at the new places."""
        window_BCHW = self._remember(down, h_BCHW)
        columns = slice(None) if self.x is None else slice(self.x // 2, self.x // 2 + 1)
        width = -(-self.width // 2)
        if self._even:
            part = Part(self.memory, width, self.y // 2, None if self.x is None else self.x // 2)
            h_BCHW = below(part, self._run(down, window_BCHW))
            if not self.x:
                self.memory.coarse[up] = h_BCHW.new_zeros(*h_BCHW.shape[:3], width)
            self.memory.coarse[up][..., columns] = h_BCHW
        fine_BCHW: Tensor = up(self.memory.coarse[up][..., columns])[:, :, self.y % 2, None]
        return fine_BCHW[..., : self.width] if self.x is None else fine_BCHW[..., self.x % 2, None]

    def beside(self, h_BCHW: Tensor) -> Tensor:
        """Return the stack above at the new places."""
        return h_BCHW if self.x is None else h_BCHW[..., self.x, None]

    def drop(self, h_BCHW: Tensor) -> Tensor:
        """Return h as it is."""
        return h_BCHW
