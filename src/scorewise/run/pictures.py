"""Pictures of a run: samples of its model, panels of its task."""

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import torch

from scorewise.capabilities import Watched
from scorewise.data.source import Source
from scorewise.errors import Stopped, printable
from scorewise.heads.trained import Trained
from scorewise.sampling.denoise import tweedie
from scorewise.tasks.report import Report
from scorewise.tracking import console


@contextmanager
def shown_progress(working: object, doing: str = "sampling") -> Iterator[None]:
    """Show how far something is that takes long, if it tells.

    Args:
        working: a sampler, a task, or nothing.
        doing: what it does, one word.
    """
    if not isinstance(working, Watched):
        yield
        return
    try:
        with console.progress(doing) as tell:
            working.watch_with(tell)
            yield
    finally:
        working.watch_with(None)


def attempt(name: str, draw: Callable[[], Path | None]) -> Path | None:
    """Draw a picture and return its path; one that fails is a warning, since no picture may cost a run.

    Args:
        name: of the picture, for the warning.
        draw: draws it and returns its path; None where there is nothing to draw.

    Raises:
        Stopped: the run was asked to stop meanwhile.
    """
    try:
        return draw()
    except Stopped:
        raise
    except Exception as error:
        said = printable((str(error).splitlines() or [""])[0]) or type(error).__name__
        warnings.warn(f"the picture {name} could not be drawn ({said}): the run goes on without it.", stacklevel=2)
        return None


def draw_samples(model: Trained, source: Source, count: int, seed: int, path: Path) -> Path | None:
    """Draw samples.png: examples from the model and, where the law has noise, their denoised copies.

    Returns:
        path, or None where it could not be drawn, with a warning.
    """

    def draw() -> Path:
        from scorewise import plots  # matplotlib takes a second, which the first training step need not wait for

        with shown_progress(model.drawn_by):
            x_BD = model.sample(count, torch.Generator().manual_seed(seed)).flatten(1)
        panels = {"samples of the smoothed law" if model.noise else "samples": x_BD}
        if model.noise:
            panels["the same, denoised (x + sigma^2 s)"] = tweedie(model, x_BD)
        if len(source.shape) != 3:
            real_BD = source.examples("test", torch.arange(min(count, source.count("test"))), -1, seed)
            panels["data (clean)"] = real_BD
        plots.samples(panels, source.shape, path, f"{count} samples by {type(model.drawn_by).__name__}")
        return path

    return attempt(path.name, draw)


def draw_report(report: Report, name: str, shape: tuple[int, ...], folder: Path) -> Path | None:
    """Draw the pictures that a test left, and return the main one; None where there are none, or it fails.

    Args:
        report: of the test.
        name: of the test, for the files.
        shape: of an example in a panel.
        folder: that the pictures are put in.
    """

    def draw() -> Path | None:
        from scorewise import plots

        if report.points:
            plots.samples(report.points, (2,), folder / f"{name}-points.png", name)
        path = folder / f"{name}.png"
        if report.panels:
            plots.samples(report.panels, shape, path, name, report.per_row)
        if report.histograms:
            plots.histograms(report.histograms, path, "outlier scores: share of the examples of every set")
        return path if report.panels or report.histograms else None

    return attempt(f"{name}.png", draw)
