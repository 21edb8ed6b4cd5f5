"""Figure 5, right: Gaussian noise removed from MNIST in a single step."""

from collections.abc import Mapping
from functools import partial
from typing import Any, final

import torch
from matplotlib.figure import Figure as Canvas
from torch import Tensor

from scorewise import denoising
from scorewise.data.source import Source
from scorewise.figures.bench import Bench
from scorewise.figures.figure import Figure
from scorewise.figures.finished_run import FinishedRun
from scorewise.figures.restored import image_rows, quality_of, steps_of
from scorewise.figures.results import Claim, Results, ResultTable, Text
from scorewise.noise import Draws
from scorewise.tasks.denoising import psnr

PARALLEL, SEQUENTIAL = "joint noise", "noise per dimension"
WAYS = {
    "parallel": f"AR-CSM, {PARALLEL}: conditional scores",
    "joint": f"AR-CSM, {PARALLEL}: joint score",
    "sequential": f"AR-CSM, {SEQUENTIAL}: restored pixels as context",
}


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
            "best linear, x_d from y_<=d": linear.causal(noisy_BD),
            "best linear, x_d from all of y": linear.joint(noisy_BD),
        }
        found = {name: psnr(x_BD.clamp(-1, 1), clean_BD) for name, x_BD in tried.items()}
        return {name: [float(dB_B.mean()), float(dB_B.std()) / len(dB_B) ** 0.5] for name, dB_B in found.items()}

    def _noisy(self, source: Source, seed: int, images: int) -> tuple[Tensor, Tensor]:
        index_B = torch.arange(min(images, source.count("test")))
        clean_BD = source.examples("test", index_B, -1, seed)
        return clean_BD, denoising.gaussian(clean_BD, self.sigma, Draws.of(seed, -1, index_B))

    def measure(self, bench: Bench) -> Results:
        """Return every way to restore the same noisy images."""
        (one,), (per_dimension,) = bench.runs[PARALLEL], bench.runs[SEQUENTIAL]
        source, seed = one.source, one.seed
        linear = bench.once("linear", {"sigma": self.sigma, "images": self.images}, lambda: self._linear(source, seed))
        words = ("task=denoising", f"task.sigma={self.sigma}", f"task.images={self.images}", "task.shown=1")
        tested = {
            mode: bench.once_of(run, mode, {"words": words}, partial(run.tested, *words, f"task.mode={mode}"))
            for mode, run in {"parallel": one, "joint": one, "sequential": per_dimension}.items()
        }
        causal, wiener = linear["best linear, x_d from y_<=d"][0], linear["Wiener filter, 3 x 3"][0]
        parallel, sequential = (tested[mode]["psnr_restored"] for mode in ("parallel", "sequential"))
        first = tested["parallel"]
        rows: list[list[Any]] = [
            ["noisy", *quality_of(first, "corrupted")],
            *([name, mean, error, "-"] for name, (mean, error) in linear.items()),
            ["median filter, 3 x 3", *quality_of(first, "median")],
            *([WAYS[mode], *quality_of(found, "restored")] for mode, found in tested.items()),
        ]
        return Results(
            [ResultTable("quality", rows)],
            [
                Claim("linear", parallel > causal),
                Claim("wiener", parallel > wiener),
                Claim("context", sequential > parallel),
            ],
            {"causal": causal, "wiener": wiener, "parallel": parallel, "sequential": sequential},
            {"steps": steps_of(bench)},
            {"shape": source.shape},
            self._pictures(one, per_dimension),
        )

    def _pictures(self, one: FinishedRun, per_dimension: FinishedRun) -> dict[str, Tensor]:
        clean_BD, noisy_BD = self._noisy(one.source, one.seed, self.shown)
        model = one.model
        pictures = {
            "noisy": noisy_BD,
            "Wiener filter": denoising.wiener(noisy_BD, one.source.shape, self.sigma),
            "conditional": denoising.parallel(model, noisy_BD, self.sigma),
            "joint": denoising.joint(model, noisy_BD, self.sigma),
            "per dimension": denoising.sequential(per_dimension.model, noisy_BD, self.sigma),
            "clean": clean_BD,
        }
        return {name: x_BD.clamp(-1, 1) for name, x_BD in pictures.items()}

    def draw(self, data: Mapping[str, Any], text: Text, canvas: Canvas) -> None:
        """Draw one row of images per method."""
        image_rows({name: x for name, x in data.items() if name != "shape"}, data["shape"], canvas)
