"""MADE: a fully connected network with masks that make it autoregressive (Germain et al. 2015)."""

import itertools
import math
from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor, nn

from scorewise.backbones.layers import ActivationName, FirstLayer, MaskedLinear, activation_named, knot_slopes
from scorewise.ordering import Ordering
from scorewise.ranges import HiddenSizes, Whole, within_ranges


def hidden_degrees(units: int, dims: int, least: int = 1) -> Tensor:
    """Return how many leading dimensions each hidden unit may see: least .. D-1, evenly spread, ascending.

    The last unit always sees D-1 dimensions: consecutive degrees in a layer narrower than D would hide every
    later dimension from all contexts without any error.
    """
    most = max(dims - 1, least)
    if most == least or units == 1:
        return torch.full((units,), most)
    return least + torch.arange(units) * (most - least) // (units - 1)


class MADE(nn.Module):
    """A masked autoregressive network: CausalFeatures, a stream of them, and GivenCausalFeatures.

    Args:
        shape: shape of one example; D is its product.
        width: features per dimension (F).
        hidden: sizes of the hidden layers.
        activation: name of the activation; any, since the derivative in a query does not pass through it.
        ordering: name of an order (see `Ordering.named`), or the dimensions in their order.
        ordering_seed: seed of the random order.
        init: default (torch's own) or knots: first-layer units with slopes of 1 to 6 per half width of the data whose
            kinks lie anywhere in it, which lets few dimensions bend quickly.
        condition: how many features of something else every dimension may see, for `causal_features_given`.

    Example:
        >>> import torch
        >>> from scorewise.backbones import MADE
        >>> MADE((1, 8, 8), width=12, hidden=(64, 64)).causal_features(torch.zeros(5, 64)).shape
        torch.Size([5, 64, 12])
    """

    @within_ranges
    def __init__(
        self,
        shape: Sequence[int],
        width: int,
        hidden: HiddenSizes = (512, 512),
        activation: ActivationName = "relu",
        ordering: str | Sequence[int] = "raster",
        ordering_seed: Whole = 0,
        init: FirstLayer = "default",
        condition: int = 0,
    ) -> None:
        super().__init__()
        self.shape, self.width = tuple(shape), width
        dims = math.prod(self.shape)
        self.ordering = Ordering.chosen(ordering, self.shape, ordering_seed)
        position_D = self.ordering.positions() + 1
        degrees = [position_D, *(hidden_degrees(units, dims, 0 if condition else 1) for units in hidden)]
        self.hidden = nn.ModuleList(MaskedLinear(out[:, None] >= into) for into, out in itertools.pairwise(degrees))
        # Output d may see hidden units of degree at most (its position - 1): strictly what comes before.
        self.output = MaskedLinear(position_D.repeat_interleave(width)[:, None] > degrees[-1])
        self.of_condition = nn.Linear(condition, hidden[0], bias=False) if condition else None
        self.activation = activation_named(activation)
        if init == "knots":
            self._knots()

    @torch.no_grad()
    def _knots(self) -> None:
        """Draw the first layer: its inputs are in standard units, so the data's half width is about 2."""
        first = self.layers[0]
        first.weight.copy_(knot_slopes(first.weight) * first.mask / first.mask.sum(1, keepdim=True).clamp(min=1).sqrt())
        first.bias.copy_(-(first.weight * torch.empty_like(first.weight).uniform_(-2, 2)).sum(1))

    @property
    def layers(self) -> list[MaskedLinear]:
        """The hidden layers."""
        return cast(list[MaskedLinear], list(self.hidden))

    def causal_features(self, u_BD: Tensor) -> Tensor:
        """Return features of every dimension from those before it in the order, shape (B, D, width)."""
        return self._above(self.layers[0](u_BD))

    def causal_features_given(self, u_BD: Tensor, y_BF: Tensor) -> Tensor:
        """Return the same where every dimension also sees all conditions y, shape (B, D, width)."""
        assert self.of_condition is not None
        return self._above(self.layers[0](u_BD) + self.of_condition(y_BF))

    def _above(self, first: Tensor) -> Tensor:
        h = self.activation(first)
        for layer in self.layers[1:]:
            h = self.activation(layer(h))
        h_BDF: Tensor = self.output(h).unflatten(-1, (len(self.ordering), self.width))
        return h_BDF

    def feature_stream(self) -> "MADEStream":
        """Return the same features one dimension at a time, for the cost of one forward pass in all."""
        return MADEStream(self)


class MADEStream:
    """The causal features of a MADE while an example is being drawn: a ContextStream.

    Hidden units are sorted by degree, so the units that become final when position p is known are one slice:
    each push reads every weight once at most, over all pushes one triangular forward pass.
    """

    def __init__(self, made: MADE) -> None:
        self.made = made
        dims = len(made.ordering)
        # first[l][p]: how many units of hidden layer l have degree <= p
        self.final = [
            torch.searchsorted(hidden_degrees(layer.out_features, dims), torch.arange(dims + 1), right=True).tolist()
            for layer in made.layers
        ]
        self.position = 0
        self.pre: list[Tensor] = []
        self.post: list[Tensor] = []

    def start(self, n: int) -> Tensor:
        """Return the features of the first position for n examples, shape (n, 1, width)."""
        self.position = 0
        self.pre = [layer.bias.expand(n, -1).clone() for layer in self.made.layers]
        self.post = [torch.zeros_like(pre) for pre in self.pre]
        return self._features()

    def push(self, x_block: Tensor) -> Tensor:
        """Return the features of the next position, given the values (n, 1) of the current one."""
        dim = self.made.ordering.sequence[self.position]
        layers = self.made.layers
        self.pre[0] += x_block * layers[0].weight[:, dim]
        self.position += 1
        for depth in range(len(layers)):
            new = slice(self.final[depth][self.position - 1], self.final[depth][self.position])
            if new.start == new.stop:
                continue
            self.post[depth][:, new] = self.made.activation(self.pre[depth][:, new])
            if depth + 1 < len(self.pre):
                self.pre[depth + 1] += self.post[depth][:, new] @ layers[depth + 1].weight[:, new].T
        return self._features()

    def _features(self) -> Tensor:
        output, width = self.made.output, self.made.width
        n = len(self.pre[0])
        if self.position == len(self.made.ordering):
            return output.bias.new_empty(n, 0, width)
        dim = self.made.ordering.sequence[self.position]
        rows, known = slice(dim * width, (dim + 1) * width), self.final[-1][self.position]
        return (self.post[-1][:, :known] @ output.weight[rows, :known].T + output.bias[rows]).unsqueeze(1)
