"""Stopping when a validation has brought nothing new for a while, also when the run was interrupted since."""

from typing import Any

import lightning as L
from lightning.pytorch.callbacks import EarlyStopping as OfLightning
from lightning.pytorch.callbacks.early_stopping import EarlyStoppingReason


class EarlyStopping(OfLightning):
    """Stops after `patience` validations without a new best `monitor`: bleu with `mode` max, validation_loss with min.

    Lightning's, but a run that goes on with another `patience` takes it, and one that had stopped trains no further.
    """

    def __init__(self, *, monitor: str, mode: str, patience: int) -> None:
        # A validation that failed has no BLEU, and is one without progress.
        super().__init__(monitor=monitor, mode=mode, patience=patience, check_finite=False)

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        super().load_state_dict(state_dict | {"patience": self.patience})

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        trainer.should_stop |= self.stopping_reason != EarlyStoppingReason.NOT_STOPPED


def has_stopped(callbacks: dict[str, Any]) -> bool:
    """Whether a checkpoint's callbacks had ended the training."""
    kept = (state for name, state in callbacks.items() if name.startswith(EarlyStopping.__qualname__))
    return any(state["stopping_reason"] != EarlyStoppingReason.NOT_STOPPED.value for state in kept)
