"""A density and outlier detector for tables, with scikit-learn's interface."""

import warnings
from collections.abc import Sequence
from numbers import Integral, Real
from typing import Any, ClassVar, Self

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, DensityMixin, OutlierMixin
from sklearn.utils import check_random_state
from sklearn.utils._param_validation import Interval
from sklearn.utils.validation import check_is_fitted, validate_data
from torch import Tensor

from scorewise.data.tabular.columns import moments, varies
from scorewise.data.tabular.far import far_values
from scorewise.densities.replaced import ReplacedCells
from scorewise.densities.training import Schedule
from scorewise.densities.views import Recipe, Views
from scorewise.errors import names_of
from scorewise.outliers import CellFindings, Explanation, conformal_p_values

RESOLUTION = 1e-13
"""The scale of a constant column of numbers so large that 1 is none, as a share of them."""
FARTHEST = 1e6
"""Rows are looked at as if no cell were farther from the mean, in standard deviations of the column."""
BATCH, WEIGHT_DECAY = 256, 1e-2
"""Of the training: rows per step, and the decay of AdamW."""
JUDGED, KEPT = 100_000, 5000
"""Training rows by which the threshold of `predict` is set, and rows that are kept for p-values, at most."""
Array = NDArray[np.float64]


class ScoreDensity(OutlierMixin, DensityMixin, BaseEstimator):  # type: ignore[misc]
    """A density of a table, and how odd rows and cells are.

    The density is that of the data with Gaussian noise of `smoothing` standard deviations in every column, in the
    columns' own units: autoregressive networks in several orders, each a product of mixtures of Gaussians by maximum
    likelihood, mixed with one Gaussian and with kernels as held-out rows weigh them. `outlier_score` and `pvalues` add
    two more views, distances to the nearest rows and the sizes of scores at ten levels of noise. `decision_function`
    and `predict` go by the density alone, because scikit-learn ties them to `score_samples`.

    A constant column (its values may differ by a few units in the last place) counts as one of standard deviation 1,
    with a warning; another warning names values that are so far away that they hide the others.

    Args:
        smoothing: standard deviation of the noise, in those of the columns.
        terms: Gaussians per conditional.
        hidden: sizes of the hidden layers of a network.
        steps: of training, of each network.
        lr: the largest learning rate.
        ordering: of the columns in the first network: raster, reverse, random, data_driven or a list.
        orders: networks; those after the first have random orders.
        contamination: the share of the training rows that `predict` calls outliers.
        calibration: the share of the rows that is kept from all fitting, for p-values; of many rows 5,000 are.
        random_state: seed of weights, batches, noise and samples.

    Attributes:
        views_: what was fitted to standardised columns.
        mean_, scale_: of the columns.
        calibration_scores_: outlier scores of the rows that were kept from fitting.
        offset_: the least `score_samples` of a row that `predict` calls an inlier.
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
        "lr": [Interval(Real, 0, None, closed="neither")],
        "ordering": [str, "array-like"],
        "orders": [Interval(Integral, 1, None, closed="left")],
        "contamination": [Interval(Real, 0, 0.5, closed="right")],
        "calibration": [Interval(Real, 0, 0.5, closed="both")],
        "random_state": ["random_state"],
    }

    def __init__(
        self,
        smoothing: float = 0.3,
        terms: int = 8,
        hidden: tuple[int, ...] = (128, 128),
        steps: int = 1000,
        lr: float = 3e-3,
        ordering: str = "raster",
        orders: int = 2,
        contamination: float = 0.05,
        calibration: float = 0.1,
        random_state: int | None = None,
    ) -> None:
        self.smoothing, self.terms, self.hidden, self.steps = smoothing, terms, hidden, steps
        self.lr, self.ordering, self.orders = lr, ordering, orders
        self.contamination, self.calibration, self.random_state = contamination, calibration, random_state

    def fit(self, X: ArrayLike, y: object = None) -> Self:
        """Fit the density to the rows of X (n, D)."""
        self._validate_params()
        if not (len(self.hidden) and all(isinstance(n, Integral) and n > 0 for n in self.hidden)):
            raise ValueError(f"hidden={self.hidden} must be positive whole numbers, one per hidden layer")
        x_ND = validate_data(self, X, dtype=np.float64, ensure_min_samples=2)
        self._scale(torch.as_tensor(x_ND))
        seed = int(check_random_state(self.random_state).randint(2**31 - 1))
        order = np.random.default_rng(seed).permutation(len(x_ND))
        kept, fitted = np.split(order, [min(KEPT, int(self.calibration * len(x_ND)))])
        self.views_ = Views.fitted(self._standard(x_ND[fitted]), self._recipe(x_ND.shape[1], seed))
        self.calibration_scores_ = self._outlier_score(x_ND[kept]).numpy()
        judged = self._log_density(x_ND[order[:JUDGED]])
        self.offset_ = float(np.percentile(judged, 100 * self.contamination))
        return self

    def _scale(self, x_ND: Tensor) -> None:
        """Set the means and scales of the columns, and warn of constant ones and of values that hide the others."""
        (mean_D, spread_D), varies_D = moments(x_ND), varies(x_ND)
        resolution_D = (RESOLUTION * mean_D.abs()).clamp(min=1.0)
        self.mean_, self.scale_ = mean_D.numpy(), torch.where(varies_D, spread_D, resolution_D).numpy()
        names = self._columns(x_ND.shape[1])
        if constant := [name for name, several in zip(names, varies_D.tolist(), strict=True) if not several]:
            warnings.warn(
                f"columns with one value only count as ones of standard deviation 1: {names_of(constant)}", stacklevel=3
            )
        columns = varies_D.nonzero()[:, 0].tolist()
        for one in far_values(x_ND, torch.as_tensor(self.scale_), self.smoothing, columns):
            warnings.warn(one.sentence(names[one.column], str(one.row)), stacklevel=3)

    def _columns(self, dims: int) -> list[str]:
        """Return the names of the columns: those of a data frame, or their places."""
        return [str(name) for name in getattr(self, "feature_names_in_", range(dims))]

    def _recipe(self, dims: int, seed: int) -> Recipe:
        """Return how to fit a table of so many columns."""
        rng = np.random.default_rng(seed)
        others: list[Sequence[int]] = [rng.permutation(dims).tolist() for _ in range(1, self.orders)]
        schedule = Schedule(self.steps, BATCH, self.lr, WEIGHT_DECAY)
        return Recipe(self.smoothing, self.terms, self.hidden, [self.ordering, *others], schedule, seed % 2**30)

    def _standard(self, x_ND: Array) -> Tensor:
        """Return rows in standard deviations of the columns from their means."""
        return torch.as_tensor((x_ND - self.mean_) / self.scale_).clamp(-FARTHEST, FARTHEST)

    def _checked(self, X: ArrayLike) -> Array:
        """Return rows of the fitted columns."""
        check_is_fitted(self)
        x_ND: Array = validate_data(self, X, dtype=np.float64, reset=False)
        return x_ND

    @torch.no_grad()
    def _log_density(self, x_ND: Array) -> Array:
        parts = [self.views_.density.log_prob(z_BD) for z_BD in self._standard(x_ND).split(4096)]
        found: Array = torch.cat(parts).numpy() - np.log(self.scale_).sum()
        return found

    def _outlier_score(self, x_ND: Array) -> Tensor:
        return self.views_.outlier_score(self._standard(x_ND)) if len(x_ND) else torch.zeros(0).double()

    def score_samples(self, X: ArrayLike) -> Array:
        """Return log q(x) of every row in nats, in the columns' own units, shape (n,)."""
        return self._log_density(self._checked(X))

    def score(self, X: ArrayLike, y: object = None) -> float:
        """Return the mean of `score_samples`, as GaussianMixture has it."""
        return float(self.score_samples(X).mean())

    def decision_function(self, X: ArrayLike) -> Array:
        """Return `score_samples` less `offset_`, shape (n,): negative for outliers by the density."""
        return self.score_samples(X) - self.offset_

    def predict(self, X: ArrayLike) -> NDArray[np.int64]:
        """Return -1 for outliers by the density and 1 for other rows, shape (n,)."""
        return np.where(self.decision_function(X) >= 0, 1, -1)

    def outlier_score(self, X: ArrayLike) -> Array:
        """Return how odd every row is by all views, shape (n,): larger means odder."""
        found: Array = self._outlier_score(self._checked(X)).numpy()
        return found

    def pvalues(self, X: ArrayLike) -> Array:
        """Return the p-value of every row, shape (n,): valid for rows of the data, see `conformal_p_values`.

        Raises:
            ValueError: no row was kept from fitting.
        """
        score_B = self._outlier_score(self._checked(X))
        if not len(self.calibration_scores_):
            raise ValueError(
                f"calibration={self.calibration:g} kept no row from fitting, and p-values count such rows: fit with a "
                "larger share, or more rows"
            )
        found: Array = conformal_p_values(score_B, torch.as_tensor(self.calibration_scores_)).numpy()
        return found

    def explain(self, X: ArrayLike, judged: ArrayLike | None = None) -> Explanation:
        """Return how odd rows and their cells are, and what was expected, in the columns' own units.

        Every cell costs about a hundred densities: give the rows that matter, the oddest of `outlier_score` say.

        Args:
            X: the rows.
            judged: p-values of all rows that X was chosen from, which false discovery rates are of; None: there are
                none, since rows that were chosen have none of their own.
        """
        x_ND = self._checked(X)
        score_B, p_B = self._outlier_score(x_ND), torch.as_tensor(self.pvalues(X))
        z_BD = self._standard(x_ND)
        cells = ReplacedCells.of(self.views_.density, z_BD, self.views_.nodes)
        found = CellFindings.among(cells, z_BD).in_units(torch.as_tensor(self.mean_), torch.as_tensor(self.scale_))
        rows = [str(name) for name in getattr(X, "index", range(len(x_ND)))]
        judged_N = None if judged is None else torch.as_tensor(np.asarray(judged, dtype=np.float64))
        return Explanation(rows, self._columns(x_ND.shape[1]), score_B, p_B, found, judged_N=judged_N)

    def sample(self, n_samples: int = 1, random_state: int | None = None) -> Array:
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
        with torch.no_grad():
            z_ND = self.views_.density.sample(int(n_samples), torch.Generator().manual_seed(seed))
        with np.errstate(over="ignore"):
            x_ND = z_ND.numpy() * self.scale_ + self.mean_
        found: Array = x_ND.clip(-np.finfo(np.float64).max, np.finfo(np.float64).max)
        return found
