"""Nats of MNIST after equal processor time of training, by size of the network and by objective.

    python benchmarks/equal_time.py --seeds 0 1 2 --minutes 60

MNIST + N(0, 0.3^2), the job of experiment=csm_mnist with its learning rate, averages and schedule; sizes of trunk,
context and head are what differs, and ten logistics by maximum likelihood stand beside each trunk. Steps are timed in
turn first, as in benchmarks/train_step.py, and each training has as many as fit into SECONDS by those times.
Nats are of the first IMAGES smoothed test images, the same for all.
"""

import shutil
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from statistics import mean, median
from typing import NamedTuple

import torch
from lines import Line, given_to, go_on, lines, options
from record import Row, ratio_row, write
from torch import Tensor
from train_step import in_turn, ours

import scorewise
from scorewise.backbones import MADE
from scorewise.data.images import Mnist
from scorewise.heads import ConditionalScore, Mixture
from scorewise.heads.model import Model
from scorewise.noise import Draws, smoothing_noise
from scorewise.objectives import CSM, MLE

NAME, SECONDS, IMAGES, NOISE, DIMS, BATCH, ROUNDS = "equal_time", 240, 1000, 0.3, 784, 64, 15


class Size(NamedTuple):
    """Sizes of a network.

    Args:
        trunk: width of both hidden layers of the MADE.
        context: numbers per context vector of AR-CSM; None for ten logistics, which take 30.
        head: hidden layers of the head of AR-CSM.
    """

    trunk: int
    context: int | None = None
    head: tuple[int, ...] = ()

    def settings(self) -> list[str]:
        """Return what is typed behind experiment=csm_mnist or mol_mnist."""
        made = f"backbone.hidden=[{self.trunk},{self.trunk}]"
        if self.context is None:
            return ["experiment=mol_mnist", made]
        return ["experiment=csm_mnist", made, f"head.context={self.context}", f"head.hidden={list(self.head)}"]

    def step(self) -> Callable[[Tensor], None]:
        """Return a step of training."""
        hidden = (self.trunk, self.trunk)
        if self.context is None:
            return ours(Mixture(MADE((DIMS,), 30, hidden), noise=NOISE), MLE())
        return ours(ConditionalScore(MADE((DIMS,), self.context, hidden), hidden=self.head, noise=NOISE), CSM())


SIZES: Mapping[str, Size] = {
    "CSM 2 x 512, context 12, head 64 64": Size(512, 12, (64, 64)),
    "CSM 2 x 512, context 12, head 64": Size(512, 12, (64,)),
    "ten logistics, 2 x 512": Size(512),
    "CSM 2 x 1000, context 32, head 64 64": Size(1000, 32, (64, 64)),
    "CSM 2 x 1000, context 12, head 64": Size(1000, 12, (64,)),
    "ten logistics, 2 x 1000": Size(1000),
    "CSM 2 x 512, context 12, head 32 32": Size(512, 12, (32, 32)),
}
DEFAULT, WIDE = "CSM 2 x 512, context 12, head 64 64", "CSM 2 x 1000, context 32, head 64 64"


def step_times(what: str) -> Line:
    """Return the milliseconds of `what`, a step, of every size: the median of rounds that take them in turn."""
    torch.manual_seed(0)
    taken = in_turn({name: size.step() for name, size in SIZES.items()}, torch.randn(BATCH, DIMS), ROUNDS)
    return {"ms": {name: round(median(values), 2) for name, values in taken.items()}}


def measure(method: str, seed: int) -> Line:
    """Return nats per image of a training of so many steps as its time allows."""
    steps = int(1e3 * SECONDS / next(line["ms"][method] for line in lines(NAME) if "ms" in line))
    source = Mnist()
    source.prepare()
    x_BD = source.examples("test", torch.arange(IMAGES), 0, 0)
    x_BD = x_BD + NOISE * smoothing_noise(Draws.of(0, -1, torch.arange(IMAGES)), x_BD)
    runs = Path(tempfile.mkdtemp())
    started = time.process_time()
    model = scorewise.fit(
        "mnist",
        *SIZES[method].settings(),
        seed=seed,
        test=False,
        quiet=True,
        paths__runs=runs,
        trainer__max_epochs=1000,
        trainer__max_steps=steps,
        trainer__limit_val_batches=1,
    )
    seconds = time.process_time() - started
    with torch.no_grad():
        nll_B = -torch.cat([model.log_prob(part).double() for part in x_BD.split(100)])
        csm_B = torch.cat([_csm(model, part) for part in x_BD.split(100)])
    shutil.rmtree(runs)
    error = float(nll_B.std()) / IMAGES**0.5
    about = {"s.e. over images": error, "seconds": round(seconds, 1)}
    return {"steps": steps, "nats": float(nll_B.mean()), "csm": float(csm_B.mean()), **about}


def _csm(model: Model, x_BD: Tensor) -> Tensor:
    """Return eq. 5 of AR-CSM of every example."""
    return CSM().per_example(model, x_BD, Draws.of(0, 0, torch.arange(len(x_BD)))).double()


def summarise() -> None:
    """Print and write nats behind the usual size of each trunk, and steps beside ten logistics."""
    found = {(line["method"], line["seed"]): line for line in lines(NAME) if "nats" in line}
    ms = next(line["ms"] for line in lines(NAME) if "ms" in line)
    rows: list[Row] = []
    for name, size in SIZES.items():
        usual, logistics = (
            (DEFAULT, "ten logistics, 2 x 512") if size.trunk == 512 else (WIDE, "ten logistics, 2 x 1000")
        )
        if size.context is not None:
            rows.append(ratio_row(f"a step of {name} / of {logistics}", [ms[name] / ms[logistics]], 1.1))
        for other in (usual, logistics):
            seeds = [seed for one, seed in found if one == name and (other, seed) in found]
            if seeds and name != other and size.context is not None:
                apart = [found[name, seed]["nats"] - found[other, seed]["nats"] for seed in seeds]
                rows.append(ratio_row(f"MNIST, equal time, nats: {name} - {other}, {len(seeds)} seeds", apart, 0.0))
    nats = {name: mean(line["nats"] for (one, _), line in found.items() if one == name) for name in SIZES}
    write(NAME, rows, torch.device("cpu"), milliseconds=ms, nats=nats)


def main() -> None:
    """Measure for some minutes, then summarise."""
    given = given_to(options(__doc__, 60, seeds=[0, 1, 2]))
    if not any("ms" in line for line in lines(NAME)):
        go_on(NAME, [{"what": "a step"}], step_times, 1)
    go_on(NAME, ({"method": name, "seed": seed} for seed in given.seeds for name in SIZES), measure, given.minutes)
    summarise()


if __name__ == "__main__":
    main()
