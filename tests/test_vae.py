"""The mathematics of VAEs against closed forms: entropy gradients, annealed importance sampling, bounds."""

import itertools
import math
from types import SimpleNamespace
from typing import Any, cast

import pytest
import torch
from test_compose import config_of
from torch import Tensor, nn

from scorewise.backbones import MADE, MLP
from scorewise.config.identity import identity
from scorewise.config.settle import settle
from scorewise.estimators import Spectral, Stein
from scorewise.heads import ConditionalScore, Score
from scorewise.latent import (
    AIS,
    AutoregressiveEncoder,
    Bernoulli,
    ConvVAE,
    DenseVAE,
    GaussianEncoder,
    GaussianPixels,
    ImplicitEncoder,
    encoder_for,
    log_prior,
    mismatch,
    surrogate,
    temperatures,
)
from scorewise.latent.networks import ConvTrunk, DenseTrunk
from scorewise.noise import Draws
from scorewise.objectives import CSM, SSMVR, Objective
from scorewise.objectives.objective import score_field

SHAPE = (1, 4, 4)


def draws_of(n: int, seed: int = 0) -> Draws:
    return Draws.of(seed, 0, torch.arange(n))


def conditional_score(z_BD: Tensor, covariance_DD: Tensor) -> Tensor:
    """Return d/dz_d log N(z_d | z_<d), one dense solve per dimension."""
    columns = []
    for d in range(z_BD.shape[1]):
        precision = torch.linalg.inv(covariance_DD[: d + 1, : d + 1])
        columns.append(-(z_BD[:, : d + 1] @ precision[d]))
    return torch.stack(columns, -1)


LOWER = torch.tensor([[1.5, 0, 0], [0.7, 1.2, 0], [-0.9, 0.4, 0.8]], dtype=torch.float64)
FULL = torch.tensor([[1.5, -0.6, 0.8], [0.7, 1.2, 0.5], [-0.9, 0.4, 0.8]], dtype=torch.float64)


def entropy_gradient(matrix_DD: Tensor, score: Any, draws: int = 200_000) -> tuple[Tensor, Tensor]:
    """Return the surrogate's estimate of d H[A eps] / dA with its standard error, each (D, D)."""
    generator = torch.Generator().manual_seed(0)
    e_BD = torch.randn(draws, 3, dtype=torch.float64, generator=generator)
    a_DD = matrix_DD.clone().requires_grad_()
    z_BD = e_BD @ a_DD.mT
    covariance = matrix_DD @ matrix_DD.mT
    s_BD = score(z_BD.detach(), covariance)
    (gradient,) = torch.autograd.grad(-surrogate(z_BD, s_BD).mean(), a_DD)
    per_draw = -torch.einsum("bi,bj->bij", s_BD, e_BD)  # z_i = sum_j a_ij e_j
    torch.testing.assert_close(gradient, per_draw.mean(0))
    return gradient, per_draw.std(0) / draws**0.5


def joint_score(z_BD: Tensor, covariance_DD: Tensor) -> Tensor:
    s_BD: Tensor = -torch.linalg.solve(covariance_DD, z_BD.mT).mT
    return s_BD


def test_conditional_scores_give_the_entropy_gradient_of_a_triangular_encoder() -> None:
    """H = log|det A| + constant, so dH/dA = A^-T; the entries below the diagonal of a triangular A cancel exactly."""
    gradient, error = entropy_gradient(LOWER, conditional_score)
    truth = torch.linalg.inv(LOWER).mT
    free = torch.ones(3, 3, dtype=torch.bool).tril()
    assert ((gradient - truth).abs()[free] < 4.5 * error[free] + 1e-12).all()
    assert (error[free] < 0.01).all()
    torch.testing.assert_close(truth.diagonal(), 1 / LOWER.diagonal())


def test_joint_scores_give_that_of_any_encoder_and_conditional_ones_do_not() -> None:
    truth = torch.linalg.inv(FULL).mT
    gradient, error = entropy_gradient(FULL, joint_score)
    assert ((gradient - truth).abs() < 4.5 * error).all()
    wrong, error = entropy_gradient(FULL, conditional_score)
    assert ((wrong - truth).abs() / error).max() > 50
    assert (wrong - truth).abs().max() > 0.2


def test_the_total_derivative_passes_through_earlier_latents() -> None:
    """z_2 = a z_1 + eps_2 with z_1 = b eps_1: dH/da = 0 and dH/db = 1 / b, which needs d z_2 / db."""
    torch.manual_seed(0)
    a = torch.tensor(0.8, dtype=torch.float64, requires_grad=True)
    b = torch.tensor(1.7, dtype=torch.float64, requires_grad=True)
    e_BD = torch.randn(400_000, 2, dtype=torch.float64)
    z_1 = b * e_BD[:, 0]
    z_BD = torch.stack([z_1, a * z_1 + e_BD[:, 1]], -1)
    s_BD = torch.stack([-z_1 / b**2, -e_BD[:, 1]], -1)
    of_a, of_b = torch.autograd.grad(-surrogate(z_BD, s_BD).mean(), (a, b))
    assert float(of_a) == pytest.approx(0.0, abs=0.01)
    assert float(of_b) == pytest.approx(1 / 1.7, abs=0.01)


