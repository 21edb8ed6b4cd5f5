"""How long a run has taken."""

import time
from collections.abc import Mapping
from typing import Any, final

CLOCKS = {"seconds": time.monotonic, "processor_seconds": time.process_time}
"""By the names that a checkpoint and a summary have: on the wall, and of this process's threads together."""


@final
class Elapsed:
    """The time of a run since this was made, and before it was resumed.

    Example:
        >>> from scorewise.run.elapsed import Elapsed
        >>> resumed = Elapsed()
        >>> resumed.restore({"seconds": 5.0, "processor_seconds": 4.0})
        >>> sorted(resumed.seconds()), resumed.seconds()["seconds"] >= 5
        (['processor_seconds', 'seconds'], True)
    """

    def __init__(self) -> None:
        self.earlier = dict.fromkeys(CLOCKS, 0.0)
        self.started = {name: clock() for name, clock in CLOCKS.items()}

    def seconds(self) -> dict[str, float]:
        """Return the seconds by every clock, by name."""
        return {name: self.earlier[name] + clock() - self.started[name] for name, clock in CLOCKS.items()}

    def restore(self, seconds: Mapping[str, Any]) -> None:
        """Take what the run had taken when it was saved; releases before 0.2 kept no time of the processor."""
        self.earlier = {name: float(seconds.get(name, 0.0)) for name in CLOCKS}
