"""What one training step costs: CSM against exact score matching of a joint score, by each way to its trace.

    python benchmarks/exact_sm.py [--dims 400] [--rounds 7] [--threads 1] [--device cpu]

A step is the loss of 64 examples, its gradient and fused Adam. The joint score is a network of three hidden layers of
256; AR-CSM is a MADE of the same layers with context 8 and head 2 x 32 silu. The naive way to the trace is one backward
pass per dimension (`passes`); `stacked` takes D tangents in one forward-mode pass, `forward` one tangent at a time.
All variants are timed in turn in one process; ratios are taken within a round.
"""

import argparse

import torch
from record import now, ratio_row, write

from scorewise.backbones import MADE, MLP
from scorewise.figures.cost import training_step
from scorewise.heads import ConditionalScore, Score
from scorewise.objectives import CSM, SM

HIDDEN, BATCH = (256, 256, 256), 64
TRACES = ("passes", "stacked", "forward")


def main() -> None:
    """Measure, print and write docs/benchmarks/exact_sm.json."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--dims", type=int, default=400)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", default="cpu")
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    torch.manual_seed(0)
    device, dims = torch.device(given.device), given.dims
    x_BD = 0.1 * torch.randn(BATCH, dims, device=device)
    causal = ConditionalScore(MADE((dims,), 8, HIDDEN), hidden=(32, 32), std=0.1).to(device)
    steps = {"csm": training_step(causal, CSM(), x_BD)}
    for trace in TRACES:
        steps[trace] = training_step(Score(MLP((dims,), HIDDEN), std=0.1).to(device), SM(trace), x_BD)
    taken: dict[str, list[float]] = {name: [] for name in steps}
    for round_ in range(given.rounds + 1):
        for name, step in steps.items():
            started = now(device)
            step()
            if round_:  # the first one warms up
                taken[name].append(1e3 * (now(device) - started))
    middle = {name: sorted(values)[len(values) // 2] for name, values in taken.items()}
    best = min(TRACES, key=middle.__getitem__)
    print(", ".join(f"{name} {value:.0f} ms" for name, value in middle.items()))

    def ratios(other: str) -> list[float]:
        return [a / b for a, b in zip(taken["csm"], taken[other], strict=True)]

    rows = [
        ratio_row(f"CSM step / SM step by one pass per dimension, D = {dims}", ratios("passes"), 0.05),
        ratio_row(f"CSM step / best exact SM step ({best}), D = {dims}", ratios(best), 1.0),
    ]
    write("exact_sm", rows, device, milliseconds=middle)


if __name__ == "__main__":
    main()
