"""How far the importance-sampled likelihood of an autoregressive energy machine is from the exact one.

    python benchmarks/aem_bias.py

Trains objective=aem on the rings, then compares - log p_hat at several numbers of samples S with quadrature over
4,001 points per conditional, beside the first-order bias Var(w) / (2 S Z^2) that the objective states.
"""

import torch
from torch import Tensor

from scorewise.backbones import MADE
from scorewise.data.synthetic import Toy2d
from scorewise.heads import ConditionalEnergy
from scorewise.noise import Draws, smoothing_noise
from scorewise.objectives import AEM
from scorewise.objectives.aem import log_p_hat

SMOOTHING, STEPS, BATCH, HELD_OUT, REPEATS = 0.1, 1500, 256, 1000, 20


def data(source: Toy2d, epoch: int, n: int) -> tuple[Tensor, Draws]:
    """Return smoothed examples and their draws."""
    draws = Draws.of(0, epoch, torch.arange(n))
    x_BD = source.sample(draws.fork("data")).float()
    return x_BD + SMOOTHING * smoothing_noise(draws, x_BD), draws


def exact(model: ConditionalEnergy, x_BD: Tensor) -> tuple[Tensor, Tensor]:
    """Return log q(x) per example by quadrature, and Var(w) / (2 Z^2) summed over dimensions."""
    c_BDF = model.context(x_BD)
    line_G = torch.linspace(-12, 12, 4001)
    q_GBD = line_G[:, None, None].expand(-1, *x_BD.shape)
    energy_GBD = model.conditional_energy(q_GBD, c_BDF)
    step = line_G[1] - line_G[0]
    log_z_BD = torch.logsumexp(-energy_GBD, 0) + step.log()
    log_second_BD = torch.logsumexp(-2 * energy_GBD - model.proposal_log_prob(q_GBD, c_BDF), 0) + step.log()
    variance_BD = torch.exp(log_second_BD - 2 * log_z_BD) - 1
    return (-model.conditional_energy(x_BD, c_BDF) - log_z_BD).sum(-1), variance_BD.sum(-1) / 2


def main() -> None:
    """Train, measure and print."""
    torch.manual_seed(0)
    source = Toy2d("rings")
    model = ConditionalEnergy(MADE((2,), 16 + 30, (64, 64)), context=16, std=source.std, noise=SMOOTHING)
    objective = AEM(samples=20)
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    for step in range(STEPS):
        x_BD, draws = data(source, step, BATCH)
        optimizer.zero_grad()
        objective(model, x_BD, draws).total.backward()
        optimizer.step()
    x_BD, _ = data(source, -1, HELD_OUT)
    with torch.no_grad():
        parts = [exact(model, chunk_BD) for chunk_BD in x_BD.split(100)]
        truth_B, half_variance_B = (torch.cat(values) for values in zip(*parts, strict=True))
        print(f"exact NLL of the energy {-truth_B.mean():.4f} nats ({HELD_OUT} held-out examples, {STEPS} steps)")
        print("   S   log p_hat - exact (s.e.)   Var(w) / 2 S Z^2")
        for samples in (5, 20, 100, 400):
            gaps = torch.stack(
                [
                    log_p_hat(model, x_BD, model.context(x_BD), Draws.of(1, repeat, torch.arange(HELD_OUT)), samples)
                    - truth_B
                    for repeat in range(REPEATS)
                ]
            ).mean(1)
            error = gaps.std() / REPEATS**0.5
            print(f"{samples:4d}   {gaps.mean():+.5f} ({error:.5f})   {half_variance_B.mean() / samples:+.5f}")


if __name__ == "__main__":
    main()
