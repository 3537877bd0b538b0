"""What made a run: versions, commit, data, seed, hardware, time, tokens. Written into its folder as provenance.json."""

import json
import os
import platform
import subprocess
import time
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import lightning as L
import torch

from dragoman.files import write_json
from dragoman.machine import peak_memory, processor

PROVENANCE = "provenance.json"
PACKAGES = ("dragoman", "torch", "lightning", "hydra-core", "sentencepiece", "datasets", "sacrebleu", "numpy")


class Provenance(L.Callback):
    """Adds each start of the run to what is known of it, and keeps count of its seconds, steps and target tokens.

    `facts`: of the run, the same at each start.
    """

    def __init__(self, folder: Path, facts: dict[str, Any]) -> None:
        self.path = folder / PROVENANCE
        self.facts = facts
        self.seconds = 0.0  # of training, in all starts that were saved

    def state_dict(self) -> dict[str, Any]:
        return {"seconds": self._seconds()}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.seconds = state_dict["seconds"]

    def on_train_start(self, trainer: L.Trainer, pl_module: Any) -> None:
        self.began = time.monotonic()
        self.start = circumstances() | {"from_step": trainer.global_step, "processes": trainer.world_size}
        self.earlier = read_provenance(self.path).get("starts", [])
        self._write(trainer, pl_module)

    def on_validation_end(self, trainer: L.Trainer, pl_module: Any) -> None:
        self._write(trainer, pl_module)

    def on_train_end(self, trainer: L.Trainer, pl_module: Any) -> None:
        self._write(trainer, pl_module)

    def _seconds(self) -> float:
        return self.seconds + (time.monotonic() - self.began if hasattr(self, "began") else 0.0)

    def _write(self, trainer: L.Trainer, pl_module: Any) -> None:
        if not trainer.is_global_zero:
            return
        done = {
            "steps": trainer.global_step,
            "target_tokens": int(pl_module.total_tokens),
            "seconds": round(self._seconds(), 1),
        }
        self.start |= {"peak_bytes": peak_memory()}
        if trainer.strategy.root_device.type == "cuda":
            self.start |= {"peak_gpu_bytes": torch.cuda.max_memory_allocated()}
        content = self.facts | done | {"starts": [*self.earlier, self.start]}
        write_json(self.path, content)


def read_provenance(path: Path) -> dict[str, Any]:
    """What is known of a run; nothing where the file is absent or damaged."""
    try:
        found = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def circumstances() -> dict[str, Any]:
    """Of this moment: the date, the software, the hardware."""
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": commit(),
        "python": platform.python_version(),
        "packages": {name: installed(name) for name in PACKAGES},
        "processor": processor(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "gpus": [torch.cuda.get_device_name(number) for number in range(torch.cuda.device_count())],
    }


def installed(package: str) -> str | None:
    """Its version; None where it is used without having been installed."""
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def commit() -> str | None:
    """Of Dragoman's own checkout, marked where files were changed since; None where it was installed without one."""
    root = Path(__file__).resolve().parents[3]
    if not (root / ".git").exists():
        return None
    command = ["git", "-C", str(root), "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=20).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return None
