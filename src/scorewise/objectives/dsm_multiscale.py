"""Denoising score matching over a ladder of noise levels (Song and Ermon 2019)."""

import torch
from torch import Tensor

from scorewise.capabilities import NoisyScoreModel
from scorewise.noise import Draws, smoothing_noise
from scorewise.objectives.multiscale import Multiscale


class DSMMultiscale(Multiscale[NoisyScoreModel]):
    """Denoising score matching at a rung of the ladder drawn per example (NCSN, eq. 5 and 6).

    The loss is sigma^2 |s(x~, sigma) + (x~ - clean) / sigma^2|^2 / 2.

    The slides' first line of it has s(x) and q(x, x~) instead of s(x~, sigma) and q(x~ | x). Here x~ = x + extra z is
    made from the smoothed x, and the clean example is recovered from x and the noise that smoothed it, so that x~
    given the clean example has exactly the noise sigma. On a Gaussian of variance v the slope is
    -1 / (v + sigma^2), and the loss at a rung has the minimum (D / 2) v / (v + sigma^2), D / 2 at most.

    Args:
        sigma_max: the largest level.
        sigma_min: the smallest level; None for the smoothing itself.
        levels: rungs of the geometric ladder.
        smoothing: of the data.

    Example:
        >>> import torch
        >>> from scorewise.backbones import NoisyMLP
        >>> from scorewise.heads import NoisyScore
        >>> from scorewise.noise import Draws
        >>> from scorewise.objectives import DSMMultiscale
        >>> model = NoisyScore(NoisyMLP((2,), 1, (16,)), levels=(1.0, 0.5, 0.3), noise=0.3)
        >>> x = torch.randn(32, 2)
        >>> loss = DSMMultiscale(1.0, 0.3, 3, 0.3)(model, x, Draws.fresh(32))
        >>> loss.per_example.shape
        torch.Size([32])
    """

    needs = (NoisyScoreModel,)
    heads = ("noisy_score",)

    def per_example(self, model: NoisyScoreModel, x_BD: Tensor, draws: Draws) -> Tensor:
        """Return the loss of every example at a rung of its own, shape (B,)."""
        return self._at(self.rungs(draws.fork("level"), dtype=x_BD.dtype), model, x_BD, draws)

    def per_level(self, model: NoisyScoreModel, x_BD: Tensor, draws: Draws) -> Tensor:
        """Return the loss of every example at every rung, largest level first, shape (L, B)."""
        sigmas = [torch.full_like(x_BD[:, 0], level) for level in self.levels]
        return torch.stack([self._at(sigma_B, model, x_BD, draws, f"rung {i}") for i, sigma_B in enumerate(sigmas)])

    def held_out(self, model: NoisyScoreModel, x_BD: Tensor, draws: Draws) -> Tensor:
        """Return the mean over all rungs, shape (B,): the expected loss, less noisy than one rung per example."""
        return self.per_level(model, x_BD, draws).mean(0)

    def _at(self, sigma_B: Tensor, model: NoisyScoreModel, x_BD: Tensor, draws: Draws, rung: str = "rung") -> Tensor:
        """Return the loss of every example at the given levels, shape (B,)."""
        clean_BD = x_BD - self.smoothing * smoothing_noise(draws, x_BD) if self.smoothing > 0 else x_BD
        z_BD = draws.fork(rung).normal(x_BD.shape[1], dtype=x_BD.dtype)
        noisy_BD, sigma_B1 = x_BD + self.extra(sigma_B)[:, None] * z_BD, sigma_B[:, None]
        s_BD = model.noisy_score(noisy_BD, sigma_B)
        return 0.5 * (sigma_B1 * s_BD + (noisy_BD - clean_BD) / sigma_B1).square().sum(-1)
