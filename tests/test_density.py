"""Held-out numbers against hand calculation."""

import math

import pytest
import torch
from laws import gaussian_law
from torch import Tensor

from scorewise.backbones import MADE, MLP
from scorewise.data import GaussianData
from scorewise.data.datamodule import Batch
from scorewise.heads import Gaussian, Score
from scorewise.heads.model import Model
from scorewise.objectives import MLE, SM
from scorewise.tasks import Bundle, DensityEstimation, Optimisation, bits_per_dim

pytestmark = pytest.mark.usefixtures("double")


def task_of(model: Model, smoothing: float) -> DensityEstimation:
    source = GaussianData(3, std=2.0, correlation=0.5)
    objective = MLE() if isinstance(model, Gaussian) else SM()
    return DensityEstimation(Bundle(model, objective, Optimisation(), source, smoothing=smoothing))


def distance(task: DensityEstimation, x_BD: Tensor) -> Tensor:
    (measure,) = (one for one in task.comparable if one.names == ("fisher_error",))
    return measure.of(x_BD)["fisher_error"]


def test_bits_per_dim_of_uniform_grey_levels() -> None:
    """A density that is flat over the 256 levels of every pixel costs 8 bits, whatever the scale of the model."""
    dims = 5
    flat = torch.full((2,), dims * math.log(2.0))  # - log density on [-1, 1]^5, each side 2 wide
    log_volume = dims * math.log(127.5)
    torch.testing.assert_close(bits_per_dim(flat, dims, log_volume), torch.full((2,), math.log2(255.0)))


@pytest.mark.parametrize("smoothing", [0.0, 1.5])
def test_fisher_error_of_a_known_model(smoothing: float) -> None:
    """The model N(0, v I) against N(0, S): conditional and joint, each with its own right answer."""
    variance, x = 4.0, torch.randn(6, 3)
    law = gaussian_law(3, 2.0, 0.5).smoothed(smoothing)
    conditional = Gaussian(MADE((3,), 2, (4,)), std=2.0)
    joint = Score(MLP((3,), (4,)), form="raw", std=2.0)
    for parameter in (*conditional.parameters(), *joint.parameters()):
        torch.nn.init.zeros_(parameter)
    found = distance(task_of(conditional, smoothing), x)
    true = law.conditional_score(x, range(3))
    torch.testing.assert_close(found, 0.5 * (-x / variance - true).square().sum(1))
    precision = torch.linalg.inv(law.covariances_KDD[0])
    torch.testing.assert_close(distance(task_of(joint, smoothing), x), 0.5 * (x @ precision).square().sum(1))


def test_smoothing_adds_noise_that_belongs_to_the_example() -> None:
    task = task_of(Gaussian(MADE((3,), 2, (4,)), std=2.0), 1.5)
    index = torch.arange(20_000)
    batch = Batch(torch.zeros(20_000, 3), index, torch.full_like(index, -1))
    x, _ = task.smoothed(batch)
    assert float(x.std()) == pytest.approx(1.5, rel=0.02)
    again, _ = task.smoothed(Batch(batch.x_BD[:5], index[:5], batch.epoch_B[:5]))
    assert torch.equal(again, x[:5])
    later, _ = task.smoothed(batch._replace(epoch_B=batch.epoch_B + 1))
    assert not (later == x).any()
