"""Figure 3 of the poster: implicit against Gaussian VAEs while they train, and how noisy their gradients are."""

import math
from collections.abc import Mapping
from typing import Any, final

from matplotlib.figure import Figure as Canvas

from scorewise.figures.figure import Bench, Claim, Figure, Results, Table, thinned
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

    title = "implicit and Gaussian VAEs over iterations, and the noise of their gradients (poster, figure 3)"

    def __init__(self, images: int, draws: int) -> None:
        self.images, self.draws = images, draws

    def measure(self, bench: Bench) -> Results:
        """Return the curves of every run and the noise of its gradient at the end."""
        rows, curves, minimised, noises = [], {}, {}, {}
        for name, (run, *_) in bench.runs.items():
            settings = {"identity": run.summary["identity"], "images": self.images, "draws": self.draws}

            def measured(run: Any = run) -> dict[str, float]:
                return gradient_noise(run.model, run.source, self.images, self.draws)

            noise = bench.once(f"{name}-{run.seed} gradient", settings, measured)
            noises[name] = math.sqrt(noise["noise"] / max(noise["signal"], noise["noise"] / self.draws))
            curves[name] = {key: thinned(run.curves[key]) for key in SHOWN if key in run.curves}
            curve = next(run.curves[key] for key in MINIMISED if key in run.curves)
            minimised[name] = thinned(curve)
            last = [value for _, value in curve[-max(2, len(curve) // 10) :]]
            mean = sum(last) / len(last)
            spread = math.sqrt(sum((value - mean) ** 2 for value in last) / (len(last) - 1))
            rows.append(
                [
                    name,
                    *(round(run.curves[key][-1][1], 2) if key in run.curves else "-" for key in SHOWN),
                    round(spread, 2),
                    float(f"{math.sqrt(noise['noise']):.3g}"),
                    float(f"{noises[name]:.3g}"),
                ]
            )
        first = next(iter(bench.runs.values()))[0]
        implicit = [name for name in noises if name != GAUSSIAN]
        noisiest = max(noises, key=lambda name: noises[name])
        return Results(
            [
                Table(
                    f"After {first.summary['steps']:,} iterations. reconstruction, ais, iwae: validation images, nats "
                    "(ais and iwae on the first ones, a short AIS); loss spread: standard deviation of what training "
                    "minimises over its last tenth, batch to batch, nats; gradient noise: root of the trace of the "
                    f"covariance of the encoder's gradient on one batch of {self.images} images over {self.draws} "
                    "draws of its noise, nats per image; relative: the same over the norm of the mean gradient "
                    f"(at most {math.sqrt(self.draws):.0f}, where the mean is lost in the noise).",
                    ("method", "reconstruction", "ais", "iwae", "loss spread", "gradient noise", "relative"),
                    rows,
                )
            ],
            [
                Claim(
                    "the gradient of every other method is noisier, relative to its mean, than that of ELBO",
                    all(noises[name] > noises[GAUSSIAN] for name in implicit),
                    ", ".join(f"{name} {value:.3g}" for name, value in noises.items()),
                )
            ],
            [
                "What implicit methods minimise is - log p(x|z) - log p(z) + sum_d s_d z_d; for the true score its "
                "value is the first two terms less the number of latents, so it is no bound of - log p(x), and the "
                "poster's two losses cannot be compared. Reconstruction and AIS can.",
                f"Noisiest gradient: {noisiest}. The quiet gradients of SSM, SSM-AR and CSM are no merit: their "
                "encoders have nearly no noise left (widths of q in table 2), so their gradients have little of it. "
                "ais and iwae are of few images, and have no standard errors here; those of table 2 have.",
            ],
            {"curves": curves, "minimised": minimised, "noises": noises},
        )

    def draw(self, data: Mapping[str, Any], canvas: Canvas) -> None:
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
        panels[3].set(title="gradient noise / mean gradient", yscale="log")
        titles = ("- log p(x|z), validation", "- log p(x), validation", "what is minimised (implicit: not an ELBO)")
        for axes, title in zip(panels, titles, strict=False):
            axes.set(xlabel="iteration", ylabel="nats per image", title=title)
            axes.legend(frameon=False, fontsize=6)
        for axes in panels:
            axes.grid(alpha=0.25)
            axes.title.set_fontsize(9)