def test_the_value_of_the_surrogate_is_no_entropy() -> None:
    torch.manual_seed(0)
    for std in (0.1, 1.0, 3.0):
        z_BD = std * torch.randn(200_000, 4, dtype=torch.float64)
        assert float(surrogate(z_BD, -z_BD / std**2).mean()) == pytest.approx(-4, abs=0.05), "minus D at every scale"


@pytest.mark.parametrize("encoder", ["gaussian", "autoregressive", "implicit"])
def test_what_an_encoder_says_of_its_noise(encoder: str, double: None) -> None:
    """d z_d / d eps_j is exactly zero for every j > d where autoregressive=True, and the rest is not."""
    dims = 4
    made = {
        "gaussian": lambda: GaussianEncoder(DenseTrunk(SHAPE, (8, 8), "tanh"), dims),
        "autoregressive": lambda: AutoregressiveEncoder(DenseTrunk(SHAPE, (8, 8), "tanh"), dims, 6),
        "implicit": lambda: ImplicitEncoder(DenseTrunk(SHAPE, (8, 8), "tanh", dims), dims),
    }[encoder]()
    o_BD, e_D = torch.rand(1, 16), torch.randn(dims)
    jacobian = torch.autograd.functional.jacobian(lambda e: made.draw(o_BD, e[None, None])[0, 0], e_D)
    assert isinstance(jacobian, Tensor)
    above = jacobian.triu(1)
    assert bool((above == 0).all()) == made.autoregressive
    assert bool((jacobian.diagonal() != 0).all())
    if encoder != "gaussian":
        assert bool((jacobian.tril(-1)[1:, 0] != 0).all())


def test_particles_are_what_single_draws_are(double: None) -> None:
    """The trunk sees every image once, whatever M; the latents are those of M separate passes."""
    trunks = {
        "dense": lambda noise: DenseTrunk(SHAPE, (8, 8), "tanh", noise),
        "conv": lambda noise: ConvTrunk(SHAPE, (3, 4), (8,), "relu", noise),
    }
    o_BD, e_MBD = torch.rand(5, 16), torch.randn(3, 5, 2)
    for trunk in trunks.values():
        for made in (
            ImplicitEncoder(trunk(2), 2),
            AutoregressiveEncoder(trunk(0), 2, 6),
            GaussianEncoder(trunk(0), 2),
        ):
            trunk_of: Any = made.trunk
            first: Any = trunk_of.first if isinstance(trunk_of, DenseTrunk) else trunk_of.convolutions[0]
            seen: list[int] = []
            handle = first.register_forward_hook(lambda _, inputs, __, seen=seen: seen.append(len(inputs[0])))
            z_MBD = made.draw(o_BD, e_MBD)
            handle.remove()
            assert seen == [5]
            apart = torch.stack([made.draw(o_BD, e_MBD[m : m + 1])[0] for m in range(3)])
            torch.testing.assert_close(z_MBD, apart)


def test_pairings() -> None:
    assert [encoder_for(*choice) for choice in (("elbo", False), ("stein", False), ("spectral", False))] == [
        "gaussian",
        "implicit",
        "implicit",
    ]
    assert encoder_for("score", conditional=True) == "autoregressive"
    assert encoder_for("score", conditional=False) == "implicit"
    refused = mismatch("score", "implicit", conditional=True)
    assert refused is not None
    assert "its entropy gradient would be wrong: use latent.encoder=autoregressive" in refused
    assert mismatch("score", "implicit", conditional=False) is None
    assert mismatch("score", "autoregressive", conditional=False) is None
    assert mismatch("score", "gaussian", conditional=True) is None, "z_d = mean_d + std_d eps_d"
    assert "has none: use latent.encoder=gaussian" in str(mismatch("elbo", "implicit", conditional=False))
    assert "is none of score, elbo" in str(mismatch("vi", "implicit", conditional=False))
    assert "is none of auto, gaussian" in str(mismatch("score", "flow", conditional=False))


def ar_score(z: int, condition: int) -> ConditionalScore:
    made = MADE((z,), 6, (16, 16), activation="tanh", condition=condition)
    return ConditionalScore(made, hidden=(16, 16))


def free_score(z: int, condition: int) -> Score:
    return Score(MLP((z,), (16, 16), "tanh", condition=condition))


def test_the_score_network_is_causal_in_z_and_sees_the_image(double: None) -> None:
    vae = DenseVAE(SHAPE, z=3, method="score", score=ar_score)
    assert vae.score is not None
    o_BD, z_BD = torch.rand(1, 16), torch.randn(1, 3)

    def field(o: Tensor, z: Tensor) -> Tensor:
        assert vae.score is not None
        return score_field(vae.score.given(o))(z)[0]

    of_o, of_z = torch.autograd.functional.jacobian(field, (o_BD, z_BD))
    assert isinstance(of_z, Tensor)
    assert isinstance(of_o, Tensor)
    assert (of_z[:, 0].triu(1) == 0).all()
    assert (of_z[:, 0].diagonal() != 0).all()
    assert (of_z[:, 0].tril(-1)[1:, 0] != 0).all()
    assert (of_o[:, 0].abs().sum(-1) > 0).all(), "the first latent's score sees the image too"
    assert [id(p) for p in vae.score.given(o_BD).parameters()] == [id(p) for p in vae.score.model.parameters()]


