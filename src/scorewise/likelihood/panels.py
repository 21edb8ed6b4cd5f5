"""Composite Gauss-Legendre panels: nodes, weights, and the antiderivative of the polynomial through the nodes."""

from functools import lru_cache

import numpy as np
import torch
from numpy.polynomial import legendre
from torch import Tensor


@lru_cache
def _reference(order: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return nodes t (m,), weights (m,), int_-1^t_i l_j (m, m) and the monomials of int_-1^t l_j (m, m + 1)."""
    t_m, w_m = legendre.leggauss(order)
    rows = []
    for j in range(order):
        # l_j in Legendre polynomials: (2k + 1) / 2 w_j P_k(t_j), exact because the rule is exact to degree 2m - 1
        coefficients = [(2 * k + 1) / 2 * w_m[j] * legendre.legval(t_m[j], np.eye(order)[k]) for k in range(order)]
        rows.append(legendre.leg2poly(legendre.legint(coefficients, lbnd=-1)))
    monomials_mp = np.stack([np.pad(row, (0, order + 1 - len(row))) for row in rows])
    inside_mm = np.stack([np.polynomial.polynomial.polyval(t_m, row) for row in monomials_mp], axis=1)
    return torch.tensor(t_m), torch.tensor(w_m), torch.tensor(inside_mm), torch.tensor(monomials_mp)


@lru_cache
def _watch(order: int) -> Tensor:
    """Return the rows (4, m) that give the two last Legendre coefficients and the values at both ends."""
    t_m, w_m = legendre.leggauss(order)
    k_m = np.arange(order)
    coefficients_mm = (k_m + 0.5)[:, None] * w_m * legendre.legvander(t_m, order - 1).T
    ends_2m = np.stack([(-1.0) ** k_m, np.ones(order)]) @ coefficients_mm
    return torch.tensor(np.concatenate([coefficients_mm[-2:], ends_2m]))


class Panels:
    """P panels of m Gauss-Legendre nodes that cover [low, low + length], for R rows at once.

    Every number is float64, whatever the rows are in: nodes are few and networks expensive.

    Args:
        low: left end, one number or one per row (R,).
        length: of the whole range.
        panels: P.
        order: m, nodes per panel.

    Raises:
        ValueError: an empty range, or no panel.

    Example:
        >>> import torch
        >>> from scorewise.likelihood import Panels
        >>> panels = Panels(low=0.0, length=0.5, panels=2)
        >>> panels.integrate(panels.nodes().reshape(2, 8, 1) ** 2)
        tensor([[0.0052],
                [0.0365]], dtype=torch.float64)
    """

    def __init__(self, low: Tensor | float, length: float, panels: int, order: int = 8) -> None:
        if not length > 0 or panels < 1 or order < 2:
            raise ValueError(f"{panels} panels of {order} nodes on a range of length {length:g} are no quadrature rule")
        self.low = torch.as_tensor(low, dtype=torch.float64)
        self.length, self.count, self.order = length, panels, order
        self.width = length / panels
        self.t_m, self.w_m, self.inside_mm, self.monomials_mp = (part.to(self.low.device) for part in _reference(order))

    @property
    def high(self) -> Tensor:
        """The right end, shape of low."""
        return self.low + self.length

    def nodes(self) -> Tensor:
        """Return the nodes, shape (P m, 1) or (P m, R)."""
        starts_P = self.width * torch.arange(self.count, dtype=torch.float64, device=self.low.device)
        offset_G = (starts_P[:, None] + 0.5 * self.width * (self.t_m + 1)).flatten()
        return self.low.reshape(1, -1) + offset_G[:, None]

    def integrate(self, f_PmR: Tensor) -> Tensor:
        """Return int f over every panel, shape (P, R)."""
        return 0.5 * self.width * torch.einsum("m,pmr->pr", self.w_m, f_PmR)

    def antiderivative(self, f_PmR: Tensor) -> Tensor:
        """Return int f from the start of each panel to its nodes, shape (P, m, R)."""
        return 0.5 * self.width * torch.einsum("im,pmr->pir", self.inside_mm, f_PmR)

    def interpolation_error(self, f_PmR: Tensor) -> Tensor:
        """Return about how wrong int f is over every panel and within it, shape (P, R), without another value of f.

        It is judged by the last Legendre coefficients, which decay fast where f is smooth, and by the jumps between the
        polynomials of neighbouring panels, behind which a step may hide.
        """
        a_PR, b_PR, left_PR, right_PR = torch.einsum("km,pmr->kpr", _watch(self.order).to(f_PmR), f_PmR)
        jump_PR = (left_PR[1:] - right_PR[:-1]).abs()
        pad = torch.nn.functional.pad
        hidden_PR = torch.maximum(pad(jump_PR, (0, 0, 0, 1)), pad(jump_PR, (0, 0, 1, 0)))
        beyond = 0.5 * (1 - float(self.t_m[-1])) * self.width
        return 0.125 * self.width * torch.maximum(a_PR.abs(), b_PR.abs()) + beyond * hidden_PR

    def rule_error(self, f_PmR: Tensor) -> Tensor:
        """Return about how wrong the rule, exact to degree 2m - 1, is for int f of f >= 0 in every panel, (P, R)."""
        last_PR = torch.einsum("km,pmr->kpr", _watch(self.order)[:2].to(f_PmR), f_PmR).abs().amax(0)
        return self.width * last_PR.square() / f_PmR.amax(1).clamp(min=torch.finfo(torch.float64).tiny)

    def place(self, x_R: Tensor) -> tuple[Tensor, Tensor]:
        """Return the panel of every x (the nearest, for x outside) and the place in it, in [-1, 1]."""
        along_R = (x_R - self.low) / self.width
        panel_R = along_R.detach().floor().clamp(0, self.count - 1)
        return panel_R.long(), (2 * (along_R - panel_R) - 1).clamp(-1, 1)

    def powers(self, t_R: Tensor) -> Tensor:
        """Return t^0 .. t^m, shape (R, m + 1)."""
        return t_R.unsqueeze(-1) ** torch.arange(self.order + 1, device=t_R.device)

    def within(self, f_Rm: Tensor, t_R: Tensor) -> Tensor:
        """Return int f from the start of a panel to the place t in it, for values f at its nodes, shape (R,)."""
        return 0.5 * self.width * ((f_Rm @ self.monomials_mp) * self.powers(t_R)).sum(-1)

    def invert(self, f_Rm: Tensor, mass_R: Tensor) -> Tensor:
        """Return the place t where the integral of f > 0 from the start of its panel reaches a mass, shape (R,).

        Newton's method, begun between the nodes that bracket the mass and kept there.
        """
        target_R = mass_R / (0.5 * self.width)
        at_nodes_Rm = (f_Rm @ self.inside_mm.T).cummax(-1).values
        ends_R = (f_Rm * self.w_m).sum(-1, keepdim=True)
        below_Rm = torch.nn.functional.pad(at_nodes_Rm, (1, 0))
        above_Rm = torch.maximum(torch.cat([at_nodes_Rm, ends_R], -1), below_Rm)
        edges = torch.nn.functional.pad(torch.nn.functional.pad(self.t_m, (1, 0), value=-1.0), (0, 1), value=1.0)
        cell_R1 = (torch.searchsorted(above_Rm.contiguous(), target_R.unsqueeze(-1))).clamp(max=self.order)
        left_R, right_R = edges[cell_R1].squeeze(-1), edges[cell_R1 + 1].squeeze(-1)
        f0_R, f1_R = below_Rm.gather(-1, cell_R1).squeeze(-1), above_Rm.gather(-1, cell_R1).squeeze(-1)
        share_R = ((target_R - f0_R) / (f1_R - f0_R).clamp(min=torch.finfo(torch.float64).tiny)).clamp(0, 1)
        t_R = left_R + share_R * (right_R - left_R)
        coefficients_Rp = f_Rm @ self.monomials_mp
        slopes_Rp = coefficients_Rp[:, 1:] * torch.arange(1, self.order + 1, device=t_R.device)
        for _ in range(4):
            powers_Rp = self.powers(t_R)
            miss_R = (coefficients_Rp * powers_Rp).sum(-1) - target_R
            slope_R = (slopes_Rp * powers_Rp[:, :-1]).sum(-1)
            step_R = torch.where(slope_R > 0, miss_R / slope_R, torch.zeros_like(t_R))
            t_R = torch.minimum(torch.maximum(t_R - step_R, left_R), right_R)
        return t_R

    def position(self, panel_R: Tensor, t_R: Tensor) -> Tensor:
        """Return the x at a place of a panel, shape (R,)."""
        return self.low + self.width * (panel_R + 0.5 * (t_R + 1))
