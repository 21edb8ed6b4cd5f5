"""Annealed importance sampling (Neal 2001), forward and, on data whose posterior can be drawn, backward."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from scorewise.noise import Draws
from scorewise.sampling.hmc import trajectory
from scorewise.sampling.metropolis import LogDensity, Point

LogLikelihood = Callable[[Tensor], Tensor]
"""From latents (B, C, D), C chains for every example, to log p(x_b | z_bc), shape (B, C)."""
SMOOTHING = 0.9
"""Weight of the past in the moving average of the acceptance rate."""


class AnnealingEstimate(NamedTuple):
    """The estimate of log p(x) of every example, what it rests on, and how the chains moved.

    Args:
        log_marginal_B: nats; forward a lower bound in expectation, backward an upper one.
        log_weight_BC: log-weights of the chains, from which it follows.
        acceptance_B: mean acceptance rate over all temperatures.
        z_BCD: where the chains end; forward these are about draws from the posterior.
    """

    log_marginal_B: Tensor
    log_weight_BC: Tensor
    acceptance_B: Tensor
    z_BCD: Tensor


def log_prior(z: Tensor) -> Tensor:
    """Return log N(z; 0, I) in nats, summed over the last axis."""
    return -0.5 * z.square().sum(-1) - 0.5 * z.shape[-1] * math.log(2 * math.pi)


def temperatures(count: int, half_range: float = 4.0) -> list[float]:
    """Return inverse temperatures from 0 to 1, a sigmoid over [-half_range, half_range] rescaled to its ends.

    The schedule of Wu et al. (2017), by which the code of sliced score matching anneals.

    Raises:
        ValueError: fewer than two.
    """
    if count < 2:
        raise ValueError(f"{count} temperatures are too few: annealing needs at least the two ends")
    t_K = torch.sigmoid(torch.linspace(-half_range, half_range, count, dtype=torch.float64))
    t_K = (t_K - t_K[0]) / (t_K[-1] - t_K[0])
    return [float(t) for t in t_K]


@dataclass(frozen=True)
class AIS:
    """An estimate of log p(x) of a model p(z) p(x|z), p(z) = N(0, I), by annealing from the prior to the posterior.

    Between temperatures every chain takes one HMC trajectory. Every example has its own step size, shared by its
    chains, which follows their acceptance rate, so an example's estimate depends on no other example of its batch.
    All random numbers come from the draws of the examples.

    Args:
        temperatures: their number, both ends included.
        chains: C, per example.
        leapfrog: steps per trajectory; as many evaluations of the likelihood and its gradient each.
        step: of the leapfrog, to begin with.
        smallest, largest: limits of the step.
        target: acceptance rate that the step follows.
        factor: by which the step grows or shrinks after every trajectory; 1 keeps it.
        jitter: the step of every trajectory is uniform within so much of that on either side, since a trajectory as
            long as half a period of the dynamics gets nowhere.
        rough: whether trajectories follow gradients in bfloat16, half as fast again where the processor has it.
            What is accepted, and every weight, is still computed in full precision.

    Raises:
        ValueError: a setting is out of range.

    Example:
        >>> import torch
        >>> from scorewise.latent import AIS
        >>> from scorewise.noise import Draws
        >>> x = torch.tensor([0.0, 1.0], dtype=torch.float64)
        >>> def log_likelihood(z):  # N(x; z, 1), so that p(x) = N(0, 2)
        ...     return torch.distributions.Normal(z[..., 0], 1).log_prob(x[:, None])
        >>> found = AIS(temperatures=200, chains=64).forward(log_likelihood, 1, Draws.fresh(2), torch.float64)
        >>> exact = torch.distributions.Normal(0, 2**0.5).log_prob(x)
        >>> bool((found.log_marginal_B - exact).abs().max() < 0.1)
        True
    """

    temperatures: int = 1000
    chains: int = 16
    leapfrog: int = 10
    step: float = 0.1
    smallest: float = 1e-4
    largest: float = 0.5
    target: float = 0.8
    factor: float = 1.02
    jitter: float = 0.5
    rough: bool = False

    def __post_init__(self) -> None:
        if self.temperatures < 2 or self.chains < 1 or self.leapfrog < 1:
            raise ValueError(
                f"annealing needs 2 temperatures, 1 chain and 1 leapfrog step at least, got {self.temperatures}, "
                f"{self.chains} and {self.leapfrog}"
            )
        if not 0 < self.smallest <= self.step <= self.largest < math.inf:
            raise ValueError(
                f"the leapfrog step {self.step} must be positive, and from {self.smallest} to {self.largest}"
            )
        if not 0 < self.target < 1 or not 1 <= self.factor < 2 or not 0 <= self.jitter < 1:
            raise ValueError(
                f"the acceptance rate {self.target} must be between 0 and 1, the factor {self.factor} of the step from "
                f"1 to below 2, and its jitter {self.jitter} from 0 to below 1"
            )

    def forward(
        self,
        log_likelihood: LogLikelihood,
        dims: int,
        draws: Draws,
        dtype: torch.dtype | None = None,
        watch: Callable[[float], None] | None = None,
        rough: LogLikelihood | None = None,
    ) -> AnnealingEstimate:
        """Return the estimate from chains that start at the prior: E[exp(log_marginal)] = p(x) for factor = 1.

        A step that follows the chains' own acceptance biases it; at factor = 1.02 by less than could be measured.

        Args:
            log_likelihood: of the examples that the draws belong to.
            dims: D of z.
            draws: of the examples.
            dtype: to compute in.
            watch: is told the share that is done.
            rough: the likelihood again, cheaper, whose gradient trajectories follow.
        """
        z_BCD = draws.fork("prior").normal(self.chains, dims, dtype=dtype)
        return self._along(temperatures(self.temperatures), log_likelihood, z_BCD, draws.fork("forward"), watch, rough)

    def backward(
        self,
        log_likelihood: LogLikelihood,
        z_BD: Tensor,
        draws: Draws,
        watch: Callable[[float], None] | None = None,
        rough: LogLikelihood | None = None,
    ) -> AnnealingEstimate:
        """Return the estimate from chains that start at the posterior: E[exp(- log_marginal)] = 1 / p(x).

        With the forward one it brackets log p(x) of simulated examples (Grosse, Ghahramani and Adams 2015).

        Args:
            log_likelihood: of the examples that the draws belong to.
            z_BD: one exact draw from each posterior: the latents that the examples were simulated from.
            draws: of the examples.
            watch: is told the share that is done.
            rough: the likelihood again, cheaper, whose gradient trajectories follow.
        """
        z_BCD = z_BD[:, None].expand(-1, self.chains, -1).contiguous()
        down = temperatures(self.temperatures)[::-1]
        found = self._along(down, log_likelihood, z_BCD, draws.fork("backward"), watch, rough)
        return found._replace(log_marginal_B=-found.log_marginal_B)

    @torch.no_grad()
    def _along(
        self,
        t_K: list[float],
        log_likelihood: LogLikelihood,
        z_BCD: Tensor,
        draws: Draws,
        watch: Callable[[float], None] | None,
        rough: LogLikelihood | None,
    ) -> AnnealingEstimate:
        shape, dims = z_BCD.shape[:2], z_BCD.shape[-1]
        log_weight_BC = z_BCD.new_zeros(shape)
        step_B = z_BCD.new_full(shape[:1], self.step)
        rate_B, accepted_B = z_BCD.new_full(shape[:1], self.target), z_BCD.new_zeros(shape[:1])
        z_ND, inner = z_BCD.flatten(0, 1), t_K[1:-1]

        def flat(likelihood: LogLikelihood) -> LogDensity:
            return lambda z_ND: likelihood(z_ND.unflatten(0, shape)).flatten()

        def tempered(likelihood: LogLikelihood, t: float) -> LogDensity:
            return lambda z_ND: log_prior(z_ND) + t * flat(likelihood)(z_ND)

        ll_BC = log_likelihood(z_BCD)
        slope_ND = Point.at(tempered(rough or log_likelihood, 1.0), z_ND).score_BD + z_ND
        for k, (before, t) in enumerate(zip(t_K, inner, strict=False)):
            log_weight_BC = log_weight_BC + (t - before) * ll_BC
            now = draws.fork(f"trajectory {k}")
            p_ND = now.fork("momentum").normal(self.chains, dims, dtype=z_ND.dtype).flatten(0, 1)
            start = Point(z_ND, log_prior(z_ND) + t * ll_BC.flatten(), t * slope_ND - z_ND)
            wobble_BC = 1 + self.jitter * (2 * now.fork("jitter").uniform(self.chains, dtype=z_ND.dtype) - 1)
            epsilon_N1 = (step_B[:, None] * wobble_BC).flatten()[:, None]
            proposal, log_ratio_N = trajectory(
                tempered(log_likelihood, t), start, p_ND, epsilon_N1, self.leapfrog, rough and tempered(rough, t)
            )
            log_ratio_N = proposal.usable(log_ratio_N)
            u_N = now.fork("acceptance").uniform(self.chains, dtype=z_ND.dtype).flatten()
            point = start.moved(proposal, u_N.log() < log_ratio_N)
            z_ND = point.x_BD
            # Rounding errors, divided by t, are weighed with temperatures and their differences, below about t.
            ll_BC = ((point.log_density_B - log_prior(z_ND)) / t).unflatten(0, shape)
            slope_ND = (point.score_BD + z_ND) / t

            taken_B = log_ratio_N.clamp(max=0).exp().unflatten(0, shape).mean(-1)
            accepted_B = accepted_B + taken_B / len(inner)
            rate_B = SMOOTHING * rate_B + (1 - SMOOTHING) * taken_B
            step_B = torch.where(rate_B > self.target, step_B * self.factor, step_B / self.factor)
            step_B = step_B.clamp(self.smallest, self.largest)
            if watch:
                watch((k + 1) / len(inner))
        log_weight_BC = log_weight_BC + (t_K[-1] - t_K[-2]) * ll_BC
        log_marginal_B = torch.logsumexp(log_weight_BC, -1) - math.log(self.chains)
        return AnnealingEstimate(log_marginal_B, log_weight_BC, accepted_B, z_ND.unflatten(0, shape))
