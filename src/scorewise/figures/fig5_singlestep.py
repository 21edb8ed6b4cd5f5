"""Figure 5, right: Gaussian noise removed from MNIST in a single step."""

from collections.abc import Mapping
from functools import partial
from typing import Any, final

import torch
from matplotlib.figure import Figure as Canvas
from torch import Tensor

from scorewise import denoising
from scorewise.figures.figure import Bench, Claim, Figure, Results, Table, image_rows
from scorewise.noise import Draws
from scorewise.tasks.denoising import psnr

PARALLEL, SEQUENTIAL = "joint noise", "noise per dimension"


@final
class Fig5SingleStep(Figure):
    """PSNR and SSIM of single steps x + sigma^2 s, beside filters and the best linear estimates.

    Args:
        sigma: of the noise.
        images: of the test set.
        shown: in the picture.
    """

    title = "Single-step denoising with conditional and joint scores (figure 5)"

    def __init__(self, sigma: float, images: int, shown: int) -> None:
        self.sigma, self.images, self.shown = sigma, images, shown

    def _linear(self, source: Any, seed: int) -> dict[str, list[float]]:
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

    def _noisy(self, source: Any, seed: int, images: int) -> tuple[Tensor, Tensor]:
        index_B = torch.arange(min(images, source.count("test")))
        clean_BD = source.examples("test", index_B, -1, seed)
        return clean_BD, denoising.gaussian(clean_BD, self.sigma, Draws.of(seed, -1, index_B))

    def measure(self, bench: Bench) -> Results:
        """Return every way to restore the same noisy images."""
        (one,), (per_dimension,) = bench.runs[PARALLEL], bench.runs[SEQUENTIAL]
        source, seed = one.source, one.seed
        linear = bench.once("linear", {"sigma": self.sigma, "images": self.images}, lambda: self._linear(source, seed))
        ways = {"parallel": one, "joint": one, "sequential": per_dimension}
        words = ("task=denoising", f"task.sigma={self.sigma}", f"task.images={self.images}", "task.shown=1")
        tested = {
            mode: bench.once(
                mode,
                {"run": run.summary["identity"], "words": words},
                partial(run.tested, *words, f"task.mode={mode}"),
            )
            for mode, run in ways.items()
        }
        first = tested["parallel"]
        rows: list[list[Any]] = [
            ["noisy", first["psnr_corrupted"], first["psnr_corrupted_se"], first["ssim_corrupted"]]
        ]
        rows += [[name, mean, error, "-"] for name, (mean, error) in linear.items()]
        rows.append(["median filter, 3 x 3", *quality_of(first, "median")])
        named = {
            "parallel": f"AR-CSM, {PARALLEL}: conditional scores",
            "joint": f"AR-CSM, {PARALLEL}: joint score",
            "sequential": f"AR-CSM, {SEQUENTIAL}: restored pixels as context",
        }
        rows += [[named[mode], *quality_of(found, "restored")] for mode, found in tested.items()]
        causal, wiener = linear["best linear, x_d from y_<=d"][0], linear["Wiener filter, 3 x 3"][0]
        restored = {mode: found["psnr_restored"] for mode, found in tested.items()}
        clean_BD, noisy_BD = self._noisy(source, seed, self.shown)
        model = one.model
        pictures = {
            "noisy": noisy_BD,
            "Wiener filter": denoising.wiener(noisy_BD, source.shape, self.sigma),
            "conditional": denoising.parallel(model, noisy_BD, self.sigma),
            "joint": denoising.joint(model, noisy_BD, self.sigma),
            "per dimension": denoising.sequential(per_dimension.model, noisy_BD, self.sigma),
            "clean": clean_BD,
        }
        return Results(
            [
                Table(
                    f"N(0, {self.sigma:g}^2) on the first {self.images} test images in [-1, 1]. PSNR in dB (range 2, "
                    "outputs clamped to [-1, 1], mean over images), its standard error, and SSIM.",
                    ("method", "PSNR", "s.e.", "SSIM"),
                    rows,
                )
            ],
            [
                Claim(
                    "a single step with the conditional scores is above the best linear estimate from y_<=d",
                    restored["parallel"] > causal,
                    f"{restored['parallel']:.2f} against {causal:.2f} dB",
                ),
                Claim(
                    "it is above the Wiener filter",
                    restored["parallel"] > wiener,
                    f"{restored['parallel']:.2f} against {wiener:.2f} dB",
                ),
                Claim(
                    "restored pixels as context (noise per dimension) give more than noisy ones",
                    restored["sequential"] > restored["parallel"],
                    f"{restored['sequential']:.2f} against {restored['parallel']:.2f} dB",
                ),
            ],
            [f"{name}: {run.summary['steps']:,} steps." for name, (run,) in bench.runs.items()],
            {"shape": source.shape},
            {name: x_BD.clamp(-1, 1) for name, x_BD in pictures.items()},
        )

    def draw(self, data: Mapping[str, Any], canvas: Canvas) -> None:
        """Draw one row of images per method."""
        image_rows({name: x for name, x in data.items() if name != "shape"}, data["shape"], canvas)


def quality_of(found: Mapping[str, float], name: str) -> list[float]:
    """Return PSNR, its standard error and SSIM of what was restored in one way, from the test of task=denoising."""
    return [found[f"psnr_{name}"], found[f"psnr_{name}_se"], found[f"ssim_{name}"]]
