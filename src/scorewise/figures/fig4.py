"""Figure 4: samples by maximum likelihood and by CSM side by side, with FID, KID and the distance of mean colours."""

import time
from collections.abc import Mapping
from dataclasses import asdict
from functools import partial
from typing import Any, final

import numpy as np
import torch
from matplotlib.figure import Figure as Canvas

from scorewise.data.source import Source, Split
from scorewise.figures.figure import Bench, Claim, Figure, Results, Run, Table
from scorewise.plots import grid
from scorewise.quality import ReferenceImages, describe, draw, eight_bits

SPLIT: Split = "test"
CHANNELS = ("red", "green", "blue")
Found = Mapping[str, Any]


@final
class Fig4(Figure):
    """Samples of every training, named "<backbone>, <objective>", compared with the clean test images.

    Args:
        samples: of each model.
        batch: drawn together.
        extractor: inception, untrained, or None for a classifier of the data set, trained here where there is none.
        epochs: of that classifier; None: as many as `make features` takes.
        subsets, subset_size: of KID.
        shown: samples in the picture.
    """

    title = "Samples by maximum likelihood and by CSM, with FID and KID (figure 4)"

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
        runs = {name: run for name, (run, *_) in bench.runs.items()}
        first = next(iter(runs.values()))
        source, extractor = first.source, first.extractor(self.extractor, self.epochs)
        settings = {
            "samples": self.samples,
            "extractor": extractor.hash,
            "subsets": [self.subsets, self.subset_size],
        }
        compared = ReferenceImages(extractor, source, SPLIT, self.subsets, self.subset_size, seed=0)
        bounds = bench.once("bounds", settings, partial(self._bounds, compared))
        found = {
            name: bench.once(
                f"quality-{name}",
                {**settings, "batch": self.batch, "run": run.summary["identity"]},
                partial(self._of, run, compared, bench),
            )
            for name, run in runs.items()
        }
        measured = {name: each["found"] for name, each in found.items()}
        rgb = source.shape[0] == 3
        tables = [self._table(found, bounds["found"], runs, extractor, rgb)]
        colours = {name: each["colours"] for name, each in (*found.items(), ("data", bounds))} if rgb else {}
        return Results(
            tables,
            _claims(measured, bounds["found"]),
            [
                "FID and KID depend on the extractor and on the counts: compare them within this table only. One seed "
                "per training; the standard deviation of KID is over its subsets and no standard error.",
                "Models of smoothed data are denoised once at the end, x + sigma^2 s(x); those of clean pixels are as "
                "drawn.",
            ],
            {
                "labels": {name: _label(each) for name, each in measured.items()},
                "facts": _facts(measured),
                "colours": colours,
            },
            {
                "shown": {
                    **{name: np.asarray(each["shown"], dtype=np.uint8) for name, each in found.items()},
                    "data (test split)": _first(source, self.shown),
                }
            },
        )

    def _bounds(self, compared: ReferenceImages) -> dict[str, Any]:
        both = {"floor": compared.floor(self.samples), "pixels": compared.pixels(self.samples)}
        found = {which: {name: _plain(one) for name, one in each.items()} for which, each in both.items()}
        return {"found": found, "colours": _histograms(compared.images_RCHW)}

    def _of(self, run: Run, compared: ReferenceImages, bench: Bench) -> dict[str, Any]:
        model = run.model
        begun = time.monotonic()
        x_BD = draw(model, self.samples, self.batch, seed=0, denoise=True)
        seconds = time.monotonic() - begun
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
            "shown": images_BCHW[: self.shown].tolist(),
        }

    def _table(
        self,
        found: Mapping[str, Found],
        bounds: Mapping[str, Found],
        runs: Mapping[str, Run],
        extractor: Any,
        rgb: bool,
    ) -> Table:
        def numbers(of: Found) -> list[Any]:
            colour = [f"{of['mean_colour']['value']:.3g} ({of['mean_colour']['error']:.2g})"] if rgb else []
            return [round(of["fid"]["value"], 2), f"{of['kid']['value']:.4f} ({of['kid']['spread']:.4f})", *colour]

        rows = [
            [
                name,
                *numbers(each["found"]),
                f"{each['noise']:g}",
                each["sampler"],
                f"{runs[name].summary['parameters']:,}",
                f"{runs[name].summary['steps']:,}",
                round(each["seconds"] / 60, 1),
            ]
            for name, each in found.items()
        ]
        names = {"floor": "images of the train split", "pixels": "independent Gaussian pixels"}
        rows += [[names[which], *numbers(each), *([""] * 5)] for which, each in bounds.items()]
        one = next(iter(found.values()))["found"]["fid"]
        known = "" if extractor.accuracy is None else f" ({100 * extractor.accuracy:.1f} % of the test images correct)"
        kid = next(iter(found.values()))["found"]["kid"]
        colour = (
            " Mean colour: 1-Wasserstein distance of per-image channel means, averaged over channels, in 8-bit levels "
            "(bootstrap s.e.)."
            if rgb
            else ""
        )
        return Table(
            f"{one['samples']:,} samples each, clamped, in 8 bits, against {one['references']:,} clean images of the "
            f"{one['split']} split; {one['num_features']:,} features of {one['extractor']}{known}, hash {one['hash']}. "
            f"KID: mean (standard deviation) over {kid['subsets']} subsets of {kid['subset_size']:,}.{colour} noise: "
            "of the modelled law, in [-1, 1].",
            (
                *("model", "FID", "KID", *(("mean colour",) if rgb else ())),
                *("noise", "sampler", "parameters", "steps", "minutes of sampling"),
            ),
            rows,
        )

    def draw(self, data: Mapping[str, Any], canvas: Canvas) -> None:
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
                axes.legend(frameon=False, fontsize=7)
        canvas.suptitle(f"{self.title}\n{data['facts']}", fontsize=10)


