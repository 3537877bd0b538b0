"""The exponential moving average of the weights, to be compared with the average of checkpoints: for `levers.py`.

PYTHONPATH=. python scripts/train.py … +callbacks.ema._target_=studies.ema.MovingAverage +callbacks.ema.decay=0.998
"""

from typing import Any

import lightning as L
from lightning.pytorch.callbacks import EMAWeightAveraging


class MovingAverage(EMAWeightAveraging):
    """Lightning's, but that what a validation keeps are the averaged weights, which it has translated with."""

    swapped = False

    def _swap_models(self, pl_module: L.LightningModule) -> None:
        super()._swap_models(pl_module)
        self.swapped = not self.swapped

    def on_validation_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Not yet: `Checkpoints` is about to write the weights, then last.ckpt."""

    def on_save_checkpoint(self, trainer: L.Trainer, pl_module: L.LightningModule, checkpoint: dict[str, Any]) -> None:
        """Each where it belongs; the checkpoint has the weights' own memory, so that this tells it too."""
        if self.swapped:
            self._swap_models(pl_module)
        super().on_save_checkpoint(trainer, pl_module, checkpoint)
