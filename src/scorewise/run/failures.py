"""What ends a training before it is done, as sentences that say what is kept."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from scorewise.errors import UserError, first_line, lacks_memory
from scorewise.tasks.task import NotFinite

GONE = re.compile(r"(gloo|nccl).*connection (reset|closed) by peer", re.IGNORECASE | re.DOTALL)
"""What torch says in one process of several when another one is no longer there."""


@contextmanager
def told(last: Path, batch_size: int) -> Iterator[None]:
    """Turn a loss that is no number, a step that memory does not hold, and a process that has ended into a sentence.

    Args:
        last: the checkpoint from which the run would go on.
        batch_size: of its steps.

    Raises:
        UserError: what to change, and what is kept.
    """
    try:
        yield
    except NotFinite as error:
        raise UserError(f"{error}: {_kept(last)}; try a smaller optim.lr, or more data.smoothing.") from error
    except (MemoryError, RuntimeError) as error:
        if GONE.search(str(error)):
            raise UserError(
                f"another process of this run has ended: {_kept(last)}; the same command goes on."
            ) from error
        if not lacks_memory(error):
            raise
        raise UserError(
            f"there is not enough memory for data.batch_size={batch_size} ({first_line(error)}): use a smaller one, or "
            f"a smaller model; {_kept(last)}."
        ) from error


@contextmanager
def test_told(last: Path) -> Iterator[None]:
    """Turn a test that memory does not hold into a sentence; another `data.batch_size` would be another run.

    Args:
        last: the checkpoint that the training has left.

    Raises:
        UserError: how the run is finished without a test, and what is kept.
    """
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if not lacks_memory(error):
            raise
        how = f"; {_kept(last)}" if last.is_file() else ""
        raise UserError(
            f"there is not enough memory for the test ({first_line(error)}): the same command goes on with it on a "
            f"machine that has more, and with test=false it ends without a test{how}."
        ) from error


def _kept(last: Path) -> str:
    return f"the last good checkpoint is {last}" if last.is_file() else "none was saved yet"
