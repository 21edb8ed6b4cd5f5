"""Density estimation: held-out numbers that can be compared between objectives."""

import math
import warnings
from typing import Any, cast, final

import torch
from torch import Tensor
from torchmetrics import CatMetric

from scorewise.capabilities import (
    ClosedFormDensity,
    ConditionalScoreModel,
    DiscreteDensity,
    FlowDensity,
    NormalisedDensity,
    NumericalDensity,
    ScoreModel,
)
from scorewise.data.datamodule import Batch
from scorewise.heads.model import CausalModel
from scorewise.heads.numerically_normalised import NumericallyNormalised
from scorewise.likelihood.likelihood import Likelihood, TailMass
from scorewise.objectives.csm import CSM
from scorewise.objectives.objective import score_field
from scorewise.tasks.score_task import ScoreTask

ERROR_OF = 32
"""Of how many examples the error of a quadrature is measured: it costs three likelihoods."""
OF_QUADRATURE = ("nll_quadrature_error", "nll_tail", "nll_outside")


def bits_per_dim(nats_B: Tensor, dims: int, log_volume: float) -> Tensor:
    """Return a negative log-density in bits per dimension, in the data's own units.

    Args:
        nats_B: - log q(x) in the scale that models see.
        dims: D.
        log_volume: log |d own units / d model scale| of one example, nats.
    """
    return (nats_B + log_volume) / (dims * math.log(2))


@final
class DensityEstimation(ScoreTask):
    """Fitting a density or its score, and reporting how well.

    Test metrics, each with its standard error: the objective's own loss; csm (eq. 5) for conditional scores;
    nll in nats and bits_per_dim, both of the smoothed data, for normalised densities (by quadrature for conditional
    scores and energies, with what that rests on: see `Likelihood.numbers`; the error of the first 32 examples);
    fisher_error
    = 1/2 E|s - s*|^2 against the known score of the smoothed law and fisher_error_clean against that of the
    clean law on clean data.
    """

    _normalised = 0
    _worst: CatMetric

    def test_step(self, batch: Batch, batch_idx: int) -> None:
        """Collect every number that the model and the data allow."""
        if not len(batch.x_BD):
            return
        x_BD, draws = self.smoothed(batch)
        loss_B = self.objective.held_out(self.model, x_BD, draws).detach()
        self.report("loss", loss_B)
        for name, value_B in self.objective.numbers(loss_B).items():
            self.report(name, value_B)
        if isinstance(self.model, ConditionalScoreModel):
            self.report("csm", CSM()(self.model, x_BD, draws).per_example)
        for name, value_B in self.comparable(x_BD).items():
            self.report(name, value_B)
            if name == "fisher_error":
                self.report("fisher_error_clean", self.fisher_error(batch.x_BD, 0.0))
        if isinstance(self.model, NumericallyNormalised) and self.model.likelihood is not None:
            self._report_likelihood(self.model.likelihood, x_BD)
        elif batch_idx == 0 and isinstance(self.model, NumericalDensity):
            self.report("nll_quadrature_error", self.model.quadrature_error(x_BD[:ERROR_OF]))

    def on_test_start(self) -> None:
        """Forget an earlier test."""
        super().on_test_start()
        self._normalised, self._worst = 0, CatMetric().to(self.device)

    def _report_likelihood(self, likelihood: Likelihood, x_BD: Tensor) -> None:
        """Return nll and bits_per_dim by quadrature, of as many examples as the likelihood is allowed."""
        share = max(1, likelihood.values // self.source.dims // self.trainer.world_size)
        x_BD = x_BD[: max(0, share - self._normalised)]
        if not len(x_BD):
            return
        with torch.no_grad():
            log_q_BD, outside_BD = likelihood.conditional_log_prob(self.model, x_BD)
            if self._normalised == 0:
                numbers = likelihood.numbers(self.model, x_BD[:ERROR_OF])
                self.report("nll_quadrature_error", numbers["nll_quadrature_error"])
        mass_B, worst_B = likelihood.worst(outside_BD)
        self.report("nll_tail", mass_B)
        self.report("nll_outside", likelihood.beyond(x_BD))
        self._worst.update(worst_B)
        self._normalised += len(x_BD)
        nll_B = -log_q_BD.sum(-1)
        self.report("nll", nll_B)
        self.report("bits_per_dim", bits_per_dim(nll_B, self.source.dims, self.source.log_volume))

    def on_test_epoch_end(self) -> None:
        """Log every number that may be reported; the others of a test are good where a likelihood is not."""
        likelihood = self.model.likelihood if isinstance(self.model, NumericallyNormalised) else None
        if likelihood is not None and "nll_tail" in self.held_out:
            try:
                # Of all processes, so that all of them come to the same end.
                likelihood.refuse(self.model, _whole(self.held_out["nll_tail"]), _whole(self._worst))
            except TailMass as error:
                by_likelihood = ["loss"] if self.objective.ranks_by_likelihood else []
                for name in ("nll", "bits_per_dim", *OF_QUADRATURE, *by_likelihood):
                    self.held_out.pop(name, None)
                warnings.warn(f"nll is not reported: {error}.", stacklevel=2)
        super().on_test_epoch_end()

    def comparable_names(self) -> tuple[str, ...]:
        """Return nll and bits_per_dim for normalised densities, and fisher_error where the law is known."""
        known = self.source.law is not None and isinstance(self.model, ScoreModel | ConditionalScoreModel)
        normalised = isinstance(self.model, ClosedFormDensity | DiscreteDensity | FlowDensity)
        return (*(["nll", "bits_per_dim"] if normalised else []), *(["fisher_error"] if known else []))

    def comparable(self, x_BD: Tensor) -> dict[str, Tensor]:
        """Return nll, bits_per_dim and fisher_error per smoothed example, where model and data have them."""
        model: Any = self.model
        found, names = {}, self.comparable_names()
        if "nll" in names:
            found["nll"] = -model.log_prob(x_BD)
            found["bits_per_dim"] = bits_per_dim(found["nll"], self.source.dims, self.source.log_volume)
        if "fisher_error" in names:
            found["fisher_error"] = self.fisher_error(x_BD)
        return found

    def fisher_error(self, x_BD: Tensor, smoothing: float | None = None) -> Tensor:
        """Return |s - s*|^2 / 2 per example, joint or conditional as the model is, for the law with this noise."""
        assert self.source.law is not None
        smoothing = self.smoothing if smoothing is None else smoothing
        law = self.source.law.smoothed(smoothing) if smoothing else self.source.law
        with torch.no_grad():
            s_BD = score_field(self.model)(x_BD).double().cpu()
        if isinstance(self.model, ConditionalScoreModel):
            true_BD = law.conditional_score(x_BD.cpu(), cast(CausalModel, self.model).ordering.sequence)
        else:
            true_BD = law.score(x_BD.cpu())
        return (0.5 * (s_BD - true_BD).square().sum(-1)).to(x_BD.device)

    def predict_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """Return log q(x) in nats per clean example where the model has it, else its score field."""
        if isinstance(self.model, NormalisedDensity):
            return self.model.log_prob(batch.x_BD)
        return score_field(self.model)(batch.x_BD).detach()


def _whole(metric: CatMetric) -> Tensor:
    return torch.as_tensor(metric.compute()).reshape(-1)
