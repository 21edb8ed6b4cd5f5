"""Sampling from a trained AR-CSM model of MNIST: exact draws against Langevin dynamics, sequential and parallel.

python benchmarks/sampling.py --run runs/csm-made-mnist/<hash>   # after: python src/train.py experiment=csm_mnist
"""

import argparse
import math
from collections.abc import Callable

import torch
from record import now, ratio_row, write
from torch import Tensor

import scorewise
from scorewise.data.images import Mnist
from scorewise.heads.model import CausalModel
from scorewise.heads.numerically_normalised import NumericallyNormalised
from scorewise.likelihood import Quadrature
from scorewise.noise import Draws, smoothing_noise
from scorewise.sampling import InverseCDF, Langevin1d, Parallel

STEPS = (10, 20, 30, 50, 100, 200, 300)
SIZES = (0.05, 0.1, 0.2, 0.3, 0.5, 1.0)
AT_ONCE = 64


def seconds(job: Callable[[], object], device: torch.device) -> float:
    """Return the time of a job."""
    started = now(device)
    job()
    return now(device) - started


def seeded() -> torch.Generator:
    """Return a new generator with a fixed seed."""
    return torch.Generator().manual_seed(0)


def kolmogorov(model: NumericallyNormalised, q_R1: Tensor, c_R1F: Tensor) -> float:
    """Return the largest distance of the draws' probability integral transform from uniform."""
    likelihood = model.normaliser()
    assert isinstance(likelihood, Quadrature)
    finer = Quadrature(likelihood.low, likelihood.high, panels=16 * likelihood.rule(model).count)  # not what drew them
    pit_R = finer.cdf(model, q_R1, c_R1F).flatten().double().sort().values.cpu()
    i_R = torch.arange(len(pit_R)) / len(pit_R)
    return float(torch.maximum((pit_R - i_R).abs().max(), (i_R + 1 / len(pit_R) - pit_R).abs().max()))


def langevin_scan(model: NumericallyNormalised, c_R1F: Tensor, floor: float) -> tuple[int, float, dict[str, float]]:
    """Return the fewest steps, with their size, whose draws are at the floor, and all distances."""
    table: dict[str, float] = {}
    reached: list[tuple[int, float]] = []
    generator = seeded()
    for size in SIZES:
        start_R1 = torch.randn(len(c_R1F), 1, generator=generator).to(c_R1F.device)
        a, q_R1 = size * model.noise**2, model.mean + model.scale * start_R1
        for step in range(1, max(STEPS) + 1):
            z_R1 = torch.randn(q_R1.shape, generator=generator).to(q_R1.device)
            q_R1 = q_R1 + a * model.conditional_score(q_R1, c_R1F) + math.sqrt(2 * a) * z_R1  # type: ignore[operator]
            if step in STEPS:
                table[f"step {size:g}, T {step}"] = distance = kolmogorov(model, q_R1, c_R1F)
                if distance <= floor:
                    reached.append((step, size))
    steps, size = min(reached, default=(max(STEPS), SIZES[1]))
    return steps, size, table


