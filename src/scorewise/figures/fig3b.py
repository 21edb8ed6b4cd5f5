"""Figure 3b: samples of two-dimensional densities, AR-CSM against mixtures of logistics with more parameters."""

from base64 import b64decode, b64encode
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, final
from zlib import compress, decompress

import numpy as np
import torch
from matplotlib.figure import Figure as Canvas
from torch import Tensor

from scorewise.figures import toys
from scorewise.figures.bench import Bench
from scorewise.figures.figure import Figure
from scorewise.figures.finished_run import FinishedRun
from scorewise.figures.results import Claim, Results, ResultTable, Text
from scorewise.figures.spread import mean_and_spread, with_spread
from scorewise.figures.toys import SMOOTHING, ByModel, wins_and_ties
from scorewise.sampling.annealed_langevin_1d import AnnealedLangevin1d
from scorewise.sampling.reverse_diffusion_1d import ReverseDiffusion1d

OURS = "AR-CSM annealed"
LANGEVIN = "the same, Langevin"
BASELINES = ("MADE n=1", "MADE n=3", "MADE n=10")
SAMPLED = (OURS, LANGEVIN, *BASELINES)
SERIES = "cosine MLE"
LIKELIHOODS = (SERIES, "cosine CSM", "cosine CSM + MLE", OURS, "MADE n=10 tuned", "MADE n=10")
"""The models whose held-out likelihoods are compared."""
WANTED = {"MADE n=1": 7, "MADE n=3": 5}
"""On how many of the eight densities AR-CSM should be better."""
SQUARES = 96
"""Of a picture, along a side."""


