"""Tiny runs: the real configurations, composed as the scripts compose them, with a model that trains in a second."""

import csv
import io
import logging
import os
import subprocess
import sys
import time
from copy import deepcopy
from functools import cache
from pathlib import Path
from typing import Any, ClassVar

import datasets
import hydra
import lightning as L
import pytest
import torch
from torch import Tensor

from dragoman.data.batch import Batch
from dragoman.evaluation import scores
from dragoman.run import Run
from dragoman.training.fused_loss import FusedLoss
from entry import CONFIG_FOLDER, Root
from entry_literals import LITERAL, Literals
from scripts_for_tests import ROOT, environment

TINY = [
    "experiment=pocket", "schedule=constant", "logger=csv", "search=greedy", "name=tiny", "corpus.train_size=300",
    "corpus.validation_size=24", "corpus.test_size=8", "tokenizer.vocab_size=400", "model.dim=16", "model.num_heads=2",
    "model.positions=sinusoidal",
    "model.feed_forward_dim=32", "model.encoder_layers=1", "model.decoder_layers=1", "data.batch_tokens=256",
    "schedule.warmup_steps=2", "callbacks.progress.every=1", "trainer.precision=32-true", "max_steps=12",
    "validate_every=3", "validation.sentences=4", "test_sentences=4", "search.length_ratio=0.3",
    "validation.search.length_ratio=0.3", "validation.search.length_extra=3",
]  # fmt: skip


@cache
def composed(root: str, overrides: tuple[str, ...]) -> dict[str, Any]:
    one = Root(root, CONFIG_FOLDER, Literals(LITERAL))
    with hydra.initialize_config_dir(str(CONFIG_FOLDER), version_base="1.3"):
        return one.plain(one.compose(list(overrides)), resolve=True)


def compose(*overrides: str, root: str = "train") -> dict[str, Any]:
    """What a script gets for that command line."""
    return deepcopy(composed(root, overrides))


def tiny(
    *overrides: str, record: bool = False, raise_at: int | None = None, signalled: dict[str, Any] | None = None
) -> dict[str, Any]:
    """A run of seconds; optionally watched by `Record`, or stopped by an exception after a step, or by a signal."""
    config = compose(*TINY, *overrides)
    if record:
        Record.forget()
        config["callbacks"]["record"] = {"_target_": "training_for_tests.Record"}
    if raise_at is not None:
        config["callbacks"]["accident"] = {"_target_": "training_for_tests.Accident", "step": raise_at}
    if signalled is not None:
        config["callbacks"]["signal"] = {"_target_": "training_for_tests.Signal", **signalled}
    return config


def use_sgd(config: dict[str, Any], lr: float, *, fused: bool = False) -> dict[str, Any]:
    """Plain descent: unlike Adam's, its steps are as long as the gradients, so that a wrong factor is seen."""
    config["optimizer"] = {"_target_": "torch.optim.SGD", "_partial_": True, "lr": lr, "fused": fused}
    return config


class OtherLoss(FusedLoss):
    """The same by another name."""


class Accident(L.Callback):
    """Raises `what` once the step is taken, before any validation at it."""

    class Happened(Exception):
        """On purpose."""

    what: BaseException = Happened()

    def __init__(self, *, step: int) -> None:
        self.step = step

    def on_train_batch_end(self, trainer: L.Trainer, *_: Any) -> None:
        if trainer.global_step == self.step:
            raise self.what


