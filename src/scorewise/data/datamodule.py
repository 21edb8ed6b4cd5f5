"""Batches of any data set, for Lightning."""

import math
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

import torch
from lightning import LightningDataModule
from torch import Tensor

from scorewise.data.source import SPLITS, Source, Split
from scorewise.errors import UserError
from scorewise.noise import Draws

NEEDED: Mapping[str, tuple[Split, ...]] = {
    "fit": ("train", "val"),
    "validate": ("val",),
    "test": ("test",),
    "predict": ("test",),
}
"""The splits that each of Lightning's stages reads."""


class Batch(NamedTuple):
    """A batch of clean examples.

    Args:
        x_BD: examples in the scale that models see.
        index_B: their places in the split, which their random numbers follow.
        epoch_B: the epoch, or -1 in validation and test, where noise is fixed per example.
    """

    x_BD: Tensor
    index_B: Tensor
    epoch_B: Tensor


class Batches:
    """A loader whose order is a function of (seed, epoch), and that resumes inside an epoch.

    A global batch is cut into equal parts, one per process; held-out splits are dealt out without repeating any
    example.

    Args:
        source: the data set.
        split: of it.
        batch_size: examples per global batch.
        seed: of the order of training examples.
        rank: of this process.
        world_size: number of processes.
        frozen: whether every epoch is the first one again, as `overfit_batches` asks for.
    """

    def __init__(
        self,
        source: Source,
        split: Split,
        batch_size: int,
        seed: int,
        rank: int = 0,
        world_size: int = 1,
        frozen: bool = False,
    ) -> None:
        self.source, self.split, self.seed = source, split, seed
        self.batch_size, self.rank, self.world_size = batch_size, rank, world_size
        self.epoch, self.position, self.resumed, self.frozen = 0, 0, False, frozen
        if split == "train" and not frozen:
            self.sampler = self  # where Lightning looks for set_epoch, and of frozen ones for what it would not shuffle

    def __len__(self) -> int:
        count = self.source.count(self.split)
        return count // self.batch_size if self.split == "train" else -(-count // self.batch_size)

    def set_epoch(self, epoch: int) -> None:
        """Set the epoch that the next iteration belongs to; a frozen loader stays in the first."""
        self.epoch = 0 if self.frozen else epoch

    def state_dict(self) -> dict[str, int]:
        """Return how far into the epoch the loader is."""
        return {"position": self.position}

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Make the next iteration start where the saved one was."""
        self.position, self.resumed = state["position"], True

    def __iter__(self) -> Iterator[Batch]:
        if not self.resumed:
            self.position = 0
        self.resumed = False
        order: Tensor | None = None
        while self.position < len(self):
            if order is None:
                order = self._order()
            chunk = order[self.position * self.batch_size : (self.position + 1) * self.batch_size]
            index_B = chunk[self.rank :: self.world_size]
            self.position += 1
            epoch = self.epoch if self.split == "train" else -1
            x_BD = self.source.examples(self.split, index_B, epoch, self.seed)
            yield Batch(x_BD, index_B, torch.full_like(index_B, epoch))

    def _order(self) -> Tensor:
        count = self.source.count(self.split)
        if self.split != "train":
            return torch.arange(count)
        seed = Draws.of(self.seed, self.epoch, torch.tensor([0])).fork("order").key_B.item()
        return torch.randperm(count, generator=torch.Generator().manual_seed(int(seed)))


class ScoreData(LightningDataModule):
    """A data set as a LightningDataModule.

    Args:
        source: the data set.
        batch_size: examples per optimiser step, over all processes, at most: see `Source.batch_size`.
        seed: of the order of training examples.

    Raises:
        UserError: a split is empty, or the batch is larger than the training set or does not divide over the processes.
    """

    def __init__(self, source: Source, batch_size: int, seed: int) -> None:
        super().__init__()
        self.source, self.batch_size, self.seed = source, batch_size, seed

    def prepare_data(self) -> None:
        """Download and unpack, in one process per machine."""
        self.source.prepare()

    def setup(self, stage: str | None = None) -> None:
        """Refuse sizes that do not fit what a stage (all stages where none is given) reads."""
        needed = NEEDED.get(stage or "", SPLITS)
        if empty := [split for split in needed if not self.source.count(split)]:
            raise UserError(
                f"this data has no {' and no '.join(empty)} examples: add some, or give those splits a larger share."
            )
        count = self.source.count("train")
        if "train" in needed:
            self.batch_size = self.source.batch_size(self.batch_size)
        if "train" in needed and not 0 < self.batch_size <= count:
            raise UserError(
                f"data.batch_size={self.batch_size} does not fit {count} training examples: use 1 to {count}."
            )
        processes = self.trainer.world_size if self.trainer else 1
        if self.batch_size % processes:
            raise UserError(
                f"data.batch_size={self.batch_size} does not divide over {processes} processes: use a multiple."
            )

    def refuse_unusable(self, stages: Iterable[str], limits: Mapping[str, Any]) -> None:
        """Read the data, as Lightning would ask for it later.

        Args:
            stages: of a run, fit or test.
            limits: settings of the trainer, of which those are read that count batches.

        Raises:
            UserError: they are not there, or too few, also for what a setting asks of them.
        """
        self.prepare_data()
        for stage in stages:
            self.setup(stage)
            for split in NEEDED[stage]:
                self._refuse_share_of_none(split, limits)
            if stage == "fit":
                self._refuse_interval(limits)

    @property
    def tested(self) -> int:
        """How many examples the trainer tests, or has tested."""
        batches = sum(self.trainer.num_test_batches) if self.trainer else math.inf
        return int(min(self.source.count("test"), batches * self.batch_size))

    def _refuse_interval(self, limits: Mapping[str, Any]) -> None:
        interval, limit = limits.get("val_check_interval"), limits.get("limit_train_batches")
        count = len(self._batches("train"))
        least = min(count, limit if isinstance(limit, int) else int(count * (1 if limit is None else limit)))
        within = limits.get("check_val_every_n_epoch") is not None and not limits.get("overfit_batches")
        if within and isinstance(interval, int) and interval > least:
            raise UserError(
                f"trainer.val_check_interval={interval} is more than the {least} training batches of an epoch: use "
                f"{least} or less, or count batches over epochs by trainer.check_val_every_n_epoch=null."
            )

    def _refuse_share_of_none(self, split: Split, limits: Mapping[str, Any]) -> None:
        overfits = split != "test" and limits.get("overfit_batches")
        setting = "overfit_batches" if overfits else f"limit_{split}_batches"
        share, count = limits.get(setting), len(self._batches("train" if overfits else split))
        if isinstance(share, float) and 0 < share * count < 1:
            least = math.ceil(1e6 / count) / 1e6
            raise UserError(
                f"trainer.{setting}={share:g} is less than one of {count} batches: use {least:g} or more, or a number "
                "of batches."
            )

    def _batches(self, split: Split) -> Batches:
        rank, world_size = (self.trainer.global_rank, self.trainer.world_size) if self.trainer else (0, 1)
        return Batches(self.source, split, self.batch_size, self.seed, rank, world_size, self.overfits)

    @property
    def overfits(self) -> bool:
        """Whether the same training batches are taken again and again, see `overfit_batches`."""
        return bool(self.trainer and self.trainer.overfit_batches)  # type: ignore[attr-defined]

    def transfer_batch_to_device(self, batch: Batch, device: torch.device, dataloader_idx: int) -> Batch:
        """Return a batch on a device; as it is where it lies there, without a look at everything that it could hold."""
        if batch.x_BD.device == device:
            return batch
        moved: Batch = super().transfer_batch_to_device(batch, device, dataloader_idx)
        return moved

    def train_dataloader(self) -> Batches:
        """Return training batches in a new order each epoch."""
        return self._batches("train")

    def val_dataloader(self) -> Batches:
        """Return the validation split, and of a run that overfits the batches that it trains on."""
        return self._batches("train" if self.overfits else "val")

    def test_dataloader(self) -> Batches:
        """Return the test split."""
        return self._batches("test")

    def predict_dataloader(self) -> Batches:
        """Return the test split again."""
        return self._batches("test")