def test_objectives_move_the_score_network_alone(double: None) -> None:
    """CSM at fixed images is CSM of the model of z given each image, one by one; gradients reach every weight of it."""
    vae = DenseVAE(SHAPE, z=3, method="score", score=ar_score, score_hidden=(8,))
    assert vae.score is not None
    o_BD, z_BD = torch.rand(6, 16), torch.randn(6, 3)
    csm: Objective = CSM()
    together = csm(vae.score.given(o_BD), z_BD, draws_of(6))
    apart = torch.stack(
        [csm.per_example(vae.score.given(o_BD[i : i + 1]), z_BD[i : i + 1], draws_of(1)) for i in range(6)]
    )
    torch.testing.assert_close(together.per_example, apart[:, 0].detach())
    together.total.backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in vae.score_parameters())
    assert all(p.grad is None for p in vae.generative_parameters())
    assert len(vae.score_parameters()) + len(vae.generative_parameters()) == len(list(vae.parameters()))


@pytest.mark.parametrize("kind", ["conditional", "joint"])
def test_a_score_network_learns_the_posterior_of_a_linear_encoder(kind: str) -> None:
    """q(z|x) = N(W x, L L^T): a trained network's scores come close to the exact ones, conditional or joint."""
    torch.manual_seed(0)
    vae = DenseVAE((1, 1, 2), z=2, method="score", score=ar_score if kind == "conditional" else free_score)
    assert vae.score is not None
    lower = torch.tensor([[0.8, 0.0], [0.5, 0.6]])
    of_x = torch.tensor([[1.0, -1.0], [0.5, 0.5]])
    objective: Any = CSM() if kind == "conditional" else SSMVR()
    optimizer = torch.optim.Adam(vae.score_parameters(), lr=5e-3, fused=True)
    for step in range(400):
        o_BD = torch.rand(256, 2)
        z_BD = o_BD @ of_x.mT + torch.randn(256, 2) @ lower.mT
        loss = objective(vae.score.given(o_BD), z_BD, Draws.of(0, step, torch.arange(256))).total
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    o_BD = torch.rand(4000, 2)
    mean_BD, e_BD = o_BD @ of_x.mT, torch.randn(4000, 2) @ lower.mT
    exact = conditional_score if kind == "conditional" else joint_score
    s_BD = exact(e_BD.double(), (lower @ lower.mT).double()).float()
    with torch.no_grad():
        ours_BD = score_field(vae.score.given(o_BD))(mean_BD + e_BD)
    error = (ours_BD - s_BD).square().sum(-1).mean() / s_BD.square().sum(-1).mean()
    assert float(error) < 0.05


@pytest.mark.parametrize("kind", ["conditional", "joint"])
def test_standardised_latents_give_the_scores_of_narrow_posteriors(kind: str) -> None:
    """A network of z itself cannot find a centre more precisely than q is wide, and says nothing of the entropy."""
    found = {}
    for standardise in (False, True):
        torch.manual_seed(0)
        score = ar_score if kind == "conditional" else free_score
        vae = DenseVAE((1, 4, 4), z=2, hidden=(16,), method="score", score=score, standardise=standardise)
        with torch.no_grad():
            if isinstance(vae.encoder, AutoregressiveEncoder):
                for weight in vae.encoder.of_inputs:
                    weight[0] *= 0.02
            else:
                cast(Any, vae.encoder.trunk).of_noise.weight.mul_(0.02)
        objective: Any = CSM() if kind == "conditional" else SSMVR()
        optimizer = torch.optim.Adam(vae.score_parameters(), lr=3e-3, fused=True)
        for step in range(250):
            draws = Draws.of(0, step, torch.arange(128))
            o_BD = draws.fork("o").uniform(16).round()
            optimizer.zero_grad()
            vae.score_loss(objective, o_BD, draws).total.backward()
            optimizer.step()
        draws = draws_of(64)
        found[standardise] = float(vae.identity(draws.fork("o").uniform(16).round(), 200, draws).mean())
    assert found[False] < 0.3
    assert found[True] == pytest.approx(1, abs=0.1)


def test_the_identity_is_one_for_exact_scores(monkeypatch: pytest.MonkeyPatch, double: None) -> None:
    vae = DenseVAE((1, 4, 4), z=3, hidden=(16,), method="stein", encoder="gaussian")
    o_BD = torch.rand(5, 16).round()
    q = cast(GaussianEncoder, vae.encoder).moments(o_BD)

    def exact(_: Tensor, z_MBD: Tensor, __: str) -> Tensor:
        return (q.mean_BD - z_MBD) * (-2 * q.log_std_BD).exp()

    monkeypatch.setattr(vae, "scores", exact)
    assert float(vae.identity(o_BD, 4000, draws_of(5)).mean()) == pytest.approx(1, abs=0.03)


