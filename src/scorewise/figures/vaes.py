"""What figures measure of VAEs: likelihoods of the same images, the noise of gradients, the cost of an iteration."""

import math
from collections.abc import Callable, Mapping

import torch
from torch import Tensor
from torch.optim import RMSprop

from scorewise.data.source import Source, Split
from scorewise.latent import AIS, VAE
from scorewise.noise import Draws
from scorewise.objectives import CSM, SSMVR, Objective

OBJECTIVES: Mapping[str, Callable[[], Objective]] = {"csm": CSM, "ssm_vr": lambda: SSMVR(projection="gaussian")}
SEED = 0
"""Of the draws of test images: every method sees the same binarisation."""


def observed(vae: VAE, source: Source, split: Split, count: int) -> tuple[Tensor, Draws]:
    """Return the first images of a split as the model observes them, and their draws; the same for every method."""
    index_B = torch.arange(min(count, source.count(split)))
    draws = Draws.of(SEED, -1, index_B)
    device = next(vae.parameters()).device
    x_BD = source.examples(split, index_B, -1, SEED).to(device)
    draws = Draws(draws.key_B.to(device))
    return vae.observation.observe(x_BD, draws), draws


def nll(vae: VAE, source: Source, ais: AIS, count: int, rows: int, double: bool = False) -> list[float]:
    """Return - log p(x) by AIS of the first test images, nats."""
    if double:
        vae = vae.double()
    o_BD, draws = observed(vae, source, "test", count)
    o_BD = o_BD.to(next(vae.parameters()).dtype)
    found: list[float] = (-vae.annealed(ais, o_BD, draws, rows).log_marginal_B).double().cpu().tolist()
    return found


def widths(vae: VAE, source: Source, ais: AIS, count: int, rows: int, draws: int = 200) -> dict[str, float]:
    """Return how wide q(z|x) and the posterior are: roots of the mean variance over latents, medians over images.

    The posterior's is that of the chains of AIS at their end, around their mean.
    """
    o_BD, keys = observed(vae, source, "test", count)
    with torch.no_grad():
        z_MBD = vae.latents(o_BD, draws, keys)
    ends_BCD = vae.annealed(ais, o_BD, keys, rows).z_BCD
    variances = {"encoder": z_MBD.var(0), "posterior": ends_BCD.var(1)}
    return {name: float(var_BD.mean(1).sqrt().median()) for name, var_BD in variances.items()}


def stein_identity(vae: VAE, source: Source, count: int, draws: int = 200) -> float | None:
    """Return `VAE.identity` of the first test images, their mean; None where no score is estimated."""
    if vae.method == "elbo":
        return None
    o_BD, keys = observed(vae, source, "test", count)
    return float(vae.identity(o_BD, draws, keys).mean())


def simulated(vae: VAE, ais: AIS, count: int, rows: int) -> dict[str, list[float]]:
    """Return - log p(x) of images drawn from the model, from above and from below, nats."""
    index_B = torch.arange(count, device=next(vae.parameters()).device)
    low_B, high_B = vae.simulated(ais, Draws.of(SEED, -1, index_B), rows)
    return {"forward": (-low_B).double().cpu().tolist(), "backward": (-high_B).double().cpu().tolist()}


def bounds(vae: VAE, source: Source, count: int, importance: int) -> dict[str, list[float]]:
    """Return reconstruction and prior of the first test images, and the bound of an explicit encoder, nats."""
    o_BD, draws = observed(vae, source, "test", count)
    with torch.no_grad():
        terms = vae.terms(o_BD, draws)
    found = {"reconstruction": terms.reconstruction_B, "prior": terms.prior_B}
    if vae.explicit:
        found["iwae"] = -vae.iwae(o_BD, importance, draws)
    return {name: value_B.double().cpu().tolist() for name, value_B in found.items()}


def gradient_noise(vae: VAE, source: Source, images: int, draws: int) -> dict[str, float]:
    """Return how noisy the gradient of the encoder is on one batch of observed images, over draws of its noise.

    Returns:
        noise: trace of the covariance; signal: squared norm of the mean, without the share of the noise in it.
    """
    o_BD, keys = observed(vae, source, "train", images)
    parameters = list(vae.encoder.parameters())
    total = [torch.zeros_like(p, dtype=torch.float64) for p in parameters]
    squares = 0.0
    for draw in range(draws):
        loss = vae.terms(o_BD, keys.fork(f"gradient {draw}")).total().mean()
        gradient = torch.autograd.grad(loss, parameters)
        squares += sum(float(g.double().square().sum()) for g in gradient)
        for so_far, g in zip(total, gradient, strict=True):
            so_far += g
    mean_square = sum(float((so_far / draws).square().sum()) for so_far in total)
    noise = (squares - draws * mean_square) / (draws - 1)
    return {"noise": noise, "signal": mean_square - noise / draws}


def iteration(vae: VAE, objective: Objective | None, x_BD: Tensor, lr: float = 1e-3) -> Callable[[], None]:
    """Return an iteration as task=implicit_vae takes it, with RMSprop and without Lightning's own work around it."""
    main = RMSprop(vae.generative_parameters(), lr=lr, foreach=True)
    of_score = RMSprop(vae.score_parameters(), lr=lr, foreach=True) if vae.score is not None else None
    index_B = torch.arange(len(x_BD), device=x_BD.device)
    count = 0

    def descend(optimizer: RMSprop, loss: Tensor) -> None:
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_([p for group in optimizer.param_groups for p in group["params"]], math.inf)
        optimizer.step()

    def step() -> None:
        nonlocal count
        draws = Draws.of(SEED, count, index_B)
        count += 1
        o_BD = vae.observation.observe(x_BD, draws)
        if of_score is not None and objective is not None:
            descend(of_score, vae.score_loss(objective, o_BD, draws.fork("score")).total / vae.z)
        descend(main, vae.terms(o_BD, draws.fork("encoder")).total().mean() / x_BD.shape[1])

    return step
