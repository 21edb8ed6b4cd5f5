"""Compare runs: python src/compare.py runs/a runs/b."""

import sys

from scorewise.commands.ready import compare

if __name__ == "__main__":
    sys.exit(compare(sys.argv[1:]))
