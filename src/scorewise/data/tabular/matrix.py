"""Tables as matrices in NumPy's files."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import ClassVar, final

import numpy as np

from scorewise.data.tabular.cells import text_of
from scorewise.data.tabular.file import AT_ONCE, Piece, TableFile
from scorewise.errors import UserError


@final
class MatrixTable(TableFile):
    """A NumPy file with a matrix of numbers, a row per example; objects in it are never loaded.

    Raises:
        UserError: it holds something else.
    """

    wanted: ClassVar[str] = "save a matrix of numbers, a row per example"

    def __init__(self, path: Path) -> None:
        super().__init__(path, named=False)
        try:
            self.matrix = np.load(path, mmap_mode="r", allow_pickle=False)
        except (ValueError, OSError, EOFError) as error:
            objects = "allow_pickle" in str(error) or "Python objects" in str(error)
            kind = "Python objects, which are never loaded" if objects else "no whole array"
            raise UserError(f"{self.label} holds {kind}: {self.wanted}.") from error
        if not isinstance(self.matrix, np.ndarray) or self.matrix.ndim != 2 or self.matrix.dtype.kind not in "biuf":
            holds = f"shape {self.matrix.shape}, {self.matrix.dtype}" if isinstance(self.matrix, np.ndarray) else "more"
            raise UserError(f"{self.label} holds an array of {holds}: {self.wanted}.")
        self.names = [f"x_{d}" for d in range(1, self.matrix.shape[1] + 1)]

    def pieces(self, numbers: Sequence[str], text: Sequence[str]) -> Iterator[Piece]:
        """Return all rows, see `TableFile`."""
        places, text_places = self.where(numbers), self.where(text)
        for start in range(0, len(self.matrix), AT_ONCE):
            block = np.asarray(self.matrix[start : start + AT_ONCE])
            cells = {name: list(map(text_of, block[:, place])) for name, place in zip(text, text_places, strict=True)}
            row_N = np.arange(start + 1, start + 1 + len(block))
            yield Piece(row_N, block[:, places].astype(np.float64), cells, [])
