"""Table 2, MNIST: likelihoods of VAEs by six estimates of the gradient of the encoder's entropy."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, final

import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Canvas

from scorewise.comparison.seeds import Mean, mean_of
from scorewise.figures import likelihoods
from scorewise.figures.bench import Bench
from scorewise.figures.cost import seconds_per_step
from scorewise.figures.figure import Figure
from scorewise.figures.finished_run import FinishedRun
from scorewise.figures.likelihoods import Likelihoods
from scorewise.figures.results import Claim, Facts, Results, ResultTable, Text
from scorewise.figures.spread import Paired, judged, mean_and_spread, said, seeds_said
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
BySeed = Mapping[str, Sequence[Mapping[str, Any]]]


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
        first = {
            name: self.likelihoods.measured(bench, name, run, self.images, self.device)
            for name, run in bench.firsts.items()
        }
        found = {
            name: [
                first[name],
                *(self.likelihoods.values(bench, name, run, self.images, self.device) for run in runs[1:]),
            ]
            for name, runs in bench.runs.items()
        }
        times, (quality, features) = self._times(bench), self._quality(bench)
        rows = [
            [*_row(name, found), *quality[name], round(times[name] / times[BASELINE], 2), self._published(name)]
            for name in found
        ]
        order = sorted(found, key=lambda name: mean_of(_means(found[name], "nll")).mean)
        seeds = len(found[BASELINE])
        return Results(
            [
                ResultTable("nll", rows),
                ResultTable("checks", [self.likelihoods.checks(name, one) for name, one in first.items()]),
            ],
            [*claims(found), *_of_checks(first)],
            {"steps": bench.first.summary["steps"], "seeds": seeds_said(seeds), **features, **self._precision()},
            {
                "order": [{"order": ", ".join(order)}],
                "sizes": [{"of_kernels": _of_kernels(first), "of_seeds": _of_seeds(seeds)}],
                "narrow": _narrow(first),
            },
            {"names": list(found), "nll": {name: [one["nll"] for one in found[name]] for name in found}, "time": times},
        )

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
                vae = run.untrained.to(self.device)
                objective = run.summary["choices"]["objective"]
                x_BD = run.source.examples("train", torch.arange(min(128, run.source.count("train"))), 0, 0)
                made = OBJECTIVES[objective]() if objective in OBJECTIVES else None
                steps[name] = iteration(vae, made, x_BD.to(self.device))
            return seconds_per_step(steps, self.rounds, self.device)

        who = [run.summary["identity"] for run in bench.firsts.values()]
        return bench.once("times", {"runs": who, "rounds": self.rounds}, timed)

    def _quality(self, bench: Bench) -> tuple[dict[str, list[str]], Facts]:
        """Return FID and KID by method, and what all of them depend on."""
        source, extractor = bench.first.source, bench.first.extractor(None, self.epochs)
        against = ReferenceImages(extractor, source, "test")
        settings = {"samples": self.samples, "extractor": extractor.hash}

        def of(run: FinishedRun) -> dict[str, float]:
            x_ND = run.model.sample(self.samples, torch.Generator().manual_seed(0)).flatten(1)
            return metric_values(against.of(eight_bits(x_ND, source.shape), "mean images"))

        found = {}
        for name, runs in bench.runs.items():
            each = [bench.once_of(run, f"{name}-{run.seed} samples", settings, partial(of, run)) for run in runs]
            found[name] = [
                said(mean_of([one[which] for one in each]), spec) for which, spec in (("fid", ".1f"), ("kid", ".3f"))
            ]
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
        by_seed = {name: [{"nll": nll} for nll in data["nll"][name]] for name in names}
        means = [mean_of(_means(by_seed[name], "nll")) for name in names]
        _draw(left, means, [0.0] * len(means), label="ours")
        published = {i: value for i, name in enumerate(names) if isinstance(value := self._published(name), float)}
        if published:
            left.plot(list(published), list(published.values()), "x", color="grey", label="paper")
            left.legend(frameon=False, fontsize=8)
        left.set_xticks(range(len(names)), names, fontsize=8, rotation=30, ha="right")
        left.set(ylabel="- log p(x), nats per image", title=text.panels["nll"].format(z=self.z))
        left.grid(alpha=0.25)
        others = [name for name in names if name != BASELINE]
        paired = [_paired(by_seed[name], by_seed[BASELINE]) for name in others]
        _draw(right, [mean_of([one.mean for one in each]) for each in paired], [2 * each[0].error for each in paired])
        right.axhline(0, color="grey", lw=1)
        right.set_xticks(range(len(others)), others, fontsize=8, rotation=30, ha="right")
        bars = "two standard errors" if len(by_seed[BASELINE]) == 1 else "95 % interval over seeds"
        right.set(ylabel="nll - nll of ELBO, nats", title=text.panels["paired"].format(bars=bars))
        right.grid(alpha=0.25)


def _draw(axes: Axes, means: Sequence[Mean], errors: Sequence[float], **how: Any) -> None:
    """Draw means over seeds with their intervals; of one seed with the errors given."""
    half = [error if mean.n == 1 else mean.high - mean.mean for mean, error in zip(means, errors, strict=True)]
    axes.errorbar(range(len(means)), [mean.mean for mean in means], yerr=half, fmt="o", capsize=4, **how)


def _means(seeds: Sequence[Mapping[str, Any]], which: str) -> list[float]:
    """Return the mean over images of every seed."""
    return [mean_and_spread(one[which])[0] for one in seeds]


def _paired(ours: Sequence[Mapping[str, Any]], theirs: Sequence[Mapping[str, Any]]) -> list[Paired]:
    """Return nll less another's, image by image, of every seed."""
    return [Paired.of(one["nll"], other["nll"]) for one, other in zip(ours, theirs, strict=True)]


