"""Table 2, MNIST: likelihoods of VAEs by six estimates of the gradient of the encoder's entropy."""

from collections.abc import Mapping
from functools import partial
from typing import Any, final

import torch
from matplotlib.figure import Figure as Canvas

from scorewise.errors import UserError
from scorewise.figures import likelihoods
from scorewise.figures.bench import Bench
from scorewise.figures.cost import seconds_per_step
from scorewise.figures.figure import Figure
from scorewise.figures.finished_run import FinishedRun
from scorewise.figures.likelihoods import Likelihoods
from scorewise.figures.results import Claim, Facts, Results, ResultTable, Text
from scorewise.figures.spread import Paired, mean_and_spread
from scorewise.figures.vaes import OBJECTIVES, iteration
from scorewise.quality import ReferenceImages, eight_bits, metric_values

PAPER: Mapping[str, tuple[float, float]] = {
    "ELBO": (96.74, 91.82),
    "Stein": (96.90, 88.86),
    "Spectral": (96.85, 88.76),
    "SSM": (95.61, 88.44),
    "SSM-AR": (95.85, 88.98),
    "CSM": (95.02, 88.42),
}
"""z = 8 and z = 16 of the paper's table 2."""
BASELINE = "ELBO"
ByMethod = Mapping[str, Mapping[str, Any]]


@final
class Table2Mnist(Figure):
    """- log p(x) of binarised MNIST by annealed importance sampling, image by image beside that of ELBO.

    Args:
        z: number of latents.
        images: of the test split, the first ones.
        rounds: of timing.
        device: to anneal and to time on.
        samples: mean images of latents from the prior whose FID and KID against all test images are taken.
        epochs: of the classifier whose features these compare; None: as many as `make features` takes.
        annealing: settings of `Likelihoods`.
    """

    def __init__(
        self, z: int, images: int, rounds: int, device: str, samples: int, epochs: int | None = None, **annealing: Any
    ) -> None:
        self.z, self.images, self.rounds, self.device = z, images, rounds, torch.device(device)
        self.samples, self.epochs = samples, epochs
        self.likelihoods = Likelihoods(**annealing)

    def measure(self, bench: Bench) -> Results:
        """Return every method's likelihood on the same images, paired with ELBO's, and what that rests on."""
        if several := [name for name, runs in bench.runs.items() if len(runs) > 1]:
            raise UserError(f"table 2 pairs images of one training each, and {several[0]} has several: use seeds=[0].")
        found = {
            name: self.likelihoods.measured(bench, name, run, self.images, self.device)
            for name, run in bench.firsts.items()
        }
        times, (quality, features) = self._times(bench), self._quality(bench)
        rows = [[*self._row(name, found), *quality[name], times[name] / times[BASELINE]] for name in found]
        order = sorted(found, key=lambda name: mean_and_spread(found[name]["nll"])[0])
        return Results(
            [
                ResultTable("nll", [[*row[:-1], round(row[-1], 2), self._published(row[0])] for row in rows]),
                ResultTable("checks", [self.likelihoods.checks(name, one) for name, one in found.items()]),
            ],
            _claims(found),
            {"steps": bench.first.summary["steps"], **features, **self._precision()},
            {
                "order": [{"order": ", ".join(order)}],
                "sizes": [{"of_kernels": _of_kernels(bench)}],
                "narrow": _narrow(found),
            },
            {"names": list(found), "nll": {name: [one["nll"]] for name, one in found.items()}, "time": times},
        )

    def _row(self, name: str, found: ByMethod) -> list[Any]:
        means = likelihoods.means(found[name])
        paired = "" if name == BASELINE else str(Paired.of(found[name]["nll"], found[BASELINE]["nll"]))
        nll, reconstruction, prior = (round(means[each], 2) for each in ("nll", "reconstruction", "prior"))
        return [name, nll, paired, reconstruction, prior, round(means["iwae"], 2) if "iwae" in means else "-"]

    def _precision(self) -> Facts:
        rough = self.likelihoods.rough
        return {
            "trajectories": ", trajectories along gradients in bfloat16" if rough else "",
            "exactly": ", there without bfloat16" if rough else "",
        }

    def _times(self, bench: Bench) -> dict[str, float]:
        def timed() -> dict[str, float]:
            steps = {}
            for name, run in bench.firsts.items():
                vae = run.model.to(self.device)
                objective = run.summary["choices"]["objective"]
                x_BD = run.source.examples("train", torch.arange(min(128, run.source.count("train"))), 0, 0)
                made = OBJECTIVES[objective]() if objective in OBJECTIVES else None
                steps[name] = iteration(vae, made, x_BD.to(self.device))
            return seconds_per_step(steps, self.rounds, self.device)

        who = [run.summary["identity"] for run in bench.firsts.values()]
        return bench.once("times", {"runs": who, "rounds": self.rounds}, timed)

    def _quality(self, bench: Bench) -> tuple[dict[str, tuple[float, float]], Facts]:
        """Return FID and KID by method, and what all of them depend on."""
        source, extractor = bench.first.source, bench.first.extractor(None, self.epochs)
        against = ReferenceImages(extractor, source, "test")
        settings = {"samples": self.samples, "extractor": extractor.hash}

        def of(run: FinishedRun) -> dict[str, float]:
            x_ND = run.model.sample(self.samples, torch.Generator().manual_seed(0)).flatten(1)
            return metric_values(against.of(eight_bits(x_ND, source.shape), "mean images"))

        found = {}
        for name, run in bench.firsts.items():
            about = {**settings, "identity": run.summary["identity"]}
            one = bench.once(f"{name} samples", about, partial(of, run))
            found[name] = (round(one["fid"], 1), round(one["kid"], 3))
        floor = bench.once("real images", settings, lambda: metric_values(against.floor(self.samples)))
        return found, {"extractor": extractor, "real": floor, "test_images": source.count("test")}

    def _published(self, name: str) -> Any:
        if name not in PAPER or self.z not in (8, 16):
            return "-"
        return PAPER[name][0 if self.z == 8 else 1]

    def draw(self, data: Mapping[str, Any], text: Text, canvas: Canvas) -> None:
        """Draw nll and its paired difference to ELBO by method."""
        canvas.set_size_inches(10, 4)
        names = data["names"]
        left, right = canvas.add_subplot(1, 2, 1), canvas.add_subplot(1, 2, 2)
        means = [mean_and_spread(data["nll"][name][0])[0] for name in names]
        left.plot(range(len(names)), means, "o", label="ours")
        published = {i: value for i, name in enumerate(names) if isinstance(value := self._published(name), float)}
        if published:
            left.plot(list(published), list(published.values()), "x", color="grey", label="paper")
            left.legend(frameon=False, fontsize=8)
        left.set_xticks(range(len(names)), names, fontsize=8, rotation=30, ha="right")
        left.set(ylabel="- log p(x), nats per image", title=text.panels["nll"].format(z=self.z))
        left.grid(alpha=0.25)
        others = [name for name in names if name != BASELINE]
        paired = [Paired.of(data["nll"][name][0], data["nll"][BASELINE][0]) for name in others]
        right.errorbar(
            range(len(others)), [one.mean for one in paired], yerr=[2 * one.error for one in paired], fmt="o", capsize=4
        )
        right.axhline(0, color="grey", lw=1)
        right.set_xticks(range(len(others)), others, fontsize=8, rotation=30, ha="right")
        right.set(ylabel="nll - nll of ELBO, nats", title=text.panels["paired"])
        right.grid(alpha=0.25)


