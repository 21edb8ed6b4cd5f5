"""Gaussian kernel density estimation."""

import math

import torch
from torch import Tensor

from scorewise.estimators.kernel import check_bandwidth, squared_distances

RULES = ("silverman", "scott", "loo")
"""The rules that choose a bandwidth from the data."""
TILE = 2**20
"""How many kernel values are in memory at a time: about what a processor's cache holds."""


class KDE:
    """An isotropic Gaussian kernel density estimate p(x) = mean_k N(x; x_k, h^2 I).

    It is a ScoreModel and a NormalisedDensity: its score is the joint one. With Silverman's bandwidth it is the
    KDE column of the poster's table 1.

    Args:
        x_ND: the data, float32 or float64.
        bandwidth: h as a positive number in the scale of the data, or a rule. With n examples and `scale`, the
            root of the mean of the variances of the dimensions, silverman is (n (D + 2) / 4)^(-1 / (D + 4)) scale,
            scott is n^(-1 / (D + 4)) scale, loo is the h at which every example is likeliest given the others. Among
            data with repeated rows loo has no maximum and ends near the small end of its search, e^-5 of silverman.

    Raises:
        ValueError: no such rule, a number that is not positive, or a rule on data without spread.

    Example:
        >>> import torch
        >>> from scorewise.estimators import KDE
        >>> kde = KDE(torch.zeros(1, 2), bandwidth=1.0)
        >>> kde.score(torch.tensor([[1.0, -2.0]]))
        tensor([[-1.,  2.]])
    """

    def __init__(self, x_ND: Tensor, bandwidth: str | float = "silverman") -> None:
        check_bandwidth(bandwidth, RULES)
        self.x_ND = x_ND
        self.bandwidth = ruled_bandwidth(x_ND, bandwidth) if isinstance(bandwidth, str) else float(bandwidth)

    def score(self, x_BD: Tensor) -> Tensor:
        """Return grad_x log p(x) = (sum_k w_k x_k - x) / h^2, w = softmax(-|x - x_k|^2 / (2 h^2)); shape of x."""
        centre_D = self.x_ND.mean(0)  # float32 is to lose digits to the spread of the examples, not to their mean
        from_ND = self.x_ND - centre_D
        means_BD = [torch.softmax(self._exponent(q_BD), -1) @ from_ND for q_BD in self._tiles(x_BD)]
        return (torch.cat(means_BD) - (x_BD - centre_D)) / self.bandwidth**2

    def log_prob(self, x_BD: Tensor) -> Tensor:
        """Return log p(x), nats, shape (B,)."""
        examples, dims = self.x_ND.shape
        sums_B = torch.cat([torch.logsumexp(self._exponent(q_BD), -1) for q_BD in self._tiles(x_BD)])
        return sums_B - math.log(examples) - 0.5 * dims * math.log(2 * math.pi * self.bandwidth**2)

    def _exponent(self, q_BD: Tensor) -> Tensor:
        return -0.5 * squared_distances(q_BD, self.x_ND) / self.bandwidth**2

    def _tiles(self, x_BD: Tensor) -> tuple[Tensor, ...]:
        tiles: tuple[Tensor, ...] = x_BD.split(max(1, TILE // len(self.x_ND)))
        return tiles


def ruled_bandwidth(x_ND: Tensor, rule: str) -> float:
    """Return the bandwidth that a rule chooses.

    Raises:
        ValueError: the data have no spread.
    """
    examples, dims = x_ND.shape
    scale = float(x_ND.var(0, correction=0).mean().sqrt())
    if not scale > 0:
        raise ValueError(
            f"bandwidth={rule} needs data with a spread, and the {examples} examples given have a standard deviation "
            f"of {scale:g}: give the bandwidth as a number"
        )
    if rule == "scott":
        return float(scale * examples ** (-1 / (dims + 4)))
    silverman = scale * (examples * (dims + 2) / 4) ** (-1 / (dims + 4))
    return leave_one_out_bandwidth(x_ND, silverman) if rule == "loo" else silverman


@torch.no_grad()
def leave_one_out_bandwidth(x_ND: Tensor, start: float) -> float:
    """Return the h that maximises the leave-one-out likelihood (Duin 1976), to .5 %, between e^-5 and e of `start`."""
    from scipy.optimize import minimize_scalar  # slow to import, and most runs do not need it

    dims = x_ND.shape[1]

    def loss(log_h: float) -> float:
        total = sum(float(s_B.double().sum()) for s_B in leave_one_out_sums(x_ND, math.exp(log_h)))
        return dims * log_h - total / len(x_ND)

    middle = math.log(start)
    found = minimize_scalar(loss, bounds=(middle - 5, middle + 1), method="bounded", options={"xatol": 5e-3})
    return math.exp(found.x)


def leave_one_out_sums(x_ND: Tensor, h: float) -> list[Tensor]:
    """Return log sum_{j != i} exp(-|x_i - x_j|^2 / (2 h^2)) of every example i, tile by tile."""
    sums, first = [], 0
    for q_BD in x_ND.split(max(1, TILE // len(x_ND))):
        exponent_BN = squared_distances(q_BD, x_ND).mul_(-0.5 / h**2)
        exponent_BN[:, first : first + len(q_BD)].fill_diagonal_(-math.inf)
        sums.append(torch.logsumexp(exponent_BN, -1))
        first += len(q_BD)
    return sums
