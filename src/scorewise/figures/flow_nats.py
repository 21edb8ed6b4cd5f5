"""Nats per image by the probability flow, of models of blocks and of joint scores alike."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Generator, Tensor

from scorewise.data.source import Split
from scorewise.figures.finished_run import FinishedRun
from scorewise.figures.noisy_copies import noisy_copies
from scorewise.heads.noisy_block_score import NoisyBlockScore
from scorewise.likelihood.block_flow_ode import BlockFlowODE
from scorewise.likelihood.joint_flow import JointFlow

AT_ONCE = 16
"""Images whose likelihood is computed together."""


@dataclass(frozen=True)
class FlowNats:
    """How many images of a split, and by how many steps.

    Args:
        images: the first ones.
        steps: Heun steps of the flow.
        checked: of these images, with twice the steps.
        probes: random projections for the trace of a joint score; that of blocks is exact.
    """

    images: int
    steps: int
    checked: int
    probes: int

    def of(self, run: FinishedRun, split: Split) -> dict[str, Any]:
        """Return - log q of every image with the noise of the law, and what that rests on.

        Returns:
            nats, one per image; steps_error, the mean distance from twice the steps; trace_error, the standard error of
            the mean by the random projections.
        """
        model = run.model
        clean_BD = run.source.examples(split, torch.arange(self.images), -1, 0)
        x_BD = noisy_copies(clean_BD, float(model.noise), 1)
        with torch.no_grad():
            parts = [self._log_q(model, few_BD, 1, seed) for seed, few_BD in enumerate(x_BD.split(AT_ONCE))]
            few_BD = x_BD[: min(self.checked, AT_ONCE)]
            apart_B = self._log_q(model, few_BD, 2)[0] - self._log_q(model, few_BD, 1)[0]
        nats_B, trace_B = -torch.cat([value for value, _ in parts]), torch.cat([error for _, error in parts])
        return {
            "nats": nats_B.tolist(),
            "steps_error": float(apart_B.abs().mean()),
            "trace_error": float(trace_B.square().mean().sqrt()) / self.images**0.5,
        }

    def _log_q(self, model: Any, x_BD: Tensor, finer: int, seed: int = 0) -> tuple[Tensor, Tensor]:
        """Return log q and its standard error by projections of their own for every seed, so that errors add up."""
        if isinstance(model, NoisyBlockScore):
            value_B = BlockFlowODE(self.steps).unchecked_log_prob(model, x_BD, finer)[0].double()
            return value_B, torch.zeros_like(value_B)
        return JointFlow(self.steps, self.probes).log_prob(model, x_BD, Generator().manual_seed(seed), finer)
