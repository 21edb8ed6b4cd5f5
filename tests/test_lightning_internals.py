"""The private attributes of Lightning that a run needs are where this release of it has them.

Where a test here fails, Lightning moved one of them. Find what took its place in `lightning.pytorch.loops`, change
src/scorewise/run/lightning_internals.py alone, and run tests/test_resume.py too, which compares resumed runs with
unbroken ones. Raise the least release of Lightning in pyproject.toml, or bound it from above until that is done.
"""

import re
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning import Callback, LightningModule, Trainer
from torch import Tensor
from torch.utils.data import DataLoader, TensorDataset

from scorewise.run.callbacks import Averaging
from scorewise.run.checkpoint import steps_made
from scorewise.run.lightning_internals import batch_completed, begin_epoch, logged_step, set_logged_step

SOURCE = Path(__file__).parents[1] / "src" / "scorewise"


class Line(LightningModule):
    """A model of one weight."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.ones(()))

    def training_step(self, batch: list[Tensor], batch_idx: int) -> Tensor:
        return (self.weight * batch[0]).square().mean()

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.1)


def quiet_trainer(folder: Path, **settings: Any) -> Trainer:
    return Trainer(
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        default_root_dir=folder,
        **settings,
    )


@pytest.fixture
def trained(tmp_path: Path) -> Trainer:
    """Two epochs of three steps."""
    trainer = quiet_trainer(tmp_path, max_epochs=2)
    trainer.fit(Line(), DataLoader(TensorDataset(torch.ones(6, 1)), batch_size=2))
    return trainer


def test_the_logged_step_counts_batches_and_can_be_set(trained: Trainer) -> None:
    assert logged_step(trained) == 6
    set_logged_step(trained, 9)
    assert logged_step(trained) == 9


def test_a_checkpoint_holds_the_logged_step(trained: Trainer, tmp_path: Path) -> None:
    trained.save_checkpoint(tmp_path / "here.ckpt")
    assert steps_made(tmp_path / "here.ckpt") == 6


def test_a_batch_counts_as_completed_inside_and_not_after(trained: Trainer) -> None:
    progress = trained.fit_loop.epoch_loop.batch_progress
    before = (progress.current.completed, progress.total.completed, logged_step(trained))
    with batch_completed(trained):
        assert (progress.current.completed, progress.total.completed, logged_step(trained)) == tuple(
            count + 1 for count in before
        )
    assert (progress.current.completed, progress.total.completed, logged_step(trained)) == before


def test_the_next_epoch_begins(trained: Trainer) -> None:
    loop = trained.fit_loop
    loop.restarting = True
    loop.epoch_progress.current.completed -= 1
    begin_epoch(trained)
    assert not loop.restarting
    progress: Any = loop.epoch_progress.current
    assert progress.completed == progress.processed == 2


def test_no_other_module_reads_what_is_private_to_lightning() -> None:
    private = re.compile(r"_batches_that_stepped|^from lightning\S* import .*\b_[A-Za-z]", re.MULTILINE)
    found = [path.name for path in SOURCE.rglob("*.py") if private.search(path.read_text())]
    assert found == ["lightning_internals.py"]


@pytest.mark.parametrize("decay", [0.15, 0.9999])
def test_every_step_is_in_the_average_once(decay: float, tmp_path: Path) -> None:
    """Against w + (1 - min(decay, (1 + n) / (10 + n))) (new - w) by hand, of the weights that a callback saw."""
    seen: list[float] = []

    class Seen(Callback):
        def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, *_: Any) -> None:
            assert isinstance(pl_module, Line)
            seen.append(float(pl_module.weight.detach()))

    trainer = quiet_trainer(tmp_path, max_epochs=3, callbacks=[Averaging(decay), Seen()])
    line = Line()
    trainer.fit(line, DataLoader(TensorDataset(torch.ones(6, 1)), batch_size=2))
    assert len(seen) == 9
    average = seen[0]
    for n, weight in enumerate(seen[1:], 1):
        average += (1 - min(decay, (1 + n) / (10 + n))) * (weight - average)
    assert float(line.weight.detach()) == pytest.approx(average, rel=1e-6)