def test_particles_are_judged_among_as_many_as_they_train_with(double: None) -> None:
    """A kernel's score is fitted to its particles: the identity rises with their number, whatever count asks for."""
    vae = DenseVAE((1, 4, 4), z=3, hidden=(16,), method="stein", encoder="gaussian", particles=8)
    o_BD = torch.rand(5, 16).round()
    found_B = vae.identity(o_BD, 4 * 8, draws_of(5))
    z_MBD = vae.latents(o_BD, 4 * 8, draws_of(5))
    sets = []
    for z_8BD in z_MBD.split(8):
        s_8BD = vae.scores(o_BD, z_8BD)
        pairs = torch.stack([s_8BD, z_8BD]).flatten(2).permute(2, 0, 1)
        sets.append(-torch.stack([torch.cov(pair)[0, 1] for pair in pairs]).view(5, 3).mean(1))
    assert torch.allclose(found_B, torch.stack(sets).mean(0))


@pytest.mark.parametrize("method", ["stein", "score"])
def test_what_training_minimises_widens_an_encoder_by_its_entropy(
    monkeypatch: pytest.MonkeyPatch, double: None, method: str
) -> None:
    """With the true scores of a Gaussian encoder, d(minus entropy) / d log std is -1 per latent."""
    score = (lambda z, width: Score(MLP((z,), (8,), "tanh", condition=width))) if method == "score" else None
    vae = DenseVAE((1, 4, 4), z=3, hidden=(16,), method=method, encoder="gaussian", particles=16, score=score)
    o_BD = torch.rand(2000, 16).round()
    q = cast(GaussianEncoder, vae.encoder).moments(o_BD)

    def exact(_: Tensor, z_MBD: Tensor, __: str) -> Tensor:
        return ((q.mean_BD - z_MBD) * (-2 * q.log_std_BD).exp()).detach()

    monkeypatch.setattr(vae, "scores", exact)
    shift_D = torch.zeros(3, requires_grad=True)
    moments = cast(GaussianEncoder, vae.encoder).moments
    monkeypatch.setattr(
        vae.encoder, "moments", lambda o_BD: (m := moments(o_BD))._replace(log_std_BD=m.log_std_BD + shift_D)
    )
    terms = vae.terms(o_BD, draws_of(2000))
    (slope_D,) = torch.autograd.grad(terms.minus_entropy_B.mean(), shift_D, retain_graph=True)
    assert slope_D.tolist() == pytest.approx([-1, -1, -1], abs=0.05)
    (total_D,) = torch.autograd.grad(vae.terms(o_BD, draws_of(2000)).total().mean(), shift_D)
    cross = terms.reconstruction_B.mean() + terms.prior_B.mean()
    assert total_D.tolist() == pytest.approx((torch.autograd.grad(cross, shift_D)[0] + slope_D).tolist())


def test_a_score_network_in_another_order_than_the_encoder_is_refused() -> None:
    """Its conditional scores would be those of other conditionals than the encoder draws from."""

    def reversed_(z: int, width: int) -> ConditionalScore:
        return ConditionalScore(MADE((z,), 4, (16,), condition=width, ordering=[2, 1, 0]))

    with pytest.raises(ValueError, match="is not the one in which encoders draw z"):
        DenseVAE((1, 4, 4), z=3, method="score", score=reversed_)


def test_only_a_score_network_is_standardised() -> None:
    with pytest.raises(ValueError, match=r"latent\.standardise is of score networks, and latent\.method=elbo has none"):
        DenseVAE((1, 4, 4), method="elbo", standardise=True)


# Annealed importance sampling


class LinearGaussian:
    """X = A z + b + N(0, std^2 I), whose marginal and posterior are Gaussian."""

    def __init__(self, dims: int, pixels: int, std: float, dtype: torch.dtype = torch.float64) -> None:
        generator = torch.Generator().manual_seed(1)
        self.a_XD = torch.randn(pixels, dims, generator=generator, dtype=torch.float64).to(dtype)
        self.b_X = torch.randn(pixels, generator=generator, dtype=torch.float64).to(dtype)
        self.std, self.dims, self.pixels = std, dims, pixels

    def log_likelihood(self, x_BX: Tensor) -> Any:
        x_B1X = x_BX[:, None].to(self.a_XD.dtype)
        at_most = -self.pixels * (math.log(self.std) + 0.5 * math.log(2 * math.pi))

        def log_prob(z_BCD: Tensor) -> Tensor:
            error_BCX = x_B1X - (z_BCD @ self.a_XD.mT + self.b_X)
            log_p_BC: Tensor = at_most - 0.5 / self.std**2 * error_BCX.square().sum(-1)
            return log_p_BC

        return log_prob

    def log_marginal(self, x_BX: Tensor) -> Tensor:
        covariance = self.a_XD @ self.a_XD.mT + self.std**2 * torch.eye(self.pixels, dtype=self.a_XD.dtype)
        log_p_B: Tensor = torch.distributions.MultivariateNormal(self.b_X, covariance).log_prob(x_BX)
        return log_p_B

    def simulate(self, n: int) -> tuple[Tensor, Tensor]:
        generator = torch.Generator().manual_seed(2)
        z_BD = torch.randn(n, self.dims, generator=generator, dtype=torch.float64)
        noise_BX = torch.randn(n, self.pixels, generator=generator, dtype=torch.float64)
        return z_BD, z_BD @ self.a_XD.mT + self.b_X + self.std * noise_BX


