"""metrics.csv: a row per logged step, readable by anything; survives being resumed."""

import csv
import io
from argparse import Namespace
from pathlib import Path
from typing import Any

from lightning.pytorch.loggers.logger import Logger
from lightning.pytorch.utilities import rank_zero_only

from dragoman.files import write_text


class CsvLog(Logger):
    """Lightning's own deletes the file when a run resumes; this one drops the rows behind the first new step."""

    def __init__(self, folder: str | Path) -> None:
        super().__init__()
        self.path = Path(folder) / "metrics.csv"
        self.rows: dict[int, dict[str, Any]] | None = None  # by step; read when the first new row comes

    @property
    def name(self) -> str:
        return "csv"

    @property
    def version(self) -> str:
        return ""

    @rank_zero_only
    def log_hyperparams(self, params: dict[str, Any] | Namespace, *args: Any, **kwargs: Any) -> None:
        """config.yaml holds them."""

    @rank_zero_only
    def log_metrics(self, metrics: dict[str, float], step: int | None = None) -> None:
        number = int(step or 0)
        if self.rows is None:
            self.rows = {n: row for n, row in self._read().items() if n <= number}
        row = self.rows.setdefault(number, {"step": number})
        row.update({key: f"{value:.6g}" for key, value in metrics.items() if key != "epoch"})

    @rank_zero_only
    def save(self) -> None:
        if not self.rows:
            return
        columns = dict.fromkeys(key for row in self.rows.values() for key in row)
        text = io.StringIO()
        writer = csv.DictWriter(text, list(columns), lineterminator="\n")
        writer.writeheader()
        writer.writerows(self.rows.values())
        write_text(self.path, text.getvalue())

    @rank_zero_only
    def finalize(self, status: str) -> None:
        self.save()

    def _read(self) -> dict[int, dict[str, Any]]:
        if not self.path.is_file():
            return {}
        with self.path.open(newline="", encoding="utf-8") as file:
            return {int(row["step"]): {k: v for k, v in row.items() if v} for row in csv.DictReader(file)}
