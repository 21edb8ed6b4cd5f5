"""Tables with columns of several kinds and missing cells: one network of any order, one law per column."""

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Self, final

import numpy as np
import torch
from torch import Generator, Tensor

from scorewise.backbones import MaskedMLP
from scorewise.data.tabular.columns import moments, varies
from scorewise.data.tabular.kinds import FoundKind
from scorewise.data.tabular.mixed import kinds_of, of_codes
from scorewise.densities.complete_rows import FARTHEST, standardised
from scorewise.densities.table_density import Array, TableDensity
from scorewise.densities.training import train
from scorewise.densities.views import Recipe, held_out
from scorewise.heads import ByColumn
from scorewise.noise import Draws, OwnNumbers
from scorewise.objectives import MLE
from scorewise.outliers import CellFindings
from scorewise.sampling import Exact

FLOOR = 1 / 3
"""The least standard deviation of a law of numbers, in those of the smoothing: rows have no noise here."""
RESOLUTION = 1e-13
"""The scale of a constant column of numbers so large that 1 is none, as a share of them."""
TOGETHER = 4096
"""Rows that are looked at in one pass."""


@final
@dataclass(repr=False)
class IncompleteRows(TableDensity):
    """A model of any order, one law per column, of rows whose cells may be missing.

    Args:
        model: of standardised rows and codes, float64.
        used: the columns that some row had a value in.
        kinds: of these.
        mean_U, scale_U: of these, in their own units; 0 and 1 where they are codes.
        expected_U: what a cell of each adds to - log q on average, nats.
        width: how many columns there are.
    """

    says = "one law per column given any others, of columns of several kinds and incomplete rows"
    takes_missing = True

    model: ByColumn
    used: list[int]
    kinds: tuple[FoundKind, ...]
    mean_U: Array
    scale_U: Array
    expected_U: Tensor
    width: int

    @classmethod
    @torch.inference_mode(False)
    def fitted(cls, x_ND: Array, names: Sequence[str], codes: Mapping[str, tuple[str, ...]], recipe: Recipe) -> Self:
        """Return the model of rows in random order.

        Args:
            x_ND: the rows, NaN where a cell is missing.
            names: of the columns.
            codes: the categories of columns whose numbers are codes.
            recipe: how it is fitted.
        """
        raw_ND = torch.as_tensor(x_ND)
        used = (~raw_ND.isnan()).any(0).nonzero()[:, 0].tolist()
        raw_NU, of_used = raw_ND[:, used], [names[d] for d in used]
        several = varies(raw_NU).tolist()
        (mean_U, scale_U), kinds = moments(raw_NU), list(kinds_of(of_used, raw_NU, codes, {}))
        for u, kind in enumerate(kinds):
            if not several[u] and not kind.levels:  # as if its standard deviation were 1
                kinds[u] = FoundKind("continuous", "one value")
                scale_U[u] = max(1.0, RESOLUTION * abs(float(mean_U[u])))
        is_code_U = of_codes(kinds)
        mean_U, scale_U = torch.where(is_code_U, 0.0, mean_U), torch.where(is_code_U, 1.0, scale_U)
        laws = [
            kind.recipe(raw_NU[:, u], float(mean_U[u]), float(scale_U[u])) | ({} if several[u] else {"std": 1.0})
            for u, kind in enumerate(kinds)
        ]
        mean, scale = mean_U.numpy(), scale_U.numpy()
        fit_ND, held_VD = held_out(standardised(raw_NU.numpy(), mean, scale))
        model = _trained(laws, used, fit_ND, held_VD, recipe)
        expected_U = model.surprise(held_VD).nanmean(0).nan_to_num(0.0)
        return cls(model, used, tuple(kinds), mean, scale, expected_U, len(names))

    @property
    def unordered(self) -> list[int]:  # type: ignore[override]
        """Which of the columns that are used hold codes."""
        return [u for u, kind in enumerate(self.kinds) if kind.levels]

    def _standard(self, x_ND: Array) -> Tensor:
        """Return rows in standard deviations; whole numbers that are too far away as the last that is not."""
        z_NU = standardised(x_ND[:, self.used], self.mean_U, self.scale_U)
        for u, kind in enumerate(self.kinds):
            if kind.kind == "whole":
                steps_2 = (self.mean_U[u] + self.scale_U[u] * np.array([-FARTHEST, FARTHEST]) - kind.first) / kind.step
                low, high = (kind.first + kind.step * np.trunc(steps_2) - self.mean_U[u]) / self.scale_U[u]
                z_NU[:, u] = z_NU[:, u].clamp(low, high)
        return z_NU

    @torch.no_grad()
    def log_prob(self, x_ND: Array) -> Array:
        """Return log q of the observed cells of every row in nats, shape (N,).

        Densities of numbers are in the columns' own units, and the others are probabilities.
        """
        found: Array = torch.cat([self.model.log_prob(z) for z in self._standard(x_ND).split(TOGETHER)]).numpy()
        return found

    def outlier_score(self, x_ND: Array, fitted: bool = False) -> Tensor:
        """Return - log q of the observed cells less what such cells have on average, shape (N,).

        So rows that lack cells can be compared with others, roughly: what a cell has also depends on which are known.
        Training ends before single rows are learned, so rows that were fitted are treated like others.
        """
        if not len(x_ND):
            return torch.zeros(0).double()
        usual_N = torch.as_tensor(~_missing(x_ND[:, self.used])).to(self.expected_U) @ self.expected_U
        return -torch.as_tensor(self.log_prob(x_ND)) - usual_N

    def cells(self, x_ND: Array) -> CellFindings:
        """Return what was expected in every cell of the columns that are used, given all observed others of its row."""
        z_BU = self._standard(x_ND)
        found = CellFindings.of(self.model, z_BU, self.unordered)
        found = found.in_units(torch.as_tensor(self.mean_U), torch.as_tensor(self.scale_U))
        ends = {name: self._of_kinds(getattr(found, name)) for name in ("expected_BD", "low_BD", "high_BD")}
        return replace(found, found_BD=torch.as_tensor(x_ND[:, self.used]), **ends)

    def ends(self, x_ND: Array, shares: Sequence[float]) -> list[Array]:
        """Return quantiles of every cell given all observed others of its row; NaN of categories, shape (N, D) each."""
        cells = self.model.given_the_rest(self._standard(x_ND))
        found = []
        for share in shares:
            z_BU = cells.quantile(share)
            z_BU[:, self.unordered] = torch.nan
            found.append(self._original(z_BU))
        return found

    def fill(self, x_ND: Array, generator: Generator) -> Array:
        """Return rows whose missing cells are drawn given the observed ones, those of unused columns apart."""
        drawn_ND = self._original(self.model.fill(self._standard(x_ND), generator))
        found: Array = x_ND.copy()
        missing_ND = _missing(x_ND)
        found[missing_ND] = drawn_ND[missing_ND]
        return found

    def sample(self, n: int, generator: Generator) -> Array:
        """Return new rows, NaN in columns that are not used, shape (n, D)."""
        return self._original(self.model.sample(n, generator))

    def _original(self, z_BU: Tensor) -> Array:
        """Return rows in their own units, in all columns."""
        x_BU = self._of_kinds(z_BU * torch.as_tensor(self.scale_U) + torch.as_tensor(self.mean_U))
        x_BD = torch.full((len(z_BU), self.width), torch.nan, dtype=torch.float64)
        x_BD[:, self.used] = x_BU
        found: Array = x_BD.numpy()
        return found

    def _of_kinds(self, x_BU: Tensor) -> Tensor:
        """Return numbers in their own units as their kind has them: whole ones and spikes without rounding."""
        x_BU = x_BU.clone()
        for u, kind in enumerate(self.kinds):
            if kind.kind == "whole":
                x_BU[:, u] = kind.first + kind.step * ((x_BU[:, u] - kind.first) / kind.step).round()
            for spike in kind.spikes:
                near_B = (x_BU[:, u] - spike).abs() <= 1e-6 * float(self.scale_U[u])
                x_BU[near_B, u] = spike
        return x_BU


