"""Table 2, MNIST: likelihoods of VAEs by six estimates of the gradient of the encoder's entropy."""

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import Any, final

import torch
from matplotlib.figure import Figure as Canvas

from scorewise.errors import UserError
from scorewise.figures.cost import seconds_per_step
from scorewise.figures.figure import Bench, Claim, Figure, Results, Run, Table
from scorewise.figures.vaes import OBJECTIVES, Paired, bounds, iteration, nll, simulated, stein_identity, widths
from scorewise.latent import AIS
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
CHECKED = ("method", "longer (s.e.)", "gap (s.e.)", "float64 (s.e.)", "width of q", "of the posterior", "identity")
COLUMNS = (
    "method",
    "nll",
    "paired (s.e.)",
    "reconstruction",
    "prior",
    "iwae",
    "FID",
    "KID",
    "time",
    "paper",
)


@final
class Table2Mnist(Figure):
    """- log p(x) of binarised MNIST by annealed importance sampling, image by image beside that of ELBO.

    Args:
        z: number of latents.
        images: of the test split, the first ones.
        temperatures, chains: of AIS.
        check_images, check_temperatures, check_chains: of a longer AIS of fewer images, which shows the shift.
        simulated: images drawn from every model and annealed both ways.
        checked: images annealed in float64 too.
        importance: draws of the importance-weighted bound.
        rows: chains annealed at once.
        rounds: of timing.
        device: to anneal and to time on.
        samples: mean images of latents from the prior whose FID and KID against all test images are taken.
        epochs: of the classifier whose features these compare; None: as many as `make features` takes.
        rough: whether annealing follows gradients in bfloat16, see `AIS`; its checks in float64 do not.
    """

    title = "VAEs on MNIST by the way of the entropy gradient (table 2)"

    def __init__(
        self,
        z: int,
        images: int,
        temperatures: int,
        chains: int,
        check_images: int,
        check_temperatures: int,
        check_chains: int,
        simulated: int,
        checked: int,
        importance: int,
        rows: int,
        rounds: int,
        device: str,
        samples: int,
        epochs: int | None = None,
        rough: bool = False,
    ) -> None:
        self.device = torch.device(device)
        self.z, self.images, self.rows, self.importance, self.rounds = z, images, rows, importance, rounds
        self.ais = AIS(temperatures, chains, rough=rough)
        self.longer = replace(self.ais, temperatures=check_temperatures, chains=check_chains)
        self.samples, self.epochs = samples, epochs
        self.check_images, self.simulated, self.checked = check_images, simulated, checked

    def measure(self, bench: Bench) -> Results:
        """Return every method's likelihood on the same images, paired with ELBO's, and what that rests on."""
        names = list(bench.runs)
        if several := [name for name in names if len(bench.runs[name]) > 1]:
            raise UserError(f"table 2 pairs images of one training each, and {several[0]} has several: use seeds=[0].")
        found = {name: self._of(bench, name, bench.runs[name][0]) for name in names}
        steps = bench.runs[names[0]][0].summary["steps"]
        times, compared = self._times(bench, names), self._compared(bench, names)
        rows = []
        for name in names:
            first = found[name]
            rows.append(
                [
                    name,
                    round(_mean(first["nll"]), 2),
                    "" if name == BASELINE else str(self._paired(found, name)),
                    round(_mean(first["reconstruction"]), 2),
                    round(_mean(first["prior"]), 2),
                    round(_mean(first["iwae"]), 2) if "iwae" in first else "-",
                    round(compared[name]["fid"], 1),
                    round(compared[name]["kid"], 3),
                    round(times[name] / times[BASELINE], 2),
                    self._published(name),
                ]
            )
        checks = [
            [
                name,
                str(Paired.of(found[name]["longer"], found[name]["nll"][: self.check_images])),
                str(Paired.of(found[name]["simulated"]["forward"], found[name]["simulated"]["backward"])),
                str(Paired.of(found[name]["double"], found[name]["nll"][: self.checked])),
                f"{found[name]['widths']['encoder']:.3g}",
                f"{found[name]['widths']['posterior']:.3g}",
                "-" if found[name]["identity"] is None else round(found[name]["identity"], 3),
            ]
            for name in names
        ]
        order = sorted(names, key=lambda name: _mean(found[name]["nll"]))
        both = f"{self.ais.temperatures} x {self.ais.chains}"
        longer = f"{self.longer.temperatures} x {self.longer.chains}"
        rough = ", trajectories along gradients in bfloat16" if self.ais.rough else ""
        particles = {bench.runs[name][0].model.particles for name in names} - {1}
        of_kernels = f"Stein and Spectral have {max(particles)} particles (published: 100). " if particles else ""
        return Results(
            [
                Table(
                    f"z = {self.z}, {steps:,} iterations each, the same decoder; nll: - log p(x), nats per image, "
                    f"AIS with {both} (temperatures x chains{rough}) on the same {self.images} binarised test images; "
                    "paired: nll - nll of ELBO, image by image, with its standard error over images; reconstruction "
                    f"and prior: - log p(x|z) and - log p(z) of draws of q(z|x); iwae: {self.importance:,} draws; "
                    f"{compared['caption']} time: processor "
                    "time of an iteration relative to ELBO's, from one interleaved run. The paper's evaluation is not "
                    "known to us; the code whose set-up it follows takes 1,000 x 16 on all test images after 100k "
                    "iterations.",
                    COLUMNS,
                    rows,
                ),
                Table(
                    f"What the nll rests on, nats. longer: AIS with {longer} less AIS with {both}, first "
                    f"{self.check_images} images; gap: forward less backward AIS of {self.simulated} images drawn from "
                    f"the model, which brackets their true nll; float64: AIS in float64 throughout less AIS as above, "
                    f"first {self.checked} images{', there without bfloat16' if self.ais.rough else ''}. Widths: roots "
                    "of the mean variance over latents of 200 draws of q(z|x) and, by the ends of the chains, of the "
                    f"posterior; medians over {self.checked} images. identity: - E[sum_d s_d (z_d - E z_d)] / D of "
                    f"200 draws of q(z|x), first {self.check_images} images: 1 for the true score, near 0 the entropy "
                    "has no say; of Stein and Spectral among as many particles as they train with, by a score that is "
                    "fitted to those, so that 1 does not show that it is right.",
                    CHECKED,
                    checks,
                ),
            ],
            self._claims(found, names),
            [
                f"Ordering that we see, best first: {', '.join(order)}. Encoders differ as they must: ELBO Gaussian; "
                "Stein, Spectral and SSM a network of image and noise together; SSM-AR and CSM one latent after the "
                "other, each with noise of its own (with conditional scores any other encoder gets a wrong gradient).",
                "Sizes, optimiser and batch are those of the code of sliced score matching. "
                f"{of_kernels}The paper's own are not known, nor is its evaluation, so that its numbers and ours are "
                "not on one scale. One training each: standard errors are over images, and say nothing of another "
                "seed.",
                *self._of_width(found),
            ],
            {"names": names, "nll": {name: [found[name]["nll"]] for name in names}, "time": times},
        )

    def _of_width(self, found: Mapping[str, dict[str, Any]]) -> list[str]:
        """Return what narrow encoders mean, where there are some."""
        shares = {name: one["widths"]["encoder"] / one["widths"]["posterior"] for name, one in found.items()}
        if not (narrow := [name for name, share in shares.items() if share < 0.5]):
            return []
        wide = any("standardised" in name for name in found)
        return [
            f"The encoders of {', '.join(narrow)} are far narrower than the posterior: their score networks see so "
            "little of the score (docs/vae.md) that the entropy has no say, and what is trained is close to an "
            "autoencoder under - log p(z). Their likelihoods are the decoder's, and no merit of a better posterior."
            + (" Standardised: with latent.standardise=true, which is not in the paper." if wide else "")
        ]

    def _of(self, bench: Bench, name: str, run: Run) -> dict[str, Any]:
        key = f"{name}-{run.seed}"
        who = {"identity": run.summary["identity"]}

        def anneal(ais: AIS, count: int, double: bool = False) -> list[float]:
            settings = {**who, "ais": vars(ais), "count": count, "double": double}
            label = f"{key} {ais.temperatures}x{ais.chains}{' double' if double else ''}"
            ais = replace(ais, rough=False) if double else ais
            return bench.once(
                label, settings, lambda: nll(run.model.to(self.device), run.source, ais, count, self.rows, double)
            )

        return {
            "nll": anneal(self.ais, self.images),
            "longer": anneal(self.longer, self.check_images),
            "double": anneal(self.ais, self.checked, double=True),
            "simulated": bench.once(
                f"{key} simulated",
                {**who, "ais": vars(self.ais), "count": self.simulated},
                lambda: simulated(run.model.to(self.device), self.ais, self.simulated, self.rows),
            ),
            "widths": bench.once(
                f"{key} widths",
                {**who, "ais": vars(self.ais), "count": self.checked, "of": "variances over latents"},
                lambda: widths(run.model.to(self.device), run.source, self.ais, self.checked, self.rows),
            ),
            "identity": bench.once(
                f"{key} identity",
                {**who, "count": self.check_images, "particles": run.model.particles},
                lambda: stein_identity(run.model.to(self.device), run.source, self.check_images),
            ),
            **bench.once(
                f"{key} bounds",
                {**who, "count": self.images, "importance": self.importance},
                lambda: bounds(run.model.to(self.device), run.source, self.images, self.importance),
            ),
        }

    def _times(self, bench: Bench, names: list[str]) -> dict[str, float]:
        def timed() -> dict[str, float]:
            steps = {}
            for name in names:
                run = bench.runs[name][0]
                vae = run.model.to(self.device)
                objective = run.summary["choices"]["objective"]
                x_BD = run.source.examples("train", torch.arange(min(128, run.source.count("train"))), 0, 0)
                made = OBJECTIVES[objective]() if objective in OBJECTIVES else None
                steps[name] = iteration(vae, made, x_BD.to(self.device))
            return seconds_per_step(steps, self.rounds, self.device)

        who = [bench.runs[name][0].summary["identity"] for name in names]
        return bench.once("times", {"runs": who, "rounds": self.rounds}, timed)

    def _compared(self, bench: Bench, names: list[str]) -> dict[str, Any]:
        """Return FID and KID by method, of other real images, and what all of them depend on."""
        first = bench.runs[names[0]][0]
        extractor = first.extractor(None, self.epochs)
        against = ReferenceImages(extractor, first.source, "test")
        settings = {"samples": self.samples, "extractor": extractor.hash}

        def of(run: Run) -> dict[str, float]:
            x_ND = run.model.sample(self.samples, torch.Generator().manual_seed(0))
            return metric_values(against.of(eight_bits(x_ND, first.source.shape), "mean images"))

        found: dict[str, Any] = {
            name: bench.once(
                f"{name} samples",
                {**settings, "identity": bench.runs[name][0].summary["identity"]},
                partial(of, bench.runs[name][0]),
            )
            for name in names
        }
        floor = bench.once("real images", settings, lambda: metric_values(against.floor(self.samples)))
        found["caption"] = (
            f"FID and KID: {self.samples} mean images of latents from the prior, grey as they are, against all "
            f"{first.source.count('test')} test images, features of {extractor.name} {extractor.hash} (as many real "
            f"images of the training split: {floor['fid']:.1f} and {floor['kid']:.4f});"
        )
        return found

    def _paired(self, found: Mapping[str, dict[str, Any]], name: str) -> Paired:
        return Paired.of(found[name]["nll"], found[BASELINE]["nll"])

    def _published(self, name: str) -> Any:
        if name not in PAPER or self.z not in (8, 16):
            return "-"
        return PAPER[name][0 if self.z == 8 else 1]

    def _claims(self, found: Mapping[str, dict[str, Any]], names: list[str]) -> list[Claim]:
        claims = []
        for name in [name for name in names if name != BASELINE]:
            paired = self._paired(found, name)
            claims.append(
                Claim(
                    f"{name} is better than ELBO by more than two standard errors, image by image",
                    paired.mean < -2 * paired.error,
                    f"{paired} nats",
                )
            )
        if "CSM" in names and "SSM" in names:
            paired = Paired.of(found["CSM"]["nll"], found["SSM"]["nll"])
            claims.append(Claim("CSM is no worse than SSM", paired.mean < 2 * paired.error, f"{paired} nats"))
        gaps = [Paired.of(one["simulated"]["forward"], one["simulated"]["backward"]) for one in found.values()]
        claims.append(
            Claim(
                "forward and backward AIS bracket the nll of simulated images within a nat",
                all(-3 * gap.error - 0.05 <= gap.mean <= 1 for gap in gaps),
                f"largest gap {max(gap.mean for gap in gaps):.2f} nats",
            )
        )
        narrow = {name: found[name]["widths"] for name in names}
        claims.append(
            Claim(
                "every encoder is as wide as the posterior within a factor of two",
                all(0.5 <= one["encoder"] / one["posterior"] <= 2 for one in narrow.values()),
                ", ".join(f"{name} {one['encoder'] / one['posterior']:.2g}" for name, one in narrow.items()),
            )
        )
        return claims

    def draw(self, data: Mapping[str, Any], canvas: Canvas) -> None:
        """Draw nll and its paired difference to ELBO by method."""
        canvas.set_size_inches(10, 4)
        names = data["names"]
        left, right = canvas.add_subplot(1, 2, 1), canvas.add_subplot(1, 2, 2)
        means = [_mean(data["nll"][name][0]) for name in names]
        left.plot(range(len(names)), means, "o", label="ours")
        published = {i: value for i, name in enumerate(names) if isinstance(value := self._published(name), float)}
        if published:
            left.plot(list(published), list(published.values()), "x", color="grey", label="paper")
            left.legend(frameon=False, fontsize=8)
        left.set_xticks(range(len(names)), names, fontsize=8, rotation=30, ha="right")
        left.set(ylabel="- log p(x), nats per image", title=f"annealed importance sampling, z = {self.z}")
        left.grid(alpha=0.25)
        others = [name for name in names if name != BASELINE]
        paired = [Paired.of(data["nll"][name][0], data["nll"][BASELINE][0]) for name in others]
        right.errorbar(
            range(len(others)), [one.mean for one in paired], yerr=[2 * one.error for one in paired], fmt="o", capsize=4
        )
        right.axhline(0, color="grey", lw=1)
        right.set_xticks(range(len(others)), others, fontsize=8, rotation=30, ha="right")
        right.set(ylabel="nll - nll of ELBO, nats", title="the same images, two standard errors")
        right.grid(alpha=0.25)


def _mean(values: Any) -> float:
    mean: float = sum(values) / len(values)
    return mean
