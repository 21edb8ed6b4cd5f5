"""Classification: trains the network whose features FID and KID compare."""

from typing import Any, final

import torch
from lightning import LightningModule
from torch import Tensor
from torch.nn.functional import cross_entropy
from torchmetrics.classification import MulticlassAccuracy

from scorewise.data.datamodule import Batch
from scorewise.noise import Draws
from scorewise.quality.classifier import ClassifierFeatures
from scorewise.quality.extractor import eight_bits
from scorewise.tasks.optimisation import Optimisation


def shifted(images_BCHW: Tensor, reach: int, draws: Draws) -> Tensor:
    """Return images moved by up to so many pixels in each direction, their edges repeated."""
    if reach == 0:
        return images_BCHW
    height, width = images_BCHW.shape[2:]
    by_B2 = (draws.fork("shift").uniform(2) * (2 * reach + 1)).long() - reach
    rows_BH = (torch.arange(height) + by_B2[:, :1]).clamp(0, height - 1).to(images_BCHW.device)
    columns_BW = (torch.arange(width) + by_B2[:, 1:]).clamp(0, width - 1).to(images_BCHW.device)
    batch_B = torch.arange(len(images_BCHW), device=images_BCHW.device)
    moved_BHWC = images_BCHW.permute(0, 2, 3, 1)[batch_B[:, None, None], rows_BH[:, :, None], columns_BW[:, None]]
    return moved_BHWC.permute(0, 3, 1, 2)


@final
class Classification(LightningModule):
    """A classifier in training, on clean images as bytes, moved by up to a sixteenth of their size.

    Args:
        network: to train.
        optimisation: how parameters move.
        labels: class of every example, by split (train and test).
        seed: of the shifts.
    """

    def __init__(
        self, network: ClassifierFeatures, optimisation: Optimisation, labels: dict[str, Tensor], seed: int
    ) -> None:
        super().__init__()
        self.network, self.optimisation, self.labels, self.seed = network, optimisation, labels, seed
        self.accuracy = MulticlassAccuracy(network.classes, average="micro")

    def _batch(self, batch: Batch, split: str) -> tuple[Tensor, Tensor]:
        return eight_bits(batch.x_BD, self.network.shape), self.labels[split].to(batch.index_B.device)[batch.index_B]

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """Return the cross-entropy of a batch."""
        images_BCHW, y_B = self._batch(batch, "train")
        draws = Draws.of(self.seed, batch.epoch_B.cpu(), batch.index_B.cpu())
        return cross_entropy(self.network.logits(shifted(images_BCHW, min(self.network.shape[1:]) // 16, draws)), y_B)

    def configure_gradient_clipping(self, optimizer: Any, *_: Any, **__: Any) -> None:
        """Clip the gradient's norm."""
        torch.nn.utils.clip_grad_norm_(self.parameters(), self.optimisation.clip)

    def test_step(self, batch: Batch, batch_idx: int) -> None:
        """Count the held-out images whose class is found."""
        images_BCHW, y_B = self._batch(batch, "test")
        if len(y_B):
            self.accuracy.update(self.network.logits(images_BCHW), y_B)
        self.log("test/accuracy", self.accuracy)

    def configure_optimizers(self) -> Any:
        """Return the optimiser and its schedule by step."""
        optimizer = self.optimisation.optimizer(self.parameters())
        scheduler = self.optimisation.scheduler(optimizer, self.trainer.estimated_stepping_batches)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}
