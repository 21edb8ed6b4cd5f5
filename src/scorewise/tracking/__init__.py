"""Where the numbers of a run go: its table, a tracker beside it, the terminal."""
