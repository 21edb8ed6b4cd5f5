"""Figure 3b: samples of two-dimensional densities, AR-CSM against mixtures of logistics with more parameters."""

import math
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, cast, final

import numpy as np
import torch
from matplotlib.figure import Figure as Canvas
from torch import Tensor

from scorewise.capabilities import NoisyConditionalScoreModel
from scorewise.figures.figure import Bench, Claim, Figure, Results, Run, Table, mean_and_spread
from scorewise.figures.two_samples import maximum_mean_discrepancy, sliced_wasserstein
from scorewise.likelihood import FlowODE, Transition
from scorewise.noise import Draws, smoothing_noise
from scorewise.sampling.annealed_langevin_1d import AnnealedLangevin1d
from scorewise.sampling.reverse_diffusion_1d import ReverseDiffusion1d

OURS = "AR-CSM annealed"
LANGEVIN = "the same, Langevin"
BASELINES = ("MADE n=1", "MADE n=3", "MADE n=10")
TWO_WAYS = ("flow", "transitions", "apart")
SMOOTHING = 0.1
LIKELIHOODS = ("cosine MLE", "cosine CSM", "cosine CSM + MLE", OURS, "MADE n=10 tuned", "MADE n=10")
"""The models whose held-out likelihoods are compared."""
WANTED = {"MADE n=1": 7, "MADE n=3": 5}
"""On how many of the eight densities AR-CSM should be better."""


