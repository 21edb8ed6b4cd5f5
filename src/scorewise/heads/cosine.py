"""Conditional log-densities as cosine series whose coefficients come from the context."""

import math
from typing import Any

import torch
from torch import Tensor, nn

from scorewise.heads.examples import of_examples, of_queries, of_rows
from scorewise.heads.model import CausalModel
from scorewise.ranges import Count, Position, within_ranges

AT_ONCE = 2**20
"""Cells of quantiles that are held at once."""


class Cosine(CausalModel):
    """Conditionals whose logarithms are cosine series: ClosedFormDensity.

    log q(x_d | x_<d) = sum_k a_dk cos(k pi (x_d - low) / (high - low)) - log Z_d.

    Outside [low, high] the series continues as a Gaussian tail, E(edge) - t^2 / (2 tau^2) at the distance t; there the
    slope of the series is 0, so the score is continuous. Z is the midpoint rule on nodes that all conditionals share,
    so it costs one matrix product, plus the two tails in closed form.

    Args:
        backbone: causal features of width K: the coefficients a_d.
        low, high: the range, in the scale of the data.
        terms: K, cosines per conditional; they resolve about (high - low) / K.
        nodes: of the midpoint rule in training; None: 2 K. Below 4 K / 3 the coefficients would exploit its aliasing.
        mean, std, noise: of the data, see `Model`; the tails are as wide as the noise, or the scale without it.

    Raises:
        ValueError: an empty range, too few nodes, or a backbone of another width.

    Example:
        >>> import torch
        >>> from scorewise.backbones import MADE
        >>> from scorewise.heads import Cosine
        >>> model = Cosine(MADE((2,), 24, (16,)), low=-6, high=6, terms=24, noise=0.3)
        >>> x = torch.randn(5, 2)
        >>> model.log_prob(x).shape
        torch.Size([5])
    """

    @within_ranges
    def __init__(
        self,
        backbone: nn.Module,
        *,
        low: Position,
        high: Position,
        terms: Count = 48,
        nodes: int | None = None,
        mean: float = 0.0,
        std: float = 1.0,
        noise: float = 0.0,
    ) -> None:
        super().__init__(backbone, mean=mean, std=std, noise=noise)
        if self.backbone.width != terms:
            raise ValueError(
                f"a cosine series of {terms} terms reads {terms} features per dimension, the backbone gives "
                f"{backbone.width}"
            )
        nodes = 2 * terms if nodes is None else nodes
        if not low < high:
            raise ValueError(f"head.low={low} must be below head.high={high}: they are the range of the series")
        if 3 * nodes < 4 * terms:
            raise ValueError(
                f"head.nodes={nodes} is below 4/3 of head.terms={terms}: the normaliser would be wrong without notice"
            )
        self.low, self.high, self.terms, self.nodes = float(low), float(high), terms, nodes
        self.tau = noise if noise > 0 else math.hypot(std, noise)
        self.register_buffer("k", torch.arange(1, terms + 1), persistent=False)
        self.k: Tensor

    @staticmethod
    def width_needed(**settings: Any) -> int | None:
        """Return K, one coefficient per cosine."""
        return int(settings.get("terms", 48))

    def _angles(self, q_BD: Tensor) -> Tensor:
        """Return k pi (q - low) / (high - low), shape (..., K), of queries moved into the range."""
        place_BD = (q_BD.clamp(self.low, self.high) - self.low) * (math.pi / (self.high - self.low))
        return place_BD.unsqueeze(-1) * self.k

    def _excess(self, q_BD: Tensor) -> Tensor:
        """Return how far a query is outside the range, with its sign; 0 inside."""
        return q_BD - q_BD.clamp(self.low, self.high)

    @of_queries
    def conditional_energy(self, q_BD: Tensor, c_BDF: Tensor) -> Tensor:
        """Return - log q(q_d | c_d) + constant, shape of q; leading axes of q broadcast."""
        series_BD = (c_BDF * self._angles(q_BD).cos()).sum(-1)
        return 0.5 * (self._excess(q_BD) / self.tau).square() - series_BD

    @of_queries
    def conditional_score(self, q_BD: Tensor, c_BDF: Tensor) -> Tensor:
        """Return d/dq log q(q | c), shape of q: - sum_k a_k (k pi / length) sin(k pi place) inside the range."""
        frequency_K = self.k * (math.pi / (self.high - self.low))
        series_BD = -(c_BDF * frequency_K * self._angles(q_BD).sin()).sum(-1)
        return series_BD - self._excess(q_BD) / self.tau**2

    def log_normaliser(self, c_BDF: Tensor, nodes: int | None = None) -> Tensor:
        """Return log Z per context in nats, shape (B, D); by four times the nodes outside of training."""
        nodes = nodes or (self.nodes if self.training else 4 * self.nodes)
        place_G = (torch.arange(nodes, device=c_BDF.device) + 0.5) / nodes
        cos_GK = (math.pi * place_G.to(c_BDF.dtype)[:, None] * self.k).cos()
        log_cell = math.log((self.high - self.low) / nodes)
        # At the edges every cosine is +1 (low) or (-1)^k (high).
        sign_2K = torch.stack([torch.ones_like(self.k), 1 - 2 * (self.k % 2)]).to(c_BDF.dtype)
        log_tail = math.log(self.tau * math.sqrt(math.pi / 2))
        inside_BDG, tails_BD2 = c_BDF @ cos_GK.T + log_cell, c_BDF @ sign_2K.T + log_tail
        return torch.logsumexp(torch.cat([inside_BDG, tails_BD2], dim=-1), dim=-1)

    def conditional_log_prob(self, q_BD: Tensor, c_BDF: Tensor) -> Tensor:
        """Return log q(q_d | c_d) in nats, shape of q; leading axes of q broadcast."""
        return -self.conditional_energy(q_BD, c_BDF) - self.log_normaliser(c_BDF)

    @of_rows
    def log_prob(self, x_BD: Tensor) -> Tensor:
        """Return log q(x) in nats, shape (B,), in full precision inside `torch.autocast` too."""
        with torch.autocast(x_BD.device.type, enabled=False):
            return self.rows_log_prob(x_BD, self.conditional_log_prob)

    @of_examples
    def quadrature_error(self, x_BD: Tensor) -> Tensor:
        """Return |log q| against twice the nodes of the normaliser, nats, shape (B,)."""
        nodes = self.nodes if self.training else 4 * self.nodes
        with torch.no_grad():
            c_BDF = self.context(x_BD)
            return (self.log_normaliser(c_BDF, nodes) - self.log_normaliser(c_BDF, 2 * nodes)).sum(-1).abs()

    def conditional_quantile(self, u_BD: Tensor, c_BDF: Tensor) -> Tensor:
        """Return the x_d with q(y_d < x_d | c_d) = u_d, shape (B, D)."""
        with torch.autocast(c_BDF.device.type, enabled=False):
            rows = max(1, AT_ONCE // (32 * self.terms))
            parts = zip(c_BDF.flatten(0, 1).split(rows), u_BD.flatten().split(rows), strict=True)
            x_R = torch.cat([self._quantile_of_rows(u_r.to(torch.float64), c_rK) for c_rK, u_r in parts])
        return x_R.reshape(u_BD.shape).to(c_BDF.dtype)

    def _quantile_of_rows(self, u_R: Tensor, c_RK: Tensor) -> Tensor:
        cells = 32 * self.terms
        place_G = torch.arange(cells + 1, device=u_R.device, dtype=torch.float64) / cells
        cos_GK = (math.pi * place_G[:, None] * self.k).cos().to(c_RK.dtype)
        log_f_RG = (c_RK @ cos_GK.T - self.log_normaliser(c_RK[None])[0].unsqueeze(-1)).to(torch.float64)
        f_RG, width = log_f_RG.exp(), (self.high - self.low) / cells
        tail_2R = f_RG[:, [0, -1]].T * self.tau * math.sqrt(math.pi / 2)
        mass_RG = 0.5 * width * (f_RG[:, 1:] + f_RG[:, :-1])
        left_RG = torch.nn.functional.pad(mass_RG.cumsum(-1), (1, 0))
        inside_R = 1 - tail_2R.sum(0)  # the trapezoid rule is spectral too: its total is this up to rounding
        left_RG = tail_2R[0, :, None] + left_RG * (inside_R / left_RG[:, -1]).unsqueeze(-1)
        cell_R1 = (torch.searchsorted(left_RG.contiguous(), u_R.contiguous().unsqueeze(-1), right=True) - 1).clamp(
            0, cells - 1
        )
        f0_R, f1_R = f_RG.gather(-1, cell_R1).squeeze(-1), f_RG.gather(-1, cell_R1 + 1).squeeze(-1)
        wanted_R = ((u_R - left_RG.gather(-1, cell_R1).squeeze(-1)) / width).clamp(min=0)
        # A linear density in the cell: f0 t + (f1 - f0) t^2 / 2 = wanted, the root that is stable for f1 = f0.
        root_R = (f0_R.square() + 2 * (f1_R - f0_R) * wanted_R).clamp(min=0).sqrt()
        t_R = (2 * wanted_R / (f0_R + root_R).clamp(min=torch.finfo(torch.float64).tiny)).clamp(0, 1)
        x_R = self.low + width * (cell_R1.squeeze(-1) + t_R)
        beyond_2R = torch.stack([u_R, 1 - u_R])
        z_2R = torch.special.ndtri(0.5 * (beyond_2R / tail_2R).clamp(1e-300, 1)).abs() * self.tau
        x_R = torch.where(u_R < tail_2R[0], self.low - z_2R[0], x_R)
        return torch.where(1 - u_R < tail_2R[1], self.high + z_2R[1], x_R)
