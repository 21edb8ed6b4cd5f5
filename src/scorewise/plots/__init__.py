"""Pictures: densities and scores in the plane, columns of tables, images, curves of training.

Every function returns a figure, which a notebook shows, and writes it where it is given a path.
"""

from scorewise.plots.columns import columns, table
from scorewise.plots.curve import curves, loss_curves
from scorewise.plots.histogram import histograms
from scorewise.plots.image import grid, images
from scorewise.plots.plane import density, plane, scores
from scorewise.plots.sets import samples
from scorewise.plots.style import STYLE

__all__ = [
    "STYLE",
    "columns",
    "curves",
    "density",
    "grid",
    "histograms",
    "images",
    "loss_curves",
    "plane",
    "samples",
    "scores",
    "table",
]
