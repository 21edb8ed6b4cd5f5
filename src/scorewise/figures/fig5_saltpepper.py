"""Figure 5, left: salt and pepper removed, with a known and with a blind mask."""

from collections.abc import Mapping
from functools import partial
from typing import Any, final

import torch
from matplotlib.figure import Figure as Canvas
from torch import Tensor

from scorewise import denoising
from scorewise.figures.bench import Bench
from scorewise.figures.figure import Figure
from scorewise.figures.finished_run import FinishedRun
from scorewise.figures.restored import image_rows, quality_of, steps_of
from scorewise.figures.results import Claim, Results, ResultTable, Text
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

    def __init__(self, share: float, images: int, shown: int) -> None:
        self.share, self.images, self.shown = share, images, shown

    def measure(self, bench: Bench) -> Results:
        """Return every model and every way, on the same corrupted images, beside what filters make of them."""
        tables, claims, pictures = [], [], {}
        restoring = ("task=denoising", "task.corruption=salt_and_pepper", f"task.share={self.share}", "task.shown=1")
        for name, run in bench.firsts.items():
            tested = {}
            for way, more in WAYS.items():
                words = (*restoring, f"task.images={self.images}", *more)
                tested[way] = bench.once_of(run, f"{name}-{way}", {"words": words}, partial(run.tested, *words))
            known, blind = tested["mask known, joint score"], tested["mask blind, joint score"]
            rows = [[label, *quality_of(known, key)] for key, label in FILTERS.items()]
            rows += [[way, *quality_of(found, "restored")] for way, found in tested.items()]
            tables.append(ResultTable("quality", rows, name=name, percent=100 * self.share))
            gain, gap = (blind["psnr_restored"] - blind[f"psnr_{other}"] for other in ("corrupted", "median"))
            above = known["psnr_restored"] > known["psnr_median_at_lost"]
            claims += [
                Claim("known", above, name=name, known=known),
                Claim("blind", gain >= 5, name=name, gain=gain, gap=gap),
            ]
            pictures[name] = self._pictures(run)
        shapes = {name: run.source.shape for name, run in bench.firsts.items()}
        notes = {"steps": steps_of(bench)}
        return Results(tables, claims, notes=notes, data={"shapes": shapes}, arrays={"pictures": pictures})

    def _pictures(self, run: FinishedRun) -> dict[str, Tensor]:
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

    def draw(self, data: Mapping[str, Any], text: Text, canvas: Canvas) -> None:
        """Draw one row of images per method, models one below the other."""
        rows = {f"{way}\n{name}": x for name, rows in data["pictures"].items() for way, x in rows.items()}
        shapes = {f"{way}\n{name}": data["shapes"][name] for name, rows in data["pictures"].items() for way in rows}
        image_rows(rows, shapes, canvas)
