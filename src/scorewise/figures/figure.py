"""A figure: measurements of trained models, claims about them, and a picture."""

import io
from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure as Canvas

from scorewise.figures.bench import Bench
from scorewise.figures.results import Results, Text
from scorewise.files import put_bytes
from scorewise.plots.style import STYLE


class Figure(ABC):
    """One figure or table of the sources: how it is measured and how it is drawn.

    The settings of a budget come to the constructor; trainings and text are in the figure's config.
    """

    @abstractmethod
    def measure(self, bench: Bench) -> Results:
        """Return rows, claims and the data of the picture."""

    @abstractmethod
    def draw(self, data: Mapping[str, Any], text: Text, canvas: Canvas) -> None:
        """Draw the picture from the data and the arrays of the results."""

    def save(self, data: Mapping[str, Any], text: Text, path: Path) -> None:
        """Write the picture."""
        picture = io.BytesIO()
        with matplotlib.rc_context(STYLE | {"text.parse_math": True}):
            canvas = Canvas(layout="constrained")
            FigureCanvasAgg(canvas)
            self.draw(data, text, canvas)
            canvas.savefig(picture, format="png", dpi=110)
        put_bytes(path, picture.getbuffer(), lasting=False)