def test_ais_is_within_a_tenth_of_a_nat_of_the_closed_form(double: None) -> None:
    """By half the temperatures and four times the chains of budget=cpu; posteriors up to 8 times narrower."""
    model = LinearGaussian(8, 20, 1.0)
    z_BD, x_BX = model.simulate(12)
    truth_B = model.log_marginal(x_BX)
    ais = AIS(temperatures=250, chains=32)
    found = ais.forward(model.log_likelihood(x_BX), 8, draws_of(12))
    back = ais.backward(model.log_likelihood(x_BX), z_BD, draws_of(12))
    below, above = float((found.log_marginal_B - truth_B).mean()), float((back.log_marginal_B - truth_B).mean())
    assert abs(below) < 0.1
    assert abs(above) < 0.1
    assert float((found.log_marginal_B - truth_B).abs().mean()) < 0.3
    assert 0.75 < float(found.acceptance_B.mean()) < 0.85
    # Chains end at the posterior, whose mean is known.
    precision = torch.eye(8) + model.a_XD.mT @ model.a_XD
    mean_BD = (x_BX - model.b_X) @ model.a_XD @ torch.linalg.inv(precision)
    std_D = torch.linalg.inv(precision).diagonal().sqrt()
    assert float(((found.z_BCD.mean(1) - mean_BD) / std_D).abs().mean()) < 0.5


def test_a_short_annealing_brackets_the_truth_with_a_gap() -> None:
    model = LinearGaussian(4, 10, 0.3)
    z_BD, x_BX = model.simulate(40)
    ais = AIS(temperatures=10, chains=2, leapfrog=3)
    low = ais.forward(model.log_likelihood(x_BX), 4, draws_of(40), torch.float64).log_marginal_B.mean()
    high = ais.backward(model.log_likelihood(x_BX), z_BD, draws_of(40)).log_marginal_B.mean()
    truth = model.log_marginal(x_BX).mean()
    assert float(low) < float(truth) - 0.2
    assert float(high) > float(truth) + 0.2


def test_an_estimate_depends_on_no_other_example_and_on_no_batch() -> None:
    model = LinearGaussian(3, 8, 0.3)
    _, x_BX = model.simulate(6)
    ais = AIS(temperatures=30, chains=3)
    whole = ais.forward(model.log_likelihood(x_BX), 3, draws_of(6), torch.float64)
    part = ais.forward(model.log_likelihood(x_BX[2:5]), 3, Draws.of(0, 0, torch.arange(2, 5)), torch.float64)
    torch.testing.assert_close(part.log_marginal_B, whole.log_marginal_B[2:5])
    torch.testing.assert_close(part.z_BCD, whole.z_BCD[2:5])


def test_float32_agrees_with_float64() -> None:
    model, single = LinearGaussian(8, 20, 0.3), LinearGaussian(8, 20, 0.3, torch.float32)
    _, x_BX = model.simulate(8)
    ais = AIS(temperatures=80, chains=8)
    exact_B = ais.forward(model.log_likelihood(x_BX), 8, draws_of(8), torch.float64).log_marginal_B
    found_B = ais.forward(single.log_likelihood(x_BX), 8, draws_of(8), torch.float32).log_marginal_B
    assert found_B.dtype == torch.float32
    assert float((exact_B - found_B).mean().abs()) < 0.05


def test_rough_gradients_leave_the_estimate_exact(double: None) -> None:
    """Gradients of another model, and in bfloat16, only cost acceptance."""
    model = LinearGaussian(4, 10, 0.5)
    z_BD, x_BX = model.simulate(8)
    truth_B, likelihood = model.log_marginal(x_BX), model.log_likelihood(x_BX)

    def other(z_BCD: torch.Tensor) -> torch.Tensor:
        log_p_BC: Tensor = 0.8 * likelihood(z_BCD) + z_BCD[..., 0]
        return log_p_BC

    def single(z_BCD: torch.Tensor) -> torch.Tensor:
        a_XD, b_X, x_B1X = (t.bfloat16() for t in (model.a_XD, model.b_X, x_BX[:, None]))
        error_BCX = x_B1X - z_BCD.bfloat16() @ a_XD.mT - b_X
        return (-0.5 * error_BCX.square().sum(-1) / model.std**2).to(z_BCD.dtype)

    ais = AIS(temperatures=100, chains=32)
    rates = [float(ais.forward(likelihood, 4, draws_of(8)).acceptance_B.mean())]
    for rough in (other, single):
        found = ais.forward(likelihood, 4, draws_of(8), rough=rough)
        back = ais.backward(likelihood, z_BD, draws_of(8), rough=rough)
        assert abs(float((found.log_marginal_B - truth_B).mean())) < 0.15
        assert abs(float((back.log_marginal_B - truth_B).mean())) < 0.15
        rates.append(float(found.acceptance_B.mean()))
    assert min(rates) > 0.7


def test_a_vae_anneals_along_rough_gradients() -> None:
    vae = DenseVAE((1, 4, 4), z=2, hidden=(8,), method="elbo")
    draws = draws_of(6)
    o_BD = vae.observation.observe(torch.rand(6, 16) * 2 - 1, draws)
    exact = vae.annealed(AIS(60, 8), o_BD, draws)
    rough = vae.annealed(AIS(60, 8, rough=True), o_BD, draws)
    assert not torch.equal(exact.z_BCD, rough.z_BCD)
    torch.testing.assert_close(rough.log_marginal_B, exact.log_marginal_B, atol=0.1, rtol=0)
    low_B, high_B = vae.simulated(AIS(60, 8, rough=True), draws)
    torch.testing.assert_close(low_B, high_B, atol=0.2, rtol=0)
    assert vae.annealed(AIS(5, 2), o_BD[:0], draws_of(0)).log_weight_BC.shape == (0, 2)
    assert [len(bound_B) for bound_B in vae.simulated(AIS(5, 2), draws_of(0))] == [0, 0]


