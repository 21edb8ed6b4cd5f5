"""Density estimation: held-out numbers that can be compared between objectives."""

import warnings
from typing import cast, final

import torch
from torch import Tensor

from scorewise.capabilities import CompletesRows, NormalisedDensity, NumericalDensity
from scorewise.data.datamodule import Batch
from scorewise.likelihood.joint_flow import JointFlow
from scorewise.objectives.objective import score_field
from scorewise.ranges import Count, Whole, within_ranges
from scorewise.tasks.flow_likelihood import FlowLikelihood
from scorewise.tasks.glimpse import SCORES, Glimpse, first_examples
from scorewise.tasks.log_densities import LogDensities
from scorewise.tasks.measures import CompositeScores, IntervalCoverage, bits_per_dim, exact_likelihood, fisher_error
from scorewise.tasks.prediction import Prediction
from scorewise.tasks.quadrature import ERROR_OF, NAMES, QuadratureCurve, QuadratureLikelihood
from scorewise.tasks.score_task import ScoreBundle, ScoreTask

__all__ = ["DensityEstimation", "bits_per_dim"]


@final
class DensityEstimation(ScoreTask):
    """Fitting a density or its score, and reporting how well.

    Test metrics, each with its standard error: the objective's own loss; csm (eq. 5) for conditional scores, block_csm
    for those of blocks;
    nll in nats and bits_per_dim, both of the smoothed data, for normalised densities (by quadrature for conditional
    scores and energies, with what that rests on: see `Likelihood.numbers`; the error of the first 32 examples);
    fisher_error = 1/2 E|s - s*|^2 against the known score of the smoothed law, and fisher_error_clean against that of
    the clean law on clean data; coverage_90 of models of incomplete rows, see `IntervalCoverage`.

    Validations measure nll, bits_per_dim and fisher_error too where that is cheap. csm, and nll and bits_per_dim by
    quadrature, are of the first examples of the validation split, so that curves of runs with other objectives and
    other noise have an axis in common: see `Glimpse`.

    Args:
        bundle: model, objective, optimisation, data and seed.
        flow_examples: of how many held-out examples the nll is measured by the probability flow, for joint scores at
            every noise level, with its errors by the steps and by the trace: see `JointFlow`.
        flow_steps: of it.
        flow_probes: random projections for its trace; None, or at least as many as dimensions, for the exact trace.

    Raises:
        UserError: such a likelihood is asked of a model that has none.
    """

    @within_ranges
    def __init__(
        self,
        bundle: ScoreBundle,
        flow_examples: Whole = 0,
        flow_steps: Count = 32,
        flow_probes: Count | None = 8,
    ) -> None:
        model = bundle.model
        likelihood = exact_likelihood(model, bundle.source)
        fisher = fisher_error(model, bundle.source, bundle.smoothing)
        csm = CompositeScores.of_model(model)
        super().__init__(
            bundle,
            [one for one in (likelihood, fisher) if one is not None],
            [
                *([Glimpse(csm, first_examples(SCORES, bundle.source.dims))] if csm else []),
                *QuadratureCurve.glimpses(model, bundle.source),
            ],
        )
        self.fisher, self.csm = fisher, csm
        self.coverage = IntervalCoverage(model) if isinstance(model, CompletesRows) and model.any_order else None
        self.quadrature = QuadratureLikelihood.of_model(model, bundle.source)
        flow = JointFlow(flow_steps, flow_probes)
        self.flow = FlowLikelihood.of_model(model, flow, bundle.source, bundle.smoothing, flow_examples)
        # Not the model itself under a second name, which would be saved twice.
        self.numerical = self.quadrature is None and isinstance(model, NumericalDensity)

    @property
    def name(self) -> str:
        """What this test is called, for files."""
        return "densityestimation"

    @property
    def prediction(self) -> Prediction | None:
        """The log-densities of rows of a table; None of images."""
        return None if len(self.source.shape) == 3 else LogDensities(self.model, self.source, self.seed)

    def on_test_start(self) -> None:
        """Forget an earlier test."""
        super().on_test_start()
        if self.quadrature is not None:
            self.quadrature.forget()

    def test_step(self, batch: Batch, batch_idx: int) -> None:
        """Collect every number that the model and the data allow."""
        if not len(batch.x_BD):
            return
        x_BD, draws = self.smoothed(batch)
        loss_B = self.objective.held_out(self.model, x_BD, draws).detach()
        found = {"loss": loss_B, **self.objective.numbers(loss_B), **self.without_constant(loss_B, x_BD, draws)}
        if self.csm is not None:
            found |= self.csm.of(x_BD)
        for measure in self.comparable:
            found |= measure.of(x_BD)
        if self.coverage is not None:
            found |= self.coverage.of(x_BD)
        if self.fisher is not None:
            found["fisher_error_clean"] = self.fisher.against(self.fisher.clean, batch.x_BD)
        if self.flow is not None:
            found |= self.flow.of(x_BD, draws, batch.index_B)
        if self.quadrature is not None:
            found |= self.quadrature.of(x_BD, batch.index_B)
        elif batch_idx == 0 and self.numerical:
            found["nll_quadrature_error"] = cast(NumericalDensity, self.model).quadrature_error(x_BD[:ERROR_OF])
        for name, value_B in found.items():
            self.collect(name, value_B, batch.index_B)

    def on_test_epoch_end(self) -> None:
        """Log every number that may be reported; the others of a test are good where a likelihood is not."""
        tail = self.held_out.get("nll_tail")
        if self.quadrature is not None and tail is not None and (reason := self.quadrature.refusal(tail.values())):
            by_likelihood = ["loss"] if self.objective.ranks_by_likelihood else []
            for name in (*NAMES, *by_likelihood):
                self.held_out.pop(name, None)
            warnings.warn(f"nll is not reported: {reason}.", stacklevel=2)
        super().on_test_epoch_end()

    def on_predict_start(self) -> None:
        """Compute nothing: see `predict_step`."""

    def predict_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """Return log q(x) in nats per clean example where the model has it, else its score field."""
        if isinstance(self.model, NormalisedDensity):
            with torch.autocast(batch.x_BD.device.type, enabled=False):
                return self.model.log_prob(batch.x_BD)
        return score_field(self.model)(batch.x_BD).detach()
