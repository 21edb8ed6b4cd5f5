"""Normalised one-dimensional densities from values of their scores or energies at quadrature nodes."""

import math
from collections.abc import Callable

import torch
from torch import Tensor

from scorewise.likelihood.panels import Panels


class Conditionals:
    """R densities q(y) = exp(E(y)) / Z on the line, with log-density, distribution function and quantiles.

    Inside the panels E is the antiderivative of the polynomial through the nodes; outside it continues with the slope
    a that it has at the edge and a confining curvature: E(edge) + a t - t^2 / (2 tau^2) at the distance t, whose
    integral is a Gaussian's.

    Args:
        panels: the rule.
        energy_PmR: E at the nodes, relative to the left end.
        ends_2R: E at the left end (0 for scores) and at the right end, on the same scale.
        slopes_2R: outward slopes a at both ends.
        tau: width of the tails.
        score_PmR: the score at the nodes, where E came from it.
    """

    def __init__(
        self,
        panels: Panels,
        energy_PmR: Tensor,
        ends_2R: Tensor,
        slopes_2R: Tensor,
        tau: float,
        score_PmR: Tensor | None = None,
        edges_PR: Tensor | None = None,
    ) -> None:
        self.panels, self.energy_PmR, self.tau = panels, energy_PmR, tau
        self.ends_2R, self.slopes_2R = ends_2R, slopes_2R
        self.score_PmR, self.edges_PR = score_PmR, edges_PR
        log_w_m = (0.5 * panels.width * panels.w_m).log()
        inside_R = torch.logsumexp((energy_PmR + log_w_m[:, None]).flatten(0, 1), dim=0)
        self.log_tail_2R = ends_2R + _log_tail(slopes_2R, tau)
        self.log_z_R = torch.logsumexp(torch.cat([inside_R[None], self.log_tail_2R]), dim=0)

    @classmethod
    def of_score(cls, panels: Panels, score: Callable[[Tensor], Tensor], tau: float) -> "Conditionals":
        """Return densities from their scores.

        Args:
            panels: the rule.
            score: from queries (G, R) or (G, 1) to scores (G, R).
            tau: width of the tails.
        """
        ends_2 = torch.stack([panels.low.reshape(-1), panels.high.reshape(-1)])
        s_GR = score(torch.cat([panels.nodes(), ends_2])).to(torch.float64)
        score_PmR = s_GR[:-2].unflatten(0, (panels.count, panels.order))
        total_PR = panels.integrate(score_PmR)
        edges_PR = torch.cat([torch.zeros_like(total_PR[:1]), total_PR.cumsum(0)])
        energy_PmR = edges_PR[:-1].unsqueeze(1) + panels.antiderivative(score_PmR)
        sign_21 = s_GR.new_tensor([[-1.0], [1.0]])
        return cls(panels, energy_PmR, edges_PR[[0, -1]], sign_21 * s_GR[-2:], tau, score_PmR, edges_PR)

    @classmethod
    def of_log_density(cls, panels: Panels, log_density: Callable[[Tensor], Tensor], tau: float) -> "Conditionals":
        """Return densities from their logarithms up to a constant; the tails begin with slope 0."""
        ends_2 = torch.stack([panels.low.reshape(-1), panels.high.reshape(-1)])
        e_GR = log_density(torch.cat([panels.nodes(), ends_2])).to(torch.float64)
        energy_PmR = e_GR[:-2].unflatten(0, (panels.count, panels.order))
        return cls(panels, energy_PmR, e_GR[-2:], torch.zeros_like(e_GR[-2:]), tau)

    def outside(self) -> Tensor:
        """Return the mass outside the panels, shape (R,)."""
        return (self.log_tail_2R - self.log_z_R).exp().sum(0)

    def doubt(self, x_R: Tensor | None) -> Tensor:
        """Return about how wrong log q(x) is in nats, or the distribution function (x None), shape (R,).

        An error e in the increase of E over a panel changes log q(x) by e times the mass on the other side of that
        panel than x, and the distribution function by e F (1 - F) at most.
        """
        with torch.no_grad():
            f_PmR, left_PR = self._masses()
            found_R = self.panels.rule_error(f_PmR).sum(0)
            if self.score_PmR is None:
                return found_R
            error_PR = self.panels.interpolation_error(self.score_PmR)
            before_PR, after_PR = left_PR[1:], 1 - left_PR[:-1]
            if x_R is None:
                matters_PR = before_PR * after_PR
            else:
                panel_R, _ = self.panels.place(x_R.to(torch.float64))
                place_PR = torch.arange(self.panels.count, device=x_R.device)[:, None] - panel_R
                matters_PR = torch.where(place_PR < 0, before_PR, torch.where(place_PR > 0, after_PR, 1.0))
            # Masses are as wrong as E is.
            matters_PR = (matters_PR * error_PR.sum(0).clamp(max=50).exp()).clamp(max=1)
            return found_R + (matters_PR * error_PR).sum(0)

    def energy(self, x_R: Tensor) -> Tensor:
        """Return E(x), shape (R,), of densities that came from scores."""
        assert self.score_PmR is not None
        assert self.edges_PR is not None
        panel_R, t_R = self.panels.place(x_R)
        rows_R = torch.arange(len(x_R), device=x_R.device)
        s_Rm = self.score_PmR[panel_R, :, rows_R]
        return self.edges_PR[panel_R, rows_R] + self.panels.within(s_Rm, t_R) + self.tail(x_R)

    def tail(self, x_R: Tensor) -> Tensor:
        """Return a t - t^2 / (2 tau^2) for x at the distance t outside the panels, 0 inside, shape (R,)."""
        t_2R = torch.stack([self.panels.low - x_R, x_R - self.panels.high]).clamp(min=0)
        return (self.slopes_2R * t_2R - 0.5 * (t_2R / self.tau).square()).sum(0)

    def log_density(self, x_R: Tensor) -> Tensor:
        """Return log q(x) in nats, shape (R,), of densities that came from scores."""
        return self.energy(x_R.to(torch.float64)) - self.log_z_R

    def _masses(self) -> tuple[Tensor, Tensor]:
        """Return the density at the nodes (P, m, R) and the mass left of every panel and of the right tail."""
        f_PmR = (self.energy_PmR - self.log_z_R).exp()
        left_R = (self.log_tail_2R[0] - self.log_z_R).exp()
        return f_PmR, torch.cat([left_R[None], left_R + self.panels.integrate(f_PmR).cumsum(0)])

    def quantile(self, u_R: Tensor) -> Tensor:
        """Return the x with q(y < x) = u, shape (R,)."""
        u_R, panels = u_R.to(torch.float64), self.panels
        f_PmR, left_PR = self._masses()
        place_R = torch.searchsorted(left_PR.T.contiguous(), u_R.contiguous().unsqueeze(-1), right=True).squeeze(-1)
        panel_R = (place_R - 1).clamp(0, panels.count - 1)
        rows_R = torch.arange(len(u_R), device=u_R.device)
        mass_R = (u_R - left_PR[panel_R, rows_R]).clamp(min=0)
        x_R = panels.position(panel_R, panels.invert(f_PmR[panel_R, :, rows_R], mass_R))
        if bool(((place_R == 0) | (place_R > panels.count)).any()):
            t_2R = self._tail_quantile(torch.stack([u_R, 1 - u_R]))
            x_R = torch.where(place_R == 0, panels.low - t_2R[0], x_R)
            x_R = torch.where(place_R > panels.count, panels.high + t_2R[1], x_R)
        return x_R

    def _tail_quantile(self, beyond_2R: Tensor) -> Tensor:
        """Return the distance outside beyond which a mass lies: a normal law cut at the edge."""
        share_2R = (beyond_2R.clamp(min=1e-300).log() - (self.log_tail_2R - self.log_z_R)).clamp(max=0)
        z_2R = (self.slopes_2R * self.tau).clamp(min=-30)
        t_2R: Tensor = self.tau * (z_2R - torch.special.ndtri((share_2R + torch.special.log_ndtr(z_2R)).exp())).clamp(
            min=0
        )
        return t_2R

    def cdf(self, x_R: Tensor) -> Tensor:
        """Return q(y < x), shape (R,)."""
        x_R = x_R.to(torch.float64)
        f_PmR, left_PR = self._masses()
        panel_R, t_R = self.panels.place(x_R)
        rows_R = torch.arange(len(x_R), device=x_R.device)
        inside_R = left_PR[panel_R, rows_R] + self.panels.within(f_PmR[panel_R, :, rows_R], t_R)
        t_2R = torch.stack([self.panels.low - x_R, x_R - self.panels.high])
        z_2R = (self.slopes_2R * self.tau).clamp(min=-30)
        beyond_2R = torch.special.log_ndtr(z_2R - t_2R.clamp(min=0) / self.tau) - torch.special.log_ndtr(z_2R)
        beyond_2R = (beyond_2R + self.log_tail_2R - self.log_z_R).exp()
        return torch.where(t_2R[0] > 0, beyond_2R[0], torch.where(t_2R[1] > 0, 1 - beyond_2R[1], inside_R))


def _log_tail(slope: Tensor, tau: float) -> Tensor:
    """Return log int_0^inf exp(a t - t^2 / (2 tau^2)) dt."""
    z = slope * tau
    down = torch.special.erfcx(-z.clamp(max=0) / math.sqrt(2)).log() + 0.5 * math.log(math.pi / 2)
    up = 0.5 * z.clamp(min=0).square() + torch.special.log_ndtr(z.clamp(min=0)) + 0.5 * math.log(2 * math.pi)
    return math.log(tau) + torch.where(z < 0, down, up)
