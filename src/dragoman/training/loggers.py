"""Where numbers go while training. Each waits for the run folder."""

from pathlib import Path

from lightning.pytorch.loggers import TensorBoardLogger

from dragoman.training.csv_log import CsvLog

__all__ = ["CsvLog", "tensorboard"]


def tensorboard(folder: Path) -> TensorBoardLogger:
    """Event files in the run's folder `tensorboard`: `tensorboard --logdir checkpoints` shows every run."""
    return TensorBoardLogger(save_dir=folder, name="", version="tensorboard", default_hp_metric=False)
