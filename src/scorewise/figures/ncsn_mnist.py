"""Multi-scale denoising score matching: samples by annealed Langevin dynamics, and the loss at every level."""

from collections.abc import Mapping
from typing import Any, final

import torch
from matplotlib.figure import Figure as Canvas

from scorewise.figures.figure import Bench, Claim, Figure, Results, Table
from scorewise.noise import Draws
from scorewise.objectives.dsm_multiscale import DSMMultiscale
from scorewise.plots import grid
from scorewise.sampling.denoise import tweedie


@final
class NcsnMnist(Figure):
    """Samples of a noise-conditional score network and its loss per level, weighted by sigma^2.

    Args:
        samples: drawn by annealed Langevin dynamics.
        images: of the test set, for the losses.
        seed: of noise and samples.
    """

    title = "Multi-scale DSM on MNIST with annealed Langevin sampling (NCSN, slides)"

    def __init__(self, samples: int, images: int, seed: int) -> None:
        self.samples, self.images, self.seed = samples, images, seed

    def _per_level(self, model: Any, source: Any) -> list[float]:
        objective = DSMMultiscale(model.levels[0], model.levels[-1], len(model.levels), 0.0)
        total_L = torch.zeros(len(model.levels), dtype=torch.float64)
        for index_B in torch.arange(self.images).split(100):
            x_BD = source.examples("test", index_B, -1, self.seed)
            with torch.no_grad():
                total_L += objective.per_level(model, x_BD, Draws.of(self.seed, -1, index_B)).double().sum(1)
        return (total_L / self.images).tolist()

    def measure(self, bench: Bench) -> Results:
        """Return the weighted loss at every level beside those of two references, and samples."""
        ((run,),) = bench.runs.values()
        model, source = run.model, run.source
        settings = {"run": run.summary["identity"], "images": self.images}
        losses = bench.once("per-level", settings, lambda: self._per_level(model, source))
        half = source.dims / 2
        gaussian = [half * source.std**2 / (source.std**2 + sigma**2) for sigma in model.levels]
        rows = [
            [round(sigma, 4), round(loss, 1), round(reference, 1), round(loss / half, 4)]
            for sigma, loss, reference in zip(model.levels, losses, gaussian, strict=True)
        ]
        x_BD = model.sample(self.samples, torch.Generator().manual_seed(self.seed))
        spanned = (model.levels[0] / model.levels[-1]) ** 2
        better = sum(loss < reference for loss, reference in zip(losses, gaussian, strict=True))
        bright = {"samples": float((tweedie(model, x_BD) > 0).float().mean())}
        bright["data"] = float((source.examples("test", torch.arange(self.images), -1, self.seed) > 0).float().mean())
        return Results(
            [
                Table(
                    f"sigma^2 |s + z / sigma|^2 / 2 per image at every level, {self.images} test images; the same for "
                    f"independent Gaussian pixels, and relative to the zero score ({half:g} at every level).",
                    ("sigma", "loss", "Gaussian pixels", "relative"),
                    rows,
                )
            ],
            [
                Claim(
                    "weighted by sigma^2 the losses of all levels are at one scale (largest / smallest below 10)",
                    max(losses) / min(losses) < 10,
                    f"{min(losses):.1f} to {max(losses):.1f}; 1 / sigma^2 spans a factor {spanned:,.0f}",
                ),
                Claim(
                    "at every level the network is better than independent Gaussian pixels",
                    better == len(losses),
                    f"{better} of {len(losses)} levels",
                ),
                Claim(
                    "the share of bright pixels in denoised samples is within a third of the data's",
                    abs(bright["samples"] / bright["data"] - 1) < 1 / 3,
                    f"{bright['samples']:.3f} against {bright['data']:.3f}",
                ),
            ],
            [f"{run.summary['parameters']:,} parameters, {run.summary['steps']:,} steps."],
            {"levels": list(model.levels), "losses": losses, "gaussian": gaussian, "half": half, "shape": source.shape},
            {
                "samples": x_BD,
                "denoised": tweedie(model, x_BD),
            },
        )

    def draw(self, data: Mapping[str, Any], canvas: Canvas) -> None:
        """Draw samples, their denoised copies and the loss per level."""
        canvas.set_size_inches(13, 4.4)
        titles = {"samples": f"annealed Langevin, sigma = {data['levels'][-1]:g}", "denoised": "x + sigma^2 s(x)"}
        for i, (key, title) in enumerate(titles.items(), 1):
            axes = canvas.add_subplot(1, 3, i)
            axes.imshow(grid(data[key].numpy().reshape(-1, *data["shape"])), cmap="gray", vmin=0, vmax=1)
            axes.set_title(title, fontsize=9)
            axes.set_axis_off()
        axes = canvas.add_subplot(1, 3, 3)
        axes.plot(data["levels"], data["losses"], "o-", ms=4, label="U-Net")
        axes.plot(data["levels"], data["gaussian"], "k--", lw=1, label="independent Gaussian pixels")
        axes.axhline(data["half"], color="grey", ls=":", label="zero score")
        axes.set(xscale="log", yscale="log", xlabel="sigma", ylabel="loss per image, times sigma^2", title="per level")
        axes.legend(frameon=False, fontsize=8)
        axes.grid(alpha=0.25, which="both")
