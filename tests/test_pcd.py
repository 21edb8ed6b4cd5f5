"""Persistent contrastive divergence against known answers: sign, scale, gradient, memory."""

import copy
from typing import Any

import pytest
import torch
from laws import gaussian_law
from torch import Tensor

from scorewise.backbones import MLP
from scorewise.heads import Energy
from scorewise.noise import Draws
from scorewise.objectives.pcd import PCD, last_of_each

pytestmark = pytest.mark.usefixtures("double")


def draws(n: int, epoch: int = 0) -> Draws:
    return Draws.of(0, epoch, torch.arange(n))


def energy(dims: int = 2, **scale: Any) -> Energy:
    torch.manual_seed(0)
    return Energy(MLP((dims,), (24, 24)), **scale)


def train(model: Energy, objective: PCD, law: Any, steps: range, shift: float = 0.0, n: int = 200) -> None:
    """Take plain gradient steps with Adam on fresh examples; the optimiser starts anew in every call."""
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2, fused=True)
    for step in steps:
        optimizer.param_groups[0]["lr"] = 1e-2 * (1 - step / 260)
        optimizer.zero_grad()
        now = draws(n, step)
        objective(model, law.sample(now.fork("data")) + shift, now).total.backward()
        optimizer.step()


def test_it_recovers_a_gaussian_up_to_the_bias_of_its_step() -> None:
    """Chains on N(0, v) have variance v / (1 - a / (2 v)), so the model's slope is - 1 / (var - a / 2)."""
    std, shift, objective = 1.5, 0.5, PCD(10, step=1.0, buffer=200)
    law, model = gaussian_law(2, std), energy(std=2.0)
    train(model, objective, law, range(200), shift)
    x = law.sample(draws(4000, 999))
    s = model.score(x + shift).detach()
    a = 1.0 * 2.0**2 / 20
    assert float((s * x).sum() / x.square().sum()) == pytest.approx(-1 / (std**2 - a / 2), rel=0.08)
    assert (s + x / std**2).square().mean() < 0.05 * (x / std**2).square().mean()
    assert (s.mean(0) + x.mean(0) / std**2).abs().max() < 0.1, "no pull anywhere but to the mean"
    chains = objective.chain_ND[objective.used_N]
    assert (chains.mean(0) - shift).abs().max() < 4 * std / 200**0.5
    assert (chains.var(0) / std**2 - 1).abs().max() < 0.5


def last_layer_gradients(objective: PCD, model: Energy, shift: float, steps: int, n: int) -> Tensor:
    """Return the gradients of the last layer at data N(shift, I), one row per step."""
    rows = []
    for step in range(steps):
        now = draws(n, step)
        x = now.fork("data").normal(1) + shift
        (gradient,) = torch.autograd.grad(objective(model, x, now).total, model.last.weight)
        rows.append(gradient[0])
    return torch.stack(rows)


def test_the_gradient_has_mean_zero_at_the_truth_and_only_there() -> None:
    model = energy(1)
    torch.nn.init.zeros_(model.last.weight)  # N(0, 1)
    for shift, limits in ((0.0, (0.0, 4.5)), (0.3, (10.0, 1e9))):
        # Every chain starts anew from N(0, 1), which is the model: no memory between rows, so errors are honest.
        rows = last_layer_gradients(PCD(5, step=0.2, buffer=50, restart=1.0), model, shift, 50, 400)
        z = rows.mean(0) / (rows.std(0) / len(rows) ** 0.5)
        assert limits[0] <= z.abs().max() < limits[1]
    (positive,) = torch.autograd.grad(model.energy(torch.full((1, 1), 0.3)).sum(), model.last.weight)
    (negative,) = torch.autograd.grad(model.energy(torch.zeros(1, 1)).sum(), model.last.weight)
    assert rows.mean(0) @ (positive - negative)[0] > 0, "descent lowers the energy of the data"


class Narrow(Energy):
    """N(1, 2 I) as an energy."""

    def energy(self, x_BD: Tensor) -> Tensor:
        return (x_BD - 1).square().sum(-1) / 4


def test_chains_sample_the_model_and_negatives_carry_no_gradient() -> None:
    model = Narrow(MLP((2,), (4,)), mean=0.0, std=2.0)
    objective = PCD(20, step=2.0, buffer=400, restart=0.0)
    for step in range(60):
        objective.per_example(model, torch.zeros(200, 2), draws(200, step))
    assert objective.used_N.all()
    chains, a = objective.chain_ND, 2.0 * 4 / 20
    assert not chains.requires_grad
    assert (chains.mean(0) - 1).abs().max() < 0.3
    assert chains.var().item() == pytest.approx(2 / (1 - a / 4), rel=0.15)


