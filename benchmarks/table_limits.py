"""What fitting ScoreDensity costs: seconds of one core, and the most memory that the process had.

    python benchmarks/table_limits.py --rows 5000 --columns 30
    python benchmarks/table_limits.py --rows 5000 --columns 30 --missing 0.1
    python benchmarks/table_limits.py --rows 1000000 --columns 10

Rows are Gaussian with correlations of .5; `--missing` blanks that share of the cells.
"""

import argparse
import json
import resource
import time

import numpy as np

from scorewise import ScoreDensity


def main() -> None:
    """Fit, and print seconds and memory as a line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=5000)
    parser.add_argument("--columns", type=int, default=30)
    parser.add_argument("--missing", type=float, default=0.0)
    parser.add_argument("--steps", type=int, default=1000)
    args = parser.parse_args()
    rng = np.random.default_rng(0)
    x = rng.normal(size=(args.rows, args.columns))
    x += rng.normal(size=(args.rows, 1))
    x[rng.random(x.shape) < args.missing] = np.nan
    before, started = peak(), time.process_time()
    model = ScoreDensity(steps=args.steps, random_state=0).fit(x)
    found = {
        "rows": args.rows,
        "columns": args.columns,
        "missing": args.missing,
        "fit_s": round(time.process_time() - started, 1),
        "peak_mib_before": before,
        "peak_mib": peak(),
        "model": repr(model.model_),
    }
    print(json.dumps(found))


def peak() -> int:
    """Return the most memory that the process had so far, MiB."""
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)


if __name__ == "__main__":
    main()
