"""Persistent contrastive divergence (Tieleman 2008; Du and Mordatch 2019)."""

from collections.abc import Mapping
from typing import Annotated

import torch
from torch import Tensor

from scorewise.capabilities import EnergyModel
from scorewise.capabilities.roles import JointEnergy
from scorewise.gradients import score_of_log_density, sliced_trace
from scorewise.noise import Draws, step_size
from scorewise.objectives.objective import Objective
from scorewise.objectives.sliced import projections
from scorewise.ranges import AtLeast, Between, Count, Positive, within_ranges


class PCD(Objective[JointEnergy]):
    """Persistent contrastive divergence: E(x) - E(x^-) + l2 (E(x)^2 + E(x^-)^2), x^- from chains that outlive a step.

    The gradient is that of the negative log-likelihood where x^- follows the model; the value is no likelihood
    and ranks nothing. x^- <- x^- + a s(x^-) + sqrt(2 a) z is unadjusted, so on a Gaussian of variance v the
    model learns v - a / 2.

    Chains live in a buffer. Every example takes a slot at random; a slot never used, or with probability
    `restart` any, starts from a Gaussian with the moments of the data. Of chains of one step in one slot the
    last is kept. The buffer moves in training mode only. Every process has its own, and a checkpoint holds the
    first one's.

    Args:
        steps: Langevin steps per training step.
        step: a in units of sigma^2 of the noise in the law, or of a twentieth of the variance of the data where
            there is none, as in the Langevin samplers.
        buffer: number of chains; about (training steps) * (batch size) / buffer is how often each is advanced.
        restart: probability that a chain starts anew.
        l2: weight of the squared energies, which holds their size where the step does not.

    Raises:
        ValueError: a setting is out of its range.

    Example:
        >>> import torch
        >>> from scorewise.backbones import MLP
        >>> from scorewise.heads import Energy
        >>> from scorewise.noise import Draws
        >>> from scorewise.objectives import PCD
        >>> model = Energy(MLP((2,), (16,)), noise=0.3)
        >>> x = torch.randn(32, 2)
        >>> loss = PCD(steps=5, buffer=100)(model, x, Draws.fresh(32))
        >>> loss.per_example.shape
        torch.Size([32])
    """

    needs = (EnergyModel,)
    remembers = True
    heads = ("energy",)

    @within_ranges
    def __init__(
        self,
        steps: Count = 20,
        step: Annotated[float, Positive("it is the size of a Langevin step")] = 0.1,
        buffer: Count = 2000,
        restart: Annotated[float, Between(0, 1, "it is a probability")] = 0.05,
        l2: Annotated[float, AtLeast(0, "it is the weight of a penalty")] = 0.0,
    ) -> None:
        self.steps, self.step, self.buffer, self.restart, self.l2 = steps, step, buffer, restart, l2
        self.chain_ND = torch.empty(0)
        self.used_N = torch.empty(0, dtype=torch.bool)

    def per_example(self, model: JointEnergy, x_BD: Tensor, draws: Draws) -> Tensor:
        """Return the loss of every example, shape (B,), differentiable in the parameters."""
        with torch.no_grad():
            negative_BD = self._negatives(model, x_BD, draws.fork("pcd"))
        positive_B, negative_B = model.energy(x_BD), model.energy(negative_BD)
        return positive_B - negative_B + self.l2 * (positive_B.square() + negative_B.square())

    def held_out(self, model: JointEnergy, x_BD: Tensor, draws: Draws) -> Tensor:
        """Return sliced score matching |s|^2 / 2 + v^T (ds/dx) v, shape (B,): a proper score of the energy.

        v has entries of +1 and -1, one v per example; the mean over v is |s|^2 / 2 + tr ds/dx (Song et al. 2019,
        with variance reduction).
        """
        v_MBD = projections("rademacher", draws.fork("pcd_held_out"), 1, x_BD.shape[1], x_BD.dtype)
        s_BD, form_MB = sliced_trace(model.score, x_BD, v_MBD)
        return (0.5 * s_BD.square().sum(-1) + form_MB[0]).detach()

    def state(self) -> dict[str, Tensor]:
        """Return the chains (N, D) and which of them have begun (N,)."""
        return {"chain_ND": self.chain_ND.clone(), "used_N": self.used_N.clone()}

    def restore(self, state: Mapping[str, Tensor]) -> None:
        """Take back what `state` gave."""
        self.chain_ND, self.used_N = state["chain_ND"].clone(), state["used_N"].clone()

    def _negatives(self, model: JointEnergy, x_BD: Tensor, draws: Draws) -> Tensor:
        """Return one negative example per example, shape (B, D), the ends of chains, which the buffer keeps."""
        chain_ND, used_N = self._chains(x_BD)
        slot_B = (draws.fork("slot").uniform(dtype=torch.float64) * self.buffer).long()
        anew_B = (draws.fork("restart").uniform(dtype=torch.float64) < self.restart) | ~used_N[slot_B]
        start_BD = model.mean + model.scale * draws.fork("start").normal(x_BD.shape[1], dtype=x_BD.dtype)
        negative_BD = self._langevin(model, torch.where(anew_B[:, None], start_BD, chain_ND[slot_B]), draws)
        if model.training:
            kept_B = last_of_each(slot_B, self.buffer)
            chain_ND[slot_B[kept_B]], used_N[slot_B[kept_B]] = negative_BD[kept_B], True
            self.chain_ND, self.used_N = chain_ND, used_N
        return negative_BD

    def _chains(self, x_BD: Tensor) -> tuple[Tensor, Tensor]:
        """Return the buffer and which chains have begun, on the device of x; empty chains before the first step."""
        if self.chain_ND.numel() == 0:
            return x_BD.new_zeros(self.buffer, x_BD.shape[1]), torch.zeros(
                self.buffer, dtype=torch.bool, device=x_BD.device
            )
        return self.chain_ND.to(x_BD), self.used_N.to(x_BD.device)

    def _langevin(self, model: JointEnergy, x_BD: Tensor, draws: Draws) -> Tensor:
        """Return where Langevin chains from x end, shape (B, D)."""
        a = step_size(self.step, model)
        for i in range(self.steps):
            z_BD = draws.fork(f"step{i}").normal(x_BD.shape[1], dtype=x_BD.dtype)
            x_BD = x_BD + a * score_of_log_density(lambda x: -model.energy(x), x_BD) + (2 * a) ** 0.5 * z_BD
        return x_BD


def last_of_each(slot_B: Tensor, slots: int) -> Tensor:
    """Return whether each example is the last of the batch in its slot, shape (B,)."""
    place_B = torch.arange(len(slot_B), device=slot_B.device)
    last_N = torch.full((slots,), -1, device=slot_B.device).scatter_reduce(0, slot_B, place_B, "amax")
    return last_N[slot_B] == place_B
