"""Pictures of a run: samples of its model, panels of its task."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch

from scorewise.data.source import Source
from scorewise.heads.model import Model
from scorewise.heads.trained import Trained
from scorewise.sampling.ancestral import Ancestral
from scorewise.sampling.denoise import tweedie
from scorewise.sampling.parallel import Parallel
from scorewise.tasks.implicit_vae import ImplicitVAE
from scorewise.tasks.task import Task
from scorewise.tracking import console


@contextmanager
def watched(working: Trained | Task | None) -> Iterator[None]:
    """Show how far a model's sampler or the annealing of a task is, if that tells."""
    sampler = working.sampler if isinstance(working, Model) else working
    if not isinstance(sampler, Ancestral | Parallel | ImplicitVAE):
        yield
        return
    try:
        with console.progress("annealing" if isinstance(sampler, ImplicitVAE) else "sampling") as sampler.watch:
            yield
    finally:
        sampler.watch = None


def draw_samples(model: Trained, source: Source, count: int, seed: int, path: Path) -> None:
    """Draw samples.png: examples from the model and, where the law has noise, their denoised copies."""
    from scorewise import plots  # matplotlib takes a second, which the first training step need not wait for

    sampler = model.sampler if isinstance(model, Model) else model
    with watched(model):
        x_BD = model.sample(count, torch.Generator().manual_seed(seed))
    panels = {"samples of the smoothed law" if model.noise else "samples": x_BD}
    if isinstance(model, Model) and model.noise:
        panels["the same, denoised (x + sigma^2 s)"] = tweedie(model, x_BD)
    if len(source.shape) != 3:
        real_BD = source.examples("test", torch.arange(min(count, source.count("test"))), -1, seed)
        panels["data (clean)"] = real_BD
    plots.samples(panels, source.shape, path, f"{count} samples by {type(sampler).__name__}")


def draw_panels(task: Task, folder: Path) -> Path | None:
    """Draw the pictures that a task's test left, in a folder, and return the main one; None where there are none."""
    from scorewise import plots

    if points := task.points():
        plots.samples(points, (2,), folder / f"{task.name}-points.png", task.name)
    panels, histograms = task.panels(), task.histograms()
    path = folder / f"{task.name}.png"
    if panels:
        plots.samples(panels, task.source.shape, path, task.name, task.columns())
    if histograms:
        plots.histograms(histograms, path, "outlier scores: share of the examples of every set")
    return path if panels or histograms else None
