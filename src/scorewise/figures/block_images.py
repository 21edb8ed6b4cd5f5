"""Images by blocks of every size at equal training time: FID, KID, nats and what sampling costs, over seeds."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, final

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Canvas

from scorewise.comparison.seeds import mean_of
from scorewise.data.source import Split
from scorewise.figures.bench import Bench
from scorewise.figures.figure import Figure
from scorewise.figures.finished_run import FinishedRun
from scorewise.figures.flow_nats import FlowNats
from scorewise.figures.packed_images import packed, unpacked
from scorewise.figures.results import Claim, Results, ResultTable, Text
from scorewise.figures.spread import apart, judged, said, seeds_said
from scorewise.heads.block_model import BlockModel
from scorewise.plots import grid
from scorewise.quality import ReferenceImages, describe, draw, eight_bits

SPLIT: Split = "test"
BOUNDS = {"floor": "images of the train split", "pixels": "independent Gaussian pixels"}
MEASURES = {"fid": ",.2f", "kid": ",.4f", "nats": ",.1f", "seconds": ",.1f"}
"""What is measured of every training, with its format; less is better."""
Found = Mapping[str, Sequence[float]]
"""The values of a training by measure, one per seed."""


@final
class BlockImages(Figure):
    """Models of images in blocks of b dimensions, from b = 1 to the joint score, of one law and one training time.

    The law is the data with the noise of `data.smoothing`, which every likelihood is of, by the probability flow: of
    blocks with exact traces, of the joint score with random projections. Samples are by the sampler of every training,
    denoised. The steps of the trainings are set so that all take the same processor time on one core; what they took
    stands in the table. Patches are of one transformer over patches; the noise is drawn as often per context as makes
    the head's work per image alike. One dimension at a time has contexts by a causal convolutional network instead,
    since a transformer over as many positions as there are pixels would make a few dozen steps in that time.

    Args:
        samples: of each training.
        batch: drawn together.
        flow: images of the test split, steps, checked and probes of their likelihood, see `FlowNats`, and joint_steps,
            in place of steps, of the joint score.
        middle: the training that is compared with the first and the last.
        most_time: the share of the first one's processor time for samples that it may take.
        extractor, epochs: see `FinishedRun.extractor`.
        subsets, subset_size: of KID.
        shown: samples of each in the picture.
    """

    def __init__(
        self,
        samples: int,
        batch: int,
        flow: Mapping[str, int],
        middle: str,
        most_time: float,
        extractor: str | None = None,
        epochs: int | None = None,
        subsets: int = 100,
        subset_size: int = 500,
        shown: int = 25,
    ) -> None:
        self.samples, self.batch, self.joint_steps = samples, batch, flow["joint_steps"]
        self.flow = FlowNats(**{name: value for name, value in flow.items() if name != "joint_steps"})
        self.middle, self.most_time, self.extractor, self.epochs = middle, most_time, extractor, epochs
        self.subsets, self.subset_size, self.shown = subsets, subset_size, shown

    def measure(self, bench: Bench) -> Results:
        """Return what was found by size of block, with intervals over seeds."""
        source, extractor = bench.first.source, bench.first.extractor(self.extractor, self.epochs)
        told = {"samples": self.samples, "extractor": extractor.hash, "subsets": [self.subsets, self.subset_size]}
        compared = ReferenceImages(extractor, source, SPLIT, self.subsets, self.subset_size, seed=0)
        bounds = bench.once("bounds", told, partial(self._bounds, compared))
        found: dict[str, dict[str, list[float]]] = {}
        shown: dict[str, Any] = {}
        models: dict[str, Mapping[str, Any]] = {}
        errors: dict[str, dict[str, float]] = {}
        by_image: dict[str, list[np.ndarray[Any, Any]]] = {}
        for name, run in [(name, run) for name, runs in bench.runs.items() for run in runs]:
            label = f"{name}-{run.seed}"
            drawn = bench.once_of(
                run,
                f"quality-{label}",
                {**told, "batch": self.batch},
                partial(self._quality, run, compared, run is bench.firsts[name]),
            )
            about = bench.once_of(run, f"model-{label}", {}, partial(_of_model, run))
            models.setdefault(name, about)
            flow = self.flow if about["blocks"] else replace(self.flow, steps=self.joint_steps)
            nats = bench.once_of(run, f"nats-{label}", vars(flow), partial(flow.of, run, SPLIT))
            values = {**drawn, "nats": float(np.mean(nats["nats"])), "spent": run.summary["processor_seconds"]}
            bench.say(f"  {label}: " + ", ".join(f"{which} {values[which]:.4g}" for which in MEASURES))
            for which in (*MEASURES, "spent"):
                found.setdefault(name, {}).setdefault(which, []).append(values[which])
            if drawn["shown"]:
                shown[name] = unpacked(drawn["shown"])
            by_image.setdefault(name, []).append(np.asarray(nats["nats"]))
            errors.setdefault(name, {key: nats[key] for key in ("steps_error", "trace_error")})
        sizes = {name: int(about["b"]) for name, about in models.items()}
        rows = [self._row(name, models[name], found[name], errors[name], bench) for name in found]
        rows += [[BOUNDS[which], "", *bounds[which], *([""] * 7)] for which in BOUNDS]
        nats_N = {name: np.mean(of, axis=0) for name, of in by_image.items()}
        spent = [value for of in found.values() for value in of["spent"]]
        return Results(
            [ResultTable("blocks", rows, seeds=seeds_said(len(bench.runs[self.middle])))],
            claims(found, self.middle, self.most_time, sizes, nats_N),
            {
                **vars(self.flow),
                "joint_steps": self.joint_steps,
                "hash": extractor.hash,
                "accuracy": 100 * (extractor.accuracy or 0),
                "noise": next(iter(models.values()))["noise"],
                "least": min(spent),
                "most": max(spent),
            },
            data={"found": found, "sizes": sizes, "floor": bounds["floor"][0]},
            arrays={"shown": shown},
        )

    def _bounds(self, compared: ReferenceImages) -> dict[str, list[Any]]:
        both = {"floor": compared.floor(self.samples), "pixels": compared.pixels(self.samples)}
        return {which: [round(one["fid"].value, 2), round(one["kid"].value, 4)] for which, one in both.items()}

    def _quality(self, run: FinishedRun, compared: ReferenceImages, shown: bool) -> dict[str, Any]:
        model = run.model
        begun = time.process_time()
        x_BD = draw(model, self.samples, self.batch, seed=0, denoise=True)
        seconds = (time.process_time() - begun) * 1000 / self.samples
        images_BCHW = eight_bits(x_BD, compared.source.shape)
        of = compared.of(images_BCHW, describe(model, denoise=True))
        found = {name: of[name].value for name in ("fid", "kid")}
        return {**found, "seconds": seconds, "shown": packed(images_BCHW[: self.shown]) if shown else None}

    def _row(
        self, name: str, about: Mapping[str, Any], found: Found, errors: Mapping[str, float], bench: Bench
    ) -> list[Any]:
        summary = bench.firsts[name].summary
        rests = f"{errors['steps_error']:.2g}" + (f", {errors['trace_error']:.2g}" if errors["trace_error"] else "")
        return [
            name,
            about["b"],
            *(said(mean_of(found[which]), spec) for which, spec in MEASURES.items() if which != "seconds"),
            rests,
            said(mean_of(found["seconds"]), MEASURES["seconds"]),
            about["backbone"],
            f"{summary['parameters']:,}",
            f"{summary['steps']:,}",
            said(mean_of(found["spent"]), ",.0f"),
        ]

    def draw(self, data: Mapping[str, Any], text: Text, canvas: Canvas) -> None:
        """Draw FID, nats and seconds against b, every seed a dot, and samples of every size below."""
        found, sizes, shown = data["found"], data["sizes"], data["shown"]
        canvas.set_size_inches(13, 6.4)
        places = canvas.add_gridspec(2, 3 * len(shown), height_ratios=[1, 1])
        panels = ("fid", "nats", "seconds")
        for i, which in enumerate(panels):
            axes = canvas.add_subplot(places[0, i * len(shown) : (i + 1) * len(shown)])
            self._curve(axes, found, sizes, which, text)
            if which == "fid":
                axes.axhline(data["floor"], color="grey", ls=":", lw=1, label=text.panels["floor"])
                axes.set_ylim(bottom=min(axes.get_ylim()[0], data["floor"] / 2))
                axes.legend(frameon=False, fontsize=8)
        for i, (name, images) in enumerate(shown.items()):
            axes = canvas.add_subplot(places[1, 3 * i : 3 * (i + 1)])
            axes.imshow(grid(images / 127.5 - 1), cmap="gray", vmin=0, vmax=1, interpolation="nearest")
            axes.set_title(f"{name}: b = {sizes[name]}", fontsize=9)
            axes.set_axis_off()
        canvas.suptitle(text.title, fontsize=11)

    def _curve(self, axes: Axes, found: Mapping[str, Found], sizes: Mapping[str, int], which: str, text: Text) -> None:
        means = {name: mean_of(of[which]) for name, of in found.items()}
        axes.plot([sizes[name] for name in means], [mean.mean for mean in means.values()], "-", color="C0", lw=1)
        for name, mean in means.items():
            axes.plot([sizes[name]] * mean.n, found[name][which], "o", ms=4, color="C0", alpha=0.6)
            if mean.n > 1:
                axes.vlines(sizes[name], mean.low, mean.high, color="C0", lw=1.5)
        axes.set(xscale="log", xlabel="b", title=text.panels[which])
        axes.title.set_fontsize(9)
        axes.set_xticks(list(sizes.values()), [str(b) for b in sizes.values()])
        axes.minorticks_off()
        if which != "nats":  # the interval of two seeds may reach below zero: what is seen goes by the seeds
            values = [value for of in found.values() for value in of[which]]
            axes.set_yscale("log")
            axes.set_ylim(min(values) / 2, 2 * max(values))
        axes.grid(alpha=0.25)


def _of_model(run: FinishedRun) -> dict[str, Any]:
    """Return b, all dimensions where there are no blocks, and what else is known of a trained model."""
    model = run.model
    blocks = isinstance(model, BlockModel)
    size = model.blocks.size if blocks else model.dims
    return {"b": int(size), "blocks": blocks, "backbone": type(model.backbone).__name__, "noise": float(model.noise)}


def claims(
    found: Mapping[str, Found],
    middle: str,
    most_time: float,
    sizes: Mapping[str, int],
    nats_N: Mapping[str, np.ndarray[Any, Any]],
) -> list[Claim]:
    """Return whether blocks are better than either end, seed by seed, and cheaper than one dimension at a time.

    Args:
        found: by training.
        middle: the training that is compared with the first and the last.
        most_time: see `BlockImages`.
        sizes: b of every training.
        nats_N: of every image by training, the mean over seeds.
    """
    first, *_, last = found
    found_claims = []
    for which in ("fid", "nats"):
        for other in (first, last):
            less = apart(found[middle][which], found[other][which])
            facts: dict[str, float] = {"b": sizes[middle], "other": sizes[other]}
            if which == "nats":
                apart_N = nats_N[middle] - nats_N[other]
                facts["of_images"] = float(apart_N.std(ddof=1)) / len(apart_N) ** 0.5
            found_claims.append(judged(which, less, MEASURES[which], lambda less: less < 0, **facts))
    pairs = zip(found[middle]["seconds"], found[first]["seconds"], strict=True)
    share = mean_of([a / b for a, b in pairs])
    cheap = judged("time", share, ".2f", lambda share: share <= most_time, b=sizes[middle], other=sizes[first])
    return [*found_claims, cheap]
