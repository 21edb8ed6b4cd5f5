"""Losses and densities beside those of other packages, on the same data, network and clock.

    python benchmarks/peers.py [--rounds 9] [--seconds 20] [--seeds 0 1 2]

Losses: one evaluation and its gradient in the weights, of an energy of three layers of 256 silu units on 128 examples
of 10, 100 and 200 dimensions; denoising (DSM), sliced (SSM, SSM-VR) and exact score matching (SM), in turn in one
process, processor time, one thread. All packages have the very same network; TorchEBM has no SSM-VR. Values of SM,
which draws nothing, are compared, so that the same thing is timed.

Densities: white wine, eleven columns standardised, noise of .1 standard deviations in training and test rows; each is
trained for so many seconds of one processor with Adam (1e-3 for zuko, its documentation's; 2e-3 here), 256 rows a step;
nats per row of 20 noisy copies of each held-out row, a fifth of all.

Packages that are not installed are left out, and it is said: pip install torchebm ebmkit zuko.
"""

import argparse
import importlib
import time
from collections.abc import Callable, Mapping
from statistics import mean, median
from types import ModuleType

import numpy as np
import torch
from record import Row, ratio_row, write
from torch import Tensor, nn

from scorewise.backbones import MADE, MLP
from scorewise.data.roots import data_root
from scorewise.heads import Energy, Mixture
from scorewise.heads.model import Model
from scorewise.noise import Draws
from scorewise.objectives import DSM, MLE, SM, SSM, SSMVR, Objective
from scorewise.tasks.optimisation import Optimisation

BATCH, HIDDEN, SIGMA = 128, (256, 256, 256), 0.1
DIMS = (10, 100, 200)
NOISE, COPIES, ROWS = 0.1, 20, 256
LEVEL, FASTER = 1.05, 0.5
"""What is aimed at: not slower than the fastest peer, and exact score matching twice as fast from 100 dimensions on."""

Loss = Callable[[], Tensor]
Split = tuple[Tensor, Tensor]
"""Training rows and held-out ones."""
DRAWS = Draws.of(0, 0, torch.arange(1))
"""For losses that draw nothing."""


def installed(name: str) -> ModuleType | None:
    """Return a module, or None, and say so."""
    try:
        return importlib.import_module(name)
    except ImportError:
        print(f"{name} is not installed: left out")
        return None


class Plain(nn.Module):
    """The network of our energy as a plain module, as other packages take it."""

    def __init__(self, energy: Energy) -> None:
        super().__init__()
        self.net, self.last = energy.backbone.net, energy.last

    def forward(self, x_BD: Tensor) -> Tensor:
        """Return the energies of examples, shape (B,)."""
        energy_B: Tensor = self.last(self.net(x_BD)).squeeze(-1)
        return energy_B


def ours(model: Energy, x_BD: Tensor) -> dict[str, Loss]:
    """Return our losses by name."""
    draws = Draws.of(0, 0, torch.arange(len(x_BD)))
    losses: Mapping[str, Objective] = {"DSM": DSM(SIGMA), "SSM": SSM(), "SSM-VR": SSMVR(), "SM": SM()}
    return {name: (lambda one=one: one(model, x_BD, draws).total) for name, one in losses.items()}


def of_ebmkit(ebm: ModuleType, plain: Plain, x_BD: Tensor) -> dict[str, Loss]:
    """Return those of ebmkit."""
    of = importlib.import_module("ebm.losses.score_matching")
    losses = {
        "DSM": of.DenoisingScoreMatching(SIGMA),
        "SSM": of.SlicedScoreMatching(1, vr=False),
        "SSM-VR": of.SlicedScoreMatching(1, vr=True),
        "SM": of.ExactScoreMatching(),
    }
    return {name: (lambda one=one: one(plain, x_BD).loss) for name, one in losses.items()}


def of_torchebm(torchebm: ModuleType, plain: Plain, x_BD: Tensor) -> dict[str, Loss]:
    """Return those of TorchEBM."""
    losses, core = importlib.import_module("torchebm.losses"), importlib.import_module("torchebm.core")

    class Energies(core.BaseModel):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            super().__init__()
            self.plain = plain

        def forward(self, x_BD: Tensor) -> Tensor:
            return plain(x_BD)

    model = Energies()
    found = {
        "DSM": losses.DenoisingScoreMatching(model, noise_scale=SIGMA),
        "SSM": losses.SlicedScoreMatching(model, n_projections=1),
        "SM": losses.ScoreMatching(model),
    }
    return {name: (lambda one=one: one(x_BD)) for name, one in found.items()}


def timed(loss: Loss, weights: list[nn.Parameter]) -> float:
    """Return the milliseconds of a loss and its gradient."""
    start = time.process_time()
    torch.autograd.grad(loss(), weights, allow_unused=True)
    return 1e3 * (time.process_time() - start)


