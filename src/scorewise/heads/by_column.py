"""One law per column of a table: densities of numbers, probabilities of whole numbers and categories."""

import math
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import torch
from torch import Generator, Tensor, nn

from scorewise.capabilities import ContextStream, StreamsFeatures
from scorewise.heads.columns import ColumnKind, ColumnLaws, Distribution, RowCells, numbered
from scorewise.heads.examples import Examples, Misfit, incomplete_examples, masks_of, of_rows
from scorewise.heads.model import CausalModel
from scorewise.noise import uniform_like
from scorewise.ordering import Ordering
from scorewise.ranges import Between, Count, within_ranges


class NumberedStream:
    """Contexts with the number of their column at the end, block by block.

    Args:
        stream: of the contexts without.
        sequence: the columns in their order.
    """

    def __init__(self, stream: ContextStream, sequence: Sequence[int]) -> None:
        self.stream, self.sequence, self.done = stream, list(sequence), 0

    def start(self, n: int) -> Tensor:
        """Return the context of the first block, shape (n, block, F + 1)."""
        self.done = 0
        return self._numbered(self.stream.start(n))

    def push(self, x_block: Tensor) -> Tensor:
        """Return the context of the next block, shape (n, block, F + 1), given the values of the current one."""
        self.done += x_block.shape[-1]
        return self._numbered(self.stream.push(x_block))

    def _numbered(self, c_BDF: Tensor) -> Tensor:
        return numbered(c_BDF, self.sequence[self.done : self.done + c_BDF.shape[-2]])