class Signal(L.Callback):
    """Sends this process a signal at an optimizer step, at a moment of its own."""

    def __init__(self, *, number: int, step: int, moment: str) -> None:
        self.number, self.step, self.moment = number, step, moment

    def send(self, moment: str, trainer: L.Trainer) -> None:
        if moment == self.moment and trainer.global_step >= self.step:
            os.kill(os.getpid(), self.number)

    def on_train_batch_start(self, trainer: L.Trainer, *_: Any) -> None:
        self.send("batch", trainer)

    def on_before_optimizer_step(self, trainer: L.Trainer, *_: Any) -> None:
        self.send("optimizer", trainer)

    def on_train_batch_end(self, trainer: L.Trainer, *_: Any) -> None:
        self.send("step", trainer)
        if trainer.global_step >= self.step:
            self.spoil_files()

    def on_validation_batch_start(self, trainer: L.Trainer, *_: Any) -> None:
        self.send("validation", trainer)

    def on_validation_epoch_end(self, trainer: L.Trainer, *_: Any) -> None:
        self.send("translation", trainer)

    def spoil_files(self) -> None:
        """From now on the next file of tensors ends half-way, or the next rename is the last deed, or never comes."""
        whole, rename = torch.save, os.replace

        def half(content: Any, file: Any) -> None:
            made = io.BytesIO()
            whole(content, made)
            file.write(made.getvalue()[: len(made.getvalue()) // 2])
            file.flush()
            os.kill(os.getpid(), self.number)

        def before(*paths: Any) -> None:
            os.kill(os.getpid(), self.number)

        def after(*paths: Any) -> None:
            rename(*paths)
            os.kill(os.getpid(), self.number)

        if self.moment == "writing":
            torch.save = half
        elif self.moment in ("before a rename", "after a rename"):
            os.replace = before if self.moment == "before a rename" else after


class Record(L.Callback):
    """What a training did, kept in the class: `train` builds its callbacks itself."""

    model: ClassVar[Any]
    start: ClassVar[dict[str, Tensor]]
    batches: ClassVar[list[Batch]]
    norms: ClassVar[list[float]]  # of the gradients that each optimizer step was given
    training_mode: ClassVar[list[bool]]  # at each validation batch
    best: ClassVar[list[tuple[int, int]]]  # (step, the step in best.ckpt), behind each validation

    @classmethod
    def forget(cls) -> None:
        cls.model, cls.start, cls.batches, cls.norms, cls.training_mode, cls.best = None, {}, [], [], [], []

    def on_train_start(self, trainer: L.Trainer, pl_module: Any) -> None:
        Record.model = pl_module.model
        Record.start = {name: tensor.clone() for name, tensor in pl_module.model.state_dict().items()}

    def on_train_batch_start(self, trainer: L.Trainer, pl_module: Any, batch: Batch, batch_idx: int) -> None:
        Record.batches.append(Batch(*(ids.clone() for ids in batch)))
        best = Path(trainer.default_root_dir) / "best.ckpt"
        if best.exists():
            Record.best.append((trainer.global_step, torch.load(best)["step"]))

    def on_train_batch_end(self, trainer: L.Trainer, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        if trainer.global_step > len(Record.norms):
            squares = [parameter.grad.double().square().sum() for parameter in pl_module.parameters()]
            Record.norms.append(torch.stack(squares).sum().sqrt().item())

    def on_validation_batch_start(self, trainer: L.Trainer, pl_module: Any, *_: Any) -> None:
        Record.training_mode.extend(module.training for module in pl_module.model.modules())


def metrics(folder: Path) -> dict[int, dict[str, float]]:
    """metrics.csv by step; a step that stands there twice is an error."""
    with (folder / "metrics.csv").open() as file:
        rows = [{key: float(value) for key, value in row.items() if value} for row in csv.DictReader(file)]
    by_step = {int(row["step"]): row for row in rows}
    assert len(by_step) == len(rows)
    return by_step


def last(folder: Path) -> dict[str, Any]:
    return torch.load(folder / "last.ckpt", weights_only=True)


def weights(path: Path) -> dict[str, Tensor]:
    return torch.load(path, weights_only=True)["weights"]


@pytest.fixture(autouse=True, scope="module")
def one_thread_and_a_cache(tmp_path_factory: pytest.TempPathFactory):
    """Threads cost such small models more than they give; the tokenised corpus is made once."""
    threads, logging_level = torch.get_num_threads(), logging.getLogger("dragoman").level
    torch.set_num_threads(1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path_factory.mktemp("cache"))
        patch.setattr(scores, "BOOTSTRAP_SAMPLES", 10)
        yield
    torch.set_num_threads(threads)
    logging.getLogger("dragoman").setLevel(logging_level)


# --- Real processes ---

TRAINS = "attention is computed by"  # what the log says once the first batch is through


def start(folder: Path, *overrides: str, by: list[str] | None = None) -> subprocess.Popen[bytes]:
    """scripts/train.py on a tiny run in `folder`/run, in a process group of its own, with a log beside the run."""
    variables = environment() | {"HF_DATASETS_CACHE": str(folder / "cache")}
    variables["PYTHONPATH"] += os.pathsep + str(ROOT / "tests")
    command = [*(by or [sys.executable]), str(ROOT / "scripts" / "train.py"), *TINY, f"run_dir={folder / 'run'}"]
    with (folder / "log").open("ab") as log:
        return subprocess.Popen([*command, *overrides], env=variables, stdout=log, stderr=log, start_new_session=True)


def wait_for(folder: Path, text: str) -> None:
    """Until the log of what was started there holds the text; a failure after two minutes."""
    for _ in range(600):
        if text in (folder / "log").read_text():
            return
        time.sleep(0.2)
    raise AssertionError((folder / "log").read_text())


# --- One run as good as another ---


def same(one: Any, other: Any) -> bool:
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(same, one, other))
    return torch.equal(one, other) if isinstance(one, torch.Tensor) else one == other


TIMES = ("tokens_per_second", "share_of_peak")  # of a row of metrics.csv: no two runs have the same


def assert_same_end(folder: Path, other: Path) -> None:
    """All that a run leaves, but for times."""
    ends = last(folder), last(other)
    for end in ends:
        del end["callbacks"]["Provenance"]
    for key in ("state_dict", "optimizer_states", "lr_schedulers", "global_step", "callbacks", "sums"):
        assert same(ends[0][key], ends[1][key]), key
    assert same(weights(folder / "best.ckpt"), weights(other / "best.ckpt"))
    assert (folder / "hypotheses.txt").read_text() == (other / "hypotheses.txt").read_text()
    assert Run(folder).scores()["scores"] == Run(other).scores()["scores"]
    logs = [
        {step: {key: row[key] for key in row if key not in TIMES} for step, row in metrics(one).items()}
        for one in (folder, other)
    ]
    assert logs[0] == logs[1]
    kept = [{path.name for path in (one / "weights").iterdir()} for one in (folder, other)]
    assert kept[0] == kept[1]
