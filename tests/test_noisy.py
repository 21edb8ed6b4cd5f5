"""Noise-conditional scores against known laws: networks, head, objective, sampler."""

import math
from typing import Any

import pytest
import torch
from laws import gaussian_law
from torch import Tensor, nn

from scorewise.backbones.noisy_mlp import NoisyMLP
from scorewise.backbones.unet import UNet
from scorewise.capabilities import NoisyFeatures, NoisyScoreModel, ScoreModel
from scorewise.data.laws import GaussianMixtureLaw
from scorewise.heads.noisy_score import NoisyScore
from scorewise.noise import Draws, geometric_ladder, smoothing_noise
from scorewise.objectives.dsm_multiscale import DSMMultiscale
from scorewise.sampling import Langevin, tweedie
from scorewise.sampling.annealed_langevin import AnnealedLangevin

pytestmark = pytest.mark.usefixtures("double")


def draws(n: int, epoch: int = 0) -> Draws:
    return Draws.of(0, epoch, torch.arange(n))


class TrueNoisy(nn.Module):
    """The exact scores of a law at every noise level of a ladder."""

    def __init__(self, law: GaussianMixtureLaw, levels: tuple[float, ...], std: float) -> None:
        super().__init__()
        self.laws = {level: law.smoothed(level) for level in levels}
        self.levels, self.noise, self.dims = levels, levels[-1], law.means_KD.shape[1]
        self.mean, self.scale = torch.tensor(0.0), torch.tensor(math.hypot(std, self.noise))
        self.std = std

    def noisy_score(self, x_BD: Tensor, sigma_B: Tensor) -> Tensor:
        s_BD = torch.empty_like(x_BD)
        for sigma in sigma_B.unique():
            rows = sigma_B == sigma
            s_BD[rows] = self.laws[float(sigma)].score(x_BD[rows])
        return s_BD

    def score(self, x_BD: Tensor) -> Tensor:
        return self.laws[self.noise].score(x_BD)


# Networks.


def backbones() -> list[Any]:
    return [
        UNet((1, 8, 8), 1, (8, 16)),
        UNet((2, 7, 9), 3, (8, 12, 16), blocks=2, patch=1),
        UNet((1, 28, 28), 2, (4, 8)),
        UNet((1, 3, 1), 1, (4, 8, 8)),
        NoisyMLP((2, 3), 4, (16, 16)),
    ]


def test_the_networks_are_noise_conditional() -> None:
    assert all(isinstance(net, NoisyFeatures) for net in backbones())


@pytest.mark.parametrize("which", range(5))
def test_features_have_a_row_per_dimension_and_examples_do_not_mix(which: int) -> None:
    net: Any = backbones()[which]
    u, level = torch.randn(3, math.prod(net.shape)), torch.tensor([-1.0, 0.2, 1.0])
    h = net.noisy_features(u, level)
    assert h.shape == (3, math.prod(net.shape), net.width)
    for i in range(3):
        torch.testing.assert_close(net.noisy_features(u[i : i + 1], level[i : i + 1]), h[i : i + 1])


@pytest.mark.parametrize("which", [0, 1, 3, 4])
def test_every_pixel_the_level_and_every_parameter_count(which: int) -> None:
    net = backbones()[which]
    u = torch.randn(1, math.prod(net.shape), requires_grad=True)
    level = torch.tensor([0.3], requires_grad=True)
    h = net.noisy_features(u, level)
    (h * torch.randn_like(h)).sum().backward()
    assert u.grad is not None
    assert (u.grad.abs() > 1e-12).all()
    assert level.grad is not None
    assert level.grad.abs() > 1e-6
    assert all(p.grad is not None and p.grad.abs().max() > 0 for p in net.parameters())