class ByColumn(CausalModel):
    """A product of conditionals, each by the law of its column's kind: NormalisedDensity, QuantileModel.

    `log_prob` is the sum of log-densities of columns of numbers, in their own units, and of log-probabilities of whole
    numbers, categories and spikes; `says` tells which is which. On a backbone of any order cells may be missing (NaN),
    and it is a density of incomplete rows: `given_the_rest`, `fill`, `cells`.

    Args:
        backbone: causal features, wide enough for the widest law, see `width_needed`.
        columns: one `ColumnKind` per entry, or its mapping: kind, and the numbers that its law rests on.
        components: K, Gaussians per conditional of a column of numbers.
        floor: standard deviation of the noise of every law of numbers at least, in units of the bulk's width.
        mean, std, noise: of the data, see `Model`: a column has its own, so they are 0, 1 and 0.

    Raises:
        ValueError: the number of columns or the width of the backbone does not fit, or the law has noise.

    Example:
        >>> import torch
        >>> from scorewise.backbones import MADE
        >>> from scorewise.heads import ByColumn
        >>> columns = [{"kind": "continuous"}, {"kind": "positive", "low": 0}, {"kind": "category", "levels": 3}]
        >>> model = ByColumn(MADE((3,), ByColumn.width_needed(columns=columns), (16,)), columns=columns)
        >>> model.log_prob([[0.3, 1.5, 2.0]]).shape
        torch.Size([1])
        >>> model.says()
        ['density', 'density', 'probability']
    """

    tells_runs_apart = True

    @within_ranges
    def __init__(
        self,
        backbone: nn.Module,
        *,
        columns: Sequence[Mapping[str, Any] | ColumnKind],
        components: Count = 10,
        floor: Annotated[float, Between(0, 1)] = 0.0,
        mean: float = 0.0,
        std: float = 1.0,
        noise: float = 0.0,
    ) -> None:
        super().__init__(backbone, mean=mean, std=std, noise=noise)
        if noise > 0:
            raise ValueError(f"head=by_column has a floor per column, and the law has noise {noise:g}: smooth nothing")
        self.columns = tuple(map(ColumnKind.of, columns))
        if len(self.columns) != self.dims:
            raise ValueError(f"{len(self.columns)} columns are described, and a row has {self.dims} entries")
        if any(column.given for column in self.columns) and not self.any_order:
            raise ValueError("columns that are only read need a backbone of any order: use backbone=masked_mlp")
        self.laws = ColumnLaws(self.columns, components, floor)
        if self.backbone.width != self.laws.width:
            raise ValueError(
                f"these columns read {self.laws.width} features each, and the backbone gives {backbone.width}"
            )
        self.register_buffer("given_D", torch.tensor([column.given for column in self.columns]), persistent=False)
        self.given_D: Tensor

    @staticmethod
    def width_needed(**settings: Any) -> int | None:
        """Return the features that the widest law reads; None where the columns are not known."""
        columns = settings.get("columns")
        if not columns:
            return None
        return ColumnLaws(list(map(ColumnKind.of, columns)), int(settings.get("components", 10))).width

    @property
    def usage(self) -> str:
        """Lines of Python for its card."""
        return "y = model.fill(x)  # NaN in x, drawn given the rest" if bool(self.given_D.any()) else super().usage

    def standardise(self, x_BD: Tensor) -> Tensor:
        """Return x: a column has its own scale."""
        return x_BD

    def says(self) -> list[str]:
        """Return of every column whether the model has its density or its probability."""
        return [self.laws.law(d).says for d in range(self.dims)]

    def only_read(self) -> Tensor:
        """Return which columns are only read, boolean, shape (D,)."""
        return self.given_D

    @of_rows
    def context(self, x_BD: Tensor) -> Tensor:
        """Return the context of every column from those before it, with its number at the end, shape (B, D, F + 1)."""
        if self.any_order:
            return self.context_along(x_BD, self.ordering)
        return numbered(super().context(x_BD), range(self.dims))

    def context_along(self, x_BD: Tensor, ordering: Ordering, known_BD: Tensor | None = None) -> Tensor:
        """Return the same along another order, for a model of any; missing cells are never known.

        Args:
            x_BD: rows; missing cells are NaN.
            ordering: of the columns.
            known_BD: boolean, which cells are known to all others; None: none.
        """
        place_D = ordering.positions().to(x_BD.device)
        before_DD = place_D < place_D[:, None]
        known_BD = torch.zeros_like(x_BD, dtype=torch.bool) if known_BD is None else known_BD
        return torch.cat([self.masked_context(x_BD, known_BD | before_DD[d], [d]) for d in range(self.dims)], 1)

    def masked_context(self, x_BD: Tensor, known_BD: Tensor, dims: Sequence[int] | None = None) -> Tensor:
        """Return the context of columns from what is known, with their numbers at the end, shape (B, D', F + 1).

        Columns that are only read are always known, and missing cells never.

        Args:
            x_BD: rows; missing cells are NaN.
            known_BD: boolean, which cells are known.
            dims: of which columns to return the context; None: of all.
        """
        known_BD = (known_BD | self.given_D) & ~x_BD.isnan()
        return numbered(super().masked_context(x_BD, known_BD, dims), range(self.dims) if dims is None else dims)

    def context_stream(self) -> ContextStream:
        """Return the contexts one column at a time, for sampling."""
        if isinstance(self.backbone, StreamsFeatures):
            return NumberedStream(self.backbone.feature_stream(), self.ordering.sequence)
        return super().context_stream()

    def conditional_log_prob(self, q_BD: Tensor, c_BDF: Tensor) -> Tensor:
        """Return the log-density in a column's own units, or the log-probability, shape of q.

        0 where q is missing, and of columns that are only read.
        """
        return self.laws.log_prob(q_BD, c_BDF)

    def conditional_cdf(self, q_BD: Tensor, c_BDF: Tensor) -> Distribution:
        """Return P(y < q) and P(y <= q), each of the shape of q, NaN where q is missing."""
        return self.laws.distribution(q_BD, c_BDF)

    def conditional_quantile(self, u_BD: Tensor, c_BDF: Tensor) -> Tensor:
        """Return the least x_d with P(y_d <= x_d | c_d) >= u_d, shape of u."""
        return self.laws.quantile(u_BD, c_BDF)

    def conditional_sample(self, c_BDF: Tensor, generator: Generator | None) -> Tensor:
        """Return an exact draw per context, shape (B, D): the quantile of a uniform number."""
        return self.conditional_quantile(uniform_like(c_BDF[..., 0], generator), c_BDF)

    def filled(self, x_BD: Tensor) -> Tensor:
        """Return rows as they are: a law takes missing cells."""
        return x_BD

    @of_rows
    def log_prob(self, x_BD: Tensor) -> Tensor:
        """Return the sum of log-densities and log-probabilities of the observed cells, nats, shape (B,).

        Of several orders, that of their equal mixture. What is only read adds nothing.
        """
        return self.over_orders(x_BD, lambda c_BDF: self.conditional_log_prob(x_BD, c_BDF).sum(-1))

    @torch.no_grad()
    def surprise(self, x_BD: Tensor) -> Tensor:
        """Return what every cell adds to - log q, the mean over the orders, nats, shape (B, D); NaN where missing."""
        contexts = [self.context_along(x_BD, ordering) for ordering in self.orderings]
        found_BD = -torch.stack([self.conditional_log_prob(x_BD, c_BDF) for c_BDF in contexts]).mean(0)
        return found_BD.masked_fill(x_BD.isnan(), torch.nan)

    def outlier_score(self, x: Any) -> Tensor:
        """Return - log q of the observed part of rows, larger is odder, nats.

        Raises:
            Misfit: x is no such rows.
        """
        if not self.any_order:
            return super().outlier_score(x)
        with torch.no_grad():
            return -self.log_prob(x)

    def log_prob_of_rest(self, x_BD: Any, known: Any) -> Tensor:
        """Return the log-density of the observed cells that are not known given the known ones, nats, shape (B,).

        Args:
            x_BD: rows, NaN where a cell is missing.
            known: boolean, which cells are known, of one row or of each; what is only read always is.

        Raises:
            ValueError: a model of one order.
            Misfit: x is no such rows, or known no such mask.
        """
        examples, known_BD = self._known(x_BD, known)
        rows_BD = examples.rows_BD
        rest_BD = torch.where(known_BD, torch.nan, rows_BD)
        found = [
            self.conditional_log_prob(rest_BD, self.context_along(rows_BD, ordering, known_BD)).sum(-1)
            for ordering in self.orderings
        ]
        return examples.answer(torch.logsumexp(torch.stack(found), 0) - math.log(len(found)))

    def _known(self, x_BD: Any, known: Any) -> tuple[Examples, Tensor]:
        """Return rows, and which of their cells are known.

        Raises:
            ValueError: a model of one order.
            Misfit: x is no such rows, or known no such mask.
        """
        if not self.any_order:
            raise ValueError("a model of one order has no conditionals but its own: train with backbone=masked_mlp")
        examples = incomplete_examples(self, x_BD)
        return examples, masks_of(self, known, examples)

    def cells(self, x_BD: Any, known: Any) -> RowCells:
        """Return what the model says of every cell given the known others of its row; of missing cells too.

        Args:
            x_BD: rows, NaN where a cell is missing.
            known: boolean, which cells may be read, of one row or of each; what is only read always is.

        Raises:
            ValueError: a model of one order.
            Misfit: x is no such rows, or known no such mask.
        """
        examples, known_BD = self._known(x_BD, known)
        rows_BD = examples.rows_BD
        others_DD = ~torch.eye(self.dims, dtype=torch.bool, device=rows_BD.device)
        with torch.no_grad():
            found = [self.masked_context(rows_BD, known_BD & others_DD[d], [d]) for d in range(self.dims)]
        return RowCells(self.laws, rows_BD, torch.cat(found, 1))

    def given_the_rest(self, x_BD: Any) -> RowCells:
        """Return what the model says of every cell given all other observed cells of its row."""
        return self.cells(x_BD, torch.ones(self.dims, dtype=torch.bool))

    def fill(self, x_BD: Any, generator: Generator | None = None) -> Tensor:
        """Return rows with their missing cells (NaN) drawn from the model given the observed ones, shape of x.

        Raises:
            ValueError: a model of one order, or without an ancestral sampler.
            Misfit: x is no such rows, or lacks what is only read.
        """
        if not self.any_order:
            raise ValueError("a model of one order fills no cells: train with backbone=masked_mlp")
        examples = incomplete_examples(self, x_BD)
        if bool((examples.rows_BD.isnan() & self.given_D).any()):
            raise Misfit("x lacks a cell of a column that the model only reads and so cannot draw.")
        return examples.answer(self.complete(examples.rows_BD, ~examples.rows_BD.isnan(), generator))

    def _fill(self, x_BD: Tensor, known_BD: Tensor, generator: Generator | None) -> Tensor:
        if bool((self.given_D & ~known_BD).any()):
            raise Misfit("the model only reads some of its columns and cannot draw them: mark them as known.")
        return super()._fill(x_BD, known_BD, generator)

    def sample(self, n: int, generator: Generator | None = None) -> Tensor:
        """Return n rows drawn from the model, shape (n, D).

        Raises:
            ValueError: the model only reads some columns, or see `Model.sample`.
        """
        if bool(self.given_D.any()):
            raise ValueError("the model only reads some of its columns: fill(x) draws the others, NaN in x, given them")
        return super().sample(n, generator)
