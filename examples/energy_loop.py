"""An energy fitted by sliced score matching in a plain PyTorch loop, sampled by Hamiltonian Monte Carlo.

    python examples/energy_loop.py [--steps 1500]

The data are a correlated Gaussian in 5 dimensions, so that the score is known: the relative error of the model's score
and the covariance of its samples stand beside the truth. Another head and objective are all that a model of the joint
score without an energy needs.
"""

import argparse

import torch

from scorewise.backbones import MLP
from scorewise.heads import Energy
from scorewise.noise import Draws
from scorewise.objectives import SSMVR
from scorewise.sampling import HMC

DIMS = 5


def main() -> None:
    """Train, compare the score with the known one, and sample."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--steps", type=int, default=1500)
    steps = parser.parse_args().steps
    torch.manual_seed(0)
    generator = torch.Generator().manual_seed(0)
    factor = torch.eye(DIMS) + 0.5 * torch.tril(torch.randn(DIMS, DIMS, generator=generator), -1)
    covariance, precision = factor @ factor.mT, torch.cholesky_inverse(factor)

    model = Energy(MLP((DIMS,), (64, 64), "silu"), std=float(covariance.diagonal().mean().sqrt()))
    model.sampler = HMC(trajectories=100, leapfrog=10)
    objective = SSMVR(projection="rademacher")
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    for step in range(1, steps + 1):
        x_BD = torch.randn(256, DIMS, generator=generator) @ factor.mT
        loss = objective(model, x_BD, Draws.fresh(len(x_BD), generator))
        optimizer.zero_grad()
        loss.total.backward()
        optimizer.step()
        scheduler.step()
        if step % max(1, steps // 5) == 0:
            print(f"step {step}: ssm_vr {loss.total.item():.3f}")

    x_BD = torch.randn(2000, DIMS, generator=generator) @ factor.mT
    true_BD = -x_BD @ precision
    error = (model.score(x_BD) - true_BD).square().sum() / true_BD.square().sum()
    print(f"relative error of the score: {error.item():.4f}")
    drawn_BD = model.sample(2000, generator)
    difference = torch.cov(drawn_BD.mT) - covariance
    print(f"largest error of the samples' covariance: {float(difference.abs().max()):.2f}")


if __name__ == "__main__":
    main()
