"""One law per column of a table: densities of numbers, probabilities of whole numbers and categories."""

from collections.abc import Mapping, Sequence
from typing import Any

from torch import Generator, Tensor, nn

from scorewise.capabilities import ContextStream, StreamsFeatures
from scorewise.heads.columns import ColumnKind, ColumnLaws, Distribution, numbered
from scorewise.heads.examples import of_examples
from scorewise.heads.model import CausalModel
from scorewise.heads.streams import FullPassStream
from scorewise.noise import uniform_like
from scorewise.ranges import Count, within_ranges


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
    numbers, categories and spikes; `says` tells which is which.

    Args:
        backbone: causal features, wide enough for the widest law, see `width_needed`.
        columns: one `ColumnKind` per entry, or its mapping: kind, and the numbers that its law rests on.
        components: K, Gaussians per conditional of a column of numbers.
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
        self.laws = ColumnLaws(self.columns, components)
        if self.backbone.width != self.laws.width:
            raise ValueError(
                f"these columns read {self.laws.width} features each, and the backbone gives {backbone.width}"
            )

    @staticmethod
    def width_needed(**settings: Any) -> int | None:
        """Return the features that the widest law reads; None where the columns are not known."""
        columns = settings.get("columns")
        if not columns:
            return None
        return ColumnLaws(list(map(ColumnKind.of, columns)), int(settings.get("components", 10))).width

    def standardise(self, x_BD: Tensor) -> Tensor:
        """Return x: a column has its own scale."""
        return x_BD

    def says(self) -> list[str]:
        """Return of every column whether the model has its density or its probability."""
        return [self.laws.law(d).says for d in range(self.dims)]

    def context(self, x_BD: Tensor) -> Tensor:
        """Return the context of every column from those before it, with its number at the end, shape (B, D, F + 1)."""
        return numbered(super().context(x_BD), range(self.dims))

    def context_stream(self) -> ContextStream:
        """Return the contexts one column at a time, for sampling."""
        if isinstance(self.backbone, StreamsFeatures):
            return NumberedStream(self.backbone.feature_stream(), self.ordering.sequence)
        return FullPassStream(self)

    def conditional_log_prob(self, q_BD: Tensor, c_BDF: Tensor) -> Tensor:
        """Return the log-density in a column's own units, or the log-probability, shape of q; 0 where q is missing."""
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

    @of_examples
    def log_prob(self, x_BD: Tensor) -> Tensor:
        """Return the sum of log-densities and log-probabilities of every row, nats, shape (B,)."""
        return self.conditional_log_prob(x_BD, self.context(x_BD)).sum(-1)