def _claims(found: ByMethod) -> list[Claim]:
    claims = []
    for name in [name for name in found if name != BASELINE]:
        paired = Paired.of(found[name]["nll"], found[BASELINE]["nll"])
        claims.append(Claim("better", paired.mean < -2 * paired.error, name=name, paired=str(paired)))
    if "CSM" in found and "SSM" in found:
        paired = Paired.of(found["CSM"]["nll"], found["SSM"]["nll"])
        claims.append(Claim("csm", paired.mean < 2 * paired.error, paired=str(paired)))
    gaps = [likelihoods.gap(one) for one in found.values()]
    bracketed = all(-3 * gap.error - 0.05 <= gap.mean <= 1 for gap in gaps)
    widths = {name: likelihoods.width(one) for name, one in found.items()}
    shown = ", ".join(f"{name} {one:.2g}" for name, one in widths.items())
    return [
        *claims,
        Claim("bracketed", bracketed, gap=max(gap.mean for gap in gaps)),
        Claim("wide", all(0.5 <= one <= 2 for one in widths.values()), widths=shown),
    ]


def _of_kernels(bench: Bench) -> str:
    particles = {run.model.particles for run in bench.firsts.values()} - {1}
    return f"Stein and Spectral have {max(particles)} particles (published: 100). " if particles else ""


def _narrow(found: ByMethod) -> list[Facts]:
    """Return the facts of a note on narrow encoders, where there are some."""
    narrow = [name for name, one in found.items() if likelihoods.width(one) < 0.5]
    known = any("standardised" in name for name in found)
    more = " Standardised: with latent.standardise=true, which is not in the paper." if known else ""
    return [{"names": ", ".join(narrow), "standardised": more}] if narrow else []
