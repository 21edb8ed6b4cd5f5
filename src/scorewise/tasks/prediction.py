"""What a trained model makes of a user's own examples."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar, NamedTuple

from torch import Tensor

from scorewise.data.datamodule import Batch
from scorewise.data.skipped import Skipped

DIGITS = 8
"""Of the numbers in tables that are written."""


class Given(NamedTuple):
    """Examples of a user that can be used: images of a folder, or rows of a table.

    Args:
        names: paths of images below their folder, or numbers of rows, from 1.
        x_ND: the examples, clean, in the scale of the model.
        left_out: what cannot be used, with the reason.
        id_column: the name of the column that names rows, or nothing.
        ids: what that says, for every row, or nothing.
        raw_ND: the rows as they were given, float64, in the columns' own units; None of images.
    """

    names: Sequence[str]
    x_ND: Tensor
    left_out: Sequence[Skipped]
    id_column: tuple[str, ...] = ()
    ids: Sequence[tuple[str, ...]] = ()
    raw_ND: Tensor | None = None

    def header(self, taken: Sequence[str]) -> tuple[str, ...]:
        """Return the column that names rows, or nothing; by another name where a table has one of that name."""
        return tuple(f"{name}_given" if name in taken else name for name in self.id_column)

    def identities(self) -> Sequence[tuple[str, ...]]:
        """Return what that column says of every example, or nothing of each."""
        return self.ids or [()] * len(self.names)

    def some(self, places: Sequence[int]) -> "Given":
        """Return these of the examples."""
        ids = [self.ids[place] for place in places] if self.ids else ()
        raw_ND = None if self.raw_ND is None else self.raw_ND[list(places)]
        names = [self.names[place] for place in places]
        return self._replace(names=names, x_ND=self.x_ND[list(places)], ids=ids, raw_ND=raw_ND)

    def called(self) -> list[str]:
        """Return what every example is called: by that column, else as `names` has it."""
        return [identity[0] if identity else name for identity, name in zip(self.identities(), self.names, strict=True)]


class Prediction(ABC):
    """What is computed for every example of a user, and how it is written.

    Class attributes:
        file: that is written, below the folder; empty: the folder itself is filled.
        by_name: whether the noise of an example follows from its name, and not from its place among the others.
        keeps: whether there is something to keep for the next time, see `keep_in`.

    Attributes:
        page: that was written beside, to be looked at; None: none was.
    """

    file: ClassVar[str] = ""
    by_name: ClassVar[bool] = False
    keeps: ClassVar[bool] = False
    page: Path | None = None

    @property
    def folder(self) -> str:
        """The folder, below that of all predictions of a run, where nobody asks for another."""
        return ""

    @property
    @abstractmethod
    def what(self) -> str:
        """What was done to the examples, a few words."""

    def accept(self, given: Given) -> None:
        """Look at the examples before anything is computed.

        Raises:
            UserError: they cannot be used as they are.
        """

    def keep_in(self, folder: Path, about: str) -> None:
        """Keep what predictions refer to in a folder, where that takes long, for the next time.

        Args:
            folder: for files.
            about: all settings that it follows from.
        """

    def begin(self) -> None:
        """Compute what predictions refer to, with the model where it is."""

    @abstractmethod
    def of(self, batch: Batch) -> Tensor:
        """Return what is predicted for every example of a batch, shape (B, ...)."""

    def unusable(self, given: Given, found: Tensor) -> list[Skipped]:
        """Return the examples for which nothing was found, with the reason; a warning names them."""
        return []

    @abstractmethod
    def write(self, given: Given, found: Tensor, folder: Path) -> None:
        """Write what was found for the examples, in their order."""