@pytest.mark.parametrize("patch", [1, 2])
def test_pixels_stay_in_their_places(patch: int) -> None:
    """Without normalisation over the image the features near a pixel answer to it, and others far away do not."""
    net = UNet((2, 32, 32), 3, (8,), patch=patch)
    for module in net.modules():
        for name, child in module.named_children():
            if isinstance(child, nn.GroupNorm):
                setattr(module, name, nn.Identity())
    u = torch.randn(1, 2048, requires_grad=True)
    h = net.noisy_features(u, torch.zeros(1)).reshape(2, 32, 32, 3)
    (slope,) = torch.autograd.grad(h[1, 2, 29].sum(), u)
    touched = slope.reshape(2, 32, 32).abs().sum(0) > 0
    assert touched[2, 29]
    assert touched[:8, 24:].sum() > 9
    assert not touched[17:].any()
    assert not touched[:, :15].any()


def test_patches_are_read_and_written_back_in_order() -> None:
    """Set by hand to copy, the first and the last layer of a patched U-Net are the identity."""
    net = UNet((2, 4, 6), 1, (8,), patch=2)
    nn.init.dirac_(net.first.weight)
    nn.init.dirac_(net.last.weight)
    for block in (net.encoder[0], net.decoder[0]):
        nn.init.zeros_(block.conv_out.weight)  # type: ignore[union-attr, arg-type]
        nn.init.zeros_(block.conv_out.bias)  # type: ignore[union-attr, arg-type]
    for part in (net.first, net.last):
        assert part.bias is not None
        nn.init.zeros_(part.bias)
    net.norm = nn.Identity()  # type: ignore[assignment]
    u = torch.randn(2, 48)
    torch.testing.assert_close(net.noisy_features(u, torch.zeros(2))[..., 0], nn.functional.silu(u))


def test_a_unet_takes_images_only() -> None:
    with pytest.raises(ValueError, match=r"\(C, H, W\)"):
        UNet((64,), 1)
    with pytest.raises(ValueError, match="must be a list of positive whole numbers"):
        UNet((1, 8, 8), 1, ())


# Head.


def test_a_silent_network_is_a_gaussian_at_every_level() -> None:
    levels = (3.0, 1.0, 0.2)
    model = NoisyScore(NoisyMLP((4,), 1, (8,)), levels=levels, mean=0.7, std=1.3, noise=0.2)
    assert isinstance(model, NoisyScoreModel)
    assert isinstance(model, ScoreModel)
    for parameter in model.backbone.output.parameters():
        nn.init.zeros_(parameter)
    x, sigma = torch.randn(3, 4), torch.tensor(levels)
    true = -(x - 0.7) / (sigma.square() + 1.3**2)[:, None]
    torch.testing.assert_close(model.noisy_score(x, sigma), true)
    torch.testing.assert_close(model.score(x)[2], true[2])
    torch.testing.assert_close(model.noisy_score(x, torch.tensor(0.2))[2], true[2])
    torch.testing.assert_close(tweedie(model, x)[2], x[2] + 0.2**2 * true[2])


def test_the_network_is_told_the_level_from_one_to_minus_one() -> None:
    model = NoisyScore(NoisyMLP((4,), 1, (8,)), levels=geometric_ladder(5.0, 0.05, 7), std=0.5)
    told: list[Tensor] = []

    def network(u_BD: Tensor, log_sigma_B: Tensor) -> Tensor:
        told.extend([u_BD, log_sigma_B])
        return torch.ones(*u_BD.shape, 1)

    model.backbone.noisy_features = network
    sigma = torch.tensor(model.levels)
    x = torch.hypot(sigma, torch.tensor(0.5))[:, None].expand(7, 4)
    s = model.noisy_score(x, sigma)
    torch.testing.assert_close(told[0], torch.ones(7, 4))
    torch.testing.assert_close(told[1], torch.linspace(1, -1, 7))
    root = (sigma.square() + 0.25).sqrt()[:, None]
    torch.testing.assert_close(s + x / root.square(), (0.5 / (sigma[:, None] * root)).expand(7, 4))


@pytest.mark.parametrize("levels", [(), (1.0, 1.0), (0.5, 1.0), (1.0, 0.0), (1.0, -0.5)])
def test_levels_are_a_descending_ladder(levels: tuple[float, ...]) -> None:
    with pytest.raises(ValueError, match="largest to the smallest"):
        NoisyScore(NoisyMLP((4,), 1, (8,)), levels=levels)


