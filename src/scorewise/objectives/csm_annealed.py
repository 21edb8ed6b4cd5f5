"""Composite score matching with noise annealed in each dimension (AR-CSM, section 4.2)."""

from typing import Annotated, Any, cast

import torch
from torch import Tensor

from scorewise.capabilities import FusedNoisyCSMModel, MaskedContexts, NoisyBlockScoreModel, NoisyConditionalScoreModel
from scorewise.capabilities.roles import CausalLadder, InBlocks, NoisyBlockScores
from scorewise.gradients import elementwise_derivative, exact_trace
from scorewise.noise import Draws, smoothing_noise
from scorewise.objectives.any_order import known_part, of_any_order
from scorewise.objectives.conditional import BlockwiseObjective
from scorewise.objectives.log_normal import LogNormalLevels
from scorewise.objectives.multiscale import WEIGHTS, Multiscale, beside_sigma2
from scorewise.objectives.objective import Loss, refuse_empty
from scorewise.ranges import Count, OneOf, Position, PositiveNumber, within_ranges

TARGETS = ("csm", "dsm")


class CSMAnnealed(BlockwiseObjective[CausalLadder], Multiscale[CausalLadder]):
    """Composite score matching (eq. 5 of the AR-CSM paper) at one noise level per dimension.

    The loss is sum_d sigma_d^2 (s_d^2 / 2 + d s_d / d x~_d).

    The context of dimension d is computed from x_<d at the smallest level; the head sees x~_d = x_d + noise at level
    sigma_d and sigma_d itself, so it learns d/dx~_d log p_sigma(x~_d | x_<d) at every level. The weight sigma^2 keeps
    all levels at one scale (Song and Ermon 2019, eq. 6). On blocks there is one level per block, and with target=dsm it
    is the denoising loss per token of autoregressive diffusion models (Li et al. 2024).

    Args:
        sigma_max, sigma_min, levels, smoothing: see `Multiscale`.
        target: csm, or dsm for its derivative-free twin (x~_d - clean_d) / sigma_d^2.
        continuous: draw levels log-uniformly between the largest and the smallest rather than from the rungs.
        draws: of level and noise per context, over which the loss is averaged: contexts are the dear part.
        log_mean, log_std: draw the logarithm of levels from this Gaussian, cut to the ladder (Karras et al. 2022, table
            1, whose levels are in standard deviations of the data); log_mean None: log-uniformly.
        weight: sigma2, or edm, see `multiscale.beside_sigma2`: levels far above the data hardly count by sigma2, and
            there the context says most.

    Raises:
        ValueError: no such target, or a law of levels that hardly touches the ladder, or see `Multiscale`.

    Example:
        >>> import torch
        >>> from scorewise.backbones import MADE
        >>> from scorewise.heads import NoisyConditionalScore
        >>> from scorewise.noise import Draws
        >>> from scorewise.objectives import CSMAnnealed
        >>> model = NoisyConditionalScore(MADE((2,), 16, (16,), "silu"), levels=(1.0, 0.5, 0.3), hidden=(8,), noise=0.3)
        >>> x = torch.randn(32, 2)
        >>> loss = CSMAnnealed(1.0, 0.3, 3, 0.3)(model, x, Draws.fresh(32))
        >>> loss.per_example.shape
        torch.Size([32])
    """

    needs = (NoisyConditionalScoreModel, NoisyBlockScoreModel)
    heads = ("noisy_conditional_score", "noisy_block_score")
    derivatives = 1

    @within_ranges
    def __init__(
        self,
        sigma_max: PositiveNumber,
        sigma_min: float | None,
        levels: Count,
        smoothing: float,
        target: Annotated[str, OneOf(TARGETS)] = "csm",
        continuous: bool = True,
        draws: Count = 1,
        log_mean: Position | None = None,
        log_std: PositiveNumber = 1.3,
        weight: Annotated[str, OneOf(WEIGHTS)] = "sigma2",
    ) -> None:
        super().__init__(sigma_max, sigma_min, levels, smoothing)
        self.target, self.continuous, self.draws, self.weight = target, continuous, draws, weight
        if log_mean is not None and not continuous:
            raise ValueError("objective.log_mean draws levels between the rungs too: use objective.continuous=true")
        self.law = None if log_mean is None else LogNormalLevels(self.levels, log_mean, log_std)

    @classmethod
    def derivatives_with(cls, target: str = "csm", **settings: Any) -> int:
        """Return 1, or 0 for the derivative-free target."""
        return 0 if target == "dsm" else cls.derivatives

    def sigmas(self, draws: Draws, shape: int | tuple[int, ...], dtype: torch.dtype) -> Tensor:
        """Return a level for every entry of the shape, shape (B, *shape)."""
        shape = (shape,) if isinstance(shape, int) else shape
        if not self.continuous:
            return self.rungs(draws.fork("level"), *shape, dtype=dtype)
        u = draws.fork("level").uniform(*shape, dtype=dtype)
        return self.levels[-1] * (self.levels[0] / self.levels[-1]) ** u if self.law is None else self.law.of(u)

    def seen(self, x_BD: Tensor, draws: Draws) -> Tensor:
        """Return the examples at the smallest level, as contexts see them."""
        return x_BD + self.noise * draws.fork("context").normal(x_BD.shape[1], dtype=x_BD.dtype)

    def per_dimension(self, model: CausalLadder, x_BD: Tensor, c_BDF: Tensor, draws: Draws) -> Tensor:
        """Return the loss of every dimension at its level, shape (B, D)."""
        q_MBD, sigma_MBD = self._queries(x_BD, draws)
        if self.target == "csm":
            s_MBD, ds_MBD = elementwise_derivative(
                lambda q_MBD: model.noisy_conditional_score(q_MBD, c_BDF, sigma_MBD), q_MBD
            )
            return (self._weights(model, sigma_MBD) * sigma_MBD.square() * (0.5 * s_MBD.square() + ds_MBD)).mean(0)
        s_MBD = model.noisy_conditional_score(q_MBD, c_BDF, sigma_MBD)
        residual_MBD = sigma_MBD * s_MBD + (q_MBD - self._clean(x_BD, draws)) / sigma_MBD
        return (0.5 * self._weights(model, sigma_MBD) * residual_MBD.square()).mean(0)

    def of_blocks(self, model: NoisyBlockScores, x_BD: Tensor, c_BKF: Tensor, draws: Draws) -> Tensor:
        """Return the sum over blocks of the loss of each at its level, shape (B,)."""
        blocks, size = model.split(x_BD).shape[1:]
        sigma_MBK = self.sigmas(draws, (self.draws, blocks), x_BD.dtype).transpose(0, 1)
        sigma_MBD = model.join(sigma_MBK.unsqueeze(-1).expand(*sigma_MBK.shape, size))
        q_MBD = self._noisy(x_BD, sigma_MBD, draws)

        def score(q_MBKb: Tensor) -> Tensor:
            return model.noisy_block_score(q_MBKb, c_BKF, sigma_MBK)

        if self.target == "csm":
            s_MBKb, trace_MBK = exact_trace(score, model.split(q_MBD), "forward")
            loss_MBK = sigma_MBK.square() * (0.5 * s_MBKb.square().sum(-1) + trace_MBK)
            return (self._weights(model, sigma_MBK) * loss_MBK).sum(-1).mean(0)
        s_MBD = model.join(score(model.split(q_MBD)))
        residual_MBD = sigma_MBD * s_MBD + (q_MBD - self._clean(x_BD, draws)) / sigma_MBD
        return 0.5 * (self._weights(model, sigma_MBD) * residual_MBD.square()).sum(-1).mean(0)

    def __call__(
        self, model: CausalLadder | InBlocks, x_BD: Tensor, draws: Draws, weight_B: Tensor | None = None
    ) -> Loss:
        """Return the loss of a batch, in one fused pass where the model has one for target=csm; x is data there."""
        refuse_empty(x_BD)
        fused = self.fused(model)
        if x_BD.requires_grad or fused is None:
            return super().__call__(model, x_BD, draws, weight_B)
        weight_B = torch.full_like(x_BD[:, 0], 1 / len(x_BD)) if weight_B is None else weight_B
        seen_BD, counts_BD = self.seen(x_BD, draws), torch.ones_like(x_BD)
        if of_any_order(model):
            masked, known = cast("MaskedContexts", model), known_part(draws, x_BD)
            x_BD, c_BDF = masked.filled(x_BD), masked.masked_context(seen_BD, known.known_BD)
            counts_BD = known.weight_BD
        else:
            c_BDF = fused.context(seen_BD)
        q_MBD, sigma_MBD = self._queries(x_BD, draws)
        counts_MBD = counts_BD / self.draws * self._weights(cast("CausalLadder", model), sigma_MBD) * sigma_MBD.square()
        total, loss_MBD = fused.weighted_noisy_csm(q_MBD, c_BDF, sigma_MBD, weight_B.unsqueeze(-1) * counts_MBD)
        return Loss(total, (counts_MBD * loss_MBD).sum((0, -1)))

    def fused(self, model: object) -> FusedNoisyCSMModel | None:
        """Return the model if it has the loss of target=csm in one pass and that is the target."""
        return model if self.target == "csm" and isinstance(model, FusedNoisyCSMModel) else None

    def _queries(self, x_BD: Tensor, draws: Draws) -> tuple[Tensor, Tensor]:
        """Return noisy queries and their levels, shape (M, B, D)."""
        sigma_MBD = self.sigmas(draws, (self.draws, x_BD.shape[1]), x_BD.dtype).transpose(0, 1)
        return self._noisy(x_BD, sigma_MBD, draws), sigma_MBD

    def _weights(self, model: CausalLadder | NoisyBlockScores, sigma: Tensor) -> Tensor:
        return beside_sigma2(self.weight, sigma, model)

    def _noisy(self, x_BD: Tensor, sigma_MBD: Tensor, draws: Draws) -> Tensor:
        z_MBD = draws.fork("query").normal(self.draws, x_BD.shape[1], dtype=x_BD.dtype).transpose(0, 1)
        return x_BD + self.extra(sigma_MBD) * z_MBD

    def _clean(self, x_BD: Tensor, draws: Draws) -> Tensor:
        return x_BD - self.smoothing * smoothing_noise(draws, x_BD)
