"""Bad days: numbers that are none, memory and disks that do not suffice, failing validations and loggers, silence."""

import json
import logging
import multiprocessing
import os
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

import lightning as L
import pytest
import torch

from dragoman.errors import InputError
from dragoman.files import alone_in, check_alone_in
from dragoman.heartbeat import heartbeat
from dragoman.training.csv_log import CsvLog
from dragoman.training.provenance import PROVENANCE
from dragoman.training.scoring import ScoreTranslations
from dragoman.training.task import TranslationTask
from dragoman.training.train import alone_since, traces, train
from dragoman.training.unsound import leave_out
from dragoman.translator import Translator
from training_for_tests import Accident, last, metrics, one_thread_and_a_cache, tiny, weights  # noqa: F401 (a fixture)

# --- Steps that would spoil the weights ---

OPTIMIZERS: dict[str, Any] = {
    "adamw, fused": lambda one: torch.optim.AdamW(one, lr=0.1, fused=True),
    "adamw": lambda one: torch.optim.AdamW(one, lr=0.1, foreach=False),
    "sgd, fused": lambda one: torch.optim.SGD(one, lr=0.1, momentum=0.9, fused=True),
    "sgd": lambda one: torch.optim.SGD(one, lr=0.1, momentum=0.9),
}


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_a_step_that_is_left_out_changes_neither_weights_nor_moments(name: str) -> None:
    """Three steps with a bad one among them are the two others."""

    def after(gradients: list[float]) -> tuple[torch.Tensor, Any]:
        weight = torch.nn.Parameter(torch.ones(5))
        optimizer = OPTIMIZERS[name]([weight])
        for value in gradients:
            weight.grad = torch.full((5,), value)
            leave_out(optimizer, ~torch.isfinite(weight.grad.sum()))
            optimizer.step()
        return weight.detach(), optimizer.state_dict()["state"]

    (ours, state), (theirs, other) = after([0.5, float("nan"), 0.2]), after([0.5, 0.2])
    assert torch.equal(ours, theirs)
    assert not torch.equal(ours, torch.ones(5))
    for key, value in other[0].items():
        assert torch.equal(torch.as_tensor(state[0][key]), torch.as_tensor(value)), key


def spoil(monkeypatch: pytest.MonkeyPatch, value: float, *steps: int) -> None:
    """The loss of the batches before those steps times `value`."""
    whole = TranslationTask.training_step

    def step(self: TranslationTask, batch: Any, batch_idx: int) -> torch.Tensor:
        loss = whole(self, batch, batch_idx)
        if self.trainer.global_step + 1 not in steps:
            return loss
        self.step_sums[0] *= value
        return loss * value

    monkeypatch.setattr(TranslationTask, "training_step", step)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 1e6])
def test_a_loss_that_is_no_number_stops_before_it_spoils_the_weights(tmp_path, monkeypatch, value):
    spoil(monkeypatch, value, 5)
    told = r"step 5 is not a number, or too large \(`highest_loss`: .*unsound-step-5.json: under another `name=` lower"
    with pytest.raises(InputError, match=told):
        train(tiny(), tmp_path)
    pairs = json.loads((tmp_path / "unsound-step-5.json").read_text())
    assert len(pairs) > 1
    assert all(pair["source"] and pair["target"] for pair in pairs)
    assert last(tmp_path)["global_step"] == 3
    assert all(tensor.isfinite().all() for tensor in weights(tmp_path / "best.ckpt").values())


def test_such_steps_may_be_left_out_and_are_counted(tmp_path, monkeypatch, caplog):
    spoil(monkeypatch, float("nan"), 5, 8)
    with caplog.at_level(logging.WARNING, "dragoman"):
        train(tiny("callbacks.guard.drops=2"), tmp_path)
    end = last(tmp_path)
    assert end["global_step"] == 12
    assert end["callbacks"]["Guard"]["dropped"] == 2
    assert all(tensor.isfinite().all() for tensor in end["state_dict"].values())
    assert [record.getMessage().rpartition(". ")[2] for record in caplog.records] == [
        f"It was left out, as {n} of at most 2." for n in (1, 2)
    ]
    rows = metrics(tmp_path)
    assert sorted(rows) == list(range(1, 13))
    assert all(row["train_loss"] < 100 for row in rows.values())


def test_one_more_than_allowed_stops(tmp_path, monkeypatch):
    spoil(monkeypatch, float("nan"), 2, 4)
    with pytest.raises(InputError, match=r"step 4 is not a number.*`callbacks.guard.drops`, 1"):
        train(tiny("callbacks.guard.drops=1"), tmp_path)


# --- Memory and disks ---


