"""How parameters move: optimiser, schedule, clipping and averaging."""

import math
from collections.abc import Iterable

from torch import nn
from torch.optim import Adam, AdamW, Optimizer, RMSprop
from torch.optim.lr_scheduler import LambdaLR

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

    def __init__(
        self,
        algorithm: str = "adam",
        lr: float = 1.5e-3,
        weight_decay: float = 0.0,
        warmup_steps: int = 100,
        schedule: str = "cosine",
        clip: float = 1.0,
        ema_decay: float = 0.999,
    ) -> None:
        if algorithm not in ALGORITHMS:
            raise ValueError(f"optim.algorithm={algorithm} is none of {', '.join(ALGORITHMS)}")
        if schedule not in ("cosine", "constant"):
            raise ValueError(f"optim.schedule={schedule} is none of cosine, constant")
        if not lr > 0 or not clip > 0 or not 0 <= ema_decay < 1:
            raise ValueError(
                f"optim.lr={lr} and optim.clip={clip} must be positive and optim.ema_decay={ema_decay} in [0, 1)"
            )
        if not weight_decay >= 0:
            raise ValueError(f"optim.weight_decay={weight_decay} must be at least 0")
        self.algorithm, self.lr, self.weight_decay = algorithm, lr, weight_decay
        self.warmup_steps, self.schedule, self.clip, self.ema_decay = warmup_steps, schedule, clip, ema_decay

    def optimizer(self, parameters: Iterable[nn.Parameter]) -> Optimizer:
        """Return the optimiser, in its fused form where it has one: one pass over the parameters per step."""
        if self.algorithm == "rmsprop":
            return RMSprop(parameters, lr=self.lr, weight_decay=self.weight_decay, foreach=True)
        fused = AdamW if self.algorithm == "adamw" else Adam
        return fused(parameters, lr=self.lr, weight_decay=self.weight_decay, fused=True)

    def scheduler(self, optimizer: Optimizer, total_steps: float) -> LambdaLR:
        """Return the schedule over a run of so many steps."""

        def factor(step: int) -> float:
            warm = min(1.0, (step + 1) / (self.warmup_steps + 1))
            if self.schedule == "constant" or math.isinf(total_steps):
                return warm
            return warm * 0.5 * (1 + math.cos(math.pi * min(1.0, step / max(total_steps, 1))))

        return LambdaLR(optimizer, factor)
