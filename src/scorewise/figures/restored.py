"""Restored images: their quality, and how long the models that restored them were trained."""

from collections.abc import Mapping
from typing import Any

from scorewise.figures.bench import Bench


def quality_of(found: Mapping[str, float], name: str) -> list[float]:
    """Return PSNR, its standard error and SSIM of what was restored in one way, from the test of task=denoising."""
    return [found[f"psnr_{name}"], found[f"psnr_{name}_se"], found[f"ssim_{name}"]]


def steps_of(bench: Bench) -> list[dict[str, Any]]:
    """Return the name and the training steps of every model, for a note on each."""
    return [{"name": name, "steps": run.summary["steps"]} for name, run in bench.firsts.items()]