def main() -> None:
    """Measure and write docs/benchmarks/sampling.json."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--run", required=True)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--rows", type=int, default=10_000)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", default="cpu")
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    device = torch.device(given.device)
    model = scorewise.load(given.run).to(device)
    assert isinstance(model, NumericallyNormalised)
    source = Mnist()
    source.prepare()
    index_B = torch.arange(200)
    x_BD = source.examples("test", index_B, 0, 0)
    x_BD = x_BD + model.noise * smoothing_noise(Draws.of(0, -1, index_B), x_BD)
    with torch.no_grad():
        rows = measure(model, x_BD.to(device), given.rounds, given.rows)
    write("sampling", rows[0], device, **rows[1])


def measure(
    model: NumericallyNormalised, x_BD: Tensor, rounds: int, count: int
) -> tuple[list[dict[str, object]], dict[str, dict[str, float]]]:
    """Return the rows of the table, and the numbers behind them."""
    c_RF = model.context(x_BD).flatten(0, 1)
    c_R1F = c_RF[torch.randperm(len(c_RF), generator=seeded())[:count]][:, None]
    floor = 1.358 / math.sqrt(count)  # Kolmogorov's 5 % point
    steps, size, scan = langevin_scan(model, c_R1F, floor)
    exact = kolmogorov(
        model, model.conditional_quantile(torch.rand(count, 1, generator=seeded()).to(c_R1F.device), c_R1F), c_R1F
    )
    samplers = {"inverse_cdf": InverseCDF(), "langevin": Langevin1d(steps, size)}

    def draw(name: str) -> Tensor:
        model.sampler = samplers[name]
        return model.sample(AT_ONCE, seeded())

    device = c_RF.device
    draw("inverse_cdf")
    times = [{name: seconds(lambda name=name: draw(name), device) for name in samplers} for _ in range(rounds)]  # type: ignore[misc]
    x = draw("inverse_cdf")
    pass_s = sorted(seconds(lambda: model.conditional_score(x, model.context(x)), device) for _ in range(50))[25]  # type: ignore[operator]
    whole = pass_s * model.dims * 100
    out = [
        ratio_row(
            f"inverse_cdf / Langevin (T={steps}, step {size:g}), context once per dimension",
            [t["inverse_cdf"] / t["langevin"] for t in times],
            0.2,
        ),
        ratio_row(
            "inverse_cdf / Langevin with a full pass per step, T=100 (50 passes timed, scaled)",
            [t["inverse_cdf"] / whole for t in times],
            0.001,
        ),
        ratio_row(f"Kolmogorov distance of inverse_cdf / 5 % point, {count:,} values", [exact / floor], 1.0),
    ]
    numbers = {
        "seconds": {
            **{name: sorted(t[name] for t in times)[rounds // 2] for name in samplers},
            "full pass per Langevin step (scaled)": whole,
        },
        "kolmogorov": {"5 % point": floor, "inverse_cdf": exact, **scan},
    }
    return [*out, *parallel(model, numbers), *quadrature(model, x_BD[:40], numbers)], numbers


def parallel(model: CausalModel, numbers: dict[str, dict[str, float]]) -> list[dict[str, object]]:
    """Return the rounds of parallel sampling and how well it agrees with sequential sampling."""
    model.sampler = InverseCDF()
    one, found = model.sample(8, seeded()), []
    numbers["parallel"] = {"sequential rounds": model.dims}
    for block in (None, 28):
        model.sampler = sampler = Parallel(block)
        started = now(one.device)
        other = model.sample(8, seeded())
        label = f"block {block}" if block else "all at once"
        off = ((other - one).abs() / model.noise > 2e-3).double().mean()
        numbers["parallel"] |= {
            f"{label}: rounds": sampler.rounds,
            f"{label}: seconds": now(one.device) - started,
            f"{label}: values off by more than 2e-3 sigma": float(off) * one.numel(),
            f"{label}: largest difference, sigma": float((other - one).abs().max()) / model.noise,
        }
        if block is None:
            found = [
                ratio_row("parallel rounds / D, 8 samples", [sampler.rounds / model.dims], 0.05),
                ratio_row("share of values that differ by more than 2e-3 sigma", [float(off)], 0.001),
            ]
    return found


def quadrature(
    model: NumericallyNormalised, x_BD: Tensor, numbers: dict[str, dict[str, float]]
) -> list[dict[str, object]]:
    """Return the largest change of an image's log-likelihood when the panels are 16 times finer."""
    likelihood = model.normaliser()
    assert isinstance(likelihood, Quadrature)
    coarse_B = likelihood.conditional_log_prob(model, x_BD)[0].double().sum(-1)
    fine_B = likelihood.conditional_log_prob(model, x_BD, finer=16)[0].double().sum(-1)
    numbers["quadrature"] = {"nodes": likelihood.nodes(model), "low": likelihood.low, "high": likelihood.high}
    worst = (coarse_B - fine_B).abs().max().item()
    return [ratio_row("largest |NLL - NLL by 16 times the nodes|, nats per image", [worst], 1e-3)]


if __name__ == "__main__":
    main()
