"""Likelihood of models of blocks by the probability flow of every block."""

import itertools
import math
from collections.abc import Callable, Sequence
from typing import Annotated

import torch
from torch import Tensor
from torch.nn import functional

from scorewise.capabilities import NoisyBlockScoreModel
from scorewise.capabilities.roles import NoisyBlockScores
from scorewise.gradients import exact_trace, gradient_scope, trace_through
from scorewise.likelihood.likelihood import Normaliser, Share, Values
from scorewise.noise import Draws, geometric_ladder
from scorewise.ranges import AtLeast, Count, OneOf, within_ranges

TRACES = ("exact", "hutchinson")
Field = Callable[[Tensor], Tensor]
Trace = Callable[[Field, Tensor], tuple[Tensor, Tensor]]
"""From a field and a point to the field there, and the trace of its Jacobian in M ways, (M, ...)."""
AT_ONCE = 2**14
"""Entries of examples that are carried at once; each has b tangents, or as many as there are projections."""


class BlockFlowODE(Normaliser[NoisyBlockScores]):
    """The sum over blocks of the log-density of dx/dsigma = - sigma s(x, sigma) in b dimensions (Song et al. 2021).

    Heun steps, even in log sigma, carry a block from the smallest level to the largest, where the flow begins with the
    Gaussian of `start_of`; the trace of ds/dx is integrated along in log sigma. What it gives is the density of draws
    by the probability flow (`sampling.BlockFlow`), up to the error of the steps, whether or not the scores of blocks
    are gradients.

    Args:
        steps: Heun steps; two evaluations of the head each, with their traces.
        trace: exact (b tangents through the head) or hutchinson (random projections: unbiased, with `standard_error`).
        projections: Rademacher ones per block, for hutchinson; the same along all of its way. They follow from the
            example, so that its number is the same in every batch, and the errors of several average out.
        values: see `Normaliser`.
        in_training: share of the steps where gradients are wanted, always with the exact trace; they take the memory of
            2 steps (b + 1) evaluations of the head.

    Raises:
        ValueError: no step, no such trace, or fewer than two projections.

    Example:
        >>> import torch
        >>> from scorewise.backbones import PatchTransformer
        >>> from scorewise.heads import NoisyBlockScore
        >>> from scorewise.likelihood import BlockFlowODE
        >>> backbone = PatchTransformer((1, 4, 4), 12, patch=(2, 2), size=16, blocks=1)
        >>> model = NoisyBlockScore(backbone, levels=(1.0, 0.5, 0.3), hidden=8, noise=0.3)
        >>> model.likelihood = BlockFlowODE(steps=8)
        >>> model.log_prob(torch.randn(5, 1, 4, 4)).shape
        torch.Size([5])
    """

    needs = (NoisyBlockScoreModel,)

    @within_ranges
    def __init__(
        self,
        steps: Count = 32,
        trace: Annotated[str, OneOf(TRACES)] = "exact",
        projections: Annotated[int, AtLeast(2, "of one there is no standard error")] = 4,
        values: Values = 20_000,
        in_training: Share = 0.35,
    ) -> None:
        super().__init__(1e-4, values)
        self.steps, self.trace, self.projections, self.in_training = steps, trace, projections, in_training

    def describe(self, model: NoisyBlockScores) -> str:
        """Return the steps of the flow, and how its trace is had."""
        how = "exact trace" if self.trace == "exact" else f"trace by {self.projections} random projections"
        return f"by the probability flow of every block, {self.steps} Heun steps, {how}"

    def why(self, model: NoisyBlockScores) -> str:
        """Return why there is no likelihood: the flow left the numbers."""
        return "is no number after the flow, so this model has no likelihood to report; train it longer"

    def unchecked_log_prob(self, model: NoisyBlockScores, x_BD: Tensor, finer: float = 1) -> tuple[Tensor, Tensor]:
        """Return log q(x) in nats, (B,), and no mass outside a range, which there is none of, (B, 1).

        With gradients where x wants them, and, with the steps for these, while a model is trained.
        """
        graph = torch.is_grad_enabled() and not torch.is_inference_mode_enabled()
        trained = model.training and any(weight.requires_grad for weight in model.parameters())
        if graph and (trained or x_BD.requires_grad):
            log_q_MB = self._with_gradients(model, x_BD, finer * (self.in_training if trained else 1))
        else:
            log_q_MB = self.by_projection(model, x_BD, finer)
        return log_q_MB.mean(0).to(x_BD.dtype), torch.zeros_like(x_BD[:, :1])

    def standard_error(self, model: NoisyBlockScores, x_BD: Tensor) -> Tensor:
        """Return the standard error of log q(x) that random projections leave, shape (B,); 0 for the exact trace."""
        if self.trace == "exact":
            return torch.zeros_like(x_BD[:, 0])
        error_B: Tensor = self.by_projection(model, x_BD).std(0) / self.projections**0.5
        return error_B

    def by_projection(self, model: NoisyBlockScores, x_BD: Tensor, finer: float = 1) -> Tensor:
        """Return log q(x) by each projection alone, shape (M, B), or (1, B) for the exact trace, in float64."""
        steps, rows = math.ceil(self.steps * finer), max(1, AT_ONCE // x_BD.shape[1])
        with torch.no_grad(), torch.autocast(x_BD.device.type, enabled=False):
            parts = [self._of_rows(model, one_BD, steps) for one_BD in x_BD.split(rows)]
        return torch.cat(parts, -1)

    def _with_gradients(self, model: NoisyBlockScores, x_BD: Tensor, finer: float) -> Tensor:
        steps = math.ceil(self.steps * finer)
        with torch.autocast(x_BD.device.type, enabled=False):
            return log_density_of_blocks(model, x_BD, steps, _by_tangents_through)

    def _of_rows(self, model: NoisyBlockScores, x_BD: Tensor, steps: int) -> Tensor:
        return log_density_of_blocks(model, x_BD, steps, self._trace_of(model, x_BD))

    def _trace_of(self, model: NoisyBlockScores, x_BD: Tensor) -> Trace:
        """Return the way to the score of blocks and the trace of its derivative, (M, B, K) or (1, B, K)."""
        if self.trace == "exact":
            return _by_tangents
        draws = Draws.of_content(x_BD).fork("projections")
        v_BMKb = draws.signs(self.projections, *model.split(x_BD).shape[1:], dtype=x_BD.dtype)
        v_MBKb = v_BMKb.transpose(0, 1)

        def projected(field: Field, q_BKb: Tensor) -> tuple[Tensor, Tensor]:
            def form(v_BKb: Tensor) -> Tensor:
                ds_BKb: Tensor = torch.func.jvp(field, (q_BKb,), (v_BKb,))[1]
                return (v_BKb * ds_BKb).sum(-1)

            with gradient_scope(q_BKb):  # fields that differentiate something themselves need it
                s_BKb, form_MBK = field(q_BKb), torch.vmap(form)(v_MBKb)
            return s_BKb.detach(), form_MBK.detach()

        return projected

    def numbers(self, model: NoisyBlockScores, x_BD: Tensor) -> dict[str, Tensor]:
        """Return what a reported likelihood rests on, per example (B,).

        nll_quadrature_error: |log q| by the steps against twice as many, nats; with random projections also
        nll_trace_error, their standard error.
        """
        coarse_B, _ = self.unchecked_log_prob(model, x_BD)
        fine_B, _ = self.unchecked_log_prob(model, x_BD, finer=2)
        found = {"nll_quadrature_error": (coarse_B - fine_B).abs()}
        if self.trace != "exact":
            found["nll_trace_error"] = self.standard_error(model, x_BD)
        return found


def carried(
    score: Callable[[Tensor, float], Tensor], x: Tensor, levels: Sequence[float], steps: int, trace: Trace
) -> tuple[Tensor, Tensor]:
    """Return where the flow carries points from the smallest level, and the integral of its divergence, (M, ...).

    Args:
        score: of the points at a level.
        x: the points, their dimensions last.
        levels: from the largest down to the smallest.
        steps: Heun steps, even in log sigma.
        trace: how that of the Jacobian of the score is had.
    """

    def slope(q: Tensor, level: float) -> tuple[Tensor, Tensor]:
        """Return dq/dsigma, and the divergence of dq/dlog sigma."""
        s, trace_M = trace(lambda y: score(y, level), q)
        return -level * s, -(level**2) * trace_M.double()

    grown_M = torch.zeros((), dtype=torch.float64, device=x.device)
    for low, high in itertools.pairwise(geometric_ladder(levels[0], levels[-1], steps + 1)[::-1]):
        first, of_first_M = slope(x, low)
        second, of_second_M = slope(x + (high - low) * first, high)
        x = x + 0.5 * (high - low) * (first + second)
        grown_M = grown_M + 0.5 * math.log(high / low) * (of_first_M + of_second_M)
    return x, grown_M


def log_density_of_blocks(model: NoisyBlockScores, x_BD: Tensor, steps: int, trace: Trace) -> Tensor:
    """Return the sum over blocks of the log-density of each by its flow, shape (M, B), in float64.

    Args:
        model: of blocks.
        x_BD: examples.
        steps: Heun steps.
        trace: how that of the Jacobian of the scores is had.
    """
    c_BKF, x_BKb = model.block_context(x_BD), model.split(x_BD)

    def score(q_BKb: Tensor, level: float) -> Tensor:
        return model.noisy_block_score(q_BKb, c_BKF, torch.full_like(q_BKb[..., 0], level))

    x_BKb, log_slope_MBK = carried(score, x_BKb, model.levels, steps, trace)
    centre_BKb, width = start_of(model, c_BKF, x_BKb)
    return _log_normal(model.join((x_BKb - centre_BKb) / width).double(), width) + log_slope_MBK.sum(-1)


def log_density_of_block(model: NoisyBlockScores, c_B1F: Tensor, x_Bm: Tensor, steps: int) -> Tensor:
    """Return the log-density of one block given its context, by its flow with the exact trace, shape (B,), no gradient.

    Args:
        model: of blocks.
        c_B1F: contexts.
        x_Bm: the block, without padding.
        steps: Heun steps.
    """
    size, more = x_Bm.shape[1], max(model.ordering.sizes, default=1) - x_Bm.shape[1]

    def score(q_Bm: Tensor, level: float) -> Tensor:
        q_B1b = functional.pad(q_Bm, (0, more), value=float(model.mean)).unsqueeze(1)
        return model.noisy_block_score(q_B1b, c_B1F, q_Bm.new_full((1, 1), level))[:, 0, :size]

    with torch.no_grad():
        y_Bm, grown_1B = carried(score, x_Bm, model.levels, steps, _by_tangents)
        centre_B1b, width = start_of(model, c_B1F, functional.pad(x_Bm, (0, more)).unsqueeze(1))
        return _log_normal(((y_Bm - centre_B1b[:, 0, :size]) / width).double(), width) + grown_1B[0]


def _by_tangents_through(field: Field, q: Tensor) -> tuple[Tensor, Tensor]:
    s, trace = trace_through(field, q)
    return s, trace[None]


def _by_tangents(field: Field, q: Tensor) -> tuple[Tensor, Tensor]:
    s, trace = exact_trace(field, q, "forward")
    return s, trace[None]


def _log_normal(z_BD: Tensor, width: float) -> Tensor:
    log_q_B: Tensor = -0.5 * z_BD.square().sum(-1) - z_BD.shape[1] * math.log(width * math.sqrt(2 * math.pi))
    return log_q_B


def start_of(model: NoisyBlockScores, c_BKF: Tensor, like_BKb: Tensor) -> tuple[Tensor, float]:
    """Return centre and standard deviation of the Gaussian that the flow of blocks begins with at the largest level.

    The centre is E[clean x | x = mean] as the model has it, close to the mean given the context: a start at the mean of
    all data would leave its distance times std / sigma_max in every draw. The variance is std^2 + sigma_max^2.

    Args:
        model: of blocks.
        c_BKF: contexts.
        like_BKb: of the shape and type of the result.
    """
    level = model.levels[0]
    mean_BKb = model.mean.to(like_BKb).expand_as(like_BKb)
    s_BKb = model.noisy_block_score(mean_BKb, c_BKF, torch.full_like(mean_BKb[..., 0], level))
    return mean_BKb + level**2 * s_BKb, math.hypot(model.std, level)