def test_a_flat_likelihood_costs_nothing() -> None:
    found = AIS(temperatures=5, chains=4).forward(lambda z: torch.full(z.shape[:2], -3.0), 2, draws_of(3))
    torch.testing.assert_close(found.log_marginal_B, torch.full((3,), -3.0))


def test_temperatures_are_a_sigmoid_from_0_to_1() -> None:
    t_K = temperatures(1000)
    assert (t_K[0], t_K[-1], len(t_K)) == (0.0, 1.0, 1000)
    assert t_K[500] + t_K[499] == pytest.approx(1.0)
    assert all(a < b for a, b in itertools.pairwise(t_K))
    ends = torch.sigmoid(torch.tensor([-4.0, 4.0], dtype=torch.float64))
    middle = torch.sigmoid(torch.tensor(-4 + 8 * 250 / 999, dtype=torch.float64))
    assert t_K[250] == pytest.approx(float((middle - ends[0]) / (ends[1] - ends[0])))


def test_settings_of_annealing_out_of_range() -> None:
    for settings in (
        {"temperatures": 1},
        {"chains": 0},
        {"leapfrog": 0},
        {"step": 0.9},
        {"step": -1.0},
        {"target": 1.0},
        {"factor": 0.9},
        {"smallest": 0.0},
    ):
        with pytest.raises(ValueError, match=r"annealing needs|must be"):
            AIS(**settings)  # type: ignore[arg-type]


# Bounds of explicit encoders


class LinearDecoder(nn.Module):
    def __init__(self, model: LinearGaussian) -> None:
        super().__init__()
        self.model = model

    def forward(self, z: Tensor) -> Tensor:
        return z @ self.model.a_XD.mT + self.model.b_X


def linear_vae(std: float = 0.5) -> tuple[DenseVAE, LinearGaussian]:
    model = LinearGaussian(3, 16, std)
    vae = DenseVAE(SHAPE, z=3, likelihood="gaussian", log_std=math.log(std)).double()
    vae.decoder = LinearDecoder(model)
    return vae, model


def test_the_bounds_are_exact_where_the_encoder_is_the_posterior(double: None) -> None:
    """With orthogonal columns of A the posterior has independent dimensions: one draw gives log p(x) without error."""
    vae, model = linear_vae()
    model.a_XD = torch.linalg.qr(model.a_XD).Q * torch.tensor([1.0, 2.0, 0.5])
    vae.encoder = GaussianEncoder(DenseTrunk(SHAPE, (), "tanh"), 3)
    variance_D = 1 / (1 + model.a_XD.square().sum(0) / model.std**2)
    of_x_DX = variance_D[:, None] * model.a_XD.mT / model.std**2
    with torch.no_grad():
        vae.encoder.last.weight.copy_(torch.cat([of_x_DX, torch.zeros(3, 16)]))
        vae.encoder.last.bias.copy_(torch.cat([-of_x_DX @ model.b_X, 0.5 * variance_D.log()]))
    _, x_BX = model.simulate(5)
    truth_B = model.log_marginal(x_BX)
    for count in (1, 3, 100):
        torch.testing.assert_close(vae.iwae(x_BX, count, draws_of(5)), truth_B)

    def by_single_draws() -> Tensor:
        return -vae.terms(x_BX.repeat(1200, 1), draws_of(6000)).total().detach().view(1200, 5)

    many = by_single_draws()
    assert ((many.mean(0) - truth_B).abs() < 4 * many.std(0) / 1200**0.5).all(), "no divergence is left"
    with torch.no_grad():
        vae.encoder.last.bias[0] += 0.7
    assert float(vae.iwae(x_BX, 3000, draws_of(5)).sub(truth_B).abs().max()) < 0.1
    torch.testing.assert_close(by_single_draws().mean(0), truth_B - 0.5 * 0.7**2 / variance_D[0], rtol=0, atol=0.1)
    with pytest.raises(ValueError, match="at least 1 draw"):
        vae.iwae(x_BX, 0, draws_of(5))


def test_the_parts_of_the_elbo(double: None) -> None:
    """prior - entropy is the divergence of N(mean, std^2) from N(0, I)."""
    vae = DenseVAE(SHAPE, z=3)
    o_BD = torch.rand(6, 16).round()
    terms = vae.terms(o_BD, draws_of(6))
    q = vae.encoder.moments(o_BD)  # type: ignore[operator]
    prior = torch.distributions.Normal(torch.zeros(3), torch.ones(3))
    divergence = torch.distributions.kl_divergence(torch.distributions.Normal(q.mean_BD, q.log_std_BD.exp()), prior)
    torch.testing.assert_close(terms.prior_B + terms.minus_entropy_B, divergence.sum(-1))
    assert (terms.reconstruction_B > 0).all()