def test_the_noise_is_the_smallest_level() -> None:
    assert NoisyScore(NoisyMLP((4,), 1, (8,)), levels=(1.0, 0.1)).noise == 0.1
    assert NoisyScore(NoisyMLP((4,), 1, (8,)), levels=(0.1,)).score(torch.zeros(2, 4)).shape == (2, 4)
    with pytest.raises(ValueError, match="smallest noise level"):
        NoisyScore(NoisyMLP((4,), 1, (8,)), levels=(1.0, 0.1), noise=0.3)


# Objective.

STD, DIMS = 0.5, 20


@pytest.mark.parametrize("smoothing", [0.0, 0.3])
def test_the_minimum_at_every_rung(smoothing: float) -> None:
    """sigma^2 times Vincent's (D / 2) v / (sigma^2 (v + sigma^2)), whether or not the data come smoothed."""
    n, objective = 20_000, DSMMultiscale(2.0, 0.3, 4, smoothing)
    model = TrueNoisy(gaussian_law(DIMS, STD), objective.levels, STD)
    x = STD * torch.randn(n, DIMS) + smoothing * smoothing_noise(draws(n), torch.empty(n, DIMS))
    found = objective.per_level(model, x, draws(n))
    assert found.shape == (4, n)
    minimum = torch.tensor([DIMS / 2 * STD**2 / (STD**2 + level**2) for level in objective.levels])
    torch.testing.assert_close(found.mean(1), minimum, rtol=0.015, atol=0)
    torch.testing.assert_close(found.std(1), minimum * math.sqrt(2 / DIMS), rtol=0.04, atol=0)
    one = objective.per_example(model, x, draws(n))
    assert one.shape == (n,)
    assert abs(one.mean() / minimum.mean() - 1) < 0.02
    torch.testing.assert_close(objective.held_out(model, x, draws(n)), found.mean(0))
    assert objective.held_out(model, x, draws(n)).std() < 0.6 * one.std()


def test_weighed_by_edm_every_level_counts_alike() -> None:
    objective = DSMMultiscale(8.0, 0.3, 4, 0.3, weight="edm")
    model = TrueNoisy(gaussian_law(DIMS, STD), objective.levels, STD)
    x = STD * torch.randn(20_000, DIMS) + 0.3 * smoothing_noise(draws(20_000), torch.empty(20_000, DIMS))
    found = objective.per_level(model, x, draws(20_000)).mean(1)
    torch.testing.assert_close(found, torch.full((4,), DIMS / 2), rtol=0.015, atol=0)


def test_the_target_is_the_clean_example() -> None:
    """At the smallest level, which the smoothing has reached, nothing is added and the target is not zero."""
    objective = DSMMultiscale(1.0, None, 3, smoothing=0.3)
    clean, z = torch.randn(5, DIMS), smoothing_noise(draws(5), torch.empty(5, DIMS))

    class Recorder(nn.Module):
        std = STD

        def noisy_score(self, x_BD: Tensor, sigma_B: Tensor) -> Tensor:
            seen.append(x_BD)
            return -(x_BD - clean) / sigma_B[:, None].square()

    seen: list[Tensor] = []
    loss = objective.per_level(Recorder(), clean + 0.3 * z, draws(5))
    torch.testing.assert_close(loss, torch.zeros(3, 5), rtol=0, atol=1e-20)
    torch.testing.assert_close(seen[2], clean + 0.3 * z)
    assert not torch.allclose(seen[1], seen[2])


def test_rungs_are_drawn_evenly() -> None:
    objective = DSMMultiscale(1.0, 0.1, 5, smoothing=0.0)
    sigma = objective.rungs(draws(20_000).fork("level"), dtype=torch.float64)
    for level in objective.levels:
        assert abs((sigma == level).double().mean() - 0.2) < 0.01


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_it_recovers_the_slope_at_every_rung(smoothing: float) -> None:
    """The head is told the wrong standard deviation, so that the network has to find the slope."""
    n, objective = 1000, DSMMultiscale(2.0, 0.2, 4, smoothing)
    clean = STD * torch.randn(n, 2)
    model = NoisyScore(NoisyMLP((2,), 1, (32, 32)), levels=objective.levels, std=1.2)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2, fused=True)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 150)
    for step in range(150):
        optimizer.zero_grad()
        x = clean + smoothing * smoothing_noise(draws(n, step), clean)
        objective(model, x, draws(n, step)).total.backward()
        optimizer.step()
        schedule.step()
    for level in objective.levels:
        y = math.hypot(STD, level) * torch.randn(5000, 2)
        s = model.noisy_score(y, torch.full((5000,), level)).detach()
        true = -1 / (clean.var() + level**2)
        assert abs((s * y).sum() / y.square().sum() / true - 1) < 0.05, level
        assert (s - true * y).square().mean() / (true * y).square().mean() < 0.02, level


