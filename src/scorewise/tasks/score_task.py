"""What every task shares: the model, its objective, and one training and one validation step."""

from abc import ABC
from typing import Any, ClassVar, cast

import torch
from lightning import LightningModule
from torch import Tensor
from torch.nn import ModuleDict
from torchmetrics import CatMetric, MeanMetric

from scorewise.data.datamodule import Batch
from scorewise.data.source import Source
from scorewise.errors import UserError
from scorewise.heads.model import Model
from scorewise.noise import Draws, smoothing_noise
from scorewise.objectives.objective import Objective
from scorewise.tasks.optimisation import Optimisation


class NotFinite(UserError):
    """A loss or a gradient is not finite, so the step was not taken."""


class ScoreTask(LightningModule, ABC):
    """This is a model that is trained with an objective on smoothed data.

    Args:
        model: head on backbone.
        objective: how it is fitted.
        optimisation: how parameters move.
        source: the data set, for its scale and, where known, its law.
        smoothing: standard deviation of the Gaussian noise that belongs to the data.
        seed: of all noise.
        monitor: name of the metric that decides which checkpoint is best.
    """

    needs: ClassVar[tuple[type, ...]] = ()
    monitors: ClassVar[tuple[str, ...]] = ("val/loss",)

    def __init__(
        self,
        model: Model,
        objective: Objective,
        optimisation: Optimisation,
        source: Source,
        *,
        smoothing: float,
        seed: int,
        monitor: str = "val/loss",
    ) -> None:
        super().__init__()
        if monitor not in self.monitors:
            raise ValueError(f"task.monitor={monitor} is none of {', '.join(self.monitors)}")
        self.model, self.objective, self.optimisation, self.source = model, objective, optimisation, source
        self.smoothing, self.seed, self.monitor = smoothing, seed, monitor
        self.val_loss = MeanMetric()
        self.val_means = ModuleDict({name: MeanMetric() for name in self.comparable_names()})
        self.held_out: dict[str, CatMetric] = {}

    @classmethod
    def refusal(cls, head: type, **settings: Any) -> str | None:
        """This is why the task with these settings has no use for models of a head, one sentence; None where it has."""
        return None

    @property
    def name(self) -> str:
        """This is what the task's test is called, for files."""
        return type(self).__name__.lower()

    def panels(self) -> dict[str, Tensor]:
        """This is sets of examples (N, D) of the last test for a picture, by label; none where there is none."""
        return {}

    def histograms(self) -> dict[str, dict[str, Tensor]]:
        """This is numbers (N,) of the last test for a picture, by what they are and by set."""
        return {}

    def intervals(self) -> dict[str, float]:
        """This is the ends of intervals and the standard errors of the last test, too many for a log, by name."""
        return {}

    def remarks(self) -> dict[str, Any]:
        """This is what a summary says about further data of the test: files left out, say."""
        return {}

    def conventions(self) -> dict[str, str]:
        """This is what metrics of this task alone mean."""
        return {}

    def smoothed(self, batch: Batch) -> tuple[Tensor, Draws]:
        """This is the batch with its noise, and the draws of its examples."""
        draws = Draws.of(self.seed, batch.epoch_B, batch.index_B)
        if self.smoothing == 0:
            return batch.x_BD, draws
        return batch.x_BD + self.smoothing * smoothing_noise(draws, batch.x_BD), draws

    def setup(self, stage: str) -> None:
        """This gives the objective its reference examples, the same in every stage and process."""
        if n := min(self.objective.references, self.source.count("train")):
            index_B = torch.arange(n)
            x_BD = self.source.examples("train", index_B, 0, self.seed)
            x_BD, _ = self.smoothed(Batch(x_BD, index_B, torch.zeros_like(index_B)))
            self.objective.refer_to(x_BD.to(self.device))

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """This saves what the objective remembers."""
        checkpoint["objective"] = self.objective.state()

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """This restores what the objective remembers."""
        if state := checkpoint.get("objective"):
            self.objective.restore(state)

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """This is one step on the mean loss, scaled to order one per dimension.

        Raises:
            NotFinite: the loss is not finite.
        """
        self.objective.progress(self.global_step / max(self.trainer.estimated_stepping_batches, 1))
        x_BD, draws = self.smoothed(batch)
        loss = self.objective(self.model, x_BD, draws)
        # Among several processes the gradient tells all of them at the same time.
        if self.trainer.world_size == 1 and not torch.isfinite(loss.total):
            raise NotFinite(f"the loss became {loss.total.item()} at step {self.global_step + 1}")
        self.log("train/loss", loss.total.detach(), prog_bar=True, batch_size=len(x_BD))
        for name, value in loss.logs.items():
            self.log(f"train/{name}", value, batch_size=len(x_BD))
        return loss.total * (self.objective.gain(self.model) / self.model.dims)

    def configure_gradient_clipping(self, optimizer: Any, *_: Any, **__: Any) -> None:
        """This clips the gradient's norm.

        Raises:
            NotFinite: the norm is not finite; the weights are still those of the step before.
        """
        norm = torch.nn.utils.clip_grad_norm_(self.parameters(), self.optimisation.clip)
        if not torch.isfinite(norm):
            raise NotFinite(f"the gradient became {norm.item()} at step {self.global_step + 1}")
        self.log("train/grad_norm", norm)

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        """This is the objective's own loss on held-out examples, with noise that is fixed per example."""
        if len(batch.x_BD):
            x_BD, draws = self.smoothed(batch)
            self.val_loss.update(self.objective.held_out(self.model, x_BD, draws).detach())
            for name, value_B in self.comparable(x_BD).items():
                cast(MeanMetric, self.val_means[name]).update(value_B.detach())
        self.log("val/loss", self.val_loss, prog_bar=True)
        for name, mean in self.val_means.items():
            self.log(f"val/{name}", mean)

    def comparable_names(self) -> tuple[str, ...]:
        """This is the names of `comparable`."""
        return ()

    def comparable(self, x_BD: Tensor) -> dict[str, Tensor]:
        """This is numbers per smoothed example that can be compared between objectives, cheap enough for validation."""
        return {}

    def configure_optimizers(self) -> Any:
        """This is the optimiser and its schedule by step."""
        optimizer = self.optimisation.optimizer(self.parameters())
        scheduler = self.optimisation.scheduler(optimizer, self.trainer.estimated_stepping_batches)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}

    def report(self, name: str, values_B: Tensor) -> None:
        """This collects one held-out number per example; its mean and standard error are logged at the end."""
        metric = self.held_out.setdefault(name, CatMetric().to(self.device))
        metric.update(values_B.detach().double())

    def on_test_start(self) -> None:
        """This forgets the numbers of an earlier test."""
        self.held_out = {}

    def on_test_epoch_end(self) -> None:
        """This logs the mean and the standard error of every held-out number."""
        for name, metric in self.held_out.items():
            values_B = torch.as_tensor(metric.compute()).reshape(-1)
            self.log(f"test/{name}", values_B.mean())
            self.log(f"test/{name}_se", values_B.std() / len(values_B) ** 0.5)
