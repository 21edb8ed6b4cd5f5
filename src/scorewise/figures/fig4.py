"""Figure 4: samples by maximum likelihood and by CSM side by side, with FID, KID and the distance of mean colours."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from functools import partial
from typing import Any, final

import numpy as np
import torch
from matplotlib.figure import Figure as Canvas
from torch import Tensor

from scorewise.comparison.seeds import mean_of
from scorewise.data.source import Source, Split
from scorewise.figures.bench import Bench
from scorewise.figures.figure import Figure
from scorewise.figures.finished_run import FinishedRun
from scorewise.figures.packed_images import packed, unpacked
from scorewise.figures.results import Claim, Results, ResultTable, Text
from scorewise.figures.spread import apart, judged, said, seeds_said
from scorewise.plots import grid
from scorewise.plots.style import wrapped
from scorewise.quality import ColourDistance, Distance, ReferenceImages, describe, draw, eight_bits

SPLIT: Split = "test"
BOUNDS = {"floor": "images of the train split", "pixels": "independent Gaussian pixels"}
CHANNELS = ("red", "green", "blue")
BLOCKS, ONE_BY_ONE = "Blocks, denoising", "PixelCNN++, CSM"
"""Trainings in blocks of patches and in one dimension at a time."""
Quality = Mapping[str, Any]


@final
class Fig4(Figure):
    """Samples of every training, named "<backbone>, <objective>", compared with the clean test images.

    "Blocks, denoising" is a model of blocks of patches (see the documentation of blocks).

    Args:
        samples: of each model.
        batch: drawn together.
        extractor: inception, untrained, or None for a classifier of the data set, trained here where there is none.
        epochs: of that classifier; None: as many as `make features` takes.
        subsets, subset_size: of KID.
        shown: samples in the picture.
    """

    def __init__(
        self,
        samples: int,
        batch: int,
        extractor: str | None = None,
        epochs: int | None = None,
        subsets: int = 100,
        subset_size: int = 1000,
        shown: int = 36,
    ) -> None:
        self.samples, self.batch, self.extractor, self.epochs = samples, batch, extractor, epochs
        self.subsets, self.subset_size, self.shown = subsets, subset_size, shown

    def measure(self, bench: Bench) -> Results:
        """Return FID and KID of every model, of other real images and of independent pixels, and what they show."""
        source, extractor = bench.first.source, bench.first.extractor(self.extractor, self.epochs)
        settings = {"samples": self.samples, "extractor": extractor.hash, "subsets": [self.subsets, self.subset_size]}
        compared = ReferenceImages(extractor, source, SPLIT, self.subsets, self.subset_size, seed=0)
        bounds = bench.once("bounds", settings, partial(self._bounds, compared))
        drawn = {**settings, "batch": self.batch}
        found = {
            name: [
                bench.once_of(
                    run, f"quality-{name}-{run.seed}", drawn, partial(self._of, run, compared, bench, run is runs[0])
                )
                for run in runs
            ]
            for name, runs in bench.runs.items()
        }
        firsts = {name: each[0] for name, each in found.items()}
        measured = {name: [one["found"] for one in each] for name, each in found.items()}
        of_first = next(iter(firsts.values()))["found"]
        accuracy = extractor.accuracy
        facts = {
            "counts": counts(of_first["fid"]),
            "known": "" if accuracy is None else f" ({100 * accuracy:.1f} % of the test images correct)",
            "seeds": seeds_said(len(next(iter(measured.values())))),
        }
        colours = {name: each["colours"] for name, each in (*firsts.items(), ("data", bounds))} if compared.rgb else {}
        return Results(
            [self._table(found, bounds["found"], bench, compared.rgb)],
            claims(measured, bounds["found"]),
            {**of_first, **facts},
            data={
                "labels": {name: _label(each) for name, each in measured.items()},
                "facts": facts["counts"],
                "colours": colours,
            },
            arrays={
                "shown": {
                    **{name: unpacked(each["shown"]) for name, each in firsts.items()},
                    "data (test split)": _first(source, self.shown),
                }
            },
        )

    def _bounds(self, compared: ReferenceImages) -> dict[str, Any]:
        both = {"floor": compared.floor(self.samples), "pixels": compared.pixels(self.samples)}
        found = {which: {name: _plain(one) for name, one in each.items()} for which, each in both.items()}
        return {"found": found, "colours": _histograms(compared.images_RCHW)}

    def _of(self, run: FinishedRun, compared: ReferenceImages, bench: Bench, shown: bool) -> dict[str, Any]:
        model = run.model
        begun = time.process_time()
        x_BD = draw(model, self.samples, self.batch, seed=0, denoise=True)
        seconds = time.process_time() - begun
        images_BCHW = eight_bits(x_BD, compared.source.shape)
        found = compared.of(images_BCHW, describe(model, denoise=True))
        for one in found.values():
            bench.say(f"  {one}")
        return {
            "found": {name: _plain(one) for name, one in found.items()},
            "seconds": seconds,
            "sampler": type(model.sampler).__name__,
            "noise": float(model.noise),
            "colours": _histograms(images_BCHW),
            "shown": packed(images_BCHW[: self.shown]) if shown else None,
        }

    def _table(
        self, found: Mapping[str, Sequence[Quality]], bounds: Mapping[str, Quality], bench: Bench, rgb: bool
    ) -> ResultTable:
        def quality(seeds: Sequence[Quality]) -> list[Any]:
            by = {which: mean_of([of[which]["value"] for of in seeds]) for which in seeds[0]}
            spread, *error = (
                mean_of([of[which][key] for of in seeds]).mean
                for which, key in (("kid", "spread"), *((("mean_colour", "error"),) if rgb else ()))
            )
            colour = [f"{said(by['mean_colour'], '.3g')} ({error[0]:.2g})"] if rgb else []
            return [said(by["fid"], ".2f"), f"{said(by['kid'], '.4f')} ({spread:.4f})", *colour]

        rows = []
        for name, each in found.items():
            summary, first = bench.firsts[name].summary, each[0]
            minutes = mean_of([one["seconds"] / 60 for one in each])
            trained = [f"{summary['parameters']:,}", f"{summary['steps']:,}", said(minutes, ".1f")]
            rows.append(
                [name, *quality([one["found"] for one in each]), f"{first['noise']:g}", first["sampler"], *trained]
            )
        rows += [[BOUNDS[which], *quality([each]), *([""] * 5)] for which, each in bounds.items()]
        return ResultTable("quality_rgb" if rgb else "quality", rows)

    def draw(self, data: Mapping[str, Any], text: Text, canvas: Canvas) -> None:
        """Draw samples of every model beside test images and, of RGB images, how mean colours are distributed."""
        panels, colours = data["shown"], data["colours"]
        rows = 2 if colours else 1
        canvas.set_size_inches(3.2 * len(panels), 3.6 + 2.4 * (rows - 1))
        places = canvas.add_gridspec(rows, 12 * len(panels), height_ratios=[3, 2][:rows])
        for i, (name, images) in enumerate(panels.items()):
            axes = canvas.add_subplot(places[0, 12 * i : 12 * (i + 1)])
            axes.imshow(grid(images / 127.5 - 1), cmap="gray", vmin=0, vmax=1, interpolation="nearest")
            axes.set_title(f"{name}\n{data['labels'].get(name, '')}", fontsize=9)
            axes.set_axis_off()
        width = 12 * len(panels) // 3
        for c, channel in enumerate(CHANNELS if colours else ()):
            axes = canvas.add_subplot(places[1, width * c : width * (c + 1)])
            for name, by_channel in colours.items():
                style = {"color": "k", "lw": 1.8} if name == "data" else {"lw": 1.2}
                axes.stairs(by_channel[c], np.arange(0, 257, 8), label=name, **style)
            axes.set(xlabel=f"mean {channel} of an image", yticks=[])
            if c == 0:
                lines, names = axes.get_legend_handles_labels()
                canvas.legend(lines, names, loc="outside lower center", ncols=len(names), frameon=False, fontsize=8)
        canvas.suptitle(f"{text.title}\n{wrapped(data['facts'], 40 * len(panels))}", fontsize=10)


def _plain(one: Distance | ColourDistance) -> dict[str, Any]:
    return {**asdict(one), "text": str(one)}


def _histograms(images_BCHW: Tensor) -> list[list[float]]:
    """Return the share of the images per 8 levels of the mean of every channel, where there are three."""
    if images_BCHW.shape[1] != 3:
        return []
    means_BC = images_BCHW.double().mean((2, 3))
    counts = [torch.histc(means_BC[:, c], 32, 0, 256) / len(means_BC) for c in range(3)]
    return [[round(float(share), 5) for share in each] for each in counts]


def _first(source: Source, count: int) -> np.ndarray:
    index_B = torch.arange(min(count, source.count(SPLIT)))
    return eight_bits(source.examples(SPLIT, index_B, -1, 0), source.shape).numpy()


def counts(fid: Quality) -> str:
    """Return what FID and KID depend on."""
    return (
        f"{fid['samples']:,} samples against {fid['references']:,} clean images of the {fid['split']} split, "
        f"{fid['num_features']:,} features of {fid['extractor']}, hash {fid['hash']}"
    )


def _label(measured: Sequence[Quality]) -> str:
    fid, kid = (mean_of(values_of(measured, which)).mean for which in ("fid", "kid"))
    return f"FID {fid:.3g}, KID {kid:.3g}"


def values_of(measured: Sequence[Quality], which: str) -> list[float]:
    """Return a distance of every seed."""
    return [each[which]["value"] for each in measured]


def claims(measured: Mapping[str, Sequence[Quality]], bounds: Mapping[str, Quality]) -> list[Claim]:
    """Return what FID, KID and mean colours by training show, seed by seed.

    Args:
        measured: distances of every seed by training.
        bounds: distances of other real images, "floor", and of independent Gaussian pixels, "pixels".
    """
    return [
        *_of_objectives(measured, bounds),
        *_of_backbones(measured),
        *_of_blocks(measured),
        _of_pixels(measured, bounds),
    ]


def _parts(measured: Mapping[str, Sequence[Quality]], place: int) -> list[str]:
    """Return the backbones (0) or the objectives (1) of the trainings, each once."""
    return list(dict.fromkeys(name.split(", ")[place] for name in measured))


def _lower(name: str, low: Sequence[Quality], high: Sequence[Quality], **facts: Any) -> Claim:
    """Return whether the first of two has the lower FID."""
    means = {
        f"{which}_{side}": mean_of(values_of(of, which)).mean
        for which in ("fid", "kid")
        for side, of in (("low", low), ("high", high))
    }
    less = apart(values_of(low, "fid"), values_of(high, "fid"))
    return judged(name, less, "+.2f", lambda less: less < 0, **means, **facts)


def _of_objectives(measured: Mapping[str, Sequence[Quality]], bounds: Mapping[str, Quality]) -> list[Claim]:
    """Return, for every backbone, whether CSM is better than maximum likelihood."""
    found = []
    for backbone in _parts(measured, 0):
        csm, mle = (measured.get(f"{backbone}, {objective}") for objective in ("CSM", "MLE"))
        if csm and mle:
            found.append(_lower("csm", csm, mle, backbone=backbone))
            if "mean_colour" in csm[0]:
                ours, theirs = (values_of(of, "mean_colour") for of in (csm, mle))
                facts = {
                    "csm": mean_of(ours).mean,
                    "mle": mean_of(theirs).mean,
                    "floor": bounds["floor"]["mean_colour"],
                }
                less = apart(ours, theirs)
                found.append(judged("colour", less, "+.2f", lambda less: less < 0, backbone=backbone, **facts))
    return found


def _of_backbones(measured: Mapping[str, Sequence[Quality]]) -> list[Claim]:
    """Return, for every objective, whether the deep backbone is better than the shallow one."""
    pairs = {
        objective: [measured.get(f"{backbone}, {objective}") for backbone in ("PixelCNN++", "MADE")]
        for objective in _parts(measured, 1)
    }
    return [_lower("deep", a, b, objective=objective) for objective, (a, b) in pairs.items() if a and b]


def _of_blocks(measured: Mapping[str, Sequence[Quality]]) -> list[Claim]:
    """Return whether blocks of patches are better than one dimension at a time, where both were trained."""
    blocks, one = measured.get(BLOCKS), measured.get(ONE_BY_ONE)
    return [_lower("blocks", blocks, one, other=ONE_BY_ONE)] if blocks and one else []


def _of_pixels(measured: Mapping[str, Sequence[Quality]], bounds: Mapping[str, Quality]) -> Claim:
    """Return whether the worst training of every seed is better than independent pixels."""
    by_seed = list(zip(*(values_of(each, "fid") for each in measured.values()), strict=True))
    pixels, floor = (bounds[which]["fid"]["value"] for which in ("pixels", "floor"))
    facts = {"least": min(map(min, by_seed)), "most": max(map(max, by_seed)), "pixels": pixels, "floor": floor}
    worst = mean_of([max(of_seed) - pixels for of_seed in by_seed])
    return judged("pixels", worst, "+.2f", lambda less: less < 0, **facts)
