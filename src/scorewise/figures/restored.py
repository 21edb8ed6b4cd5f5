"""Restored images: their quality, a picture of them, and how long the models that restored them were trained."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure as Canvas
from torch import Tensor

from scorewise.figures.bench import Bench


def quality_of(found: Mapping[str, float], name: str) -> list[float]:
    """Return PSNR, its standard error and SSIM of what was restored in one way, from the test of task=denoising."""
    return [found[f"psnr_{name}"], found[f"psnr_{name}_se"], found[f"ssim_{name}"]]


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
