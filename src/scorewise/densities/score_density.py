"""A density and outlier detector for tables, with scikit-learn's interface."""

import warnings
from collections.abc import Sequence
from numbers import Integral, Real
from typing import Any, ClassVar, Self, cast

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from sklearn.base import DensityMixin, OutlierMixin
from sklearn.utils import check_random_state
from sklearn.utils._param_validation import Interval
from sklearn.utils.validation import check_is_fitted
from torch import Generator, Tensor

from scorewise.data.tabular.columns import moments, varies
from scorewise.data.tabular.far import far_values
from scorewise.densities.complete_rows import CompleteRows, standardised
from scorewise.densities.imputed import Imputed
from scorewise.densities.incomplete_rows import RESOLUTION, IncompleteRows
from scorewise.densities.reads_tables import ANY, ReadsTables
from scorewise.densities.support import central_rows
from scorewise.densities.training import Schedule
from scorewise.densities.views import Recipe
from scorewise.errors import names_of
from scorewise.ordering import Ordering
from scorewise.outliers import Explanation, conformal_p_values
from scorewise.outliers.cells import INTERVAL

BATCH, WEIGHT_DECAY = 256, 1e-2
"""Of the training: rows per step, and the decay of AdamW."""
JUDGED, KEPT = 20_000, 5000
"""Training rows by which the threshold of `predict` is set, and rows that are kept for p-values, at most."""
Array = NDArray[np.float64]