def _plain(one: Any) -> dict[str, Any]:
    return {**asdict(one), "text": str(one)}


def _histograms(images_BCHW: torch.Tensor) -> list[list[float]]:
    """Return the share of the images per 8 levels of the mean of every channel, where there are three."""
    if images_BCHW.shape[1] != 3:
        return []
    means_BC = images_BCHW.double().mean((2, 3))
    counts = [torch.histc(means_BC[:, c], 32, 0, 256) / len(means_BC) for c in range(3)]
    return [[round(float(share), 5) for share in each] for each in counts]


def _first(source: Source, count: int) -> np.ndarray:
    index_B = torch.arange(min(count, source.count(SPLIT)))
    return eight_bits(source.examples(SPLIT, index_B, -1, 0), source.shape).numpy()


def _label(found: Found) -> str:
    return f"FID {found['fid']['value']:.3g}, KID {found['kid']['value']:.3g}"


def _facts(measured: Mapping[str, Found]) -> str:
    one = next(iter(measured.values()))["fid"]
    return (
        f"{one['samples']:,} samples against {one['references']:,} clean images of the {one['split']} split, "
        f"{one['num_features']:,} features of {one['extractor']}, hash {one['hash']}"
    )


def _claims(measured: Mapping[str, Found], bounds: Mapping[str, Found]) -> list[Claim]:
    def compare(sentence: str, low: str, high: str) -> Claim:
        a, b = measured[low], measured[high]
        kids = " against ".join(f"{one['kid']['value']:.4f} (s.d. {one['kid']['spread']:.4f})" for one in (a, b))
        values = a["fid"]["value"], b["fid"]["value"]
        numbers = f"{values[0]:.2f} against {values[1]:.2f}; KID {kids}; {_facts(measured)}"
        return Claim(sentence, values[0] < values[1], numbers)

    claims = []
    backbones, objectives = (list(dict.fromkeys(name.split(", ")[i] for name in measured)) for i in (0, 1))
    for backbone in backbones:
        csm, mle = (f"{backbone}, {objective}" for objective in ("CSM", "MLE"))
        if csm in measured and mle in measured:
            claims.append(compare(f"{backbone}: samples by CSM have a lower FID than samples by MLE", csm, mle))
            if "mean_colour" in measured[csm]:
                a, b = (measured[name]["mean_colour"] for name in (csm, mle))
                claims.append(
                    Claim(
                        f"{backbone}: mean colours of samples by CSM are less shifted than those of samples by MLE",
                        a["value"] < b["value"],
                        f"{a['value']:.2f} (s.e. {a['error']:.2f}) against {b['value']:.2f} (s.e. {b['error']:.2f}) of "
                        f"255 levels, other real images {bounds['floor']['mean_colour']['value']:.2f}",
                    )
                )
    for objective in objectives:
        deep, shallow = (f"{backbone}, {objective}" for backbone in ("PixelCNN++", "MADE"))
        if deep in measured and shallow in measured:
            claims.append(compare(f"{objective}: PixelCNN++ has a lower FID than MADE", deep, shallow))
    found = {name: each["fid"]["value"] for name, each in measured.items()}
    worst, low = bounds["pixels"]["fid"]["value"], bounds["floor"]["fid"]["value"]
    claims.append(
        Claim(
            "every model has a lower FID than independent Gaussian pixels",
            max(found.values()) < worst,
            f"{min(found.values()):.2f} to {max(found.values()):.2f}, pixels {worst:.2f}, other real images {low:.2f}; "
            f"{_facts(measured)}",
        )
    )
    return claims
