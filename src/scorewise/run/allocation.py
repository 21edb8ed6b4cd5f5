"""How the process gets its memory from the machine. Importing this imports the standard library only."""

import ctypes
import os

KEPT = 1 << 30
"""Bytes of freed memory that a process keeps for its next step, instead of giving them back and asking again."""
GIVEN = ("MALLOC_TRIM_THRESHOLD_", "MALLOC_MMAP_THRESHOLD_", "MALLOC_MMAP_MAX_", "GLIBC_TUNABLES", "LD_PRELOAD")
"""What a user settles the same with, who is left alone then."""
TRIM_THRESHOLD, MMAP_THRESHOLD = -1, -3
"""M_TRIM_THRESHOLD and M_MMAP_THRESHOLD of glibc's malloc.h."""
THRESHOLDS = (KEPT, 1 << 25)
"""Bytes from which on a piece is the kernel's own: older releases of glibc refuse more than the second."""


def settle_allocation() -> bool:
    """Let the process keep the memory that one step frees for the next one, where its C library is glibc.

    A training step frees as much as it allocates; by default glibc gives large pieces back to the kernel, which hands
    them out again page by page and zeroed. Peak memory stays.

    Returns:
        Whether it was settled: not on another C library, and not where the environment settles it.
    """
    if any(name in os.environ for name in GIVEN):
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):
        return False
    kept = any(mallopt(MMAP_THRESHOLD, largest) == 1 for largest in THRESHOLDS)
    return kept and mallopt(TRIM_THRESHOLD, KEPT) == 1