def test_likelihoods_are_the_laws_that_they_are_called() -> None:
    out, o = torch.randn(4, 16), torch.rand(4, 16).round()
    law = torch.distributions.Bernoulli(logits=out)
    torch.testing.assert_close(Bernoulli().log_prob(o, out), law.log_prob(o).sum(-1))
    torch.testing.assert_close(Bernoulli().mean(out), 2 * law.mean - 1)
    x = torch.rand(4, 16) * 2 - 1
    gaussian = GaussianPixels()
    normal = torch.distributions.Normal(out, math.exp(-0.602))
    torch.testing.assert_close(gaussian.log_prob(x, out), normal.log_prob(x).sum(-1))
    assert math.exp(-0.602) ** 2 == pytest.approx(0.3, abs=1e-3), "the published variance"
    many = torch.full((20_000, 1), 0.5)
    assert float(Bernoulli().observe(many, draws_of(20_000)).mean()) == pytest.approx(0.75, abs=0.01)
    moved = gaussian.observe(many, draws_of(20_000)) - 0.5
    assert float(moved.abs().max()) <= 1 / 255
    assert float(moved.std()) == pytest.approx(2 / 255 / 12**0.5, rel=0.02)
    again = Bernoulli().observe(many, Draws.of(0, 1, torch.arange(20_000)))
    assert not torch.equal(again, Bernoulli().observe(many, draws_of(20_000))), "redrawn in every epoch"


@pytest.mark.parametrize("levels", [2, 17, 256])
def test_dequantised_levels_leave_no_gap_and_no_overlap(levels: int, double: None) -> None:
    """The noise of neighbouring levels ends where the other begins: every value belongs to one level."""
    apart = 2 / (levels - 1)
    grid = -1 + apart * torch.arange(levels)
    for end in (0.0, 1.0):
        draws = SimpleNamespace(fork=lambda _, u=end: SimpleNamespace(uniform=lambda *_, **__: torch.tensor(u)))
        moved = GaussianPixels(width=apart).observe(grid, draws)  # type: ignore[arg-type]
        torch.testing.assert_close(moved, grid + (end - 0.5) * apart, rtol=0, atol=1e-15)
    assert GaussianPixels().width == pytest.approx(2 / 255, rel=1e-15)


@pytest.mark.parametrize(
    ("overrides", "width"),
    [
        (("experiment=vae_celeba",), 2 / 255),
        (("experiment=vae_celeba", "data=digits", "data.smoothing=0"), 2 / 16),
        (("experiment=vae_celeba", "latent.width=0.0078125"), 2 / 256),
        (("experiment=vae_mnist", "latent.likelihood=gaussian"), 2 / 255),
        (("experiment=vae_mnist",), None),
    ],
)
def test_a_settled_vae_dequantises_by_the_distance_of_levels(overrides: tuple[str, ...], width: float | None) -> None:
    """A run of 0.1.0 stored no width, and keeps the one it had and, where nothing is dequantised, its identity."""
    config = settle(config_of(*overrides))
    assert config["latent"]["width"] == width
    former = {**config, "latent": {key: value for key, value in config["latent"].items() if key != "width"}}
    assert (identity(former) == identity(config)) is (width is None)
    made = DenseVAE(SHAPE, z=2, likelihood="gaussian").observation
    assert isinstance(made, GaussianPixels)
    assert made.width == 2 / 256


# Kernel estimators


@pytest.mark.parametrize(("method", "limit"), [("stein", 1.2), ("spectral", 0.6)])
def test_particles_estimate_the_scores_of_their_own_image(method: str, limit: float, double: None) -> None:
    """Every image's particles are one set: the scores of N(m_x, s_x^2), M = 100, relative to the zero predictor.

    Stein with the published ridge is about as bad as zero in one dimension, as SCIENCE section 7 has it (.78 / .80).
    """
    torch.manual_seed(0)
    vae = DenseVAE(SHAPE, z=1, method=method, particles=100)
    std_B1 = torch.tensor([[0.1], [1.0], [5.0]]).repeat(20, 1)
    mean_B1 = torch.linspace(-3, 3, 60)[:, None]
    z_MBD = mean_B1 + std_B1 * torch.randn(100, 60, 1)
    s_MBD = vae.scores(torch.rand(60, 16), z_MBD)
    assert s_MBD.shape == z_MBD.shape
    true_MBD = (mean_B1 - z_MBD) / std_B1**2
    error = (s_MBD - true_MBD).abs().mean(0) / true_MBD.abs().mean(0)
    assert float(error.mean()) < limit
    estimator: Any = {"stein": Stein(0.001), "spectral": Spectral()}[method]
    own = estimator.score_at(z_MBD[:, 7])
    torch.testing.assert_close(s_MBD[:, 7], own)


@pytest.mark.parametrize(
    ("method", "dims", "published"),
    [("stein", 1, 0.78), ("stein", 8, 3.53), ("spectral", 1, 0.26), ("spectral", 8, 1.90), ("spectral", 32, 3.82)],
)
def test_errors_on_standard_normal_latents(method: str, dims: int, published: float) -> None:
    """The mean norm of the error from M = 100 particles of N(0, I), as measured before at the published settings."""
    torch.manual_seed(0)
    vae = DenseVAE(SHAPE, z=dims, method=method, particles=100)
    z_MBD = torch.randn(100, 40, dims)
    error = float((vae.scores(torch.rand(40, 16), z_MBD) + z_MBD).norm(dim=-1).mean())
    assert error == pytest.approx(published, rel=0.2), "five repeats were measured there"


