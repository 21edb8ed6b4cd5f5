"""Tables: every column standardised by its training examples."""

import torch
from torch import Tensor

from scorewise.data.source import FixedSource, Split, split_at_random


class Wine(FixedSource):
    """This is the 178 wines by 13 measurements that ship inside scikit-learn, without their class; no download.

    Models see every column with mean 0 and standard deviation 1 over the training examples.
    """

    shape = (13,)
    mean, std = 0.0, 1.0
    unit, repeats = "the columns' own units", True

    def read(self) -> dict[Split, Tensor]:
        """This is 108 training, 30 validation and 40 test examples."""
        from sklearn.datasets import load_wine

        table = torch.from_numpy(load_wine().data)
        train, val, test = split_at_random(len(table), (108, 30, 40))
        return {"train": table[train], "val": table[val], "test": table[test]}

    @property
    def column_mean(self) -> Tensor:
        """This is the mean of every column, shape (D,), in its own units."""
        return self.raw("train").mean(0)

    @property
    def column_scale(self) -> Tensor:
        """This is the standard deviation of every column, shape (D,), in its own units."""
        return self.raw("train").std(0, correction=0)

    @property
    def log_volume(self) -> float:
        """This is the sum of the log column scales, nats."""
        return float(self.column_scale.log().sum())

    def examples(self, split: Split, index_B: Tensor, epoch: int, seed: int) -> Tensor:
        """This is clean examples (B, D), standardised; the same in every epoch."""
        x_BD = (self.raw(split)[index_B] - self.column_mean) / self.column_scale
        return x_BD.to(torch.get_default_dtype())