def _missing(x_ND: Array) -> Any:
    return x_ND != x_ND


def _of_used(ordering: str | Sequence[int], used: list[int]) -> str | Sequence[int]:
    """Return an order of the columns that are used, from one of all."""
    return ordering if isinstance(ordering, str) else [used.index(d) for d in ordering if d in used]


def _trained(
    laws: Sequence[Mapping[str, Any]], used: list[int], fit_ND: Tensor, held_VD: Tensor, recipe: Recipe
) -> ByColumn:
    """Return the network that was trained on known parts of rows, float64."""
    with OwnNumbers(recipe.seed, torch.float32):
        width = ByColumn.width_needed(columns=laws, components=recipe.components)
        assert width is not None
        backbone = MaskedMLP(
            (fit_ND.shape[1],),
            width,
            tuple(recipe.hidden),
            levels=[int(law.get("levels", 0)) for law in laws],
            ordering=_of_used(recipe.orderings[0], used),
            ordering_seed=recipe.seed,
            orders=len(recipe.orderings),
        )
        floor = FLOOR * recipe.smoothing
        model = ByColumn(backbone, columns=laws, components=recipe.components, floor=min(floor, 1.0))
    exact, objective = copy.deepcopy(model).double(), MLE()  # before its numbers are rounded

    def loss(model: ByColumn, x_BD: Tensor, generator: Generator) -> Tensor:
        draws = Draws.fresh(len(x_BD), generator)
        return objective.per_example(model, x_BD, draws) / x_BD.shape[1]

    trained = train(model.float(), loss, fit_ND.float(), held_VD.float(), recipe.schedule, recipe.seed)
    exact.load_state_dict(trained.state_dict())
    exact.sampler = Exact()
    return exact.eval()
