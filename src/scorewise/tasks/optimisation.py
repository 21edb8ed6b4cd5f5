"""How parameters move: optimiser, schedule, clipping and averaging."""

import math
import warnings
from collections.abc import Iterable
from typing import Annotated

from torch import nn
from torch.optim import Adam, AdamW, Optimizer, RMSprop
from torch.optim.lr_scheduler import LambdaLR

from scorewise.ranges import Between, OneOf, PositiveNumber, Whole, within_ranges

ALGORITHMS = ("adam", "adamw", "rmsprop")


class Optimisation:
    """The settings of optimisation.

    Args:
        algorithm: adam, adamw or rmsprop.
        lr: learning rate after warm-up.
        weight_decay: of the algorithm.
        warmup_steps: linear from 0.
        schedule: cosine (to 0 at the last step) or constant.
        clip: largest norm of the gradient of the loss per dimension.
        ema_decay: of the exponential moving average of the weights; 0 for none.

    Raises:
        ValueError: an unknown algorithm or schedule, or a number out of range.
    """

    @within_ranges
    def __init__(
        self,
        algorithm: Annotated[str, OneOf(ALGORITHMS)] = "adam",
        lr: PositiveNumber = 1.5e-3,
        weight_decay: Annotated[float, Between(0, 100, "more leaves no weights")] = 0.0,
        warmup_steps: Whole = 100,
        schedule: Annotated[str, OneOf(("cosine", "constant"))] = "cosine",
        clip: Annotated[float, Between(0, math.inf, without=("low",))] = 1.0,
        ema_decay: Annotated[float, Between(0, 1, without=("high",))] = 0.999,
    ) -> None:
        self.algorithm, self.lr, self.weight_decay = algorithm, lr, weight_decay
        self.warmup_steps, self.schedule, self.clip, self.ema_decay = warmup_steps, schedule, clip, ema_decay

    def optimizer(self, parameters: Iterable[nn.Parameter]) -> Optimizer:
        """Return the optimiser, in its fused form where it has one: one pass over the parameters per step."""
        if self.algorithm == "rmsprop":
            return RMSprop(parameters, lr=self.lr, weight_decay=self.weight_decay, foreach=True)
        fused = AdamW if self.algorithm == "adamw" else Adam
        return fused(parameters, lr=self.lr, weight_decay=self.weight_decay, fused=True)

    def scheduler(self, optimizer: Optimizer, total_steps: float) -> LambdaLR:
        """Return the schedule over a run of so many steps; of one without a number of steps, which a warning says."""
        if self.schedule == "cosine" and math.isinf(total_steps):
            warnings.warn(
                "optim.schedule=cosine goes by the number of steps, which nothing says (trainer.max_epochs=null): the "
                "learning rate stays what it is after warming up, as by optim.schedule=constant.",
                stacklevel=2,
            )

        def factor(step: int) -> float:
            warm = min(1.0, (step + 1) / (self.warmup_steps + 1))
            if self.schedule == "constant" or math.isinf(total_steps):
                return warm
            return warm * 0.5 * (1 + math.cos(math.pi * min(1.0, step / max(total_steps, 1))))

        return LambdaLR(optimizer, factor)