# Sampler.


def test_annealing_gets_the_weights_of_far_modes_right() -> None:
    """Weights .8 and .2 at distance 40 standard deviations: plain Langevin keeps the half and half of its start."""
    n, levels = 2000, geometric_ladder(6.0, 0.1, 10)
    law = GaussianMixtureLaw(torch.tensor([0.8, 0.2]), torch.tensor([[2.0], [-2.0]]), 0.01 * torch.ones(2, 1, 1))
    annealed = TrueNoisy(law, levels, std=2.0)
    x = AnnealedLangevin(steps=60).draw(annealed, n, torch.Generator().manual_seed(0))
    right = x[:, 0] > 0
    assert abs(right.double().mean() - 0.8) < 0.04
    for mode, rows in ((2.0, right), (-2.0, ~right)):
        assert abs(x[rows].mean() - mode) < 0.03
        assert abs(x[rows].std() / math.sqrt(0.02) - 1) < 0.1
    plain = TrueNoisy(law, levels, std=2.0)
    plain.scale = torch.tensor(math.hypot(2.0, levels[0]))  # the same start
    x = Langevin(steps=600, step=0.2).draw(plain, n, torch.Generator().manual_seed(0))
    assert abs((x[:, 0] > 0).double().mean() - 0.5) < 0.1


def test_the_variance_is_inflated_as_known() -> None:
    """On N(0, sigma^2) with a = .2 sigma^2 the standard deviation is sqrt(1 / .9), 5.4 % too large."""
    levels = (0.5, 0.1)
    model = TrueNoisy(gaussian_law(10, 1e-6), levels, std=0.0)
    x = AnnealedLangevin(steps=40, step=0.2).draw(model, 20_000, torch.Generator().manual_seed(0))
    assert abs(float(x.std()) / 0.1 - 1 / math.sqrt(0.9)) < 0.005


def test_it_starts_at_the_largest_level_and_takes_every_level_in_turn() -> None:
    asked: list[float] = []
    first: list[Tensor] = []

    class Model(TrueNoisy):
        def noisy_score(self, x_BD: Tensor, sigma_B: Tensor) -> Tensor:
            first.append(x_BD)
            asked.append(float(sigma_B[0]))
            return super().noisy_score(x_BD, sigma_B)

    model = Model(gaussian_law(3, 2.0), (4.0, 1.0, 0.1), std=2.0)
    model.mean = torch.tensor(5.0)
    one, two = (AnnealedLangevin(steps=2).draw(model, 5000, torch.Generator().manual_seed(3)) for _ in range(2))
    assert asked[:6] == [4.0, 4.0, 1.0, 1.0, 0.1, 0.1]
    assert abs(float(first[0].std()) / math.sqrt(4 + 16) - 1) < 0.03
    assert abs(float(first[0].mean()) - 5) < 0.1
    assert torch.equal(one, two)


def test_it_draws_from_a_noisy_score_model() -> None:
    model = NoisyScore(UNet((1, 8, 8), 1, (8,)), levels=(1.0, 0.5), std=0.5)
    for parameter in model.backbone.last.parameters():
        nn.init.zeros_(parameter)
    model.sampler = AnnealedLangevin(steps=60, step=0.1)
    x = model.sample(200, torch.Generator().manual_seed(0))
    assert x.shape == (200, 1, 8, 8)
    assert not x.requires_grad
    assert abs(float(x.var()) / (0.5 / (1 - 0.025)) - 1) < 0.04
