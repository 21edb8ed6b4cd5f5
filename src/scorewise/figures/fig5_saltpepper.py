"""Figure 5, left: salt and pepper removed, with a known and with a blind mask."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, final

import torch
from matplotlib.figure import Figure as Canvas

from scorewise import denoising
from scorewise.comparison.seeds import mean_of
from scorewise.figures.bench import Bench
from scorewise.figures.figure import Figure
from scorewise.figures.finished_run import FinishedRun
from scorewise.figures.packed_images import packed_rows, unpacked_rows
from scorewise.figures.restored import image_rows, labelled, psnr_of, quality_of, steps_of
from scorewise.figures.results import Claim, Results, ResultTable, Text
from scorewise.figures.spread import apart, judged, said, seeds_said
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
        """Return every model and every way, on the corrupted images of the seed, beside what filters make of them."""
        tables, judgements, pictures, psnr = list[ResultTable](), list[Claim](), {}, {}
        for name, runs in bench.runs.items():
            tested = {way: [self._tested(bench, name, way, run) for run in runs] for way in WAYS}
            known, blind = tested["mask known, joint score"], tested["mask blind, joint score"]
            rows = [[label, *quality_of(known, key)] for key, label in FILTERS.items()]
            rows += [[way, *quality_of(found, "restored")] for way, found in tested.items()]
            facts = {"name": name, "percent": 100 * self.share, "seeds": seeds_said(len(runs))}
            tables.append(ResultTable("quality", rows, **facts))
            psnr[name] = {
                "mask known": psnr_of(known, "restored"),
                "mask blind": psnr_of(blind, "restored"),
                "median at lost pixels": psnr_of(known, "median_at_lost"),
                "median filter": psnr_of(blind, "median"),
                "corrupted": psnr_of(blind, "corrupted"),
            }
            judgements += claims(name, psnr[name])
            shown = bench.once_of(runs[0], f"{name}-pictures", {"shown": self.shown}, partial(self._pictures, runs[0]))
            pictures[name] = unpacked_rows(shown)
        data = {"shapes": {name: run.source.shape for name, run in bench.firsts.items()}, "psnr": psnr}
        return Results(tables, judgements, notes={"steps": steps_of(bench)}, data=data, arrays={"pictures": pictures})

    def _tested(self, bench: Bench, name: str, way: str, run: FinishedRun) -> Mapping[str, float]:
        restoring = ("task=denoising", "task.corruption=salt_and_pepper", f"task.share={self.share}", "task.shown=1")
        words = (*restoring, f"task.images={self.images}", *WAYS[way])
        return bench.once_of(run, f"{name}-{way}-{run.seed}", {"words": words}, partial(run.tested, *words))

    def _pictures(self, run: FinishedRun) -> dict[str, Any]:
        source, model = run.source, run.model
        index_B = torch.arange(self.shown)
        clean_BD = source.examples("test", index_B, -1, run.seed)
        y_BD, hit_BD = denoising.salt_and_pepper(clean_BD, self.share, source.shape, Draws.of(run.seed, -1, index_B))
        found_BD = denoising.impulse_mask(model, y_BD, source.shape, 10, 0.8)
        rows = {
            "corrupted": y_BD,
            "median filter": denoising.median(y_BD, source.shape),
            "mask known": denoising.infill(model, y_BD, ~hit_BD, source.shape, 10),
            "mask blind": denoising.infill(model, y_BD, ~found_BD, source.shape, 10),
            "clean": clean_BD,
        }
        return packed_rows(rows, source.shape)

    def draw(self, data: Mapping[str, Any], text: Text, canvas: Canvas) -> None:
        """Draw one row of images of the first seed per method, with its PSNR over seeds, models one below the other."""
        rows, shapes = {}, {}
        for name, images in data["pictures"].items():
            for way, x_BD in images.items():
                label = labelled(f"{way}\n{name}", data["psnr"][name].get(way))
                rows[label], shapes[label] = x_BD, data["shapes"][name]
        image_rows(rows, shapes, canvas)


def claims(name: str, psnr: Mapping[str, Sequence[float]]) -> list[Claim]:
    """Return whether a model restores better than a median filter, and finds the pixels to restore, seed by seed.

    Args:
        name: of the model.
        psnr: dB by way, one value per seed.
    """
    known, blind, median, everywhere, corrupted = (
        psnr[way] for way in ("mask known", "mask blind", "median at lost pixels", "median filter", "corrupted")
    )
    facts = {
        "known": mean_of(known).mean,
        "median": mean_of(median).mean,
        "gap": said(apart(blind, everywhere), "+.2f"),
    }
    return [
        judged("known", apart(known, median), "+.2f", lambda gain: gain > 0, name=name, **facts),
        judged("blind", apart(blind, corrupted), ".2f", lambda gain: gain >= 5, name=name, **facts),
    ]