def losses_at(dims: int, rounds: int, milliseconds: dict[str, float]) -> list[Row]:
    """Return how long our losses take beside the fastest peer's."""
    torch.manual_seed(0)
    model = Energy(MLP((dims,), HIDDEN), confining=False)
    plain, x_BD, weights = Plain(model), torch.randn(BATCH, dims), [*model.parameters()]
    packages = {"ours": ours(model, x_BD)}
    for name, make in {"ebm": of_ebmkit, "torchebm": of_torchebm}.items():
        if (module := installed(name)) is not None:
            packages[name] = make(module, plain, x_BD)
    exact = {name: float(losses["SM"]().detach()) for name, losses in packages.items()}
    assert all(abs(value - exact["ours"]) <= 1e-4 * max(1, abs(exact["ours"])) for value in exact.values()), exact
    rows: list[Row] = []
    for loss in packages["ours"]:
        few = max(3, rounds // 3) if loss == "SM" else 4 * rounds
        having = {name: losses[loss] for name, losses in packages.items() if loss in losses}
        taken: dict[str, list[float]] = {name: [] for name in having}
        for _ in range(few):
            for name, one in having.items():
                timed(one, weights)
                taken[name].append(timed(one, weights))
        milliseconds |= {f"{loss}, D = {dims}, {name}": median(times) for name, times in taken.items()}
        peers = {name: median(times) for name, times in taken.items() if name != "ours"}
        if peers:
            best = min(peers, key=lambda name: peers[name])
            ratios = [a / b for a, b in zip(taken["ours"], taken[best], strict=True)]
            goal = FASTER if loss == "SM" and dims >= 100 else LEVEL
            rows.append(ratio_row(f"{loss}, D = {dims}: ours / fastest peer ({best})", ratios, goal))
    return rows


def white_wine(seed: int) -> Split:
    """Return clean training rows, and noisy held-out ones."""
    table_ND = np.loadtxt(data_root(None) / "uci" / "winequality-white.csv", delimiter=";", skiprows=1)[:, :-1]
    generator = np.random.default_rng(seed)
    order = generator.permutation(len(table_ND))
    test, train = np.split(order, [len(order) // 5])
    mean_D, scale_D = table_ND[train].mean(0), table_ND[train].std(0)
    held_ND = np.repeat((table_ND[test] - mean_D) / scale_D, COPIES, axis=0)
    held_ND = held_ND + NOISE * generator.normal(size=held_ND.shape)
    return torch.tensor((table_ND[train] - mean_D) / scale_D).float(), torch.tensor(held_ND).float()


def nats(
    loss: Callable[[Tensor], Tensor],
    weights: list[nn.Parameter],
    lr: float,
    seconds: float,
    rows: tuple[Tensor, Tensor],
) -> tuple[float, float, int]:
    """Return nats per held-out row after so many seconds, milliseconds per step, and how many weights there are."""
    train_ND, held_ND = rows
    optimizer = Optimisation(lr=lr).optimizer(weights)
    start, steps = time.process_time(), 0
    while time.process_time() - start < seconds:
        x_BD = train_ND[torch.randint(len(train_ND), (ROWS,))]
        optimizer.param_groups[0]["lr"] = lr * max(0.02, 1 - (time.process_time() - start) / seconds)
        loss(x_BD + NOISE * torch.randn_like(x_BD)).backward()
        torch.nn.utils.clip_grad_norm_(weights, 5.0)
        optimizer.step()
        optimizer.zero_grad()
        steps += 1
    with torch.no_grad():
        total = sum(float(loss(some_BD)) * len(some_BD) for some_BD in held_ND.split(2000))
    return total / len(held_ND), 1e3 * seconds / steps, sum(one.numel() for one in weights)


def densities(seconds: float, seeds: list[int], numbers: dict[str, float]) -> list[Row]:
    """Return how far behind ours every density is, in nats per row."""
    zuko = installed("zuko")
    found: dict[str, list[float]] = {}
    for seed in seeds:
        torch.manual_seed(seed)
        rows = white_wine(seed)
        dims = rows[0].shape[1]
        model: Model = Mixture(MADE((dims,), 30, (128, 128, 128), "silu"), components=10, noise=NOISE)
        made = {"ours": (lambda x_BD, m=model: MLE()(m, x_BD, DRAWS).total, [*model.parameters()], 2e-3)}
        for name, hidden in {"MAF": (128, 128), "NSF": (64, 64)}.items() if zuko is not None else ():
            flow = getattr(zuko.flows, name)(dims, 0, transforms=3, hidden_features=hidden)  # type: ignore[union-attr]
            made[name] = (lambda x_BD, f=flow: -f().log_prob(x_BD).mean(), [*flow.parameters()], 1e-3)
        for name, (loss, weights, lr) in made.items():
            value, per_step, size = nats(loss, weights, lr, seconds, rows)
            found.setdefault(name, []).append(value)
            numbers |= {f"{name}, ms per step": per_step, f"{name}, weights": size}
            print(f"seed {seed}: {name} {value:.3f} nats, {per_step:.2f} ms per step, {size:,} weights")
    numbers |= {f"{name}, nats": mean(values) for name, values in found.items()}
    return [
        ratio_row(
            f"white wine, nats per row after {seconds:g} s: ours - {name} of zuko, {len(seeds)} seeds",
            [a - b for a, b in zip(found["ours"], values, strict=True)],
            0.0,
        )
        for name, values in found.items()
        if name != "ours"
    ]


def main() -> None:
    """Measure, print and write docs/benchmarks/peers.json."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    milliseconds: dict[str, float] = {}
    rows = [row for dims in DIMS for row in losses_at(dims, arguments.rounds, milliseconds)]
    numbers: dict[str, float] = {}
    rows += densities(arguments.seconds, arguments.seeds, numbers)
    write("peers", rows, torch.device("cpu"), milliseconds=milliseconds, densities=numbers)


if __name__ == "__main__":
    main()
