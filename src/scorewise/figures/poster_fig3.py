"""Figure 3 of the poster: implicit against Gaussian VAEs while they train, and how noisy their gradients are."""

import math
from collections.abc import Mapping
from typing import Any, final

from matplotlib.figure import Figure as Canvas

from scorewise.figures.bench import Bench
from scorewise.figures.figure import Figure
from scorewise.figures.finished_run import FinishedRun
from scorewise.figures.results import Claim, Results, ResultTable, Text
from scorewise.figures.spread import mean_and_spread, thinned
from scorewise.figures.vaes import gradient_noise

GAUSSIAN = "ELBO"
SHOWN = ("val/reconstruction", "val/ais", "val/iwae")
MINIMISED = ("train/surrogate_not_an_elbo", "train/neg_elbo")
"""What training minimises: the value of the first is no bound of anything."""


@final
class PosterFig3(Figure):
    """Reconstruction and likelihood of VAEs over iterations, and the noise of every method's gradient.

    Args:
        images: of the batch on which gradients are compared.
        draws: of the noise of every gradient.
    """

    def __init__(self, images: int, draws: int) -> None:
        self.images, self.draws = images, draws

    def measure(self, bench: Bench) -> Results:
        """Return the curves of every run and the noise of its gradient at the end."""
        rows, curves, minimised, noises = [], {}, {}, {}
        for name, run in bench.firsts.items():
            noise = self._gradient_noise(bench, name, run)
            relative = math.sqrt(noise["noise"] / max(noise["signal"], noise["noise"] / self.draws))
            curve = next(run.curves[key] for key in MINIMISED if key in run.curves)
            last = [value for _, value in curve[-max(2, len(curve) // 10) :]]
            rows.append(
                [
                    name,
                    *(round(run.curves[key][-1][1], 2) if key in run.curves else "-" for key in SHOWN),
                    round(mean_and_spread(last)[1], 2),
                    float(f"{math.sqrt(noise['noise']):.3g}"),
                    float(f"{relative:.3g}"),
                ]
            )
            curves[name] = {key: thinned(run.curves[key]) for key in SHOWN if key in run.curves}
            minimised[name], noises[name] = thinned(curve), relative
        facts = {"steps": bench.first.summary["steps"], "most": math.sqrt(self.draws)}
        quiet = all(value > noises[GAUSSIAN] for name, value in noises.items() if name != GAUSSIAN)
        listed = ", ".join(f"{name} {value:.3g}" for name, value in noises.items())
        notes = {"noise": [{"noisiest": max(noises, key=lambda name: noises[name])}]}
        data = {"curves": curves, "minimised": minimised, "noises": noises}
        return Results([ResultTable("ends", rows)], [Claim("noisier", quiet, noises=listed)], facts, notes, data)

    def _gradient_noise(self, bench: Bench, name: str, run: FinishedRun) -> dict[str, float]:
        settings = {"identity": run.summary["identity"], "images": self.images, "draws": self.draws}

        def measured() -> dict[str, float]:
            return gradient_noise(run.model, run.source, self.images, self.draws)

        return bench.once(f"{name}-{run.seed} gradient", settings, measured)

    def draw(self, data: Mapping[str, Any], text: Text, canvas: Canvas) -> None:
        """Draw reconstruction, likelihood, what is minimised, and the noise of the gradients."""
        canvas.set_size_inches(15, 3.8)
        panels = [canvas.add_subplot(1, 4, i) for i in range(1, 5)]
        for i, name in enumerate(data["curves"]):
            curves, colour = data["curves"][name], f"C{i}"
            for axes, key, style in (
                (panels[0], "val/reconstruction", "-"),
                (panels[1], "val/ais", "-"),
                (panels[1], "val/iwae", ":"),
            ):
                if key in curves:
                    steps, values = zip(*curves[key], strict=True)
                    label = f"{name}, IWAE" if key == "val/iwae" else name
                    axes.plot(steps, values, style, color=colour, label=label, marker="o", ms=2)
            steps, values = zip(*data["minimised"][name], strict=True)
            panels[2].plot(steps, values, lw=0.6, color=colour, alpha=0.7, label=name)
        late = [v for curve in data["minimised"].values() for _, v in curve[len(curve) // 10 :]]
        low, high = min(late), max(late)
        panels[2].set_ylim(low - 2, high + 0.4 * (high - low))  # the legend stands above the curves
        names = list(data["noises"])
        panels[3].bar(range(len(names)), [data["noises"][name] for name in names], color=[f"C{i}" for i in range(9)])
        panels[3].set_xticks(range(len(names)), names, fontsize=7, rotation=30, ha="right")
        panels[3].set(yscale="log")
        for axes in panels[:3]:
            axes.set(xlabel="iteration", ylabel="nats per image")
            axes.legend(frameon=False, fontsize=6)
        for axes, title in zip(panels, text.panels.values(), strict=True):
            axes.set_title(title)
            axes.grid(alpha=0.25)
            axes.title.set_fontsize(9)