@pytest.mark.parametrize(
    "error", [torch.OutOfMemoryError("CUDA out of memory"), RuntimeError("DefaultCPUAllocator: can't allocate memory")]
)
def test_memory_that_does_not_suffice_is_a_sentence_and_the_run_is_saved(tmp_path, monkeypatch, error):
    train(tiny(), tmp_path / "whole")
    whole = TranslationTask.training_step

    def step(self: TranslationTask, batch: Any, batch_idx: int) -> torch.Tensor:
        if self.trainer.global_step == 7:
            raise error
        return whole(self, batch, batch_idx)

    monkeypatch.setattr(TranslationTask, "training_step", step)
    with pytest.raises(
        InputError, match=r"a batch of \d+ sentences with up to \d+ source .* lower `data.batch_tokens` \(256\)"
    ):
        train(tiny(), tmp_path / "run")
    assert last(tmp_path / "run")["global_step"] == 7
    monkeypatch.undo()
    train(tiny(), tmp_path / "run")
    ends = [last(tmp_path / name)["state_dict"] for name in ("whole", "run")]
    assert all(torch.equal(tensor, ends[1][name]) for name, tensor in ends[0].items())


def test_memory_that_does_not_suffice_for_the_first_step_promises_nothing(tmp_path, monkeypatch):
    def step(self: TranslationTask, batch: Any, batch_idx: int) -> torch.Tensor:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(TranslationTask, "training_step", step)
    with pytest.raises(InputError, match=r"lower `data.batch_tokens` \(256\).*; no step was taken yet\.$"):
        train(tiny(), tmp_path)
    assert not (tmp_path / "last.ckpt").exists()


def test_a_run_without_anything_to_go_on_from_says_that_it_is_trained_anew(tmp_path, caplog):
    caplog.set_level("INFO")
    train(tiny(), tmp_path / "whole")
    with pytest.raises(Accident.Happened):
        train(tiny(raise_at=8), tmp_path / "run")
    for name in ("last.ckpt", "last-previous.ckpt"):
        (tmp_path / "run" / name).unlink(missing_ok=True)
    assert "trained anew" not in caplog.text
    train(tiny(), tmp_path / "run")
    assert "neither last.ckpt nor last-previous.ckpt to go on from: trained anew" in caplog.text
    ends = [last(tmp_path / name)["state_dict"] for name in ("whole", "run")]
    assert all(torch.equal(tensor, ends[1][name]) for name, tensor in ends[0].items())