@final
class Fig3b(Figure):
    """Sliced Wasserstein distance and MMD of samples to smoothed data, with the distance of data to data.

    Args:
        draws: examples per sample.
        held_out: examples that likelihoods are of, the same for all models and seeds.
        clean: examples that the entropy is estimated from.
        checked: examples of which the annealed model's likelihood is also had from its transitions.
        projections: of the sliced Wasserstein distance.
        steps: of reverse diffusion per dimension.
        langevin: settings of the annealed Langevin dynamics that is compared with it.
    """

    title = "Two-dimensional densities: AR-CSM against MADE with n logistics (figure 3b)"

    def __init__(
        self,
        draws: int,
        projections: int,
        steps: int,
        langevin: Mapping[str, float],
        held_out: int,
        clean: int,
        checked: int,
    ) -> None:
        self.draws, self.projections, self.held_out, self.clean = draws, projections, held_out, clean
        self.checked = checked
        self.samplers: dict[str, Any] = {
            OURS: ReverseDiffusion1d(steps),
            LANGEVIN: AnnealedLangevin1d(int(langevin["steps"]), langevin["step"]),
        }
        self.settings = {
            "draws": draws,
            "projections": projections,
            "steps": steps,
            "settle": self.samplers[OURS].settle,
            "langevin": dict(langevin),
            "smoothing": SMOOTHING,
        }

    def _distances(self, x_BD: Tensor, y_BD: Tensor, bandwidth: float) -> dict[str, float]:
        few = min(self.draws, 5000)
        return {
            "swd": sliced_wasserstein(x_BD, y_BD, self.projections),
            "mmd": maximum_mean_discrepancy(x_BD[:few], y_BD[:few], bandwidth),
        }

    def _sample(self, name: str, run: Run) -> Tensor:
        model = run.model
        model.sampler = self.samplers.get(name, model.sampler)
        x_BD: Tensor = model.sample(self.draws, torch.Generator().manual_seed(run.seed))
        return x_BD

    def _of_run(self, name: str, run: Run) -> dict[str, float]:
        x_BD = self._sample(name, run)
        return self._distances(x_BD, _data(run.source, self.draws, run.seed), 0.25 * run.source.std)

    def _nll(self, run: Run) -> dict[str, float]:
        """Return the mean negative log-likelihood of held-out examples, nats."""
        model = cast(Any, run.model)
        x_BD = _data(run.source, self.held_out, 12_345)
        if isinstance(run.model, NoisyConditionalScoreModel):
            model.likelihood = FlowODE(32)
        with torch.no_grad():
            return {"nll": -float(model.log_prob(x_BD).double().mean())}

    def _two_ways(self, run: Run) -> dict[str, float]:
        """Return the mean negative log-likelihood of the same few examples by the flow and by transitions, nats."""
        x_BD = _data(run.source, self.checked, 12_345)
        with torch.no_grad():
            flow_B, steps_B = (rule.log_prob(run.model, x_BD).double() for rule in (FlowODE(32), Transition()))
        apart = float((flow_B - steps_B).abs().median())
        return {"flow": -float(flow_B.mean()), "transitions": -float(steps_B.mean()), "apart": apart}

    def _entropy(self, source: Any) -> dict[str, float]:
        """Return minus the mean log-density on the same examples of clean examples convolved with the noise."""
        x_BD = _data(source, self.held_out, 12_345)
        y_ND = source.sample(Draws.of(-77, -1, torch.arange(self.clean)).fork("data")).float()
        log_p = [_mixture(x_bD, y_ND) for x_bD in x_BD.split(max(1, 20_000_000 // self.clean))]
        return {"nll": -float(torch.cat(log_p).double().mean())}

    def _likelihoods(self, bench: Bench, toys: Sequence[str]) -> dict[str, dict[str, list[float]]]:
        found: dict[str, dict[str, list[float]]] = {}
        settings = {"held_out": self.held_out, "clean": self.clean}
        for toy in toys:
            source = bench.runs[f"{OURS}/{toy}"][0].source
            found[toy] = {
                "entropy": [bench.once(f"entropy-{toy}", settings, partial(self._entropy, source))["nll"]],
                **{
                    name: [
                        bench.once(
                            f"nll-{name}-{toy}-{run.seed}",
                            {"held_out": self.held_out, "run": run.summary["identity"]},
                            partial(self._nll, run),
                        )["nll"]
                        for run in bench.runs[f"{name}/{toy}"]
                    ]
                    for name in LIKELIHOODS
                },
            }
        return found

    def _of_data(self, source: Any, seed: int) -> dict[str, float]:
        two = [_data(source, self.draws, number) for number in (seed, 1000 + seed)]
        return self._distances(two[0], two[1], 0.25 * source.std)

    def measure(self, bench: Bench) -> Results:
        """Return both distances of every model on every density, and who wins where."""
        toys = list(dict.fromkeys(name.partition("/")[2] for name in bench.runs))
        settings = self.settings
        swd: dict[str, dict[str, list[float]]] = {}
        mmd: dict[str, dict[str, list[float]]] = {}
        sizes: dict[str, int] = {}
        steps: dict[str, str] = {}
        for toy in toys:
            first = bench.runs[f"{OURS}/{toy}"]
            floor = [
                bench.once(f"floor-{toy}-{run.seed}", settings, partial(self._of_data, run.source, run.seed))
                for run in first
            ]
            swd[toy], mmd[toy] = {"floor": [f["swd"] for f in floor]}, {"floor": [f["mmd"] for f in floor]}
            for name in (OURS, LANGEVIN, *BASELINES):
                runs = bench.runs[f"{OURS if name == LANGEVIN else name}/{toy}"]
                sizes[name] = runs[0].summary["parameters"]
                steps[name] = f"{runs[0].summary['steps']:,}"
                found = [
                    bench.once(
                        f"{name}-{toy}-{run.seed}",
                        {**settings, "run": run.summary["identity"]},
                        partial(self._of_run, name, run),
                    )
                    for run in runs
                ]
                swd[toy][name], mmd[toy][name] = [f["swd"] for f in found], [f["mmd"] for f in found]
        nll = self._likelihoods(bench, toys)
        two_ways = {}
        for toy in toys:
            run = bench.runs[f"{OURS}/{toy}"][0]
            of = {"checked": self.checked, "run": run.summary["identity"]}
            two_ways[toy] = bench.once(f"transitions-{toy}", of, partial(self._two_ways, run))
        for name in LIKELIHOODS:
            sizes[name] = bench.runs[f"{name}/{toys[0]}"][0].summary["parameters"]
        columns = ("floor", OURS, LANGEVIN, *BASELINES)
        header = ("density", "data vs data", *(f"{name} ({sizes[name]:,})" for name in columns[1:]))
        seeds = len(bench.runs[f"{OURS}/{toys[0]}"])
        claims = [
            Claim(
                f"{OURS} has strictly fewer parameters than {name}",
                sizes[OURS] < sizes[name],
                f"{sizes[OURS]:,} against {sizes[name]:,}",
            )
            for name in BASELINES
        ]
        for name, wanted in WANTED.items():
            wins, ties = _wins(swd, name)
            claims.append(
                Claim(
                    f"sliced Wasserstein of {OURS} is better than {name} on at least {min(wanted, len(toys))} of "
                    f"{len(toys)} densities ({steps[OURS]} and {steps[name]} steps)",
                    len(wins) >= min(wanted, len(toys)),
                    f"better on {len(wins)} of {len(toys)}; {len(ties)} more inside the floor"
                    + (f" ({', '.join(ties)})" if ties else ""),
                )
            )
        behind = sum(mean_and_spread(f[LANGEVIN])[0] > mean_and_spread(f[OURS])[0] for f in swd.values())
        claims += _claims_of_likelihood(nll, sizes)
        last, last_mmd = _wins(swd, BASELINES[-1]), _wins(mmd, BASELINES[-1])
        return Results(
            [
                Table(
                    f"Sliced 2-Wasserstein distance to data + N(0, {SMOOTHING}^2), {self.draws:,} samples, mean "
                    f"(standard deviation) over {seeds} seeds of training and sampling; parameters in the header.",
                    header,
                    [[toy, *(_cell(swd[toy][name], 3) for name in columns)] for toy in toys],
                ),
                Table(
                    "Squared MMD, unbiased, Gaussian kernel of a quarter of the data's width, times 1,000.",
                    header,
                    [[toy, *(_cell([1e3 * v for v in mmd[toy][name]], 2) for name in columns)] for toy in toys],
                ),
                Table(
                    f"Negative log-likelihood of {self.held_out:,} held-out examples of data + N(0, {SMOOTHING}^2), "
                    "nats, mean (standard deviation) over the seeds; in closed form for mixtures and cosine series, by "
                    "the probability flow of every conditional for the annealed model; parameters in the header.",
                    ("density", "entropy", *(f"{name} ({sizes[name]:,})" for name in LIKELIHOODS)),
                    [[toy, *(_cell(values, 3) for values in nll[toy].values())] for toy in toys],
                ),
                Table(
                    f"Negative log-likelihood of {self.checked} of these examples under {OURS} (first seed) by the "
                    "probability flow, and as the density of exact draws from level to level: two laws, which are one "
                    "where the scores of all levels fit together. Last, the median difference of an example.",
                    ("density", "flow", "level to level", "median difference"),
                    [[toy, *(f"{two_ways[toy][name]:.3f}" for name in TWO_WAYS)] for toy in toys],
                ),
            ],
            claims,
            [
                f"Against {BASELINES[-1]} (no claim): better on {len(last[0])} of {len(toys)}"
                + (f", and {len(last[1])} more inside the floor" if last[1] else "")
                + ".",
                f"By MMD, which sees finer structure than projections do: better than {BASELINES[-1]} on "
                f"{len(last_mmd[0])} of {len(toys)}, inside the floor on {len(last_mmd[1])}. Look at the picture: "
                "where many modes of a conditional lie close together (inner ring, inner spirals) AR-CSM blurs them.",
                f"Training steps of batch 512: {', '.join(f'{name} {count}' for name, count in steps.items())}.",
                "A result is inside the floor where its mean is no larger than the largest data-against-data distance; "
                "both inside is a tie.",
                f"Samples of {OURS} are by one-dimensional reverse diffusion; annealed Langevin dynamics, the sources' "
                f"way, on the same models has the larger mean distance on {behind} of {len(toys)}.",
            ],
            {"swd": swd, "mmd": mmd, "nll": nll, "two_ways": two_ways, "parameters": sizes},
            {"pictures": {toy: self._pictures(bench, toy) for toy in toys}},
        )

    def _pictures(self, bench: Bench, toy: str) -> dict[str, np.ndarray]:
        shown = {"data": _data(bench.runs[f"{OURS}/{toy}"][0].source, self.draws, 0)}
        for name in (OURS, *BASELINES):
            shown[name] = self._sample(name, bench.runs[f"{name}/{toy}"][0])
        edges = np.linspace(-4.8, 4.8, 97)
        return {name: np.histogram2d(x[:, 1].numpy(), x[:, 0].numpy(), [edges, edges])[0] for name, x in shown.items()}

    def draw(self, data: Mapping[str, Any], canvas: Canvas) -> None:
        """Draw samples side by side, one row per density."""
        pictures = data["pictures"]
        rows, columns = len(pictures), 5
        canvas.set_size_inches(1.75 * columns, 1.8 * rows + 0.5)
        for i, (toy, shown) in enumerate(pictures.items()):
            for j, (name, counts) in enumerate(shown.items()):
                axes = canvas.add_subplot(rows, columns, i * columns + j + 1)
                bright = np.quantile(shown["data"][shown["data"] > 0], 0.98)
                axes.imshow(counts, origin="lower", cmap="magma", vmin=0, vmax=bright, interpolation="nearest")
                axes.set(xticks=[], yticks=[])
                if i == 0:
                    size = data["parameters"].get(name)
                    axes.set_title(name + (f"\n{size:,} parameters" if size else ""), fontsize=8)
                axes.set_ylabel(toy if j == 0 else "", fontsize=8)
                if j:
                    axes.set_xlabel(f"SWD {mean_and_spread(data['swd'][toy][name])[0]:.3f}", fontsize=7)
                else:
                    axes.set_xlabel(f"floor {mean_and_spread(data['swd'][toy]['floor'])[0]:.3f}", fontsize=7)


def _data(source: Any, count: int, seed: int) -> Tensor:
    """Return smoothed data that no model was trained on."""
    draws = Draws.of(-100 - seed, -1, torch.arange(count))
    x_BD: Tensor = source.sample(draws.fork("data")).float()
    return x_BD + SMOOTHING * smoothing_noise(draws, x_BD)


def _mixture(x_BD: Tensor, y_ND: Tensor) -> Tensor:
    """Return the log-density of y + N(0, SMOOTHING^2 I), y uniform over examples, shape (B,)."""
    exponent_BN = -0.5 * (torch.cdist(x_BD, y_ND) / SMOOTHING).square()
    constant = math.log(len(y_ND)) + y_ND.shape[1] * math.log(SMOOTHING * math.sqrt(2 * math.pi))
    return torch.logsumexp(exponent_BN, 1) - constant


def _claims_of_likelihood(nll: Mapping[str, Mapping[str, Sequence[float]]], sizes: Mapping[str, int]) -> list[Claim]:
    def mean(toy: str, name: str) -> float:
        return mean_and_spread(nll[toy][name])[0]

    ours, theirs = "cosine MLE", "MADE n=10 tuned"
    better = [toy for toy in nll if mean(toy, ours) < min(mean(toy, theirs), mean(toy, "MADE n=10"))]
    close = [toy for toy in nll if mean(toy, ours) - nll[toy]["entropy"][0] < 0.02]
    near = [toy for toy in nll if mean(toy, OURS) - mean(toy, ours) < 0.1]
    count = len(nll)
    return [
        Claim(
            f"{ours} has at most half the parameters of {theirs}",
            sizes[ours] <= 0.5 * sizes[theirs],
            f"{sizes[ours]:,} against {sizes[theirs]:,}",
        ),
        Claim(
            f"{ours} has a better NLL than both {theirs} and MADE n=10 on all {count} densities",
            len(better) == count,
            f"on {len(better)} of {count}",
        ),
        Claim(
            f"{ours} is within .02 nat of the entropy on at least {min(7, count)} of {count} densities",
            len(close) >= min(7, count),
            f"on {len(close)}: {', '.join(close) or 'none'}",
        ),
        Claim(
            f"{OURS} is within .1 nat of {ours} on at least {min(7, count)} of {count} densities",
            len(near) >= min(7, count),
            f"on {len(near)}: {', '.join(near) or 'none'}",
        ),
    ]


def _cell(values: Sequence[float], digits: int) -> str:
    mean, spread = mean_and_spread(values)
    return f"{mean:.{digits}f} ({spread:.{digits}f})"


def _wins(swd: Mapping[str, Mapping[str, Sequence[float]]], baseline: str) -> tuple[list[str], list[str]]:
    """Return the densities on which ours is better, and those on which both are inside the floor."""
    wins: list[str] = []
    ties: list[str] = []
    for toy, found in swd.items():
        ours, theirs = (mean_and_spread(found[name])[0] for name in (OURS, baseline))
        if max(ours, theirs) <= max(found["floor"]):
            ties.append(toy)
        elif ours < theirs:
            wins.append(toy)
    return wins, ties
