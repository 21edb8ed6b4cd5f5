"""Tables in Parquet files."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, final

import numpy as np
from numpy.typing import NDArray

from scorewise.data.tabular.cells import shown, text_of
from scorewise.data.tabular.file import AT_ONCE, Piece, TableFile
from scorewise.errors import UserError


@final
class ParquetTable(TableFile):
    """A Parquet file.

    Raises:
        UserError: pyarrow is not installed, or the file is damaged.
    """

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        try:
            from pyarrow import ArrowException, parquet
        except ImportError as error:
            raise UserError(
                f"{self.label} is a Parquet file, which pyarrow reads: pip install 'scorewise[tables]', or save it as "
                "CSV."
            ) from error
        try:
            self.file = parquet.ParquetFile(path)
        except (ArrowException, OSError) as error:
            raise UserError(f"{self.label} is no Parquet file, or damaged: save it anew.") from error
        stored = [str(name) for name in self.file.schema_arrow.names]
        index = [name for name in stored if name.startswith("__index_level_")]  # how pandas calls rows without a name
        self.stored = [*index, *(name for name in stored if name not in index)]
        self.names = ["" if name in index else name for name in self.stored]

    def pieces(self, numbers: Sequence[str], text: Sequence[str]) -> Iterator[Piece]:
        """Return all rows, see `TableFile`.

        Raises:
            UserError: the file is damaged.
        """
        from pyarrow import ArrowException

        places = dict(zip([*numbers, *text], self.where([*numbers, *text]), strict=True))
        row = 0
        try:
            for batch in self.file.iter_batches(AT_ONCE, columns=[self.stored[place] for place in places.values()]):
                taken = {name: batch.column(self.stored[place]) for name, place in places.items()}
                columns = [self._numbers(taken[name], name, row) for name in numbers]
                number_ND = np.stack(columns, 1) if columns else np.empty((len(batch), 0))
                cells = {name: [text_of(cell) for cell in taken[name].to_pylist()] for name in text}
                yield Piece(np.arange(row + 1, row + 1 + len(batch)), number_ND, cells, [])
                row += len(batch)
        except (ArrowException, OSError) as error:
            raise UserError(f"{self.label} is damaged: save it anew.") from error

    def _numbers(self, column: Any, name: str, before: int) -> NDArray[np.float64]:
        from pyarrow import types

        kind = column.type
        if types.is_boolean(kind) or types.is_integer(kind) or types.is_floating(kind) or types.is_decimal(kind):
            found: NDArray[np.float64] = column.cast("float64", safe=False).to_numpy(zero_copy_only=False)
            return found
        present = next((i for i, cell in enumerate(column) if cell.is_valid), None)
        if present is not None:
            self.not_numbers.setdefault(name, (before + present + 1, shown(str(column[present].as_py()))))
            self.text_cells[name] += len(column) - column.null_count
        return np.full(len(column), np.nan)
