"""Negative log-likelihoods of finished MNIST runs on the same smoothed test images, against the first of them.

    python benchmarks/mnist_nll.py runs/csm-made-mnist/<hash> runs/mle-made-mnist/<hash> ... [--images 2551]

Runs are those of experiment=csm_mnist, gaussian_mnist, mol_mnist and cosine_mnist: the same trunk, smoothing .3, five
epochs. Differences are paired by image; what stands for quartiles is their mean -+ its standard error.
"""

import argparse
import json
from pathlib import Path

import torch
from record import Row, write
from torch import Tensor

import scorewise
from scorewise.data.images import Mnist
from scorewise.noise import Draws, smoothing_noise

GOALS = {"Gaussian": -40.0, "Mixture": 0.0, "Cosine": 0.0}
"""How much better the first run should be than one with such a head, nats (at most)."""


def nll_of(run: str, x_BD: Tensor) -> tuple[str, Tensor]:
    """Return the head of a run and minus log q of every smoothed image, nats."""
    model = scorewise.load(run)
    x_BD = x_BD + model.noise * smoothing_noise(Draws.of(0, -1, torch.arange(len(x_BD))), x_BD)
    with torch.no_grad():
        return type(model).__name__, -torch.cat([model.log_prob(part).double() for part in x_BD.split(100)])  # type: ignore[operator]


def main() -> None:
    """Measure, print and write docs/benchmarks/mnist_nll.json."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("runs", nargs="+")
    parser.add_argument("--images", type=int, default=2551)
    parser.add_argument("--threads", type=int, default=1)
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    source = Mnist()
    source.prepare()
    x_BD = source.examples("test", torch.arange(given.images), 0, 0)
    rows: list[Row] = []
    numbers: dict[str, dict[str, float]] = {}
    first_B = torch.empty(0)
    for run in given.runs:
        head, nll_B = nll_of(run, x_BD)
        summary = json.loads((Path(run) / "summary.json").read_text())
        error = float(nll_B.std()) / len(nll_B) ** 0.5
        numbers[head] = {
            "nll": float(nll_B.mean()),
            "s.e.": error,
            "parameters": summary["parameters"],
            "steps": summary["steps"],
        }
        print(f"{head}: {float(nll_B.mean()):.1f} (s.e. {error:.1f}), {summary['parameters']:,} parameters")
        if not len(first_B):
            first_B, first = nll_B, head
            continue
        apart_B = first_B - nll_B
        mean, error = float(apart_B.mean()), float(apart_B.std()) / len(apart_B) ** 0.5
        rows.append(
            {
                "claim": f"MNIST, nats: NLL of {first} (CSM) - NLL of {head} (MLE), [-+ s.e.]",
                "ratio": float(f"{mean:.4g}"),
                "low": float(f"{mean - error:.4g}"),
                "high": float(f"{mean + error:.4g}"),
                "goal": GOALS[head],
            }
        )
    write("mnist_nll", rows, torch.device("cpu"), **numbers)


if __name__ == "__main__":
    main()