@final
class Fig3b(Figure):
    """Sliced Wasserstein distance and MMD of samples to smoothed data, with the distance of data to data.

    Args:
        draws: examples per sample.
        projections: of the sliced Wasserstein distance.
        steps: of reverse diffusion per dimension.
        langevin: settings of the annealed Langevin dynamics that is compared with it.
        held_out: examples that likelihoods are of, the same for all models and seeds.
        clean: examples that the entropy is estimated from.
        checked: examples of which the annealed model's likelihood is also had from its transitions.
    """

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
        diffusion = ReverseDiffusion1d(steps)
        self.samplers = {OURS: diffusion, LANGEVIN: AnnealedLangevin1d(int(langevin["steps"]), langevin["step"])}
        self.settings = {
            "draws": draws,
            "projections": projections,
            "steps": steps,
            "settle": diffusion.settle,
            "langevin": dict(langevin),
            "smoothing": SMOOTHING,
        }

    def _sample(self, name: str, run: FinishedRun) -> Tensor:
        model = run.model
        model.sampler = self.samplers.get(name, model.sampler)
        x_BD: Tensor = model.sample(self.draws, torch.Generator().manual_seed(run.seed)).flatten(1)
        return x_BD

    def _of_run(self, name: str, run: FinishedRun) -> dict[str, float]:
        x_BD, y_BD = self._sample(name, run), toys.smoothed(run.source, self.draws, run.seed)
        return toys.distances(x_BD, y_BD, run.source.std, self.projections)

    def _of_data(self, run: FinishedRun) -> dict[str, float]:
        x_BD, y_BD = (toys.smoothed(run.source, self.draws, number) for number in (run.seed, 1000 + run.seed))
        return toys.distances(x_BD, y_BD, run.source.std, self.projections)

    def measure(self, bench: Bench) -> Results:
        """Return both distances of every model on every density, and who wins where."""
        names = list(dict.fromkeys(name.partition("/")[2] for name in bench.runs))
        swd, mmd = self._distances(bench, names)
        nll = {toy: self._likelihoods(bench, toy) for toy in names}
        two_ways = {toy: self._two_ways(bench, toy) for toy in names}
        firsts = {name: bench.runs[f"{_trained(name)}/{names[0]}"][0].summary for name in (*SAMPLED, *LIKELIHOODS)}
        sizes = {name: summary["parameters"] for name, summary in firsts.items()}
        iterations = {name: f"{firsts[name]['steps']:,}" for name in SAMPLED}
        (wins, ties), (wins_mmd, ties_mmd) = (wins_and_ties(found, OURS, BASELINES[-1]) for found in (swd, mmd))
        behind = sum(mean_and_spread(each[LANGEVIN])[0] > mean_and_spread(each[OURS])[0] for each in swd.values())
        behind_series = _behind_series(nll)
        worst = max(behind_series, key=behind_series.__getitem__)
        ways = [[toy, *(f"{each:.3f}" for each in by.values())] for toy, by in two_ways.items()]

        def titled(name: str) -> str:
            return f"{name} ({sizes[name]:,})"

        listed = ", ".join(f"{name} {count}" for name, count in iterations.items())
        columns = ("density", "data vs data", *map(titled, SAMPLED))
        return Results(
            [
                ResultTable("swd", _rows(swd, 3), columns),
                ResultTable("mmd", _rows(_scaled(mmd, 1e3), 2), columns),
                ResultTable("nll", _rows(nll, 3), ("density", "entropy", *map(titled, LIKELIHOODS))),
                ResultTable("two_ways", ways),
            ],
            [*_of_sizes(sizes), *_of_distances(swd, iterations), *_of_likelihoods(nll, sizes), _of_sharpness(mmd)],
            {"smoothing": SMOOTHING, "seeds": len(bench.runs[f"{OURS}/{names[0]}"]), "count": len(names)},
            {
                "last": [{"wins": len(wins), "more": f", and {len(ties)} more inside the floor" if ties else ""}],
                "mmd": [{"wins": len(wins_mmd), "ties": len(ties_mmd), "worst": worst, "gap": behind_series[worst]}],
                "iterations": [
                    {"iterations": listed, "noises": bench.firsts[f"{OURS}/{names[0]}"].config["objective"]["draws"]}
                ],
                "langevin": [{"behind": behind}],
            },
            data={"swd": swd, "mmd": mmd, "nll": nll, "two_ways": two_ways, "parameters": sizes},
            arrays={"pictures": {toy: self._pictures(bench, toy) for toy in names}},
        )

    def _distances(self, bench: Bench, names: Sequence[str]) -> tuple[dict[str, ByModel], dict[str, ByModel]]:
        """Return sliced Wasserstein distance and MMD by density and model, "floor" being data to data."""
        found: dict[str, dict[str, list[dict[str, float]]]] = {}
        for toy in names:
            found[toy] = {
                "floor": [
                    bench.once(f"floor-{toy}-{run.seed}", self.settings, partial(self._of_data, run))
                    for run in bench.runs[f"{OURS}/{toy}"]
                ]
            }
            for name in SAMPLED:
                found[toy][name] = [
                    bench.once_of(run, f"{name}-{toy}-{run.seed}", self.settings, partial(self._of_run, name, run))
                    for run in bench.runs[f"{_trained(name)}/{toy}"]
                ]
        return _by_distance(found, "swd"), _by_distance(found, "mmd")

    def _likelihoods(self, bench: Bench, toy: str) -> dict[str, list[float]]:
        source, settings = bench.runs[f"{OURS}/{toy}"][0].source, {"held_out": self.held_out}
        entropy = partial(toys.entropy, source, self.held_out, self.clean)
        found = {"entropy": [bench.once(f"entropy-{toy}", {**settings, "clean": self.clean}, entropy)["nll"]]}
        for name in LIKELIHOODS:
            found[name] = [
                bench.once_of(run, f"nll-{name}-{toy}-{run.seed}", settings, partial(toys.nll, run, self.held_out))[
                    "nll"
                ]
                for run in bench.runs[f"{name}/{toy}"]
            ]
        return found

    def _two_ways(self, bench: Bench, toy: str) -> dict[str, float]:
        run = bench.runs[f"{OURS}/{toy}"][0]
        measure = partial(toys.nll_two_ways, run, self.checked)
        return bench.once_of(run, f"transitions-{toy}", {"checked": self.checked}, measure)

    def _pictures(self, bench: Bench, toy: str) -> dict[str, np.ndarray]:
        shown = {"data": _counts(toys.smoothed(bench.runs[f"{OURS}/{toy}"][0].source, self.draws, 0))}
        for name in (OURS, *BASELINES):
            run = bench.runs[f"{name}/{toy}"][0]
            found = bench.once_of(run, f"picture-{name}-{toy}", self.settings, partial(self._picture, name, run))
            packed = np.frombuffer(decompress(b64decode(found["counts"])), np.uint16)
            shown[name] = packed.reshape(SQUARES, SQUARES).astype(np.float64)
        return shown

    def _picture(self, name: str, run: FinishedRun) -> dict[str, str]:
        """Return counts of samples, packed as text, so that a picture can be drawn of a run that is not here."""
        return {"counts": b64encode(compress(_counts(self._sample(name, run)).astype(np.uint16).tobytes(), 9)).decode()}

    def draw(self, data: Mapping[str, Any], text: Text, canvas: Canvas) -> None:
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


