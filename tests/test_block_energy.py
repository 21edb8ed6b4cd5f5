"""Energies of blocks: scores that are gradients, and a density up to a constant."""

import pytest
import torch
from fitting import draws
from torch import nn

from scorewise.backbones import MADE, PatchTransformer
from scorewise.capabilities import BlockEnergyModel, BlockScoreModel
from scorewise.heads import BlockEnergy, BlockScore
from scorewise.objectives import CSM, SSMVR
from scorewise.sampling import BlockLangevin

pytestmark = pytest.mark.usefixtures("double")


def shaken(b: int | list[int]) -> BlockEnergy:
    model = BlockEnergy(MADE((6,), 4, (8,), "tanh"), block=b, hidden=8, noise=0.3, mean=0.5, std=1.5)
    nn.init.normal_(model.net.last.weight)
    return model


@pytest.mark.parametrize("b", [1, 2, 6, [1, 3, 2]])
def test_scores_are_minus_the_gradient_of_the_energy_in_the_block_alone(b: int | list[int]) -> None:
    model, x = shaken(b), torch.randn(4, 6)
    q, c = model.split(x).requires_grad_(), model.block_context(x)
    (slope,) = torch.autograd.grad(model.block_energy(q, c).sum(), q)
    torch.testing.assert_close(model.block_score(q, c), -slope)
    assert isinstance(model, BlockEnergyModel)
    assert isinstance(model, BlockScoreModel)


def asymmetry(model: BlockEnergy | BlockScore) -> float:
    x = torch.randn(1, 6)
    c = model.block_context(x)[0].detach()
    jacobian = torch.autograd.functional.jacobian(lambda q: model.block_score(q[None], c)[0], model.split(x)[0])
    return max(float((jacobian[k, :, k] - jacobian[k, :, k].T).abs().max()) for k in range(len(jacobian)))


def test_its_jacobian_is_symmetric_and_that_of_a_free_score_need_not_be() -> None:
    free = BlockScore(MADE((6,), 4, (8,), "tanh"), block=3, hidden=8, noise=0.3)
    nn.init.normal_(free.net.last.weight)
    assert asymmetry(shaken(3)) < 1e-12
    assert asymmetry(free) > 1e-3


def test_it_starts_as_the_gaussian_of_the_data() -> None:
    model = BlockEnergy(PatchTransformer((4,), 3, (2,), 8, 2, 1), hidden=8, noise=0.3, mean=0.5, std=1.5)
    x = torch.randn(5, 4)
    torch.testing.assert_close(model.join(model.block_score(model.split(x), model.block_context(x))), -(x - 0.5) / 2.34)


def test_objectives_train_it_and_langevin_draws_from_it() -> None:
    """The exact loss is that of the mean over projections; a few steps of Adam lower it."""
    model, x = shaken(3), torch.randn(64, 6)
    exact = CSM()(model, x, draws(64)).per_example
    many = SSMVR(projections=400)(model, x, draws(64)).per_example
    assert float((many - exact).mean().abs()) < 0.1 * float(exact.std())
    optimizer = torch.optim.Adam(model.parameters(), 1e-2, fused=True)
    losses = []
    for _ in range(15):
        optimizer.zero_grad()
        loss = CSM()(model, x, draws(64)).total
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < losses[0]
    model.sampler = BlockLangevin(steps=5)
    assert model.sample(3).shape == (3, 6)
