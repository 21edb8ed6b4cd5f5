"""What tasks of score models share: an objective, and one training and one validation step."""

import math
import warnings
from abc import ABC
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, cast

import torch
from torch import Tensor
from torch.nn import ModuleDict
from torchmetrics import MeanMetric

from scorewise.capabilities import ClosedFormDensity, ConditionalScoreModel, ScoreModel
from scorewise.data.datamodule import Batch
from scorewise.heads.model import Model
from scorewise.noise import Draws, smoothing_noise
from scorewise.objectives.objective import Objective, score_field
from scorewise.tasks.bundle import Bundle
from scorewise.tasks.glimpse import Glimpse
from scorewise.tasks.measures import Measure
from scorewise.tasks.task import NotFinite, Task

SCORES = 8192
"""Of so many entries, or of 16 examples, a histogram of scores is made."""
FIELDS: Mapping[str, tuple[type, ...]] = {
    "conditional_scores": (ConditionalScoreModel,),
    "joint_scores": (ScoreModel, ClosedFormDensity),
}
"""What the vector field of a model is, and what a model must have for it, one of these; the first that it has."""
ScoreBundle = Bundle[Model, Objective]
"""What every score task is given."""


class ScoreTask(Task, ABC):
    """A model that is trained with an objective on smoothed data.

    Class attributes:
        needs: capabilities of which the model must have at least one.
        monitors: metrics that can decide which checkpoint is best.

    Args:
        bundle: model, objective, optimisation, data and seed.
        comparable: measures that compare models of different objectives, cheap enough for every validation.
        glimpses: further ones, of a few validation examples.

    Raises:
        ValueError: the monitored metric is none of `monitors`.
    """

    needs: ClassVar[tuple[type, ...]] = ()
    monitors: ClassVar[tuple[str, ...]] = ("val/loss",)

    def __init__(
        self, bundle: ScoreBundle, comparable: Sequence[Measure] = (), glimpses: Sequence[Glimpse] = ()
    ) -> None:
        super().__init__(bundle)
        if bundle.monitor not in self.monitors:
            raise ValueError(f"task.monitor={bundle.monitor} is none of {', '.join(self.monitors)}")
        self.model: Model = bundle.model
        self.objective = bundle.objective
        self.val_loss = _mean_of_all()
        self.comparable, self.glimpses = tuple(comparable), tuple(glimpses)
        measures = [*comparable, *(glimpse.measure for glimpse in glimpses)]
        one_B = torch.zeros(1)
        self.rescaled = tuple(self.without_constant(one_B, one_B[:, None], Draws.of(0, 0, one_B.long())))
        names = (*self.rescaled, *(name for measure in measures for name in measure.names))
        self.val_means = ModuleDict({name: _mean_of_all() for name in names})

    @classmethod
    def refusal(cls, head: type, **settings: Any) -> str | None:
        """Return why the task with these settings has no use for models of a head, one sentence; None where it has."""
        return None

    def smoothed(self, batch: Batch) -> tuple[Tensor, Draws]:
        """Return the batch with its noise, and the draws of its examples."""
        draws = Draws.of(self.seed, batch.epoch_B, batch.index_B)
        if self.smoothing == 0:
            return batch.x_BD, draws
        return batch.x_BD + self.smoothing * smoothing_noise(draws, batch.x_BD), draws

    @property
    def logs_now(self) -> bool:
        """Whether loggers see this step, or it is the first, which the progress bar shows.

        Lightning takes longer to collect what nobody sees than a small step takes.
        """
        every: int = self.trainer.log_every_n_steps  # type: ignore[attr-defined]
        return self.global_step == 0 or (self.global_step + 1) % every == 0

    def setup(self, stage: str) -> None:
        """Give the objective its reference examples, the same in every process, and doubt odd training data."""
        if stage == "fit":
            for sentence in self.source.doubts(self.smoothing):
                warnings.warn(sentence, stacklevel=2)
        if n := min(self.objective.references, self.source.count("train")):
            index_B = torch.arange(n)
            x_BD = self.source.examples("train", index_B, 0, self.seed)
            x_BD, _ = self.smoothed(Batch(x_BD, index_B, torch.zeros_like(index_B)))
            self.objective.refer_to(x_BD.to(self.device))

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Save what the objective remembers."""
        checkpoint["objective"] = self.objective.state()

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Restore what the objective remembers."""
        if state := checkpoint.get("objective"):
            self.objective.restore(state)

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """Return the mean loss of the batch, scaled to order one per dimension.

        Raises:
            NotFinite: the loss is not finite.
        """
        self.objective.progress(self.global_step / max(self.trainer.estimated_stepping_batches, 1))
        x_BD, draws = self.smoothed(batch)
        loss = self.objective(self.model, x_BD, draws)
        # Among several processes the gradient tells all of them at the same time.
        if self.trainer.world_size == 1 and not torch.isfinite(loss.total):
            raise NotFinite(f"the loss became {loss.total.item()} at step {self.global_step + 1}")
        if self.logs_now:
            loss_now, size = loss.total.detach(), len(x_BD)  # every process has an equal part of the batch
            self.log("train/loss", loss_now, prog_bar=True, batch_size=size, sync_dist=True)
            self.log(f"train/loss/{self.objective.name}", loss_now, batch_size=size, sync_dist=True)
            for name, value in loss.logs.items():
                self.log(f"train/{name}", value, batch_size=size, sync_dist=True)
        return loss.total * (self.objective.gain(self.model) / self.model.dims)

    def configure_gradient_clipping(self, optimizer: Any, *_: Any, **__: Any) -> None:
        """Clip the gradient's norm.

        Raises:
            NotFinite: the norm is not finite; the weights are still those of the step before.
        """
        weights = [one for group in optimizer.param_groups for one in group["params"]]
        norm = torch.nn.utils.clip_grad_norm_(weights, self.optimisation.clip)
        if not torch.isfinite(norm):
            raise NotFinite(f"the gradient became {norm.item()} at step {self.global_step + 1}")
        if self.logs_now:
            self.log("train/grad_norm", norm)

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        """Log the objective's own loss on held-out examples, with noise that is fixed per example."""
        due = self._due()
        if len(batch.x_BD):
            x_BD, draws = self.smoothed(batch)
            loss_B = self.objective.held_out(self.model, x_BD, draws).detach()
            self.val_loss.update(loss_B)
            self.notice("loss", loss_B, batch.index_B)
            for name, value_B in self.without_constant(loss_B, x_BD, draws).items():
                self._add(name, value_B)
            for measure in self.comparable:
                for name, value_B in measure.of(x_BD).items():
                    self._add(name, value_B)
                    self.notice(name, value_B, batch.index_B)
            for glimpse in due:
                for name, value_B in glimpse.of(x_BD, batch.index_B).items():
                    self._add(name, value_B)
        self.log("val/loss", self.val_loss, prog_bar=True)
        self.log(f"val/loss/{self.objective.name}", self.val_loss)
        measures = (*self.comparable, *(glimpse.measure for glimpse in due))
        for name in (*self.rescaled, *(name for measure in measures for name in measure.names)):
            self.log(f"val/{name}", cast(MeanMetric, self.val_means[name]))

    def _add(self, name: str, value_B: Tensor) -> None:
        cast(MeanMetric, self.val_means[name]).update(value_B.detach())

    def _due(self) -> list[Glimpse]:
        steps, batches = float(self.trainer.estimated_stepping_batches), float(self.trainer.num_training_batches)
        known = math.isfinite(steps) and 0 < batches < math.inf
        epochs = math.ceil(steps / math.ceil(batches / self.trainer.accumulate_grad_batches)) if known else math.inf
        return [glimpse for glimpse in self.glimpses if glimpse.due(self.current_epoch + 1, epochs)]

    def without_constant(self, loss_B: Tensor, x_BD: Tensor, draws: Draws) -> dict[str, Tensor]:
        """Return `loss_without_constant` of examples, shape (B,), where the objective knows what that is."""
        less_B = self.objective.without_constant(loss_B, x_BD, draws)
        return {} if less_B is None else {"loss_without_constant": less_B}

    def scores(self) -> dict[str, Tensor]:
        """Return the model's vector field at validation examples with their noise, by what it is; none without one."""
        kind = next((kind for kind, can in FIELDS.items() if isinstance(self.model, can)), None)
        if kind is None:
            return {}
        index_B = torch.arange(min(self.source.count("val"), max(SCORES // self.source.dims, 16)))
        x_BD = self.source.examples("val", index_B, -1, self.seed)
        x_BD, _ = self.smoothed(Batch(x_BD.to(self.device), index_B, torch.full_like(index_B, -1)))
        return {kind: score_field(self.model)(x_BD).detach()}

    def configure_optimizers(self) -> Any:
        """Return the optimiser and its schedule by step."""
        optimizer = self.optimisation.optimizer(self.parameters())
        total = self.trainer.estimated_stepping_batches
        if math.isinf(total) and type(self.objective).progress is not Objective.progress:
            warnings.warn(
                f"objective={self.objective.name} goes by the share of the steps that are done, and nothing says how "
                "many there are (trainer.max_epochs=null): it stays at its beginning.",
                stacklevel=2,
            )
        scheduler = self.optimisation.scheduler(optimizer, total)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}


def _mean_of_all() -> MeanMetric:
    """Return a mean that is not a number where one of its values is none: torchmetrics' own leaves such out."""
    return MeanMetric(nan_strategy="disable")
