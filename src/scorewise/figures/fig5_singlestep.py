"""Figure 5, right: Gaussian noise removed from MNIST in a single step."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, final

import torch
from matplotlib.figure import Figure as Canvas
from torch import Tensor

from scorewise import denoising
from scorewise.comparison.seeds import mean_of
from scorewise.data.source import Source
from scorewise.figures.bench import Bench
from scorewise.figures.figure import Figure
from scorewise.figures.finished_run import FinishedRun
from scorewise.figures.packed_images import packed_rows, unpacked_rows
from scorewise.figures.restored import image_rows, labelled, psnr_of, quality_of, steps_of
from scorewise.figures.results import Claim, Results, ResultTable, Text
from scorewise.figures.spread import apart, judged, said, seeds_said
from scorewise.noise import Draws
from scorewise.tasks.denoising import psnr

PARALLEL, SEQUENTIAL = "joint noise", "noise per dimension"
WAYS = {
    "parallel": f"AR-CSM, {PARALLEL}: conditional scores",
    "joint": f"AR-CSM, {PARALLEL}: joint score",
    "sequential": f"AR-CSM, {SEQUENTIAL}: restored pixels as context",
}

LINEAR = {"causal": "best linear, x_d from y_<=d", "wiener": "Wiener filter, 3 x 3"}
"""Estimates without a network that claims are about."""


@final
class Fig5SingleStep(Figure):
    """PSNR and SSIM of single steps x + sigma^2 s, beside filters and the best linear estimates.

    Args:
        sigma: of the noise.
        images: of the test set.
        shown: in the picture.
    """

    def __init__(self, sigma: float, images: int, shown: int) -> None:
        self.sigma, self.images, self.shown = sigma, images, shown

    def _linear(self, source: Source, seed: int) -> dict[str, list[float]]:
        """Return PSNR, mean and standard error, of what the task does not try: linear estimates, larger windows."""
        clean_BD, noisy_BD = self._noisy(source, seed, self.images)
        examples_ND = source.examples("train", torch.arange(source.count("train")), 0, seed)
        linear = denoising.LinearMMSE(examples_ND, self.sigma)
        tried = {
            "noisy, clamped": noisy_BD,
            **{
                f"Wiener filter, {size} x {size}": denoising.wiener(noisy_BD, source.shape, self.sigma, size)
                for size in (3, 5, 7)
            },
            LINEAR["causal"]: linear.causal(noisy_BD),
            "best linear, x_d from all of y": linear.joint(noisy_BD),
        }
        found = {name: psnr(x_BD.clamp(-1, 1), clean_BD) for name, x_BD in tried.items()}
        return {name: [float(dB_B.mean()), float(dB_B.std()) / len(dB_B) ** 0.5] for name, dB_B in found.items()}

    def _noisy(self, source: Source, seed: int, images: int) -> tuple[Tensor, Tensor]:
        index_B = torch.arange(min(images, source.count("test")))
        clean_BD = source.examples("test", index_B, -1, seed)
        return clean_BD, denoising.gaussian(clean_BD, self.sigma, Draws.of(seed, -1, index_B))

    def measure(self, bench: Bench) -> Results:
        """Return every way to restore the same noisy images, those of the seed."""
        ones, by_dimension = bench.runs[PARALLEL], bench.runs[SEQUENTIAL]
        about = {"sigma": self.sigma, "images": self.images}
        linear = [bench.once(f"linear-{run.seed}", about, partial(self._linear, run.source, run.seed)) for run in ones]
        words = ("task=denoising", f"task.sigma={self.sigma}", f"task.images={self.images}", "task.shown=1")
        tested = {
            mode: [
                bench.once_of(
                    run, f"{mode}-{run.seed}", {"words": words}, partial(run.tested, *words, f"task.mode={mode}")
                )
                for run in runs
            ]
            for mode, runs in {"parallel": ones, "joint": ones, "sequential": by_dimension}.items()
        }
        psnr = {
            **{mode: psnr_of(found, "restored") for mode, found in tested.items()},
            **{name: [each[label][0] for each in linear] for name, label in LINEAR.items()},
        }
        return Results(
            [ResultTable("quality", _rows(linear, tested), seeds=seeds_said(len(ones)))],
            claims(psnr),
            notes={"steps": steps_of(bench)},
            data={"shape": ones[0].source.shape, "psnr": psnr},
            arrays=self._pictures(bench, ones[0], by_dimension[0]),
        )

    def _pictures(self, bench: Bench, one: FinishedRun, per_dimension: FinishedRun) -> dict[str, Tensor]:
        about = {"sigma": self.sigma, "shown": self.shown}

        def at_once() -> dict[str, Any]:
            (clean_BD, noisy_BD), model = self._noisy(one.source, one.seed, self.shown), one.model
            rows = {
                "noisy": noisy_BD,
                "wiener": denoising.wiener(noisy_BD, one.source.shape, self.sigma),
                "parallel": denoising.parallel(model, noisy_BD, self.sigma),
                "joint": denoising.joint(model, noisy_BD, self.sigma),
                "clean": clean_BD,
            }
            return packed_rows(rows, one.source.shape)

        def in_order() -> dict[str, Any]:
            noisy_BD = self._noisy(one.source, one.seed, self.shown)[1]
            rows = {"sequential": denoising.sequential(per_dimension.model, noisy_BD, self.sigma)}
            return packed_rows(rows, one.source.shape)

        pictures = unpacked_rows(bench.once_of(one, "pictures", about, at_once))
        clean_BD = pictures.pop("clean")
        ordered = unpacked_rows(bench.once_of(per_dimension, "pictures in order", about, in_order))
        return {**pictures, **ordered, "clean": clean_BD}

    def draw(self, data: Mapping[str, Any], text: Text, canvas: Canvas) -> None:
        """Draw one row of images of the first seed per method, with its PSNR over seeds."""
        rows = {name: x_BD for name, x_BD in data.items() if isinstance(x_BD, Tensor)}
        image_rows(
            {labelled(text.panels[name], data["psnr"].get(name)): x for name, x in rows.items()}, data["shape"], canvas
        )


def claims(psnr: Mapping[str, Sequence[float]]) -> list[Claim]:
    """Return whether a single step is above filters, and restored pixels as context give more, seed by seed.

    Args:
        psnr: dB by way or estimate, one value per seed.
    """
    means = {name: mean_of(values).mean for name, values in psnr.items()}

    def above(claim: str, one: str, other: str) -> Claim:
        gain = apart(psnr[one], psnr[other])
        return judged(claim, gain, "+.2f", lambda gain: gain > 0, one=means[one], other=means[other])

    return [
        above("linear", "parallel", "causal"),
        above("wiener", "parallel", "wiener"),
        above("context", "sequential", "parallel"),
    ]


def _rows(
    linear: Sequence[Mapping[str, Sequence[float]]], tested: Mapping[str, Sequence[Mapping[str, float]]]
) -> list[list[str]]:
    first = tested["parallel"]
    of_linear = []
    for name in linear[0]:
        psnr, error = (mean_of([each[name][which] for each in linear]) for which in (0, 1))
        of_linear.append([name, said(psnr, ".2f"), f"{error.mean:.2f}", "-"])
    return [
        ["noisy", *quality_of(first, "corrupted")],
        *of_linear,
        ["median filter, 3 x 3", *quality_of(first, "median")],
        *([WAYS[mode], *quality_of(found, "restored")] for mode, found in tested.items()),
    ]