def _difference(paired: Sequence[Paired]) -> str:
    """Return it with its interval over seeds; of one seed with its standard error over images."""
    return str(paired[0]) if len(paired) == 1 else said(mean_of([one.mean for one in paired]), "+.2f")


def _row(name: str, found: BySeed) -> list[Any]:
    ours = found[name]
    paired = "" if name == BASELINE else _difference(_paired(ours, found[BASELINE]))
    nll, reconstruction, prior, iwae = (
        said(mean_of(_means(ours, each)), ".2f") if each in ours[0] else "-"
        for each in ("nll", "reconstruction", "prior", "iwae")
    )
    return [name, nll, paired, reconstruction, prior, iwae]


def claims(found: BySeed) -> list[Claim]:
    """Return what the likelihoods show, image by image; of several seeds, by the interval over them.

    Args:
        found: of every method and seed `nll`, nats of every image.
    """
    judgements = []
    for name in [name for name in found if name != BASELINE]:
        paired, surely = _paired(found[name], found[BASELINE]), "by more than two standard errors"
        if len(paired) == 1:
            better = paired[0].mean < -2 * paired[0].error
            judgements.append(Claim("better", better, name=name, surely=surely, measured=str(paired[0])))
        else:
            less = mean_of([one.mean for one in paired])
            judgements.append(judged("better", less, "+.2f", lambda x: x < 0, name=name, surely="over seeds"))
    if "CSM" in found and "SSM" in found:
        paired = _paired(found["CSM"], found["SSM"])
        less = mean_of([one.mean for one in paired])
        low = paired[0].mean - 2 * paired[0].error if len(paired) == 1 else less.low
        judgements.append(Claim("csm", low < 0, measured=_difference(paired)))
    return judgements


def _of_checks(first: ByMethod) -> list[Claim]:
    """Return whether annealing is right, and encoders are wide enough."""
    gaps = [likelihoods.gap(one) for one in first.values()]
    bracketed = all(-3 * gap.error - 0.05 <= gap.mean <= 1 for gap in gaps)
    widths = {name: likelihoods.width(one) for name, one in first.items()}
    shown = ", ".join(f"{name} {one:.2g}" for name, one in widths.items())
    return [
        Claim("bracketed", bracketed, gap=max(gap.mean for gap in gaps)),
        Claim("wide", all(0.5 <= one <= 2 for one in widths.values()), widths=shown),
    ]


def _of_kernels(first: ByMethod) -> str:
    particles = {one["particles"] for one in first.values()} - {1}
    return f"Stein and Spectral have {max(particles)} particles (published: 100). " if particles else ""


def _of_seeds(seeds: int) -> str:
    if seeds == 1:
        return "One training each: standard errors are over images, and say nothing of another seed."
    return "What the likelihoods rest on is of the first seed."


def _narrow(found: ByMethod) -> list[Facts]:
    """Return the facts of a note on narrow encoders, where there are some."""
    narrow = [name for name, one in found.items() if likelihoods.width(one) < 0.5]
    known = any("standardised" in name for name in found)
    more = " Standardised: with latent.standardise=true, which is not in the paper." if known else ""
    return [{"names": ", ".join(narrow), "standardised": more}] if narrow else []
