"""Restored images: their quality, a picture of them, and how long the models that restored them were trained."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure as Canvas
from torch import Tensor

from scorewise.comparison.seeds import mean_of
from scorewise.figures.bench import Bench
from scorewise.figures.spread import said


def quality_of(found: Sequence[Mapping[str, float]], name: str) -> list[str]:
    """Return PSNR, its standard error over images and SSIM of what was restored in one way.

    Args:
        found: by seed, from the test of task=denoising.
        name: of the way.
    """
    keys = (f"psnr_{name}", f"psnr_{name}_se", f"ssim_{name}")
    psnr, error, ssim = (mean_of([each[key] for each in found]) for key in keys)
    return [said(psnr, ".2f"), f"{error.mean:.2f}", said(ssim, ".3f")]


def psnr_of(found: Sequence[Mapping[str, float]], name: str) -> list[float]:
    """Return the PSNR of what was restored in one way by seed, dB, from the test of task=denoising."""
    return [each[f"psnr_{name}"] for each in found]


def labelled(name: str, psnr: Sequence[float] | None) -> str:
    """Return the label of a row of images: what it is, and its PSNR over seeds where that was measured."""
    return name if psnr is None else f"{name}\n{said(mean_of(psnr), '.1f')} dB"


def steps_of(bench: Bench) -> list[dict[str, Any]]:
    """Return the name and the training steps of every model, for a note on each."""
    return [{"name": name, "steps": run.summary["steps"]} for name, run in bench.firsts.items()]


def image_rows(rows: Mapping[str, Tensor], shape: Sequence[int] | Mapping[str, Sequence[int]], canvas: Canvas) -> None:
    """Draw one labelled row of images per entry, examples (B, D) in [-1, 1], of one shape or one per row."""
    widest = max(len(x_BD) for x_BD in rows.values())
    canvas.set_size_inches(1.8 + 0.75 * widest, 0.8 * len(rows))
    for i, (name, x_BD) in enumerate(rows.items(), 1):
        of_row = shape[name] if isinstance(shape, Mapping) else shape
        images = x_BD.detach().cpu().reshape(-1, *of_row).permute(0, 2, 3, 1).numpy()
        axes = canvas.add_subplot(len(rows), 1, i)
        joined = np.concatenate(list(np.pad(images, ((0, 0), (1, 1), (1, 1), (0, 0)), constant_values=1.0)), axis=1)
        axes.imshow((joined.squeeze(-1) if joined.shape[-1] == 1 else joined) * 0.5 + 0.5, cmap="gray", vmin=0, vmax=1)
        axes.set(xticks=[], yticks=[])
        axes.set_ylabel(name, rotation=0, ha="right", va="center", fontsize=8)
        for spine in axes.spines.values():
            spine.set_visible(False)
