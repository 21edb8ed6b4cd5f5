"""AR-CSM in a plain PyTorch loop, on a density whose entropy is known.

    python examples/csm_loop.py [--steps 1500]

No Lightning and no Hydra: a backbone, a head, an objective, an optimiser of PyTorch's. The data are four Gaussians with
noise of sigma = 0.3, so that the law that is fitted is known: the model's negative log-likelihood stands beside the
entropy.
"""

import argparse

import torch

from scorewise.backbones import MADE
from scorewise.heads import ConditionalScore
from scorewise.likelihood import Quadrature
from scorewise.noise import Draws
from scorewise.objectives import CSM
from scorewise.sampling import InverseCDF

SMOOTHING = 0.3


def batch(n: int, generator: torch.Generator) -> torch.Tensor:
    """Return n examples of four Gaussians at (+-1, +-1), smoothed, shape (n, 2)."""
    centre_B2 = 2 * torch.randint(0, 2, (n, 2), generator=generator) - 1.0
    return centre_B2 + SMOOTHING * torch.randn(n, 2, generator=generator)


def log_law(x_B2: torch.Tensor) -> torch.Tensor:
    """Return the log-density that the examples are drawn from, shape (B,): one dimension does not know the other."""
    parts = torch.distributions.MixtureSameFamily(
        torch.distributions.Categorical(torch.ones(2)),
        torch.distributions.Normal(torch.tensor([-1.0, 1.0]), torch.tensor(SMOOTHING)),
    )
    log_p_B: torch.Tensor = parts.log_prob(x_B2).sum(-1)
    return log_p_B


def main() -> None:
    """Train, evaluate and sample."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--steps", type=int, default=1500)
    steps = parser.parse_args().steps
    torch.manual_seed(0)
    generator = torch.Generator().manual_seed(0)

    backbone = MADE((2,), 12, (64, 64), "silu")  # 12 numbers of context per dimension
    model = ConditionalScore(backbone, hidden=(32, 32), std=1.0, noise=SMOOTHING)
    model.sampler, model.likelihood = InverseCDF(), Quadrature(-4, 4)
    objective = CSM()
    optimizer = torch.optim.AdamW(model.parameters(), lr=5e-3)
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    for step in range(1, steps + 1):
        x_B2 = batch(512, generator)
        loss = objective(model, x_B2, Draws.fresh(len(x_B2), generator))
        optimizer.zero_grad()
        loss.total.backward()
        optimizer.step()
        scheduler.step()
        if step % max(1, steps // 5) == 0:
            print(f"step {step}: csm {loss.total.item():.3f}")

    x_B2 = batch(4096, generator)
    with torch.no_grad():
        nll_B, entropy_B = -model.log_prob(x_B2), -log_law(x_B2)
    gap_B = nll_B - entropy_B
    print(f"nll {nll_B.mean():.3f} nats, entropy {entropy_B.mean():.3f}, gap {gap_B.mean():.4f}")
    drawn_B2 = model.sample(4096, generator)
    quadrant = (drawn_B2 > 0).long() @ torch.tensor([1, 2])
    shares = torch.bincount(quadrant, minlength=4) / len(drawn_B2)
    print("share of the samples near each centre:", " ".join(f"{share:.3f}" for share in shares))


if __name__ == "__main__":
    main()
