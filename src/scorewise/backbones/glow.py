"""Glow: an invertible map of images to independent normal numbers (Kingma and Dhariwal 2018), from normflows."""

from collections.abc import Sequence
from typing import Annotated, Any, cast

import torch
from torch import Tensor, nn

from scorewise.backbones.layers import ActivationName, activation_named
from scorewise.errors import UserError
from scorewise.ranges import Count, OneOf, within_ranges


def normflows() -> Any:
    """Return the package normflows.

    Raises:
        UserError: it is not installed.
    """
    try:
        import normflows
    except ImportError as error:
        raise UserError(
            "backbone=glow needs the package normflows, which is not installed: pip install normflows"
        ) from error
    return normflows


class Glow(nn.Module):
    """Glow: InvertibleMap.

    At every resolution: 2 x 2 pixels become 4 channels, then flow steps of activation normalisation, an invertible
    1 x 1 convolution and an affine coupling; after each but the last, half of the channels are done.

    Args:
        shape: (C, H, W) of one image; H and W divisible by 2^levels.
        levels: resolutions.
        steps: flow steps per resolution.
        filters: channels inside the coupling networks; the paper has 512.
        activation: inside them; smooth where an objective differentiates the score.
        init: data sets the scales from a first batch (`initialise`; the train command does it); default leaves them.

    Raises:
        ValueError: the examples are not images, or a setting is out of range.
        UserError: normflows is not installed.

    Example:
        >>> import torch
        >>> from scorewise.backbones import Glow
        >>> glow = Glow((1, 4, 4), levels=1, steps=1, filters=8, init="default")
        >>> x = torch.randn(5, 16)
        >>> z, log_volume = glow.to_normal(x)
        >>> bool(torch.allclose(glow.from_normal(z), x, atol=1e-4))
        True
    """

    @within_ranges
    def __init__(
        self,
        shape: Sequence[int],
        levels: Count = 2,
        steps: Count = 4,
        filters: Count = 64,
        activation: ActivationName = "silu",
        init: Annotated[str, OneOf(("data", "default"))] = "data",
    ) -> None:
        super().__init__()
        if len(shape) != 3 or any(side % 2**levels for side in shape[1:]):
            raise ValueError(
                f"Glow with levels={levels} halves images {levels} times, and examples of shape {list(shape)} do not "
                "halve so often: use fewer levels, or images of another size"
            )
        self.shape = tuple(shape)
        flows = normflows().flows
        self.squeeze: Any = flows.Squeeze()
        self.levels = nn.ModuleList()
        channels = self.shape[0]
        for _ in range(levels):
            channels *= 4
            self.levels.append(nn.ModuleList(_step(flows, channels, filters, activation) for _ in range(steps)))
            channels //= 2
        self._use_scales_as_they_are(True)

    def _use_scales_as_they_are(self, done: bool) -> None:
        """Tell every normalisation whether the next batch sets it; in normflows any first batch would."""
        for name, flag in self.named_buffers():
            if name.endswith("data_dep_init_done"):
                self.get_submodule(name.rpartition(".")[0]).data_dep_init_done = torch.full_like(flag, float(done))

    def initialise(self, u_BD: Tensor) -> None:
        """Set the activation normalisations from a batch of data in standard units, shape (B, D)."""
        self._use_scales_as_they_are(False)
        with torch.no_grad():
            self.to_normal(u_BD)
        self._use_scales_as_they_are(True)

    def to_normal(self, u_BD: Tensor) -> tuple[Tensor, Tensor]:
        """Return the numbers z (B, D) that an example becomes, and log |det dz/du| (B,)."""
        h_BCHW = u_BD.unflatten(-1, self.shape)
        log_det_B = torch.zeros_like(u_BD[:, 0])
        done: list[Tensor] = []
        for i, steps in enumerate(self.levels):
            h_BCHW, _ = self.squeeze.inverse(h_BCHW)
            for layer in _layers(steps):  # in normflows, forward leads from the normal numbers to the data
                h_BCHW, of_layer_B = layer.inverse(h_BCHW)
                log_det_B = log_det_B + of_layer_B
            if i + 1 < len(self.levels):
                h_BCHW, out_BCHW = h_BCHW.chunk(2, dim=1)
                done.append(out_BCHW.flatten(1))
        return torch.cat([*done, h_BCHW.flatten(1)], dim=1), log_det_B

    def from_normal(self, z_BD: Tensor) -> Tensor:
        """Return the example that becomes these numbers, shape (B, D)."""
        channels, height, width = self.shape
        shapes = []
        for _ in self.levels:
            channels, height, width = 2 * channels, height // 2, width // 2
            shapes.append((channels, height, width))
        last = (2 * channels, height, width)  # nothing of the last resolution is split off
        sizes = [c * h * w for c, h, w in [*shapes[:-1], last]]
        *done, rest_BN = z_BD.split(sizes, dim=1)
        h_BCHW = rest_BN.unflatten(1, last)
        for i in reversed(range(len(self.levels))):
            if i < len(done):
                h_BCHW = torch.cat([h_BCHW, done[i].unflatten(1, shapes[i])], dim=1)
            for layer in reversed(_layers(self.levels[i])):
                h_BCHW, _ = layer.forward(h_BCHW)
            h_BCHW, _ = self.squeeze.forward(h_BCHW)
        u_BD: Tensor = h_BCHW.flatten(1)
        return u_BD


def _layers(steps: nn.Module) -> list[Any]:
    """Return the layers of one resolution, from the data to the normal numbers."""
    return [layer for step in cast(nn.ModuleList, steps) for layer in reversed(cast(nn.ModuleList, step))]


def _step(flows: Any, channels: int, filters: int, activation: str) -> nn.ModuleList:
    """Return one flow step, from the normal numbers to the data."""
    sizes = (channels // 2, filters, filters, channels)
    last = nn.Conv2d(sizes[2], sizes[3], 3, padding=1)
    nn.init.zeros_(last.weight)
    nn.init.zeros_(last.bias)  # type: ignore[arg-type]
    network = nn.Sequential(
        nn.Conv2d(sizes[0], sizes[1], 3, padding=1),
        activation_named(activation),
        nn.Conv2d(sizes[1], sizes[2], 1),
        activation_named(activation),
        last,
    )
    coupling = flows.AffineCouplingBlock(network, True, "sigmoid", "channel")
    return nn.ModuleList([coupling, flows.Invertible1x1Conv(channels, use_lu=False), flows.ActNorm((channels, 1, 1))])
