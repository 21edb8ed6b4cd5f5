"""A density and outlier score for tables, with scikit-learn's interface."""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from numbers import Integral, Real
from typing import Any, ClassVar, Self

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, DensityMixin
from sklearn.utils import check_random_state
from sklearn.utils._param_validation import Interval
from sklearn.utils.validation import check_is_fitted, validate_data
from torch import Tensor

from scorewise.backbones.made import MADE
from scorewise.data.tabular.columns import moments, varies
from scorewise.data.tabular.far import far_values
from scorewise.errors import names_of
from scorewise.heads.cosine import Cosine
from scorewise.noise import Draws, OwnNumbers, smoothing_noise
from scorewise.sampling.inverse_cdf import InverseCDF

EDGE = 3.0
"""Every column fills [-EDGE, EDGE] of the model."""
TAIL = 0.2
"""How wide the model's tails are outside of that."""

RESOLUTION = 1e-13
"""The scale of a constant column of numbers so large that 1 is none, as a share of them."""


@dataclass(frozen=True)
class Bend:
    """The map u = a asinh((z - median) / w) + b of every column, w half its interquartile range.

    A heavy tail takes logarithmically little of the range that all columns share, so the cosines are where the data is.

    Args:
        centre_D, width_D: median and w.
        middle_D, stretch_D: what asinh gives in the middle of the column, and per unit of u.
    """

    centre_D: Tensor
    width_D: Tensor
    middle_D: Tensor
    stretch_D: Tensor

    @classmethod
    def of(cls, z_ND: Tensor, margin: float) -> "Bend":
        """Return the bend that takes every column, with a margin on both sides, to [-EDGE, EDGE]."""
        first_D, centre_D, third_D = z_ND.quantile(z_ND.new_tensor([0.25, 0.5, 0.75]), dim=0)
        width_D = 0.5 * (third_D - first_D).clamp(min=0.1)  # a column of few values has no interquartile range
        low_D, high_D = (
            ((end_D - centre_D) / width_D).asinh() for end_D in (z_ND.amin(0) - margin, z_ND.amax(0) + margin)
        )
        return cls(centre_D, width_D, 0.5 * (low_D + high_D), 0.5 * (high_D - low_D) / EDGE)

    def bent(self, z_BD: Tensor) -> tuple[Tensor, Tensor]:
        """Return u (B, D), and log |du / dz| summed over columns (B,)."""
        y_BD = (z_BD - self.centre_D) / self.width_D
        log_slope_BD = -0.5 * y_BD.square().log1p() - (self.width_D * self.stretch_D).log()
        return (y_BD.asinh() - self.middle_D) / self.stretch_D, log_slope_BD.sum(-1)

    def straight(self, u_BD: Tensor) -> Tensor:
        """Return z, shape (B, D)."""
        return self.centre_D + self.width_D * (self.middle_D + self.stretch_D * u_BD).sinh()


