"""Held-out likelihoods of joint scores at every noise level, by their probability flow."""

import math
from typing import cast

import torch
from torch import Tensor

from scorewise.capabilities import NoisyScoreModel
from scorewise.capabilities.roles import JointNoisyScore
from scorewise.data.source import Source
from scorewise.errors import UserError
from scorewise.heads.model import Model
from scorewise.likelihood.joint_flow import JointFlow
from scorewise.noise import Draws, OfRows
from scorewise.tasks.measures import bits_per_dim

ERROR_OF = 8
"""Of how many examples the error of the steps is measured: it costs two likelihoods more."""


class FlowLikelihood:
    """The likelihood of the first held-out examples of one test, by the probability flow of the joint score.

    Args:
        model: with the joint score at every noise level.
        flow: the steps and projections.
        source: of the examples.
        smoothing: standard deviation of the noise that examples come with.
        examples: how many.
    """

    def __init__(
        self, model: JointNoisyScore, flow: JointFlow, source: Source, smoothing: float, examples: int
    ) -> None:
        self.model, self.flow, self.source, self.examples = model, flow, source, examples
        self.extra = math.sqrt(max(0.0, model.noise**2 - smoothing**2))

    @classmethod
    def of_model(
        cls, model: Model, flow: JointFlow, source: Source, smoothing: float, examples: int
    ) -> "FlowLikelihood | None":
        """Return the likelihood of a model that has one; None where none is asked for.

        Raises:
            UserError: it is asked of a model without scores at every noise level.
        """
        if not examples:
            return None
        if not isinstance(model, NoisyScoreModel):
            raise UserError(
                f"task.flow_examples={examples} is for joint scores at every noise level (objective=dsm_multiscale): "
                "leave it at 0."
            )
        return cls(cast(JointNoisyScore, model), flow, source, smoothing, examples)

    def of(self, x_BD: Tensor, draws: Draws, index_B: Tensor) -> dict[str, Tensor]:
        """Return nll, bits_per_dim and what they rest on, of those examples that are asked for.

        Args:
            x_BD: smoothed examples.
            draws: of the noise up to the smallest level, and of the projections.
            index_B: their places in the split, ascending.
        """
        x_BD = x_BD[: int((index_B < self.examples).sum())]
        if not len(x_BD):
            return {}
        noise_BD = draws.fork("flow").normal(self.source.dims, dtype=x_BD.dtype)[: len(x_BD)]
        x_BD = x_BD + self.extra * noise_BD
        probes = draws.fork("probes")
        with torch.autocast(x_BD.device.type, enabled=False):
            value_B, error_B = self.flow.log_prob(self.model, x_BD, OfRows(Draws(probes.key_B[: len(x_BD)])))
            found = {"nll": -value_B, "bits_per_dim": bits_per_dim(-value_B, self.source.dims, self.source.log_volume)}
            if not self.flow.exact(self.source.dims):
                found["nll_trace_error"] = error_B
            if few_of := min(len(x_BD), int((index_B < ERROR_OF).sum())):
                few_BD, few = x_BD[:few_of], Draws(probes.key_B[:few_of])
                pair = [self.flow.log_prob(self.model, few_BD, OfRows(few), finer) for finer in (1, 2)]
                found["nll_quadrature_error"] = (pair[0].value_B - pair[1].value_B).abs()
        return found
