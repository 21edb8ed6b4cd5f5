"""Figure 5, left: salt and pepper removed, with a known and with a blind mask."""

from collections.abc import Mapping
from functools import partial
from typing import Any, final

import torch
from matplotlib.figure import Figure as Canvas

from scorewise import denoising
from scorewise.figures.fig5_singlestep import quality_of
from scorewise.figures.figure import Bench, Claim, Figure, Results, Run, Table, image_rows
from scorewise.noise import Draws

WAYS = {
    "mask known, joint score": ("task.mask=known",),
    "mask known, in order, mean of draws": ("task.mask=known", "task.mode=sequential"),
    "mask blind, joint score": ("task.mask=blind",),
}
FILTERS = {
    "corrupted": "corrupted",
    "median": "median filter, 3 x 3, everywhere",
    "median_at_lost": "mask known, median filter at lost pixels",
    "neighbours": "mask known, median of known neighbours",
}


@final
class Fig5SaltPepper(Figure):
    """PSNR and SSIM of images whose pixels were hit by salt and pepper, restored by the joint score.

    Args:
        share: of the pixels that are hit.
        images: of the test set.
        shown: in the picture.
    """

    title = "Salt and pepper removed with scores, mask known and blind (figure 5)"

    def __init__(self, share: float, images: int, shown: int) -> None:
        self.share, self.images, self.shown = share, images, shown

    def measure(self, bench: Bench) -> Results:
        """Return every model and every way, on the same corrupted images, beside what filters make of them."""
        tables, claims, pictures = [], [], {}
        restoring = ("task=denoising", "task.corruption=salt_and_pepper", f"task.share={self.share}", "task.shown=1")
        for name, (run,) in bench.runs.items():
            words = (*restoring, f"task.images={self.images}")
            tested = {
                way: bench.once(
                    f"{name}-{way}",
                    {"run": run.summary["identity"], "words": (*words, *more)},
                    partial(run.tested, *words, *more),
                )
                for way, more in WAYS.items()
            }
            known, blind = tested["mask known, joint score"], tested["mask blind, joint score"]
            rows = [[text, *quality_of(known, key)] for key, text in FILTERS.items()]
            rows += [[way, *quality_of(found, "restored")] for way, found in tested.items()]
            tables.append(
                Table(
                    f"{name}: {100 * self.share:g} % of the pixels of {self.images} test images at 1 or -1. PSNR in dB "
                    "(range 2, mean over images), its standard error, and SSIM.",
                    ("method", "PSNR", "s.e.", "SSIM"),
                    rows,
                )
            )
            claims += [
                Claim(
                    f"{name}, mask known: above the median filter at lost pixels",
                    known["psnr_restored"] > known["psnr_median_at_lost"],
                    f"{known['psnr_restored']:.2f} against {known['psnr_median_at_lost']:.2f} dB",
                ),
                Claim(
                    f"{name}, mask blind: at least 5 dB above the corrupted image",
                    blind["psnr_restored"] - blind["psnr_corrupted"] >= 5,
                    f"{blind['psnr_restored'] - blind['psnr_corrupted']:.2f} dB; "
                    f"{blind['psnr_restored'] - blind['psnr_median']:+.2f} dB to the median filter",
                ),
            ]
            pictures[name] = self._pictures(run)
        shapes = {name: run.source.shape for name, (run,) in bench.runs.items()}
        notes = [f"{name}: {run.summary['steps']:,} steps." for name, (run,) in bench.runs.items()]
        return Results(tables, claims, notes, {"shapes": shapes}, {"pictures": pictures})

    def _pictures(self, run: Run) -> dict[str, Any]:
        source, model = run.source, run.model
        index_B = torch.arange(self.shown)
        clean_BD = source.examples("test", index_B, -1, run.seed)
        y_BD, hit_BD = denoising.salt_and_pepper(clean_BD, self.share, source.shape, Draws.of(run.seed, -1, index_B))
        found_BD = denoising.impulse_mask(model, y_BD, source.shape, 10, 0.8)
        return {
            "corrupted": y_BD,
            "median filter": denoising.median(y_BD, source.shape),
            "mask known": denoising.infill(model, y_BD, ~hit_BD, source.shape, 10),
            "mask blind": denoising.infill(model, y_BD, ~found_BD, source.shape, 10),
            "clean": clean_BD,
        }

    def draw(self, data: Mapping[str, Any], canvas: Canvas) -> None:
        """Draw one row of images per method, models one below the other."""
        rows = {f"{way}\n{name}": x for name, rows in data["pictures"].items() for way, x in rows.items()}
        shapes = {f"{way}\n{name}": data["shapes"][name] for name, rows in data["pictures"].items() for way in rows}
        image_rows(rows, shapes, canvas)
