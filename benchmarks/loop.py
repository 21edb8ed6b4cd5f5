"""What the product adds to a training step: `train.py` beside a bare PyTorch loop with the same arithmetic.

    python benchmarks/loop.py [--jobs digits table mnist] [--blocks 12] [--steps 50]

Both train the same model with the same objective, noise, clipping, schedule, fused Adam and averages of the weights, in
batches of the same size. The bare loop takes its batches by a permutation of one tensor and its noise from torch's
generator. They take turns inside one process: after every block of steps of the product, as many of the bare loop.
Validation and checkpoints are apart (there is none inside of a block); what the product logs, checks and draws by
example is not. Process time, one thread; the ratio is taken within a block.
"""

import argparse
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median
from typing import Any

import torch
from hydra import compose, initialize_config_dir
from lightning import Callback, LightningModule, Trainer
from record import Row, ratio_row, write
from torch import Tensor

from scorewise import catalog
from scorewise.config.build import build
from scorewise.config.identity import plain, storable
from scorewise.config.settle import settle
from scorewise.noise import Draws
from scorewise.run.allocation import settle_allocation
from scorewise.run.folder import claim
from scorewise.run.training import TrainingRun
from scorewise.tasks.optimisation import Optimisation

JOBS = {
    "digits": ("the digits demo", []),
    "table": ("experiment=table on 1,599 rows of 11 columns", ["experiment=table"]),
    "mnist": ("the MNIST job", ["objective=csm", "backbone=made", "data=mnist"]),
}
"""What is typed for each, and what it is called."""
GOAL = 1.15
BLOCKS_LEFT_OUT = 1
"""The first one of each: what is allocated and imported late is not a step's."""


def bare_steps(config: dict[str, Any]) -> Iterator[None]:
    """Take one training step of a plain loop at every request."""
    parts = build(config, int(config["seed"]))
    model, objective = parts.model, parts.objective
    given = {key: value for key, value in config["optim"].items() if not key.startswith("_")}
    optimisation, smoothing = Optimisation(**given), float(config["data"]["smoothing"])
    count, batch = parts.source.count("train"), parts.source.batch_size(int(config["data"]["batch_size"]))
    clean_ND = parts.source.examples("train", torch.arange(count), 0, 0)
    optimizer = optimisation.optimizer(model.parameters())
    steps = count // batch * int(config["trainer"]["max_epochs"])
    scheduler = optimisation.scheduler(optimizer, steps)
    averaged = [weights.detach().clone() for weights in model.parameters()]
    factor, n = objective.gain(model) / model.dims, 0
    model.train()
    while True:
        for index_B in torch.randperm(count)[: count // batch * batch].split(batch):
            x_BD = clean_ND[index_B]
            x_BD = x_BD + smoothing * torch.randn_like(x_BD)
            loss = objective(model, x_BD, Draws.of(0, n, index_B)).total * factor
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), optimisation.clip)
            optimizer.step()
            optimizer.zero_grad()
            scheduler.step()
            n += 1
            with torch.no_grad():
                weight = 1 - min(optimisation.ema_decay, (1 + n) / (10 + n))
                torch._foreach_lerp_(averaged, [weights.detach() for weights in model.parameters()], weight)
            yield


class Turns(Callback):
    """Blocks of the product's steps and of bare ones in turn.

    Args:
        bare: takes one bare step.
        steps: of a block.
        blocks: after which the training ends.
    """

    def __init__(self, bare: Callable[[], None], steps: int, blocks: int) -> None:
        self.bare, self.steps, self.blocks = bare, steps, blocks
        self.product_ms: list[float] = []
        self.bare_ms: list[float] = []
        self.since = 0.0

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Begin the first block."""
        self.since = time.process_time()

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """End a block of the product's, and take one of bare steps."""
        if trainer.global_step % self.steps:
            return
        self.product_ms.append(1e3 * (time.process_time() - self.since) / self.steps)
        start = time.process_time()
        for _ in range(self.steps):
            self.bare()
        self.bare_ms.append(1e3 * (time.process_time() - start) / self.steps)
        trainer.should_stop = len(self.bare_ms) >= self.blocks
        self.since = time.process_time()


def measured(words: list[str], steps: int, blocks: int) -> Turns:
    """Return how long the steps of a job took."""
    apart = ["trainer.check_val_every_n_epoch=1000000", "callbacks.save_every_n_steps=1000000000", "logger=csv"]
    with initialize_config_dir(str(catalog.folder()), version_base="1.3"):
        cfg = compose("train", [*words, *apart, "test=false", "callbacks.progress=false"])
    config, stored = (settle(view(cfg)) for view in (plain, storable))
    bare = bare_steps(config)
    turns = Turns(lambda: next(bare), steps, blocks)
    with tempfile.TemporaryDirectory() as place:
        folder = claim(config, stored, Path(place) / "run", None)
        folder.begin(stored, False)
        TrainingRun(config, stored, folder, "loop", [turns]).fit()
    return turns


def rows_of_wine() -> str:
    """Write a table like the red wine one, correlated normal numbers, and return its path."""
    generator = torch.Generator().manual_seed(0)
    mixing = torch.randn(11, 11, generator=generator)
    rows: Tensor = torch.randn(1599, 11, generator=generator) @ mixing
    path = Path(tempfile.mkdtemp()) / "table.csv"
    names = ",".join(f"column_{i}" for i in range(11))
    path.write_text("\n".join([names, *(",".join(f"{value:.5f}" for value in row) for row in rows.tolist())]) + "\n")
    return str(path)


def main() -> None:
    """Measure, print and write docs/benchmarks/loop.json."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--jobs", nargs="+", default=list(JOBS), choices=list(JOBS))
    parser.add_argument("--blocks", type=int, default=12)
    parser.add_argument("--steps", type=int, default=50)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    settle_allocation()
    rows: list[Row] = []
    milliseconds: dict[str, float] = {}
    for job in arguments.jobs:
        said, words = JOBS[job]
        if job == "table":
            words = [*words, f"data.path={rows_of_wine()}"]
        turns = measured(words, arguments.steps if job != "mnist" else max(arguments.steps // 5, 1), arguments.blocks)
        product, bare = turns.product_ms[BLOCKS_LEFT_OUT:], turns.bare_ms[BLOCKS_LEFT_OUT:]
        milliseconds |= {f"{job}, product": median(product), f"{job}, bare": median(bare)}
        rows.append(
            ratio_row(f"{said}: step / step of a bare loop", [a / b for a, b in zip(product, bare, strict=True)], GOAL)
        )
    print(", ".join(f"{name} {value:.1f} ms" for name, value in milliseconds.items()))
    write("loop", rows, torch.device("cpu"), milliseconds=milliseconds)


if __name__ == "__main__":
    main()
