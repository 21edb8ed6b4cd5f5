"""Pictures of a run: samples of its model, panels of its task."""

import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import Tensor

from scorewise.capabilities import CompletesRows, Watched
from scorewise.data.source import Source, Split
from scorewise.errors import Stopped, printable
from scorewise.heads.trained import Trained
from scorewise.sampling.denoise import tweedie
from scorewise.tasks.report import Report
from scorewise.tasks.task import Task
from scorewise.tracking import console

MOST, MEANWHILE, ENTRIES = 2000, 500, 32_000
"""Examples in a picture that are no images, at the end and during a training, and numbers in all of them."""
ENOUGH = 500
"""Held-out examples that show a law."""


@contextmanager
def shown_progress(working: object, doing: str = "sampling") -> Iterator[None]:
    """Show how far something is that takes long, if it tells.

    Args:
        working: a sampler, a task, or nothing.
        doing: what it does, few words.
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


def draw_samples(
    model: Trained, source: Source, count: int, seed: int, path: Path, drawn_by: str = "", most: int = MOST
) -> Path | None:
    """Draw samples.png: data beside what the model draws, and what else there is to see of it.

    Of images the samples and, where the law has noise, their denoised copies; in the plane a density map and a field
    of scores; of other examples the density of every column and their correlations, in the data's own units.

    Args:
        model: that is drawn from.
        source: the data.
        count: how many images; of other examples no fewer than this.
        seed: of the draws.
        path: of the picture.
        drawn_by: the option of the sampler, as it is typed; empty where there is none.
        most: examples that are no images, where that makes no more than `ENTRIES` numbers.

    Returns:
        path, or None where it could not be drawn, with a warning.
    """

    def draw() -> Path:
        from scorewise import plots  # matplotlib takes a second, which the first training step need not wait for

        images = len(source.shape) == 3
        n = count if images else max(count, min(most, ENTRIES // source.dims))
        with shown_progress(model.drawn_by):
            x_BD = _drawn(model, source, n, seed)
        label = f"samples, sampler={drawn_by}" if drawn_by else "samples"
        if images:
            panels = {"data": _clean(source, n, seed)[1], label: x_BD}
            plots.images(panels | _denoised(model, x_BD), path, shape=source.shape)
            return path
        real, data_BD = _like_samples(model, source, n, seed)
        if source.dims == 2 and not source.of_columns:
            plots.plane(model, {real: data_BD, label: x_BD}, path)
        else:
            data_BD, x_BD = (source.original(one_BD.detach().cpu()) for one_BD in (data_BD, x_BD))
            plots.table(x_BD, data_BD, source.columns, path, labels=(real, label), categories=source.codes)
        return path

    return attempt(path.name, draw)


def _drawn(model: Trained, source: Source, n: int, seed: int) -> Tensor:
    """Return n examples that a model draws, flat; where it only reads some columns, of rows the others."""
    generator = torch.Generator().manual_seed(seed)
    if not isinstance(model, CompletesRows) or not bool(model.only_read().any()):
        return model.sample(n, generator).flatten(1)
    read_D = model.only_read().cpu()
    x_BD = _clean(source, n, seed)[1].masked_fill(~read_D, torch.nan)
    return model.fill(x_BD[~x_BD[:, read_D].isnan().any(-1)], generator)


def _denoised(model: Trained, x_BD: Tensor) -> dict[str, Tensor]:
    return {"samples, denoised": tweedie(model, x_BD)} if model.noise else {}


def _like_samples(model: Trained, source: Source, count: int, seed: int) -> tuple[str, Tensor]:
    """Return examples with the noise of the law that a model has learned, and what they are called."""
    split, x_BD = _clean(source, count, seed)
    if not model.noise:
        return f"{split} data", x_BD
    noise_BD = torch.randn(x_BD.shape, generator=torch.Generator().manual_seed(seed))
    unit = " s.d." if source.of_columns else ""
    return f"{split} data + noise of {model.noise:.3g}{unit}", x_BD + model.noise * noise_BD


def _clean(source: Source, count: int, seed: int) -> tuple[Split, Tensor]:
    """Return a split and clean examples of it: held-out ones where there are enough to see a law, or so many."""
    split: Split = "test" if source.count("test") >= min(count, ENOUGH) else "train"
    return split, source.examples(split, torch.arange(min(count, source.count(split))), 0, seed)


def draw_curves(curves: Mapping[str, Sequence[tuple[int, float]]], task: Task, title: str, path: Path) -> Path:
    """Draw curves.png: the metrics that a task wants to be seen, over steps.

    Args:
        curves: (step, value) by name.
        task: that says which of them.
        title: above them.
        path: of the picture.
    """
    from scorewise import plots

    plots.curves(curves, path, title=title, labels=dict(task.curves), axis=task.axis)
    return path


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
