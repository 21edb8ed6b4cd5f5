"""Annealed importance sampling of a decoder's likelihood, some images at a time."""

import copy
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn

from scorewise.latent.ais import AIS, AnnealingEstimate, LogLikelihood
from scorewise.latent.observations import Observation
from scorewise.noise import Draws

Tell = Callable[[float], None]


class Portion(NamedTuple):
    """Some of the images that are annealed.

    Args:
        o_BD: what was observed of them.
        draws: of these images.
        tell: takes the share that is done of them; None: nobody wants to know.
    """

    o_BD: Tensor
    draws: Draws
    tell: Tell | None


@dataclass(frozen=True)
class Annealing:
    """Estimates of log p(o) of observed images under a decoder.

    Args:
        decoder: from latents to what the likelihood reads.
        observation: the likelihood.
        ais: how long and with how many chains.
        rows: images times chains that are annealed at once; the result does not depend on it.
    """

    decoder: nn.Module
    observation: Observation
    ais: AIS
    rows: int = 512

    def forward(self, o_BD: Tensor, dims: int, draws: Draws, tell: Tell | None = None) -> AnnealingEstimate:
        """Return the estimate from chains that start at the prior.

        Args:
            o_BD: observed images.
            dims: D of z.
            draws: of the images.
            tell: takes the share that is done.
        """
        found, rough = [], self._rough()
        for o_part, some, told in self._portions(o_BD, draws, tell):
            likelihood = self._likelihood(o_part)
            found.append(self.ais.forward(likelihood, dims, some, o_part.dtype, told, rough(o_part)))
        return _joined(found)

    def backward(self, o_BD: Tensor, z_BD: Tensor, draws: Draws) -> AnnealingEstimate:
        """Return the estimate from chains that start at the latents which images were drawn from."""
        found, rough = [], self._rough()
        portions = self._portions(o_BD, draws, None)
        for (o_part, some, _), z_part in zip(portions, z_BD.split(self._size), strict=True):
            found.append(self.ais.backward(self._likelihood(o_part), z_part, some, rough=rough(o_part)))
        return _joined(found)

    @property
    def _size(self) -> int:
        return max(1, self.rows // self.ais.chains)

    def _portions(self, o_BD: Tensor, draws: Draws, tell: Tell | None) -> Iterator[Portion]:
        count = max(1, len(o_BD))
        for first in range(0, count, self._size):

            def told(share: float, first: int = first) -> None:
                assert tell is not None
                tell(min(1.0, (first + share * self._size) / count))

            some = slice(first, first + self._size)
            yield Portion(o_BD[some], Draws(draws.key_B[some]), told if tell else None)

    def _likelihood(self, o_BD: Tensor) -> LogLikelihood:
        """Return the function from latents (B, C, D) to log p(o_b | z_bc), shape (B, C)."""
        return lambda z_BCD: self.observation.log_prob(o_BD[:, None], self.decoder(z_BCD))

    def _rough(self) -> Callable[[Tensor], LogLikelihood | None]:
        """Return the function from observed images to their likelihood in bfloat16; to None where not asked for."""
        if not self.ais.rough:
            return lambda _: None
        decoder = copy.deepcopy(self.decoder).bfloat16()

        def of(o_BD: Tensor) -> LogLikelihood:
            o_B1D = o_BD[:, None].bfloat16()
            return lambda z_BCD: self.observation.log_prob(o_B1D, decoder(z_BCD.bfloat16())).to(z_BCD.dtype)

        return of


def _joined(parts: list[AnnealingEstimate]) -> AnnealingEstimate:
    return AnnealingEstimate(*(torch.cat(values) for values in zip(*parts, strict=True)))
