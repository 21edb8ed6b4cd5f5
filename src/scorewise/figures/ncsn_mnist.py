"""Multi-scale denoising score matching: samples by annealed Langevin dynamics, and the loss at every level."""

from collections.abc import Mapping
from typing import Any, final

import torch
from matplotlib.figure import Figure as Canvas

from scorewise.data.source import Source
from scorewise.figures.bench import Bench
from scorewise.figures.figure import Figure
from scorewise.figures.results import Claim, Results, ResultTable, Text
from scorewise.heads.noisy_score import NoisyScore
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

    def __init__(self, samples: int, images: int, seed: int) -> None:
        self.samples, self.images, self.seed = samples, images, seed

    def _per_level(self, model: NoisyScore, source: Source) -> list[float]:
        objective = DSMMultiscale(model.levels[0], model.levels[-1], len(model.levels), 0.0)
        total_L = torch.zeros(len(model.levels), dtype=torch.float64)
        for index_B in torch.arange(self.images).split(100):
            x_BD = source.examples("test", index_B, -1, self.seed)
            with torch.no_grad():
                total_L += objective.per_level(model, x_BD, Draws.of(self.seed, -1, index_B)).double().sum(1)
        return (total_L / self.images).tolist()

    def measure(self, bench: Bench) -> Results:
        """Return the weighted loss at every level beside those of two references, and samples."""
        run = bench.first
        model, source = run.model, run.source
        levels = list(model.levels)
        losses = bench.once_of(run, "per-level", {"images": self.images}, lambda: self._per_level(model, source))
        half = source.dims / 2
        gaussian = [half * source.std**2 / (source.std**2 + sigma**2) for sigma in levels]
        rows = [
            [round(sigma, 4), round(loss, 1), round(reference, 1), round(loss / half, 4)]
            for sigma, loss, reference in zip(levels, losses, gaussian, strict=True)
        ]
        least, most, spanned = min(losses), max(losses), (levels[0] / levels[-1]) ** 2
        x_BD = model.sample(self.samples, torch.Generator().manual_seed(self.seed)).flatten(1)
        denoised_BD = tweedie(model, x_BD)
        better = sum(loss < reference for loss, reference in zip(losses, gaussian, strict=True))
        bright = float((denoised_BD > 0).float().mean())
        of_data = float((source.examples("test", torch.arange(self.images), -1, self.seed) > 0).float().mean())
        return Results(
            [ResultTable("levels", rows)],
            [
                Claim("one_scale", most / least < 10, least=least, most=most, spanned=spanned),
                Claim("better", better == len(losses), better=better, count=len(losses)),
                Claim("bright", abs(bright / of_data - 1) < 1 / 3, bright=bright, of_data=of_data),
            ],
            {"half": half},
            {"size": [run.summary]},
            {"levels": levels, "losses": losses, "gaussian": gaussian, "half": half, "shape": source.shape},
            arrays={"samples": x_BD, "denoised": denoised_BD},
        )

    def draw(self, data: Mapping[str, Any], text: Text, canvas: Canvas) -> None:
        """Draw samples, their denoised copies and the loss per level."""
        canvas.set_size_inches(13, 4.4)
        for i, key in enumerate(("samples", "denoised"), 1):
            axes = canvas.add_subplot(1, 3, i)
            axes.imshow(grid(data[key].numpy().reshape(-1, *data["shape"])), cmap="gray", vmin=0, vmax=1)
            axes.set_title(text.panels[key].format(sigma=data["levels"][-1]), fontsize=9)
            axes.set_axis_off()
        axes = canvas.add_subplot(1, 3, 3)
        axes.plot(data["levels"], data["losses"], "o-", ms=4, label="U-Net")
        axes.plot(data["levels"], data["gaussian"], "k--", lw=1, label="independent Gaussian pixels")
        axes.axhline(data["half"], color="grey", ls=":", label="zero score")
        axes.set(xscale="log", yscale="log", xlabel="sigma", ylabel=text.panels["loss"], title=text.panels["levels"])
        axes.legend(frameon=False, fontsize=8)
        axes.grid(alpha=0.25, which="both")