def test_a_program_error_is_no_question_of_memory(tmp_path, monkeypatch):
    monkeypatch.setattr(TranslationTask, "training_step", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        train(tiny(), tmp_path)


# --- What may fail without ending the training ---


def failing(*_: Any, **__: Any) -> Any:
    raise OSError(28, "No space left on device")


def test_a_failing_translation_leaves_a_validation_without_bleu(tmp_path, monkeypatch, caplog):
    whole = ScoreTranslations._translate
    calls: list[int] = []

    def sometimes(self: ScoreTranslations, source: list[str]) -> Any:
        calls.append(1)
        if len(calls) == 2:
            monkeypatch.setattr(Translator, "__call__", failing)
        found = whole(self, source)
        monkeypatch.setattr(Translator, "__call__", call)
        return found

    call = Translator.__call__
    monkeypatch.setattr(ScoreTranslations, "_translate", sometimes)
    train(tiny(), tmp_path)
    assert "translating the validation split has failed; training goes on" in caplog.text
    assert [step for step, row in metrics(tmp_path).items() if row.get("bleu", -1) >= 0] == [3, 9, 12]
    assert {path.stem for path in (tmp_path / "weights").iterdir()} <= {"step-3", "step-9", "step-12"}


def test_a_failing_validation_batch_ends_nothing(tmp_path, monkeypatch, caplog):
    whole = TranslationTask.loss

    def loss(self: TranslationTask, batch: Any, label_smoothing: float) -> torch.Tensor:
        if not torch.is_grad_enabled() and self.trainer.global_step == 6:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return whole(self, batch, label_smoothing)

    monkeypatch.setattr(TranslationTask, "loss", loss)
    train(tiny(), tmp_path)
    assert "this batch of the validation split has failed; training goes on" in caplog.text
    assert last(tmp_path)["global_step"] == 12


def test_where_no_validation_ever_succeeds_the_last_weights_are_kept(tmp_path, monkeypatch):
    monkeypatch.setattr(ScoreTranslations, "_translate", lambda *_: None)
    train(tiny(), tmp_path)
    end = {name.removeprefix("model."): tensor for name, tensor in last(tmp_path)["state_dict"].items()}
    kept = weights(tmp_path / "best.ckpt")
    assert all(torch.equal(tensor, kept[name]) for name, tensor in end.items())


@pytest.mark.parametrize("method", ["log_metrics", "save", "finalize"])
def test_a_failing_logger_is_told_once_and_ends_nothing(tmp_path, monkeypatch, caplog, method):
    monkeypatch.setattr(CsvLog, method, failing)
    train(tiny(), tmp_path)
    assert last(tmp_path)["global_step"] == 12
    assert caplog.text.count("CsvLog fails (OSError") == 1


def test_a_damaged_checkpoint_of_a_validation_is_left_out_of_the_average(tmp_path, caplog):
    with pytest.raises(Accident.Happened):
        train(tiny("validate_every=2", raise_at=11), tmp_path)
    hurt = sorted((tmp_path / "weights").iterdir())[0]
    hurt.write_bytes(b"noise")
    train(tiny("validate_every=2"), tmp_path)
    assert f"{hurt} is damaged" in caplog.text
    assert all(tensor.isfinite().all() for tensor in weights(tmp_path / "best.ckpt").values())


# --- Saving between validations ---


def test_saving_by_the_clock_is_as_good_as_at_a_validation(tmp_path):
    train(tiny(), tmp_path / "whole")
    with pytest.raises(Accident.Happened):
        train(tiny("callbacks.checkpoints.minutes=1e-9", raise_at=8), tmp_path / "broken")
    assert last(tmp_path / "broken")["global_step"] == 7
    train(tiny(), tmp_path / "broken")
    ends = [last(tmp_path / name)["state_dict"] for name in ("whole", "broken")]
    assert all(torch.equal(tensor, ends[1][name]) for name, tensor in ends[0].items())


# --- One at a time, never silent, and known by its deeds ---


def hold(folder: Path, inside: Any, leave: Any) -> None:
    with alone_in(folder):
        inside.set()
        leave.wait(60)


def test_two_processes_do_not_train_in_one_folder(tmp_path):
    context = multiprocessing.get_context("spawn")
    inside, leave = context.Event(), context.Event()
    other = context.Process(target=hold, args=(tmp_path, inside, leave))
    other.start()
    assert inside.wait(60)
    try:
        with pytest.raises(InputError, match="Another process trains in"), alone_in(tmp_path):
            pass
        with pytest.raises(InputError, match="Another process trains in"):
            check_alone_in(tmp_path)
    finally:
        leave.set()
        other.join()
    (tmp_path / "weights").mkdir()
    of_nobody, ours = (tmp_path / "weights" / f".step-3.ckpt.{number}.partial" for number in (1 << 22, os.getpid()))
    folder = tmp_path / f".ctranslate2.{1 << 22}.partial"
    (folder / "inside").mkdir(parents=True)
    below = tmp_path / "seed=1" / of_nobody.name
    below.parent.mkdir()
    for half in (of_nobody, ours, below):
        half.write_bytes(b"half")
    with alone_in(tmp_path):
        assert not of_nobody.exists()
        assert not folder.exists()
        assert ours.exists()
        assert below.exists(), "another run's"
        assert (tmp_path / ".lock").exists()
    assert not (tmp_path / ".lock").exists()
    check_alone_in(tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_what_another_process_has_trained_meanwhile_is_not_trained_over(tmp_path):
    before = traces(tmp_path)
    with alone_since(before, tmp_path):
        pass
    for name in ("config.yaml", "last.ckpt"):
        (tmp_path / name).write_text("of another process")
        with pytest.raises(InputError, match="Another process has trained in"), alone_since(before, tmp_path):
            pass
        before = traces(tmp_path)
    assert not (tmp_path / ".lock").exists()


def test_silence_is_broken_and_only_silence(caplog):
    log = logging.getLogger("heart")
    with caplog.at_level(logging.INFO, "heart"), heartbeat(log, silence=0.2):
        log.info("reading")
        time.sleep(0.7)
        for _ in range(8):
            log.info("busy")
            time.sleep(0.05)
    said = [record.getMessage() for record in caplog.records]
    beats = [line for line in said if "still at work" in line]
    assert len(beats) >= 2
    assert all(line.endswith("since: reading") for line in beats)
    assert all(other.created - one.created < 0.5 for one, other in pairwise(caplog.records))
    assert said[0] == "reading"
    count = len(caplog.records)
    time.sleep(0.3)
    assert len(caplog.records) == count


def test_a_run_folder_says_what_made_it(tmp_path):
    with pytest.raises(Accident.Happened):
        train(tiny(raise_at=8), tmp_path)
    train(tiny(), tmp_path)
    train(tiny(), tmp_path / "whole")
    found, whole = (json.loads((folder / PROVENANCE).read_text()) for folder in (tmp_path, tmp_path / "whole"))
    assert [start["from_step"] for start in found["starts"]] == [0, 6]
    for start in found["starts"]:
        assert start["packages"]["torch"] == torch.__version__
        assert start["packages"]["lightning"] == L.__version__
        assert start["processor"]
        assert 1 << 27 < start["peak_bytes"] < 1 << 36
    assert (found["steps"], found["seed"]) == (12, 1)
    assert found["target_tokens"] == whole["target_tokens"] > 12 * 50
    assert found["seconds"] > 0
    assert found["data"] == whole["data"]
    assert len(set(found["data"].values())) == 3
