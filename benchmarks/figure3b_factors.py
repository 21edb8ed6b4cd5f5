"""What blurs AR-CSM in figure 3b: its recipe changed by one factor after another.

    python benchmarks/figure3b_factors.py [--toys rings two_spirals] [--seeds 0] [--minutes 30]

The recipe is that of release 0.1's `figure=fig3b` but for fewer validations (10,000 steps of 512, 2 to 4 minutes of one
core each). Every model is judged like there: squared MMD of 10,000 samples by reverse diffusion to fresh data, three
samples, beside that of data to data, and nats on 10,000 held-out examples by the probability flow beside the entropy.
A line per density, factor and seed in docs/benchmarks/figure3b_factors.jsonl; a later call goes on.
"""

from statistics import mean

import torch
from lines import Line, given_to, go_on, lines, options
from record import Row, ratio_row, write

import scorewise
from scorewise.data.synthetic import Toy2d
from scorewise.figures import toys
from scorewise.likelihood import FlowODE
from scorewise.sampling import Flow, ReverseDiffusion1d

RECIPE = (
    *("data.smoothing=0.1", "data.batch_size=512", "data.examples_per_epoch=20480", "data.epochs=250"),
    *("objective=csm_annealed", "objective.sigma_max=4", "objective.levels=12", "head=noisy_conditional_score"),
    *("head.context=16", "head.hidden=[64,64,64]", "backbone=made", "backbone.hidden=[64,64]", "optim.lr=5e-3"),
    *("optim.ema_decay=0.995", "trainer.check_val_every_n_epoch=50", "test=false", "callbacks.samples=16"),
)
KNOTS = ("backbone.init=knots", "backbone.activation=silu", "backbone.hidden=[48,48,48]")
HEAD_TOO = (*KNOTS, "objective.draws=4", "head.init=knots")
FACTORS = {
    "figure": (),
    "knots": KNOTS,
    "knots, edm weight": (*KNOTS, "objective.weight=edm"),
    "knots, 4 draws": (*KNOTS, "objective.draws=4"),
    "knots in the head too, 4 draws": HEAD_TOO,
    "knots in the head too, 4 draws, 20,000 steps": (
        *HEAD_TOO,
        "data.epochs=500",
        "trainer.check_val_every_n_epoch=100",
    ),
}
"""Knots: a trunk whose first units bend where the data are, smooth and a layer deeper, with fewer weights."""
CLAIMED = ("knots, 4 draws", "knots in the head too, 4 draws", "knots in the head too, 4 draws, 20,000 steps")
COUNT, REPEATS = 10_000, 3


def floor(toy: str) -> float:
    """Return the largest of three squared MMD of data to data, times 1,000."""
    source = Toy2d(toy)
    pairs = ([toys.smoothed(source, COUNT, n + more) for more in (0, 1000)] for n in range(REPEATS))
    return 1e3 * max(toys.distances(*pair, source.std, 10)["mmd"] for pair in pairs)


def judged(toy: str, factor: str, seed: int, entropy: float) -> Line:
    """Train one model, and return what it leaves of nats and of MMD."""
    model = scorewise.fit("toy2d", f"data.name={toy}", *RECIPE, *FACTORS[factor], f"seed={seed}", quiet=True)
    source = Toy2d(toy)
    model.likelihood = FlowODE(32)
    with torch.no_grad():
        nll = -float(model.log_prob(toys.smoothed(source, COUNT, toys.HELD_OUT)).double().mean())
    found = {"nats above entropy": nll - entropy}
    for name, sampler in {"mmd": ReverseDiffusion1d(200), "mmd by the flow": Flow(32)}.items():
        model.sampler = sampler
        drawn = [model.sample(COUNT, torch.Generator().manual_seed(number)).flatten(1) for number in range(REPEATS)]
        found[name] = 1e3 * mean(
            toys.distances(x_BD, toys.smoothed(source, COUNT, number), source.std, 10)["mmd"]
            for number, x_BD in enumerate(drawn)
        )
    return {"weights": sum(weights.numel() for weights in model.parameters()), **found}


def measured(toy: str, factor: str, seed: int) -> Line:
    """Return one line: the entropy, the floor of MMD, and what a model leaves."""
    entropy = toys.entropy(Toy2d(toy), COUNT, 200_000)["nll"]
    return {"entropy": entropy, "floor": floor(toy), **judged(toy, factor, seed, entropy)}


def main() -> None:
    """Measure what is not there yet, print, and write docs/benchmarks/figure3b_factors.json."""
    parser = options((__doc__ or "").splitlines()[0], 30.0, seeds=[0])
    parser.add_argument("--toys", nargs="+", default=["rings", "two_spirals"])
    arguments = given_to(parser)
    cases = [(toy, factor, n) for toy in arguments.toys for factor in FACTORS for n in arguments.seeds]
    go_on(
        "figure3b_factors",
        ({"toy": toy, "factor": factor, "seed": n} for toy, factor, n in cases),
        measured,
        arguments.minutes,
    )
    rows: list[Row] = []
    for toy in dict.fromkeys(line["toy"] for line in lines("figure3b_factors")):
        for factor in CLAIMED:
            if mine := [one for one in lines("figure3b_factors") if (one["toy"], one["factor"]) == (toy, factor)]:
                beyond = [line["mmd"] - line["floor"] for line in mine]
                rows.append(ratio_row(f"{toy}: 1,000 squared MMD of AR-CSM, {factor} - floor", beyond, 0.0))
    write("figure3b_factors", rows, torch.device("cpu"))


if __name__ == "__main__":
    main()
