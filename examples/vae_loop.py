"""A VAE whose encoder has no density, its entropy's gradient by CSM, in a plain PyTorch loop.

    python examples/vae_loop.py [--steps 2000]

The images are scikit-learn's 8 x 8 digits, redrawn black and white. In every step one draw of the latents moves the
score network and another one moves encoder and decoder; the likelihood is estimated by annealed importance sampling at
the end.
"""

import argparse

import torch
from sklearn.datasets import load_digits

from scorewise.backbones import MADE
from scorewise.heads import ConditionalScore
from scorewise.latent import AIS, DenseVAE
from scorewise.noise import Draws
from scorewise.objectives import CSM


def main() -> None:
    """Train and estimate the likelihood of held-out digits."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--steps", type=int, default=2000)
    steps = parser.parse_args().steps
    torch.manual_seed(0)
    x_ND = torch.tensor(load_digits().data, dtype=torch.float32) / 8 - 1  # in [-1, 1]
    train_ND, test_ND = x_ND[:1500], x_ND[1500:]

    def score_network(z: int, condition: int) -> ConditionalScore:
        return ConditionalScore(MADE((z,), 16, (64, 64), "tanh", condition=condition), activation="softplus")

    vae = DenseVAE((1, 8, 8), z=4, hidden=(64, 64), method="score", encoder="autoregressive", score=score_network)
    objective = CSM()
    of_vae = torch.optim.RMSprop(vae.generative_parameters(), lr=1e-3)
    of_score = torch.optim.RMSprop(vae.score_parameters(), lr=1e-3)
    generator = torch.Generator().manual_seed(0)
    for step in range(1, steps + 1):
        index_B = torch.randint(0, len(train_ND), (128,), generator=generator)
        draws = Draws.of(0, step, index_B)
        o_BD = vae.observation.observe(train_ND[index_B], draws)
        of_score.zero_grad()
        vae.score_loss(objective, o_BD, draws.fork("score")).total.backward()
        of_score.step()
        terms = vae.terms(o_BD, draws.fork("encoder"))
        of_vae.zero_grad()
        terms.total().mean().backward()
        of_vae.step()
        if step % max(1, steps // 5) == 0:
            print(f"step {step}: - log p(x|z) {terms.reconstruction_B.mean().item():.2f} nats")

    draws = Draws.of(1, 0, torch.arange(64))
    found = vae.annealed(AIS(temperatures=200, chains=8), vae.observation.observe(test_ND[:64], draws), draws)
    print(f"- log p(x) of 64 held-out digits: {-found.log_marginal_B.mean().item():.2f} nats (AIS, 200 x 8)")


if __name__ == "__main__":
    main()