@pytest.mark.parametrize("method", ["stein", "spectral"])
def test_degenerate_posteriors_stay_finite(method: str) -> None:
    vae = DenseVAE(SHAPE, z=4, method=method)
    assert vae.of_particles is not None
    collapsed = torch.ones(16, 5, 4) * torch.randn(5, 4)
    nearly = collapsed + 1e-7 * torch.randn(16, 5, 4)
    pairs = torch.randn(2, 5, 4).repeat(8, 1, 1)
    flat = torch.cat([torch.randn(16, 5, 2), torch.zeros(16, 5, 2)], -1)
    for z_MBD in (collapsed, nearly, pairs, flat):
        s_MBD = vae.scores(torch.rand(5, 16), z_MBD)
        assert s_MBD.isfinite().all()
    for z_MBD in (collapsed, pairs):
        o_BD = torch.rand(5, 16).round()
        assert surrogate(z_MBD, vae.scores(o_BD, z_MBD)).isfinite().all()


# The model as a user sees it


def test_samples_reconstructions_and_traversals() -> None:
    vae = DenseVAE(SHAPE, z=3)
    x = vae.sample(5, torch.Generator().manual_seed(0))
    assert x.shape == (5, *SHAPE)
    torch.testing.assert_close(x, vae.sample(5, torch.Generator().manual_seed(0)))
    assert x.abs().max() <= 1
    assert not x.requires_grad
    images = torch.rand(4, 16) * 2 - 1
    assert vae.encode(images, 7).shape == (7, 4, 3)
    assert vae.reconstruct(images).shape == (4, 16)
    along = vae.traversal(images[0], steps=5, draws=draws_of(1))
    assert along.shape == (15, 16)
    z_D = vae.encode(images[:1], 1, draws_of(1))[0, 0]
    z_D[1] = -2.0
    torch.testing.assert_close(along[5], vae.decode(z_D))
    torch.testing.assert_close(vae.decode(z_D.double().numpy()), vae.decode(z_D))
    assert vae.decode([[0.0, 1.0, 2.0]]).shape == (1, 16)
    for z, says in ((torch.zeros(2, 5), "z has shape .2, 5., and this model takes latents"), ("z", "give latents as")):
        with pytest.raises(ValueError, match=says):
            vae.decode(z)
    for count in (0, -1, 1.5):
        with pytest.raises(ValueError, match=rf"encode.count={count}. asks for no number"):
            vae.encode(images, count)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="implicit here: use AIS"):
        DenseVAE(SHAPE, z=3, method="stein").iwae(images, 3, draws_of(4))


def test_the_convolutions_have_the_published_sizes() -> None:
    vae = ConvVAE((3, 64, 64), z=32, likelihood="gaussian")
    z = torch.randn(2, 32)
    x = vae.decode(z)
    assert x.shape == (2, 3 * 64 * 64)
    assert x.abs().max() <= 1
    sizes = [tuple(layer.weight.shape) for layer in vae.decoder.convolutions]  # type: ignore[union-attr]
    assert sizes == [(512, 256, 5, 5), (256, 128, 5, 5), (128, 64, 5, 5), (64, 3, 5, 5)]
    trunk = vae.encoder.trunk
    assert [tuple(c.weight.shape[:2]) for c in trunk.convolutions] == [(64, 3), (128, 64), (256, 128), (512, 256)]  # type: ignore[union-attr]
    assert vae.log_likelihood(x, torch.randn(2, 2, 32)).shape == (2, 2)
    with pytest.raises(ValueError, match="sides divide by 16"):
        ConvVAE((1, 28, 28), z=8)
    assert ConvVAE((1, 28, 28), channels=(8, 16), hidden=(32,), z=2).sample(3).shape == (3, 1, 28, 28)


def test_settings_of_a_vae_out_of_range() -> None:
    for settings, words in (
        ({"method": "flow"}, "is none of score"),
        ({"likelihood": "poisson"}, "is none of bernoulli"),
        ({"encoder": "flow"}, "is none of auto"),
        ({"z": 0}, "z=0 must be a whole number of at least 1"),
        ({"method": "score"}, "needs a score network"),
    ):
        with pytest.raises(ValueError, match=words):
            DenseVAE(SHAPE, **settings)


def test_the_prior_is_standard_normal() -> None:
    z = torch.randn(3, 5)
    expected = torch.distributions.MultivariateNormal(torch.zeros(5), torch.eye(5)).log_prob(z)
    torch.testing.assert_close(log_prior(z), expected)


def test_the_prior_term_of_particles_is_their_mean(double: None) -> None:
    vae = DenseVAE((1, 4, 4), z=3, hidden=(16,), method="stein", encoder="gaussian", particles=8)
    o_BD = torch.rand(5, 16).round()
    z_MBD = vae.latents(o_BD, 8, draws_of(5))
    normal = torch.distributions.Normal(torch.zeros(3), torch.ones(3))
    torch.testing.assert_close(vae.terms(o_BD, draws_of(5)).prior_B, -normal.log_prob(z_MBD).sum(-1).mean(0))
