"""Where numbers go while training. Each waits for the run folder."""

import logging
from argparse import Namespace
from collections.abc import Callable
from pathlib import Path
from typing import Any

from lightning.pytorch.loggers import TensorBoardLogger
from lightning.pytorch.loggers.logger import Logger

from dragoman.training.csv_log import CsvLog

__all__ = ["CsvLog", "Forgiving", "tensorboard"]

log = logging.getLogger("dragoman")


def tensorboard(folder: Path) -> TensorBoardLogger:
    """Event files in the run's folder `tensorboard`: `tensorboard --logdir checkpoints` shows every run."""
    return TensorBoardLogger(save_dir=folder, name="", version="tensorboard", default_hp_metric=False)


class Forgiving(Logger):
    """Another logger, whose failures are told, once each, and end nothing."""

    def __init__(self, logger: Logger) -> None:
        super().__init__()
        self.logger = logger
        self.told: set[str] = set()

    @property
    def name(self) -> str | None:
        return self.logger.name

    @property
    def version(self) -> int | str | None:
        return self.logger.version

    def log_metrics(self, metrics: dict[str, float], step: int | None = None) -> None:
        self._try(self.logger.log_metrics, metrics, step)

    def log_hyperparams(self, params: dict[str, Any] | Namespace, *args: Any, **kwargs: Any) -> None:
        self._try(self.logger.log_hyperparams, params, *args, **kwargs)

    def save(self) -> None:
        self._try(self.logger.save)

    def finalize(self, status: str) -> None:
        self._try(self.logger.finalize, status)

    def _try(self, action: Callable[..., Any], *values: Any, **further: Any) -> None:
        try:
            action(*values, **further)
        except Exception as error:  # whatever it is: it must not end a week of training
            sentence = f"{type(self.logger).__name__} fails ({type(error).__name__}: {error}); training goes on"
            if sentence not in self.told:
                log.warning("%s", sentence)
            self.told.add(sentence)
