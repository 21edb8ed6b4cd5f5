"""Table 1 of the poster: sliced score matching against a kernel density estimate."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, final

import torch
from matplotlib.figure import Figure as Canvas

from scorewise.estimators.kde import KDE
from scorewise.figures.bench import Bench
from scorewise.figures.figure import Figure
from scorewise.figures.finished_run import FinishedRun
from scorewise.figures.results import Claim, Results, ResultTable, Text
from scorewise.figures.spread import mean_and_spread

PUBLISHED = {2: (0.12, 0.26), 10: (0.69, 2.72), 20: (1.23, 3.89), 40: (2.02, 5.42)}
"""D -> the poster's errors of sliced score matching and of the kernel density estimate."""
LAST = ("poster", "sqrt(D)")
"""The columns after those of the kernel estimates."""


@final
class PosterTable1(Figure):
    """The mean Euclidean distance between estimated and true score of N(0, I) on unseen points.

    Args:
        points: of training.
        held_out: unseen points.
        seeds: repetitions of the kernel estimates.
        bandwidths: of the kernel estimates, silverman among them.
    """

    def __init__(self, points: int, held_out: int, seeds: int, bandwidths: Sequence[str]) -> None:
        self.points, self.held_out, self.seeds, self.bandwidths = points, held_out, seeds, list(bandwidths)

    def _of_kernel(self, dims: int, bandwidth: str, seed: int) -> float:
        generator = torch.Generator().manual_seed(seed)
        x_ND = torch.randn(self.points, dims, generator=generator)
        new_BD = torch.randn(self.held_out, dims, generator=generator)
        return float((KDE(x_ND, bandwidth).score(new_BD) + new_BD).norm(dim=-1).mean())

    def _of_run(self, run: FinishedRun) -> float:
        new_BD = run.source.examples("test", torch.arange(self.held_out), -1, run.seed)
        with torch.no_grad():
            return float((run.model.score(new_BD) + new_BD).norm(dim=-1).mean())

    def measure(self, bench: Bench) -> Results:
        """Return the errors of the network and of the kernel estimates in every dimension."""
        rows, network, kernel = [], {}, {}
        for name, runs in bench.runs.items():
            dims = int(name.partition("/")[2])
            mean, spread = network[dims] = mean_and_spread([self._of_run(run) for run in runs])
            errors = self._of_kernels(bench, dims)
            kernel[dims] = errors["silverman"]
            published, of_kernel = PUBLISHED[dims]
            kernels = [round(errors[law], 3) for law in self.bandwidths]
            rows.append([dims, round(mean, 3), round(spread, 3), published, *kernels, of_kernel, round(dims**0.5, 2)])
        worst = max(kernel, key=lambda dims: abs(kernel[dims] / PUBLISHED[dims][1] - 1))
        error, published = kernel[worst], PUBLISHED[worst][1]
        pairs = ", ".join(f"{mean:.2f} < {kernel[dims]:.2f}" for dims, (mean, _) in network.items())
        return Results(
            [ResultTable("errors", rows, ("D", "SSM", "std", "poster", *map("KDE {}".format, self.bandwidths), *LAST))],
            [
                Claim("silverman", abs(error / published - 1) < 0.1, error=error, published=published),
                *(
                    Claim("poster", mean <= PUBLISHED[dims][0], dims=dims, mean=mean, poster=PUBLISHED[dims][0])
                    for dims, (mean, _) in network.items()
                ),
                Claim("better", all(mean < kernel[dims] for dims, (mean, _) in network.items())),
            ],
            {"runs": len(next(iter(bench.runs.values()))), "worst": worst, "pairs": pairs},
            data={"network": network, "kernel": kernel},
        )

    def _of_kernels(self, bench: Bench, dims: int) -> dict[str, float]:
        """Return the mean error of every bandwidth over the repetitions."""
        settings = {"points": self.points, "held_out": self.held_out}
        errors = {}
        for law in self.bandwidths:
            found = [
                bench.once(f"kde-{law}-{dims}-{seed}", settings, partial(self._of_kernel, dims, law, seed))
                for seed in range(self.seeds)
            ]
            errors[law] = mean_and_spread(found)[0]
        return errors

    def draw(self, data: Mapping[str, Any], text: Text, canvas: Canvas) -> None:
        """Draw both errors over the dimension, and the poster's."""
        canvas.set_size_inches(6, 3.6)
        axes = canvas.add_subplot()
        dims = [int(key) for key in data["network"]]
        mean, spread = zip(*data["network"].values(), strict=True)
        axes.errorbar(dims, mean, spread, fmt="o-", ms=4, capsize=3, label="SSM-VR")
        axes.plot(dims, list(data["kernel"].values()), "s-", ms=4, label="KDE, Silverman")
        for i, (label, marker) in enumerate((("SSM, poster", "x"), ("KDE, poster", "+"))):
            axes.plot(dims, [PUBLISHED[d][i] for d in dims], marker, color="k", ms=8, label=label)
        axes.plot(dims, [d**0.5 for d in dims], ":", color="grey", label="zero score (about)")
        axes.set(xlabel="dimension D", ylabel="mean |s - s*|", title=text.panels["errors"])
        axes.legend(frameon=False, fontsize=8)