class ScoreDensity(DensityMixin, BaseEstimator):  # type: ignore[misc]
    """An autoregressive density of a table: one-dimensional conditionals as cosine series, by exact likelihood.

    The density is that of the data with Gaussian noise of `smoothing` standard deviations in every column, in the
    columns' own units. A constant column (its values may differ by a few units in the last place) counts as one of
    standard deviation 1, with a warning; another warning names values that are so far away that they hide the others.

    Args:
        smoothing: standard deviation of the noise, in those of the columns.
        terms: cosines per conditional.
        hidden: sizes of the hidden layers of the MADE.
        steps: of training.
        batch_size: rows per step.
        lr: learning rate at the start of its cosine schedule.
        weight_decay: of AdamW.
        ordering: of the columns: raster, reverse, random, data_driven or a list.
        random_state: seed of weights, batches, noise and samples.

    Attributes:
        model_: the fitted model, of bent columns.
        mean_, scale_: of the columns.
        bend_: from standardised columns to those of the model.
        n_features_in_: columns.

    Raises:
        ValueError: settings or data that scikit-learn's validation refuses.

    Example:
        >>> import numpy as np
        >>> from scorewise.densities import ScoreDensity
        >>> X = np.random.default_rng(0).normal(size=(500, 2))
        >>> density = ScoreDensity(smoothing=0.1, steps=50, random_state=0).fit(X)
        >>> inside, outside = density.score_samples(np.array([[0.0, 0.0], [3.0, -3.0]]))
        >>> bool(inside > outside), density.sample(3).shape
        (True, (3, 2))
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "smoothing": [Interval(Real, 0, None, closed="neither")],
        "terms": [Interval(Integral, 1, None, closed="left")],
        "hidden": ["array-like"],
        "steps": [Interval(Integral, 1, None, closed="left")],
        "batch_size": [Interval(Integral, 1, None, closed="left")],
        "lr": [Interval(Real, 0, None, closed="neither")],
        "weight_decay": [Interval(Real, 0, None, closed="left")],
        "ordering": [str, "array-like"],
        "random_state": ["random_state"],
    }

    def __init__(
        self,
        smoothing: float = 0.1,
        terms: int = 32,
        hidden: tuple[int, ...] = (64, 64),
        steps: int = 1000,
        batch_size: int = 256,
        lr: float = 1e-2,
        weight_decay: float = 1e-4,
        ordering: str = "raster",
        random_state: int | None = None,
    ) -> None:
        self.smoothing, self.terms, self.hidden, self.steps = smoothing, terms, hidden, steps
        self.batch_size, self.lr, self.weight_decay = batch_size, lr, weight_decay
        self.ordering, self.random_state = ordering, random_state

    def fit(self, X: ArrayLike, y: object = None) -> Self:
        """Fit the density to the rows of X (n, D)."""
        self._validate_params()
        if not (len(self.hidden) and all(isinstance(n, Integral) and n > 0 for n in self.hidden)):
            raise ValueError(f"hidden={self.hidden} must be positive whole numbers, one per hidden layer")
        x_ND = validate_data(self, X, dtype=np.float64, ensure_min_samples=2)
        self._scale(torch.as_tensor(x_ND))
        z_ND = torch.as_tensor((x_ND - self.mean_) / self.scale_)
        self.bend_ = Bend.of(z_ND, 6 * self.smoothing)
        seed = int(check_random_state(self.random_state).randint(2**31 - 1))
        with OwnNumbers(seed, torch.float32):
            self.model_ = self._model(z_ND).float()
        self._train(z_ND, seed)
        return self

    def _scale(self, x_ND: Tensor) -> None:
        """Set the means and scales of the columns, and warn of constant ones and of values that hide the others."""
        (mean_D, spread_D), varies_D = moments(x_ND), varies(x_ND)
        resolution_D = (RESOLUTION * mean_D.abs()).clamp(min=1.0)
        self.mean_, self.scale_ = mean_D.numpy(), torch.where(varies_D, spread_D, resolution_D).numpy()
        names = [str(name) for name in getattr(self, "feature_names_in_", range(x_ND.shape[1]))]
        if constant := [name for name, several in zip(names, varies_D.tolist(), strict=True) if not several]:
            warnings.warn(
                f"columns with one value only count as ones of standard deviation 1: {names_of(constant)}", stacklevel=3
            )
        columns = varies_D.nonzero()[:, 0].tolist()
        for one in far_values(x_ND, torch.as_tensor(self.scale_), self.smoothing, columns):
            warnings.warn(one.sentence(names[one.column], str(one.row)), stacklevel=3)

    def _model(self, z_ND: Tensor) -> Cosine:
        """Return the untrained model."""
        ordering: str | Sequence[int] = self.ordering
        if ordering == "data_driven":
            from scorewise.ordering import Ordering

            ordering = list(Ordering.data_driven(z_ND.float()).sequence)
        backbone = MADE((z_ND.shape[1],), self.terms, self.hidden, "silu", ordering=ordering, init="knots")
        model = Cosine(backbone, low=-EDGE, high=EDGE, terms=self.terms, noise=TAIL)
        model.sampler = InverseCDF()
        return model

    def _train(self, z_ND: Tensor, seed: int) -> None:
        model, count = self.model_.train(), len(z_ND)
        optimizer = torch.optim.AdamW(model.parameters(), lr=self.lr, weight_decay=self.weight_decay, fused=True)
        scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, self.steps)
        generator = torch.Generator().manual_seed(seed)
        batch = min(self.batch_size, count)
        with torch.enable_grad():
            for step in range(self.steps):
                index_B = torch.randint(count, (batch,), generator=generator)
                z_BD = z_ND[index_B]
                noise_BD = smoothing_noise(Draws.of(seed, step, torch.arange(batch)), z_BD)
                u_BD, _ = self.bend_.bent(z_BD + self.smoothing * noise_BD)
                loss = -model.log_prob(u_BD.float()).mean() / z_ND.shape[1]
                optimizer.zero_grad()
                loss.backward()
                torch.nn.utils.clip_grad_norm_(model.parameters(), 10.0)
                optimizer.step()
                scheduler.step()
        model.double().eval()

    def score_samples(self, X: ArrayLike) -> NDArray[np.float64]:
        """Return log q(x) of every row in nats, in the columns' own units, shape (n,)."""
        check_is_fitted(self)
        x_ND = validate_data(self, X, dtype=np.float64, reset=False)
        z_ND = torch.as_tensor((x_ND - self.mean_) / self.scale_)
        with torch.no_grad():
            bent = (self.bend_.bent(z_BD) for z_BD in z_ND.split(4096))
            log_q = torch.cat([self.model_.log_prob(u_BD) + log_slope_B for u_BD, log_slope_B in bent])
        found: NDArray[np.float64] = log_q.numpy() - np.log(self.scale_).sum()
        return found

    def score(self, X: ArrayLike, y: object = None) -> float:
        """Return the mean of `score_samples`, as GaussianMixture has it."""
        return float(self.score_samples(X).mean())

    def outlier_score(self, X: ArrayLike) -> NDArray[np.float64]:
        """Return - log q(x), shape (n,): larger means odder."""
        return -self.score_samples(X)

    def sample(self, n_samples: int = 1, random_state: int | None = None) -> NDArray[np.float64]:
        """Return new rows (n, D), with the noise of the smoothing, in the columns' own units.

        Args:
            n_samples: n.
            random_state: of the draws; None: that of the estimator, so a whole number there repeats the same rows.

        Raises:
            ValueError: fewer than one sample.
        """
        check_is_fitted(self)
        if not isinstance(n_samples, Integral) or n_samples < 1:
            raise ValueError(f"n_samples={n_samples} must be a whole number of at least 1")
        random_state = self.random_state if random_state is None else random_state
        seed = int(check_random_state(random_state).randint(2**31 - 1))
        u_ND = self.model_.sample(n_samples, torch.Generator().manual_seed(seed))
        found: NDArray[np.float64] = self.bend_.straight(u_ND).numpy() * self.scale_ + self.mean_
        return found