def test_a_restored_buffer_continues_to_the_bit() -> None:
    law, objective, model = gaussian_law(2), PCD(3, buffer=64), energy()
    assert objective.state()["chain_ND"].numel() == 0
    train(model, objective, law, range(6), n=32)
    saved, twin = objective.state(), copy.deepcopy(model)
    assert (saved["chain_ND"][~saved["used_N"]] == 0).all()
    train(model, objective, law, range(6, 12), n=32)
    again, never = PCD(3, buffer=64), copy.deepcopy(twin)
    again.restore(saved)
    train(twin, again, law, range(6, 12), n=32)
    train(never, PCD(3, buffer=64), law, range(6, 12), n=32)
    for name, value in model.state_dict().items():
        torch.testing.assert_close(twin.state_dict()[name], value, rtol=0, atol=0)
    for name, value in objective.state().items():
        assert torch.equal(again.state()[name], value)
    assert not torch.equal(never.last.weight, model.last.weight), "the buffer matters"
    fresh = PCD(3, buffer=64)
    fresh.restore(PCD(3, buffer=64).state())
    fresh(model, torch.randn(4, 2), draws(4))


def test_evaluation_leaves_the_buffer_alone() -> None:
    objective, model, x = PCD(3, buffer=64), energy(), torch.randn(16, 2)
    model.eval()
    objective(model, x, draws(16))
    assert objective.chain_ND.numel() == 0
    model.train()
    objective(model, x, draws(16))
    before = objective.state()
    model.eval()
    with torch.no_grad():
        one, two = (objective.per_example(model, x, draws(16, 1)) for _ in range(2))
        objective.held_out(model, x, draws(16))
    assert torch.equal(one, two)
    assert all(torch.equal(value, before[name]) for name, value in objective.state().items())
    model.train()
    objective(model, x, draws(16, 1))
    assert not torch.equal(objective.chain_ND, before["chain_ND"])


def test_of_chains_in_one_slot_the_last_is_kept() -> None:
    kept = last_of_each(torch.tensor([3, 1, 3, 0, 1, 3]), 5)
    assert kept.tolist() == [False, False, False, True, True, True]
    objective, model = PCD(1, buffer=1), energy()
    with torch.no_grad():
        negatives = objective._negatives(model, torch.zeros(7, 2), draws(7))
    torch.testing.assert_close(objective.chain_ND, negatives[-1:], rtol=0, atol=0)


def test_held_out_is_half_the_squared_score_plus_the_trace() -> None:
    model, x, copies = energy(3, mean=0.5, std=1.3), torch.randn(3), 4000
    hessian = torch.as_tensor(torch.autograd.functional.hessian(lambda x: -model.energy(x[None])[0], x))
    slope = torch.as_tensor(torch.autograd.functional.jacobian(lambda x: -model.energy(x[None])[0], x))
    expected = 0.5 * slope.square().sum() + hessian.trace()
    for scope in (torch.no_grad(), torch.inference_mode(), torch.enable_grad()):
        with scope:
            found = PCD().held_out(model, x.expand(copies, 3), draws(copies))
            assert float(found.mean() - expected) == pytest.approx(0, abs=4 * float(found.std()) / copies**0.5 + 1e-9)
            assert not found.requires_grad
    off = hessian - hessian.diagonal().diag()
    assert float(found.var()) == pytest.approx(float(2 * off.square().sum()), rel=0.2)  # Rademacher v
    # It ranks: N(0, 1) data prefer N(0, 1) to a wider and to a narrower model.
    data, scores = torch.randn(20_000, 2), {}
    for std in (0.8, 1.0, 1.25):
        candidate = energy(2, std=std)
        torch.nn.init.zeros_(candidate.last.weight)
        scores[std] = float(PCD().held_out(candidate, data, draws(len(data))).mean())
    assert scores[1.0] == pytest.approx(-1.0, abs=0.05)
    assert min(scores, key=lambda std: scores[std]) == 1.0


def test_l2_penalises_both_energies() -> None:
    model, x = energy(), torch.randn(8, 2)
    plain, penalised = (PCD(3, buffer=9, l2=l2).per_example(model, x, draws(8)) for l2 in (0.0, 0.5))
    positive = model.energy(x)
    negative = positive - plain
    torch.testing.assert_close(penalised - plain, 0.5 * (positive.square() + negative.square()))


@pytest.mark.parametrize(
    "settings", [{"steps": 0}, {"buffer": 0}, {"step": 0.0}, {"restart": 1.5}, {"restart": -0.1}, {"l2": -1.0}]
)
def test_settings_out_of_range_are_refused(settings: dict[str, Any]) -> None:
    (name,) = settings
    with pytest.raises(ValueError, match=rf"^{name}=.* must be"):
        PCD(**settings)


def test_golden_loss() -> None:
    """One number that must not change by accident: fixed weights, fixed data."""
    model, generator = energy(5, std=1.3), torch.Generator().manual_seed(3)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(0.5 * torch.randn(parameter.shape, generator=generator))
    x = torch.randn(16, 5, generator=generator)
    found = PCD(5, step=0.2, buffer=20, l2=0.1)(model, x, draws(16)).per_example.mean()
    assert float(found) == pytest.approx(-0.411795591356, rel=1e-6)
