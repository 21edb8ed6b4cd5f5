"""Whether AR-CSM is as sharp as exact maximum likelihood on the densities of figure 3b.

    python benchmarks/figure3b_sharp.py [--toys rings ...] [--seeds 0] [--minutes 60]

AR-CSM has the recipe that `figure3b_factors.py` found (knots, 4 draws of noise per context; 16,017 weights, MADE n=1 of
the figure 17,670), exact likelihood the cosine series of `figure=fig3b budget=cpu`. Both are judged on 10,000 held-out
examples; squared MMD of three samples of AR-CSM beside the largest of three of data to data. Finished trainings are
found again; no density is begun after so many minutes.
"""

import argparse
import time

import torch
from figure3b_factors import COUNT, REPEATS, judged
from record import Row, ratio_row, write

import scorewise
from scorewise.data.synthetic import Toy2d
from scorewise.figures import toys

TOYS = (
    *("rings", "two_spirals", "checkerboard", "two_moons", "pinwheel", "swiss_roll", "eight_gaussians"),
    "gaussian_grid",
)
FACTOR = "knots, 4 draws"
COSINE = (
    *("data.smoothing=0.1", "data.batch_size=512", "data.examples_per_epoch=20480", "data.epochs=63", "objective=mle"),
    *("head=cosine", "head.terms=64", "backbone=made", "backbone.hidden=[48,48,48]", "backbone.activation=silu"),
    *("backbone.init=knots", "optim.lr=1.5e-2", "optim.clip=20", "optim.ema_decay=0.995"),
    *("trainer.check_val_every_n_epoch=21", "test=false", "callbacks.samples=16"),
)
"""The recipe of `cosine MLE` in figure 3b."""


def exact(toy: str, seed: int) -> float:
    """Return the negative log-likelihood of held-out examples under a cosine series fitted by exact likelihood."""
    model = scorewise.fit("toy2d", f"data.name={toy}", *COSINE, f"seed={seed}", quiet=True)
    with torch.no_grad():
        return -float(model.log_prob(toys.smoothed(Toy2d(toy), COUNT, toys.HELD_OUT)).double().mean())


def main() -> None:
    """Measure, print and write docs/benchmarks/figure3b_sharp.json."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--toys", nargs="+", choices=TOYS, default=list(TOYS))
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--minutes", type=float, default=60.0)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    end, numbers, rows = time.monotonic() + 60 * arguments.minutes, dict[str, float](), list[Row]()
    for toy in arguments.toys:
        if time.monotonic() > end:
            print(f"{toy}: not begun, {arguments.minutes:g} minutes are over")
            continue
        source = Toy2d(toy)
        numbers[f"{toy}: entropy"] = entropy = toys.entropy(source, COUNT, 200_000)["nll"]
        pairs = ([toys.smoothed(source, COUNT, n + more) for more in (0, 1000)] for n in range(REPEATS))
        floor = 1e3 * max(toys.distances(*pair, source.std, 10)["mmd"] for pair in pairs)
        numbers[f"{toy}: mmd of data to data, largest"] = floor
        behind, beyond = [], []
        for seed in arguments.seeds:
            judged(toy, FACTOR, seed, numbers)
            key = f"{toy}, {FACTOR}, seed {seed}"
            of_exact = exact(toy, seed) - entropy
            numbers[f"{toy}, cosine MLE, seed {seed}: nats above entropy"] = of_exact
            behind.append(numbers[f"{key}: nats above entropy"] - of_exact)
            beyond.append(numbers[f"{key}: mmd"] - floor)
        rows.append(ratio_row(f"{toy}: 1,000 squared MMD of AR-CSM - largest of data to data", beyond, 0.0))
        rows.append(ratio_row(f"{toy}: nats of AR-CSM behind exact likelihood", behind, 0.1))
        write("figure3b_sharp", rows, torch.device("cpu"), numbers=numbers)


if __name__ == "__main__":
    main()
