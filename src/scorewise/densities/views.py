"""A table as several models see it: a density, the nearest rows, and sizes of scores at many levels of noise."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Self

import torch
from torch import Generator, Tensor

from scorewise.backbones.noisy_mlp import NoisyMLP
from scorewise.densities.experts import Expert, Experts
from scorewise.densities.full_gaussians import mixtures
from scorewise.densities.kernels import kernels
from scorewise.densities.orders import MixedOrders, OneOrder
from scorewise.densities.training import Schedule, train
from scorewise.estimators import GaussianRows
from scorewise.heads.noisy_score import NoisyScore
from scorewise.noise import OwnNumbers, geometric_ladder
from scorewise.outliers.combined import Surprise, combined
from scorewise.outliers.nearest import NearestRows
from scorewise.outliers.replaced import Nodes
from scorewise.outliers.score_norms import ScoreNorms

HELD_OUT = 0.15
"""The share of the rows that say when training ends, how much every expert counts, and how large scores are."""
MOST_HELD_OUT = 5000
DENSITY, NEIGHBOURS, NORMS = 0.25, (1, 5), 0.5
"""The weight of the density, how many nearest rows (each a view of weight 1), and the weight of the norms of scores."""
LADDER = geometric_ladder(3.0, 0.03, 20)
"""Levels of the noise-conditional score, of which training draws any between the ends."""
LEAST_FOR_NORMS = 250
"""Rows below which the score of a network is too much theirs to judge other rows by."""
MOST_FOR_EXPERTS = 5000
"""Rows that mixtures of Gaussians are fitted to and kernels stand on; of more, so many evenly spaced ones."""
COPIES = 500
"""Held-out rows with noise of their own by which experts are weighted, at least."""


@dataclass(frozen=True)
class Recipe:
    """How a table is fitted.

    Args:
        smoothing: standard deviation of the noise in every column, in those of the columns.
        components: Gaussians per conditional.
        hidden: sizes of the hidden layers of a MADE.
        orderings: of the columns, one per member of the mixture.
        schedule: of the training.
        seed: of weights, batches and noise.
    """

    smoothing: float
    components: int
    hidden: Sequence[int]
    orderings: Sequence[str | Sequence[int]]
    schedule: Schedule
    seed: int


@dataclass(frozen=True)
class Views:
    """What was fitted to standardised rows.

    Args:
        density: of rows with the noise of the smoothing.
        nodes: of the columns.
        nearest: the nearest rows, by how many.
        norms: sizes of scores; None for tables that are too small.
        surprises: of the outlier scores of these, by held-out rows.
    """

    density: Experts
    nodes: Nodes
    nearest: Sequence[NearestRows]
    norms: ScoreNorms | None
    surprises: Sequence[Surprise]

    @classmethod
    def fitted(cls, z_ND: Tensor, recipe: Recipe) -> Self:
        """Return what is fitted to standardised rows, float64, in random order.

        Equal rows are on one side of the split, or those that were held out would be told of by their twins.
        """
        distinct_ND, twin_N = distinct(z_ND)
        held_G = _held_out(twin_N)
        held_VD = distinct_ND[held_G] if held_G.any() else distinct_ND
        fit_ND = z_ND[~held_G[twin_N]]
        density = _density(fit_ND, held_VD, recipe)
        nearest = [NearestRows(distinct_ND, neighbours) for neighbours in NEIGHBOURS]
        enough = len(distinct_ND) >= LEAST_FOR_NORMS
        norms = _norms(fit_ND, distinct_ND[~held_G], held_VD, recipe) if enough else None
        surprises = [
            Surprise.of(_minus_log_density(density, held_VD), bounded=True),
            *(Surprise.of(rows.distance_to_others(held_VD)) for rows in nearest),
            *([Surprise.of(norms.score(held_VD), bounded=True)] if norms else []),
        ]
        return cls(density, Nodes.of(fit_ND, recipe.smoothing), nearest, norms, surprises)

    def outlier_score(self, z_BD: Tensor, fitted: bool = False) -> Tensor:
        """Return how odd rows are by all views together, shape (B,): the sum of their surprises, nats.

        Args:
            z_BD: standardised rows.
            fitted: they were fitted, and the nearest row of each is another one.
        """
        distances = [rows.distance_to_others(z_BD) if fitted else rows.distance(z_BD) for rows in self.nearest]
        scores, weights = [_minus_log_density(self.density, z_BD), *distances], [DENSITY, *(1.0 for _ in distances)]
        if self.norms:
            scores, weights = [*scores, self.norms.score(z_BD, fitted)], [*weights, NORMS]
        return combined(scores, self.surprises, weights)


def distinct(z_ND: Tensor) -> tuple[Tensor, Tensor]:
    """Return every row once, in the order of their first places, and the place there of each of the rows."""
    _, group_N = torch.unique(z_ND, dim=0, return_inverse=True)
    first_G = torch.full((int(group_N.max()) + 1,), len(z_ND))
    first_G.scatter_reduce_(0, group_N, torch.arange(len(z_ND)), "amin")
    order_G = first_G.argsort()
    return z_ND[first_G[order_G]], order_G.argsort()[group_N]


def _held_out(twin_N: Tensor) -> Tensor:
    """Return which distinct rows are held out, shape (G,): the first ones, none of few.

    A row that is there more than twice as often as rows are on average is fitted: with a few such rows most of a table
    would be held out.
    """
    count_G = twin_N.bincount()
    most = 0 if len(count_G) < 10 else min(MOST_HELD_OUT, max(1, round(HELD_OUT * len(count_G))))
    usual_G = count_G <= 2 * len(twin_N) / len(count_G)
    return usual_G & (usual_G.cumsum(0) <= most)


def held_out(z_ND: Tensor) -> tuple[Tensor, Tensor]:
    """Return rows to fit, and held-out ones, equal rows on one side; missing cells (NaN) are equal to each other."""
    distinct_ND, twin_N = distinct(z_ND.nan_to_num(nan=torch.inf))
    held_G = _held_out(twin_N)
    held_VD = distinct_ND[held_G] if held_G.any() else distinct_ND
    return z_ND[~held_G[twin_N]], held_VD.masked_fill(held_VD.isinf(), torch.nan)


@torch.no_grad()
def _minus_log_density(density: Expert, z_BD: Tensor) -> Tensor:
    return torch.cat([-density.log_prob(some_BD) for some_BD in z_BD.split(4096)])


def _density(fit_ND: Tensor, held_VD: Tensor, recipe: Recipe) -> Experts:
    """Return the networks' density mixed with Gaussians and kernels, as held-out rows weigh them."""
    orders = [_order(fit_ND, held_VD, recipe, i) for i in range(len(recipe.orderings))]
    generator = torch.Generator().manual_seed(recipe.seed)
    held_VD = held_VD.repeat(-(-COPIES // len(held_VD)), 1)
    noisy_VD = held_VD + recipe.smoothing * torch.randn(held_VD.shape, generator=generator, dtype=held_VD.dtype)
    gaussian = GaussianRows.fit(fit_ND, ridge=recipe.smoothing**2)
    some_ND = fit_ND[torch.linspace(0, len(fit_ND) - 1, min(len(fit_ND), MOST_FOR_EXPERTS)).long()]
    others: list[Expert] = [*mixtures(some_ND, recipe.smoothing, recipe.seed), *kernels(some_ND, recipe.smoothing)]
    with torch.no_grad():
        return Experts.weighted([MixedOrders(orders), gaussian], others, noisy_VD)


def _order(fit_ND: Tensor, held_VD: Tensor, recipe: Recipe, place: int) -> OneOrder:
    """Return one order of the columns, by maximum likelihood on rows with noise."""
    seed, ordering = recipe.seed + place, recipe.orderings[place]
    with OwnNumbers(seed, torch.float32):
        model = OneOrder(fit_ND.shape[1], recipe.components, recipe.hidden, ordering, recipe.smoothing).float()

    def loss(model: OneOrder, x_BD: Tensor, generator: Generator) -> Tensor:
        noise_BD = torch.randn(x_BD.shape, generator=generator, dtype=x_BD.dtype)
        return -model.log_prob(x_BD + recipe.smoothing * noise_BD) / x_BD.shape[1]

    return train(model, loss, fit_ND.float(), held_VD.float(), recipe.schedule, seed).double()


def _norms(fit_ND: Tensor, distinct_ND: Tensor, held_VD: Tensor, recipe: Recipe) -> ScoreNorms:
    """Return the sizes of the scores of a noise-conditional network, beside those of distinct rows."""
    with OwnNumbers(recipe.seed, torch.float32):
        model = NoisyScore(NoisyMLP((fit_ND.shape[1],), 1, (256, 256, 256)), levels=LADDER, std=1.0).float()
    schedule = replace(recipe.schedule, steps=max(1, recipe.schedule.steps * 3 // 2))
    trained = train(model, _denoising, fit_ND.float(), held_VD.float(), schedule, recipe.seed)
    return ScoreNorms(trained.double(), distinct_ND[:MOST_HELD_OUT])


def _denoising(model: NoisyScore, x_BD: Tensor, generator: Generator) -> Tensor:
    """Return the loss of denoising at a level between the ends of the ladder, weighted as Karras et al. (2022) do."""
    low, high = math.log(model.levels[-1]), math.log(model.levels[0])
    sigma_B = (low + (high - low) * torch.rand(len(x_BD), generator=generator, dtype=x_BD.dtype)).exp()
    noise_BD = torch.randn(x_BD.shape, generator=generator, dtype=x_BD.dtype)
    s_BD = model.noisy_score(x_BD + sigma_B[:, None] * noise_BD, sigma_B)
    return (1 + sigma_B.square()) * (sigma_B[:, None] * s_BD + noise_BD).square().mean(-1)
