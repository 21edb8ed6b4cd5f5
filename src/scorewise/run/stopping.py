"""The end of a run that is asked to stop, with a sentence."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from scorewise.errors import Stopped


@contextmanager
def stoppable(then: str = "the same command continues from the last save") -> Iterator[None]:
    """End the run with a sentence when it is asked to stop outside of training steps.

    Args:
        then: what the sentence ends with.

    Raises:
        Stopped: by Ctrl-C or SIGTERM.
    """

    def stop(number: int, frame: FrameType | None) -> None:
        name = signal.Signals(number).name
        raise Stopped(f"Stopped by {name}: {then}.", number)

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
