"""PixelCNN++: shifted gated convolutions at several resolutions (Salimans et al. 2017)."""

from collections.abc import Sequence
from typing import Annotated, cast

import torch
from torch import Tensor, nn

from scorewise.backbones.dropout import mask_generator
from scorewise.backbones.passes import MARGIN, Memory, Part, Pass, Whole
from scorewise.backbones.same_pixel import SamePixel
from scorewise.backbones.shifted import Shifted, Up, concat_elu
from scorewise.ordering import Ordering
from scorewise.ranges import Between, Count, OneOf, within_ranges

Notes = dict[tuple[int, int, int], Tensor]
"""What the stack of the rows above had at every resolution, on the way down (0) or up (1), after every block."""


class GatedBlock(nn.Module):
    """A gated residual block: h + a sigmoid(b), a and b two shifted convolutions away from h, through concat-ELU.

    Args:
        filters: in and out.
        window: of the convolutions, see `Shifted`.
        beside: how many further inputs of as many filters join between the two.
    """

    def __init__(self, filters: int, window: tuple[int, int], beside: int) -> None:
        super().__init__()
        self.conv_in = Shifted(2 * filters, filters, window, 1, 1)
        self.beside = Shifted(2 * beside * filters, filters, (1, 1)) if beside else None
        self.conv_out = Shifted(2 * filters, 2 * filters, window, 1, 1, gain=0.1)

    def forward(self, run: Pass, h_BCHW: Tensor, beside: Sequence[Tensor]) -> Tensor:
        """Return the block's output, shape of its input."""
        r_BCHW = run.conv(self.conv_in, concat_elu(h_BCHW))
        if self.beside is not None:
            r_BCHW = r_BCHW + run.conv(self.beside, concat_elu(torch.cat([*beside], dim=1)))
        a_BCHW, b_BCHW = run.conv(self.conv_out, run.drop(concat_elu(r_BCHW))).chunk(2, dim=1)
        return h_BCHW + a_BCHW * b_BCHW.sigmoid()


class Stack(nn.Module):
    """One of the two streams of PixelCNN++: gated blocks down to the coarsest resolution and up again.

    Every output on the way down is an input on the way up.

    Args:
        filters: at every resolution.
        resnets: gated blocks per resolution on the way down; on the way up one more, except at the coarsest.
        levels: resolutions.
        window: of all convolutions, see `Shifted`.
        second: whether this is the stream that also sees the other one.
    """

    def __init__(self, filters: int, resnets: int, levels: int, window: tuple[int, int], second: bool) -> None:
        super().__init__()
        self.second = second
        self.encoder = nn.ModuleList(
            nn.ModuleList(GatedBlock(filters, window, int(second)) for _ in range(resnets)) for _ in range(levels)
        )
        self.decoder = nn.ModuleList(
            nn.ModuleList(GatedBlock(filters, window, 1 + int(second)) for _ in range(resnets + (depth + 1 < levels)))
            for depth in range(levels)
        )
        self.down = nn.ModuleList(Shifted(filters, filters, window, 1, 1, stride=2) for _ in range(levels - 1))
        self.up = nn.ModuleList(Up(filters, window) for _ in range(levels - 1))

    def forward(self, run: Pass, h_BCHW: Tensor, notes: Notes, depth: int = 0) -> Tensor:
        """Return one resolution and all coarser ones; the first stream writes notes, the second reads them."""
        skips = [h_BCHW]
        for i, block in enumerate(self._blocks(self.encoder, depth)):
            h_BCHW = self._run(run, block, h_BCHW, [], notes, (depth, 0, i))
            skips.append(h_BCHW)
        if depth < len(self.down):
            down, up = cast(Shifted, self.down[depth]), cast(Up, self.up[depth])
            h_BCHW = run.coarser(down, up, h_BCHW, lambda part, low: self(part, low, notes, depth + 1))
        else:
            skips.pop()  # it is h itself
        for i, block in enumerate(self._blocks(self.decoder, depth)):
            h_BCHW = self._run(run, block, h_BCHW, [skips.pop()], notes, (depth, 1, i))
        return h_BCHW

    @staticmethod
    def _blocks(half: nn.ModuleList, depth: int) -> nn.ModuleList:
        return cast(nn.ModuleList, half[depth])

    def _run(
        self, run: Pass, block: nn.Module, h_BCHW: Tensor, skip: list[Tensor], notes: Notes, key: tuple[int, int, int]
    ) -> Tensor:
        if self.second:
            skip = [run.beside(notes[key]), *skip]
        out_BCHW: Tensor = block(run, h_BCHW, skip)
        if not self.second:
            notes[key] = out_BCHW
        return out_BCHW