class ScoreDensity(OutlierMixin, DensityMixin, ReadsTables):  # type: ignore[misc]
    """A density of a table, and how odd rows and cells are.

    Complete rows of numbers and all others have a model each, and `model_` says which of the two was fitted.

    Of complete rows of numbers the density is that of the data with Gaussian noise of `smoothing` standard deviations
    in every column, in the columns' own units: autoregressive networks in several orders, each a product of mixtures of
    Gaussians by maximum likelihood, mixed with mixtures of full Gaussians and with kernels as held-out rows weigh them.
    `outlier_score` and `pvalues` add two more views, distances to the nearest rows and the sizes of scores at ten
    levels of noise. `decision_function` and `predict` go by the density alone, because scikit-learn ties them to
    `score_samples`.

    Of a data frame with categories, text, booleans or missing cells, and of an array with missing cells (NaN), it is
    one network of any order with a law per column, see `ByColumn`: `score_samples` has log q of what is observed of a
    row, `explain` every cell given all observed others, `impute` the missing ones; `sample` is a data frame again.

    A constant column (its values may differ by a few units in the last place) counts as one of standard deviation 1,
    with a warning; another warning names values that are so far away that they hide the others.

    Args:
        smoothing: standard deviation of the noise, in those of the columns; with one law per column, which have no
            noise, a law of numbers is no narrower than a third of it.
        terms: Gaussians per conditional.
        hidden: sizes of the hidden layers of a network.
        steps: of training, of each network.
        lr: the largest learning rate.
        ordering: of the columns in the first network: raster, reverse, random, data_driven or a list; any: one network
            of all orders for complete rows of numbers too, where rows to come may have missing cells.
        orders: networks; those after the first have random orders.
        contamination: the share of the training rows that `predict` calls outliers.
        calibration: the share of the rows that is kept from all fitting, for p-values; of many rows 5,000 are.
        support_fraction: the share of the other rows that is fitted, the most central ones by a robust Gaussian: less
            than 1, say .75, where the rows hold the very outliers that are looked for.
        random_state: seed of weights, batches, noise and samples.

    Attributes:
        model_: what was fitted; it says which of the two it is.
        frame_: the columns of the data frame that it was fitted to; None of an array.
        mean_, scale_: of the columns; 0 and 1 of categories.
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
        "support_fraction": [Interval(Real, 0, 1, closed="right")],
        "random_state": ["random_state"],
    }

    def __init__(
        self,
        smoothing: float = 0.3,
        terms: int = 8,
        hidden: tuple[int, ...] = (128, 128),
        steps: int = 1000,
        lr: float = 3e-3,
        ordering: ArrayLike = "raster",
        orders: int = 2,
        contamination: float = 0.05,
        calibration: float = 0.1,
        support_fraction: float = 1.0,
        random_state: int | None = None,
    ) -> None:
        self.smoothing, self.terms, self.hidden, self.steps = smoothing, terms, hidden, steps
        self.lr, self.ordering, self.orders = lr, ordering, orders
        self.contamination, self.calibration = contamination, calibration
        self.support_fraction, self.random_state = support_fraction, random_state

    def fit(self, X: ArrayLike, y: object = None) -> Self:
        """Fit the density to the rows of X (n, D), an array or a data frame."""
        self._validate_params()
        if not (len(self.hidden) and all(isinstance(n, Integral) and n > 0 for n in self.hidden)):
            raise ValueError(f"hidden={self.hidden} must be positive whole numbers, one per hidden layer")
        table = self._read(X)
        seed = int(check_random_state(self.random_state).randint(2**31 - 1))
        order = np.random.default_rng(seed).permutation(len(table))
        kept, fitted = np.split(order, [min(KEPT, int(self.calibration * len(table)))])
        x_ND = self._numbers(table, fitted)
        self.mean_, self.scale_ = self._scale(torch.tensor(x_ND), fitted)
        if self.support_fraction < 1:
            fitted = fitted[self._central(x_ND[fitted])]
        recipe = self._recipe(standardised(x_ND[fitted], self.mean_, self.scale_), seed)
        if self._takes_any_order(x_ND):
            names = self._columns(x_ND.shape[1])
            self.model_ = IncompleteRows.fitted(x_ND[fitted], names, self._codes(), recipe)
        else:
            self.model_ = CompleteRows.fitted(x_ND[fitted], self.mean_, self.scale_, recipe)
        self.calibration_scores_ = self.model_.outlier_score(x_ND[kept]).numpy()
        judged = self.model_.log_prob(x_ND[order[:JUDGED]])
        self.offset_ = float(np.percentile(judged, 100 * self.contamination))
        return self

    def _central(self, x_ND: Array) -> NDArray[np.bool_]:
        """Return which rows lie most centrally, `support_fraction` of them."""
        of_codes = [d for d, name in enumerate(self._columns(x_ND.shape[1])) if name in self._codes()]
        z_ND, ridge = standardised(x_ND, self.mean_, self.scale_), self.smoothing**2
        return np.asarray(central_rows(z_ND, of_codes, self.support_fraction, ridge))

    def _scale(self, x_ND: Tensor, fitted: NDArray[np.int64]) -> tuple[Array, Array]:
        """Return means and scales of the fitted rows' columns; warn of empty and constant ones, and of far values."""
        names, codes, fit_ND = self._columns(x_ND.shape[1]), self._codes(), x_ND[fitted]
        there_D, varies_D = (~fit_ND.isnan()).any(0), varies(fit_ND)
        if not bool(there_D.any()):
            raise ValueError("X has no value in any cell: give rows with some")
        of_numbers = [d for d, name in enumerate(names) if there_D[d] and name not in codes]
        mean_D, scale_D = torch.zeros_like(x_ND[0]), torch.ones_like(x_ND[0])
        if of_numbers:
            mean_D[of_numbers], spread_d = moments(fit_ND[:, of_numbers])
            resolution_d = (RESOLUTION * mean_D[of_numbers].abs()).clamp(min=1.0)
            scale_D[of_numbers] = torch.where(varies_D[of_numbers], spread_d, resolution_d)
        self._warn("columns without any value are not part of the density", ~there_D)
        self._warn("columns with one value only count as ones of standard deviation 1", there_D & ~varies_D)
        columns = [d for d in of_numbers if varies_D[d]]
        for one in far_values(x_ND, scale_D, self.smoothing, columns):
            warnings.warn(one.sentence(names[one.column], str(one.row)), stacklevel=3)
        return mean_D.numpy(), scale_D.numpy()

    def _warn(self, what: str, which_D: Tensor) -> None:
        """Warn of some columns by name."""
        if some := [name for name, one in zip(self._columns(len(which_D)), which_D.tolist(), strict=True) if one]:
            warnings.warn(f"{what}: {names_of(some)}", stacklevel=4)

    def _recipe(self, z_ND: Tensor, seed: int) -> Recipe:
        """Return how to fit standardised rows."""
        rng = np.random.default_rng(seed)
        others: list[Sequence[int]] = [rng.permutation(z_ND.shape[1]).tolist() for _ in range(1, self.orders)]
        given = "raster" if str(self.ordering) == ANY else np.asarray(self.ordering).tolist()
        first = Ordering.data_driven(z_ND.nan_to_num()).sequence if given == "data_driven" else given
        schedule = Schedule(self.steps, BATCH, self.lr, WEIGHT_DECAY)
        return Recipe(self.smoothing, self.terms, self.hidden, [first, *others], schedule, seed % 2**30)

    def score_samples(self, X: ArrayLike) -> Array:
        """Return log q of every row in nats, in the columns' own units, shape (n,).

        Of a row with missing cells, that of what is observed; of categories and whole numbers, their probability.
        """
        x_ND = self._checked(X)
        return self.model_.log_prob(x_ND)

    def score(self, X: ArrayLike, y: object = None) -> float:
        """Return the mean of `score_samples`, as GaussianMixture has it."""
        return float(self.score_samples(X).mean())

    def decision_function(self, X: ArrayLike) -> Array:
        """Return `score_samples` less `offset_`, shape (n,): negative for outliers by the density."""
        return self.score_samples(X) - self.offset_

    def predict(self, X: ArrayLike) -> NDArray[np.int64]:
        """Return -1 for outliers by the density and 1 for other rows, shape (n,)."""
        return np.where(self.decision_function(X) >= 0, 1, -1)

    def outlier_score(self, X: ArrayLike, fitted: bool = False) -> Array:
        """Return how odd every row is, larger means odder, by all views or by the density beside usual cells'.

        Args:
            X: the rows.
            fitted: they are those of `fit`, and each is judged by the others: a row is at no distance from itself.
        """
        x_ND = self._checked(X)
        return np.asarray(self.model_.outlier_score(x_ND, fitted))

    def pvalues(self, X: ArrayLike) -> Array:
        """Return the p-value of every row, shape (n,): valid for rows of the data, see `conformal_p_values`.

        Raises:
            ValueError: no row was kept from fitting.
        """
        x_ND = self._checked(X)
        return np.asarray(self._p(self.model_.outlier_score(x_ND)))

    def _p(self, score_B: Tensor) -> Tensor:
        if not len(self.calibration_scores_):
            raise ValueError(
                f"calibration={self.calibration:g} kept no row from fitting, and p-values count such rows: fit with a "
                "larger share, or more rows"
            )
        return conformal_p_values(score_B, torch.as_tensor(self.calibration_scores_))

    def explain(self, X: ArrayLike, judged: ArrayLike | None = None) -> Explanation:
        """Return how odd rows and their cells are, and what was expected, in the columns' own units.

        Of complete rows of numbers every cell costs a hundred densities, more under a smoothing below .1: give the rows
        that matter, the oddest of `outlier_score` say.

        Args:
            X: the rows.
            judged: p-values of all rows that X was chosen from, which false discovery rates are of; None: there are
                none, since rows that were chosen have none of their own.
        """
        x_ND = self._checked(X)
        score_B = self.model_.outlier_score(x_ND)
        names = self._columns(x_ND.shape[1])
        rows = [str(name) for name in self._index(X, range(len(x_ND)))]
        judged_N = None if judged is None else torch.as_tensor(np.asarray(judged, dtype=np.float64))
        columns, found = [names[d] for d in self.model_.used], self.model_.cells(x_ND)
        return Explanation(rows, columns, score_B, self._p(score_B), found, self._labels(), judged_N)

    def impute(self, X: ArrayLike, draws: int = 20, random_state: int | None = None) -> Imputed:
        """Return the missing cells of rows given the observed ones: draws, their means, and intervals of 90 %.

        Args:
            X: the rows; what they have stays as it is, and so does a column that had no value in the fit.
            draws: per missing cell, from one stream for all rows: beside other rows a row has others, of the same law.
            random_state: of the draws; None: that of the estimator.

        Raises:
            ValueError: what was fitted is of complete rows, or there are fewer than one draw.
        """
        check_is_fitted(self)
        if not self.model_.takes_missing:
            raise ValueError("this was fitted to complete rows, which lack nothing: fit it with ordering='any'")
        x_ND, generator, model = self._checked(X), self._generator(random_state), cast(IncompleteRows, self.model_)
        drawn = [model.fill(x_ND, generator) for _ in range(_count("draws", draws))]
        ends = model.ends(x_ND, ((1 - INTERVAL) / 2, (1 + INTERVAL) / 2))
        return Imputed.of(x_ND, drawn, ends, lambda rows_ND: self._as_given(rows_ND, X))

    def sample(self, n_samples: int = 1, random_state: int | None = None) -> Any:
        """Return new rows (n, D) in the columns' own units, those of complete rows with the noise of the smoothing.

        They are an array, or where a data frame with categories or missing cells was fitted, one with its types.

        Args:
            n_samples: n.
            random_state: of the draws; None: that of the estimator, so a whole number there repeats the same rows.

        Raises:
            ValueError: fewer than one sample.
        """
        check_is_fitted(self)
        x_ND = self.model_.sample(_count("n_samples", n_samples), self._generator(random_state))
        return self._as_given(x_ND) if self.model_.takes_missing else x_ND

    def _generator(self, random_state: int | None) -> Generator:
        random_state = self.random_state if random_state is None else random_state
        return Generator().manual_seed(int(check_random_state(random_state).randint(2**31 - 1)))


def _count(name: str, count: object) -> int:
    if not isinstance(count, Integral) or count < 1:
        raise ValueError(f"{name}={count} must be a whole number of at least 1")
    return int(count)