def _counts(x_B2: Tensor) -> np.ndarray:
    """Return how many examples lie in each square of the picture."""
    edges = np.linspace(-4.8, 4.8, SQUARES + 1)
    counts: np.ndarray = np.histogram2d(x_B2[:, 1].numpy(), x_B2[:, 0].numpy(), [edges, edges])[0]
    return counts


def _trained(name: str) -> str:
    """Return the training that a column is of."""
    return OURS if name == LANGEVIN else name


def _by_distance(found: Mapping[str, Mapping[str, Sequence[Mapping[str, float]]]], key: str) -> dict[str, ByModel]:
    return {toy: {name: [one[key] for one in each] for name, each in by.items()} for toy, by in found.items()}


def _rows(found: Mapping[str, ByModel], digits: int) -> list[list[str]]:
    return [[toy, *(with_spread(values, digits) for values in each.values())] for toy, each in found.items()]


def _scaled(found: Mapping[str, ByModel], by: float) -> dict[str, ByModel]:
    return {toy: {name: [by * v for v in values] for name, values in each.items()} for toy, each in found.items()}


def _of_sizes(sizes: Mapping[str, int]) -> list[Claim]:
    ours = sizes[OURS]
    return [Claim("fewer", ours < sizes[name], name=name, ours=ours, theirs=sizes[name]) for name in BASELINES]


def _of_distances(swd: Mapping[str, ByModel], iterations: Mapping[str, str]) -> list[Claim]:
    claims = []
    for name, of_eight in WANTED.items():
        (wins, ties), wanted = wins_and_ties(swd, OURS, name), min(of_eight, len(swd))
        facts = {"name": name, "wanted": wanted, "ours": iterations[OURS], "theirs": iterations[name]}
        inside = f"{len(ties)} more inside the floor" + (f" ({', '.join(ties)})" if ties else "")
        claims.append(Claim("nearer", len(wins) >= wanted, **facts, wins=len(wins), inside=inside))
    return claims


def _of_likelihoods(nll: Mapping[str, ByModel], sizes: Mapping[str, int]) -> list[Claim]:
    def mean(toy: str, name: str) -> float:
        return mean_and_spread(nll[toy][name])[0]

    series, mixture = SERIES, "MADE n=10 tuned"
    better = [toy for toy in nll if mean(toy, series) < min(mean(toy, mixture), mean(toy, "MADE n=10"))]
    close = [toy for toy in nll if mean(toy, series) - nll[toy]["entropy"][0] < 0.02]
    near = [toy for toy, nats in _behind_series(nll).items() if nats < 0.1]
    wanted = min(7, len(nll))

    return [
        Claim("half", sizes[series] <= 0.5 * sizes[mixture], ours=sizes[series], theirs=sizes[mixture]),
        Claim("likelier", len(better) == len(nll), **_listed(better)),
        Claim("entropy", len(close) >= wanted, **_listed(close), wanted=wanted),
        Claim("annealed", len(near) == len(nll), **_listed(near)),
    ]


def _behind_series(nll: Mapping[str, ByModel]) -> dict[str, float]:
    """Return the nats by which AR-CSM is behind the cosine series by exact likelihood, by density."""
    return {toy: mean_and_spread(by[OURS])[0] - mean_and_spread(by[SERIES])[0] for toy, by in nll.items()}


def _of_sharpness(mmd: Mapping[str, ByModel]) -> Claim:
    inside = [toy for toy, by in mmd.items() if mean_and_spread(by[OURS])[0] <= max(by["floor"])]
    return Claim("sharp", len(inside) == len(mmd), **_listed(inside))


def _listed(densities: Sequence[str]) -> dict[str, Any]:
    return {"number": len(densities), "which": ", ".join(densities) or "none"}
