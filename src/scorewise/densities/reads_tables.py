"""Reading the tables that are handed to an estimator: arrays of numbers, and data frames of anything."""

from abc import ABC
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted, validate_data

from scorewise.data.tabular.frame import Frame, is_frame, names_in
from scorewise.densities.table_density import Array, TableDensity
from scorewise.errors import names_of

ANY = "any"
"""The ordering that asks for a model of any order, whatever the table."""


def _as_pandas(table: Any) -> Any:
    """Return a data frame of polars or a table of Arrow as pandas has it, anything else as it is.

    Raises:
        ValueError: pandas is not installed.
    """
    if is_frame(table) or not hasattr(table, "to_pandas"):
        return table
    try:
        return table.to_pandas()
    except ModuleNotFoundError as error:
        raise ValueError(f"a {type(table).__name__} is read by way of pandas: pip install {error.name}") from None


class ReadsTables(BaseEstimator, ABC):  # type: ignore[misc]
    """An estimator whose tables are numbers inside: NaN where a cell is missing, and codes of categories.

    Attributes:
        frame_: the columns of the data frame that it was fitted to; None of an array.
        model_: what was fitted.
    """

    ordering: Any
    frame_: Frame | None
    model_: TableDensity

    def __sklearn_tags__(self) -> Any:
        """Return what scikit-learn asks of an estimator: missing cells are allowed."""
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        return tags

    def _read(self, X: Any) -> Any:
        """Return a table with as many rows as can be fitted: a data frame as it is, else an array of numbers."""
        X = _as_pandas(X)
        if not is_frame(X):
            return self._array(X, ensure_min_samples=2)
        names_in(X)
        validate_data(self, X, skip_check_array=True)
        if len(X) < 2 or not len(X.columns):
            raise ValueError(
                f"Found array with {len(X)} sample(s) and {len(X.columns)} feature(s) while a minimum of 2 and of 1 is "
                "required"
            )
        return X

    def _numbers(self, table: Any, fitted: NDArray[np.int64]) -> Array:
        """Return the rows of such a table as numbers, and keep what its columns hold.

        Args:
            table: see `_read`.
            fitted: the places of the rows whose categories count.
        """
        self.frame_ = Frame.found(table, fitted) if is_frame(table) else None
        found: Array = table if self.frame_ is None else self.frame_.numbers(table)
        return found

    def _takes_any_order(self, x_ND: Array) -> bool:
        """Return whether a table is for a model of any order: missing cells, categories, or it is asked for."""
        whole = not np.isnan(x_ND).any() and (self.frame_ is None or self.frame_.plain)
        return not whole or str(self.ordering) == ANY

    def _array(self, X: Any, **settings: Any) -> Array:
        """Return an array of numbers, checked by scikit-learn.

        Raises:
            ValueError: it holds dates or text, or what scikit-learn refuses.
        """
        if (kind := np.asarray(X).dtype).kind in "mM":
            raise ValueError(f"X holds dates ({kind}): turn them into numbers, days since the first of them say")
        try:
            found: Array = validate_data(self, X, dtype=np.float64, ensure_all_finite="allow-nan", **settings)
        except ValueError as error:
            if "could not convert string" not in str(error):
                raise
            raise ValueError(
                f"{error}: columns of text are read from a data frame, whose other columns are numbers"
            ) from None
        return np.ascontiguousarray(found)  # torch takes no negative strides

    def _checked(self, X: Any) -> Array:
        """Return rows of the fitted columns as numbers."""
        check_is_fitted(self)
        X = _as_pandas(X)
        if self.frame_ is not None and is_frame(X):
            validate_data(self, X, skip_check_array=True, reset=False)
            self._in_order(X)
            if not len(X):
                raise ValueError("Found array with 0 sample(s) while a minimum of 1 is required")
            x_ND = self.frame_.numbers(X)
        elif self.frame_ is not None and not self.frame_.plain:
            raise ValueError("this was fitted to a data frame with categories: give a data frame with the same columns")
        else:
            x_ND = self._array(X, reset=False)
        if np.isnan(x_ND).any() and not self.model_.takes_missing:
            raise ValueError(
                "X has missing cells (NaN), and this was fitted to complete rows: fit it with ordering='any'"
            )
        return x_ND

    def _in_order(self, frame: Any) -> None:
        """Refuse other columns, or another order, where names are no text: scikit-learn compares text alone."""
        given, known = [str(name) for name in frame.columns], list(cast(Frame, self.frame_).names)
        text = hasattr(self, "feature_names_in_") or all(isinstance(name, str) for name in frame.columns)
        if not text and given != known:
            raise ValueError(
                f"the columns are {names_of(given)}, and this was fitted to {names_of(known)}: give the latter, in "
                "their order"
            )

    @staticmethod
    def _index(X: Any, otherwise: Any) -> Any:
        """Return what the rows of a data frame are called."""
        frame = _as_pandas(X)
        return frame.index if is_frame(frame) else otherwise

    def _columns(self, dims: int) -> list[str]:
        """Return the names of the columns: those of a data frame, or their places."""
        return list(map(str, range(dims))) if self.frame_ is None else list(self.frame_.names)

    def _labels(self) -> dict[int, list[str]]:
        """Return the categories of columns that have some, by their place among those that the model uses."""
        columns = () if self.frame_ is None else self.frame_.columns
        return {u: columns[d].labels() for u, d in enumerate(self.model_.used) if columns and columns[d].words}

    def _codes(self) -> dict[str, tuple[str, ...]]:
        """Return the categories of columns that have some by the name of the column."""
        columns = () if self.frame_ is None else self.frame_.columns
        return {one.name: tuple(map(str, one.words)) for one in columns if one.words}

    def _as_given(self, x_ND: Array, given: Any = None) -> Any:
        """Return rows as a table like the one that was fitted, an array or a data frame.

        Args:
            x_ND: the rows.
            given: the table that they complete, whose cells stay as they are.
        """
        if self.frame_ is None:
            return x_ND
        given = _as_pandas(given)
        if not is_frame(given):
            return self.frame_.of_numbers(x_ND)
        return self.frame_.with_observed(self.frame_.of_numbers(x_ND, given.index), given)
