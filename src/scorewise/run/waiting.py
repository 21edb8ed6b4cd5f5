"""How the threads of the process wait for each other. Importing this imports the standard library only."""

import os
import sys
import time
from pathlib import Path

GIVEN = ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY", "OMP_NUM_THREADS")
"""What a user settles the same with, who is left alone then."""
SPINS = "1000"
"""Turns of the loop in which a thread of GNU's OpenMP waits before it sleeps: microseconds instead of milliseconds."""
LOAD = Path("/proc/loadavg")
"""Where Linux says how many threads of the machine run at this moment."""
READINGS, APART = 5, 0.004
"""How often it is read, and seconds between: what runs for an instant is no other program."""


def others_running(load: Path = LOAD) -> int:
    """Return how many threads beside this one want a processor of the machine; 0 where the system does not say.

    Args:
        load: a file as Linux has it, the fourth word being running/existing.
    """
    found = []
    try:
        for reading in range(READINGS):
            time.sleep(APART if reading else 0)
            found.append(int(load.read_text().split()[3].split("/")[0]))
    except (OSError, ValueError, IndexError):
        return 0
    return max(0, min(found) - 1)


def settle_waiting(load: Path = LOAD) -> bool:
    """Let threads sleep while they wait where another program takes one of the processors that PyTorch would take.

    A thread that waits keeps its processor by default, and where there are more threads than processors it keeps it
    from the one that it waits for. Sleeping costs up to a fifth on a machine that is idle. Numbers do not change.

    Args:
        load: where the system says how many threads run.

    Returns:
        Whether it was settled: not on an idle machine, not where the environment settles it, and not once PyTorch is
        there, whose OpenMP has read its settings then.
    """
    if "torch" in sys.modules or any(name in os.environ for name in GIVEN):
        return False
    others = others_running(load)
    if not others:  # nor anything to ask for on another system than Linux
        return False
    ours, processors = len(os.sched_getaffinity(0)), os.cpu_count() or 1
    if ours < 2 or ours + others <= processors:
        return False
    os.environ["GOMP_SPINCOUNT"] = SPINS
    return True