class PixelCNNPP(nn.Module):
    """PixelCNN++ up to its densities, as CausalFeatures, and a stream of them.

    The order is (row, column, channel), the `pixels` order. One stream sees all rows above a pixel, the other sees that
    stream and what is to the left in the same row. In the paper the channels of a pixel are coupled by coefficients of
    its logistics; here the features of a channel see the earlier ones (see `SamePixel`), so any head can be put on top.

    Args:
        shape: (C, H, W) of one image, C = 1 or 3 for example; D = C H W.
        width: features per dimension (F).
        filters: of all layers.
        resnets: gated blocks per resolution and stream on the way down.
        levels: resolutions, each half the one before; the paper has 3.
        dropout: share of the activations inside gated blocks that is dropped in training.
        init: default (torch's own) or data: scales and biases are set so that all convolutions have outputs of mean 0
            and standard deviation 1 on a batch of data (`initialise`; the train command does it).

    Raises:
        ValueError: the examples are not images, or a setting is out of range.

    Example:
        >>> import torch
        >>> from scorewise.backbones import PixelCNNPP
        >>> PixelCNNPP((1, 8, 8), width=12, filters=8).causal_features(torch.zeros(5, 64)).shape
        torch.Size([5, 64, 12])
    """

    @within_ranges
    def __init__(
        self,
        shape: Sequence[int],
        width: int,
        filters: Count = 32,
        resnets: Count = 1,
        levels: Count = 3,
        dropout: Annotated[float, Between(0, 1, without=("high",))] = 0.0,
        init: Annotated[str, OneOf(("default", "data"))] = "default",
    ) -> None:
        super().__init__()
        if len(shape) != 3:
            raise ValueError(f"PixelCNN++ takes images of shape (C, H, W), not examples of shape {tuple(shape)}")
        self.shape, self.width, self.dropout = tuple(shape), width, dropout
        self.ordering = Ordering.named("pixels", self.shape)
        seen = self.shape[0] + 1
        self.first_above = Shifted(seen, filters, (2, 3), 2, 1)
        self.first_row = Shifted(seen, filters, (1, 3), 1, 1)
        self.first_left = Shifted(seen, filters, (2, 1), 1, 1)
        self.above = Stack(filters, resnets, levels, (2, 3), second=False)
        self.left = Stack(filters, resnets, levels, (2, 2), second=True)
        self.same_pixel = SamePixel(self.shape[0], filters, width)

    def above_features(self, run: Pass) -> Notes:
        """Return what the stream of the rows above gives to the other one."""
        notes: Notes = {}
        self.above(run, run.first(self.first_above), notes)
        return notes

    def pixel_features(self, run: Pass, notes: Notes) -> Tensor:
        """Return features per pixel of all pixels before it, shape (B, filters, H, W)."""
        h_BCHW: Tensor = self.left(run, run.first(self.first_row) + run.first(self.first_left), notes)
        return h_BCHW

    def _whole(self, u_BD: Tensor, initialising: bool = False) -> Tensor:
        u_BCHW = u_BD.unflatten(-1, self.shape)
        # Ones mark what is image and what is margin.
        image_BCHW = torch.cat([u_BCHW, torch.ones_like(u_BCHW[:, :1])], dim=1)
        generator = mask_generator(u_BD) if self.training and self.dropout and not initialising else None
        run = Whole(image_BCHW, self.dropout, generator, initialising)
        return self.pixel_features(run, self.above_features(run))

    def causal_features(self, u_BD: Tensor) -> Tensor:
        """Return features of every dimension from those before it in the order, shape (B, D, width)."""
        h_BPF = self._whole(u_BD).flatten(2).mT
        c_BPCF = self.same_pixel(h_BPF, u_BD.unflatten(-1, (self.shape[0], -1)).mT)
        c_BDF: Tensor = c_BPCF.transpose(1, 2).flatten(1, 2)
        return c_BDF

    @torch.no_grad()
    def initialise(self, u_BD: Tensor) -> None:
        """Set scales and biases from a batch of data in standard units, shape (B, D)."""
        self._whole(u_BD, initialising=True)

    def feature_stream(self) -> "PixelStream":
        """Return the same features one dimension at a time, for the cost of one forward pass in all."""
        return PixelStream(self)


class PixelStream:
    """The causal features of a PixelCNN++ while an image is being drawn: a ContextStream.

    The stream of the rows above runs once per row over that row, the other one once per pixel over that pixel; all
    layers keep the rows that later pixels need.

    Attributes:
        passes: how many pixels the trunk has run over.
    """

    def __init__(self, backbone: PixelCNNPP) -> None:
        self.backbone, self.passes, self.position = backbone, 0, 0
        self.memory = Memory(torch.empty(0))
        self.notes: Notes = {}
        self.h_B1F = self.u_B1C = torch.empty(0)

    def start(self, n: int) -> Tensor:
        """Return the features of the first dimension for n examples, shape (n, 1, width)."""
        channels, height, width = self.backbone.shape
        like = self.backbone.same_pixel.of_pixel.weight
        image_BCHW = like.new_zeros(n, channels + 1, height + 2 * MARGIN, width + 2 * MARGIN)
        image_BCHW[:, -1, MARGIN:-MARGIN, MARGIN:-MARGIN] = 1
        self.memory, self.passes, self.position = Memory(image_BCHW), 0, 0
        self.u_B1C = like.new_zeros(n, 1, channels)
        return self._features()

    def push(self, x_block: Tensor) -> Tensor:
        """Return the features of the next dimension, given the values (n, 1) of the current one."""
        channels, _, width = self.backbone.shape
        pixel, channel = divmod(self.position, channels)
        self.u_B1C[:, :, channel] = x_block
        if channel == channels - 1:
            y, x = divmod(pixel, width)
            self.memory.image_BCHW[:, :-1, MARGIN + y, MARGIN + x] = self.u_B1C[:, 0]
            self.u_B1C = torch.zeros_like(self.u_B1C)
        self.position += 1
        return self._features()

    def _features(self) -> Tensor:
        backbone = self.backbone
        channels, _, width = backbone.shape
        if self.position == len(backbone.ordering):
            return self.u_B1C.new_empty(len(self.u_B1C), 0, backbone.width)
        pixel, channel = divmod(self.position, channels)
        if channel == 0:
            y, x = divmod(pixel, width)
            if x == 0:
                self.notes |= backbone.above_features(Part(self.memory, width, y, None))
            self.h_B1F = backbone.pixel_features(Part(self.memory, width, y, x), self.notes).flatten(2).mT
            self.passes += 1
        c_B1F: Tensor = backbone.same_pixel(self.h_B1F, self.u_B1C)[:, :, channel]
        return c_B1F
