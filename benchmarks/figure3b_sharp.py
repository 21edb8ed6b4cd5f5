"""Whether AR-CSM is as sharp as exact maximum likelihood on the densities of figure 3b.

    python benchmarks/figure3b_sharp.py [--seeds 0 1 2] [--minutes 60]

AR-CSM has the recipe that `figure3b_factors.py` found (knots, 4 draws of noise per context; 16,017 weights, MADE n=1 of
the figure 17,670), exact likelihood the cosine series of `figure=fig3b budget=cpu`. Both are judged on 10,000 held-out
examples; squared MMD of three samples of AR-CSM beside the largest of three of data to data. A line per density and
seed in docs/benchmarks/figure3b_sharp.jsonl; a later call goes on.
"""

import torch
from figure3b_factors import COUNT, floor, judged
from lines import Line, given_to, go_on, lines, options
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


def measured(toy: str, seed: int) -> Line:
    """Return one line: the floor of MMD, and what AR-CSM and exact likelihood leave between them and the entropy."""
    entropy = toys.entropy(Toy2d(toy), COUNT, 200_000)["nll"]
    ours = judged(toy, FACTOR, seed, entropy)
    del ours["weights"]
    return {"entropy": entropy, "floor": floor(toy), **ours, "exact above entropy": exact(toy, seed) - entropy}


def main() -> None:
    """Measure what is not there yet, print, and write docs/benchmarks/figure3b_sharp.json."""
    arguments = given_to(options((__doc__ or "").splitlines()[0], 60.0, seeds=[0]))
    go_on(
        "figure3b_sharp",
        ({"toy": toy, "seed": n} for n in arguments.seeds for toy in TOYS),
        measured,
        arguments.minutes,
    )
    found: dict[str, list[Line]] = {}
    for line in lines("figure3b_sharp"):
        found.setdefault(line["toy"], []).append(line)
    beyond, behind = (
        {toy: [line[one] - line[other] for line in found[toy]] for toy in TOYS if toy in found}
        for one, other in (("mmd", "floor"), ("nats above entropy", "exact above entropy"))
    )
    rows: list[Row] = []
    for toy in beyond:
        rows.append(ratio_row(f"{toy}: 1,000 squared MMD of AR-CSM - largest of data to data", beyond[toy], 0.0))
        rows.append(ratio_row(f"{toy}: nats of AR-CSM behind exact likelihood", behind[toy], 0.1))
    seeds = {toy: float(len(each)) for toy, each in found.items()}
    write("figure3b_sharp", rows, torch.device("cpu"), seeds=seeds)


if __name__ == "__main__":
    main()
