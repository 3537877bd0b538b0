"""`trainer=gpu`, sent to a CPU: all of its road that needs no GPU and no compiler."""

import shutil
from collections.abc import Iterator
from typing import Any

import pytest
import torch

from dragoman.errors import InputError
from dragoman.training.compiled import compile_parts
from dragoman.training.fused_loss import FusedLoss
from dragoman.training.loss import WholeLoss
from dragoman.training.r_drop import RDrop
from dragoman.training.train import train
from models_for_tests import batch_of, rnnsearch
from training_for_tests import (
    Accident,
    Record,
    assert_same_end,
    last,
    one_thread_and_a_cache,  # noqa: F401 (a fixture)
    tiny,
)

GPU = ("trainer=gpu", "trainer.accelerator=cpu", "trainer.precision=bf16-mixed")
FEW = ("max_steps=12", "validate_every=4", "model.encoder_layers=2", "model.decoder_layers=2")


found: list[int] = []  # for each graph that was compiled: how many optimizer steps had been taken


@torch._dynamo.register_backend
def counting(graph: Any, inputs: Any) -> Any:
    """A backend that needs no compiler."""
    found.append(len(getattr(Record, "norms", [])))
    return graph.forward


@pytest.fixture
def compilations() -> Iterator[list[int]]:
    torch._dynamo.reset()
    found.clear()
    yield found
    torch._dynamo.reset()


@pytest.mark.parametrize("loss", ["whole", "fused"])
def test_a_part_of_each_kind_is_compiled_once_for_all_batches(tmp_path, compilations, loss):
    """Sizes differ from batch to batch, validations search in between, dropout draws: nothing of it compiles anew."""
    how = ("compile=counting", f"loss={loss}", "model.dropout=0.1", "trainer.gradient_clip_val=0.05")
    config = tiny(*GPU, *FEW, *how, record=True)
    assert config["num_workers"] == 2
    train(config, tmp_path)
    assert last(tmp_path)["global_step"] == 12
    assert len({side.shape for batch in Record.batches for side in batch}) > 8
    assert compilations == [0, 0, 0], "encoder's layers, decoder's layers and the loss, in the first step"
    assert Record.norms == pytest.approx([0.05] * 12, rel=1e-4)


@pytest.mark.parametrize("criterion", [WholeLoss(), FusedLoss(positions="auto"), RDrop(weight=5.0, positions="auto")])
def test_the_loss_of_a_model_without_layers_is_compiled(compilations, criterion):
    model = rnnsearch()
    compile_parts(model, criterion, "counting")
    criterion(model, batch_of(model), 0.1).backward()
    assert len(compilations) == 1


def test_compiled_layers_compute_what_is_written(tmp_path, compilations):
    """Without dropout, whose random numbers a compiler draws in its own way, and with a loss that has one way."""
    for name, backend in (("plain", "null"), ("compiled", "counting")):
        train(
            tiny(*GPU, *FEW, "loss=fused", f"compile={backend}", "trainer.precision=32-true", record=True),
            tmp_path / name,
        )
    assert compilations
    assert_same_end(tmp_path / "plain", tmp_path / "compiled")


def test_a_compiled_run_goes_on_as_if_it_had_not_stopped(tmp_path, compilations):
    """Dropout included; what tells of the kernels runs each layer as it is written, and leaves no trace."""
    settings = (*GPU, *FEW, "compile=counting", "model.dropout=0.1")
    train(tiny(*settings, record=True), tmp_path / "whole")
    with pytest.raises(Accident.Happened):
        train(tiny(*settings, record=True, raise_at=6), tmp_path / "stopped")
    train(tiny(*settings, record=True), tmp_path / "stopped")
    assert_same_end(tmp_path / "whole", tmp_path / "stopped")


def test_a_backend_that_is_none_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"`compile` \(fast\) must be null or one of .*inductor"):
        train(tiny("compile=fast"), tmp_path)


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("g++") is None, reason="torch.compile needs a C++ compiler on a CPU")
def test_what_inductor_makes_trains(tmp_path):
    torch._dynamo.reset()
    train(tiny(*GPU, "max_steps=4", "model.dropout=0.1", record=True), tmp_path)
    assert last(tmp_path)["global_step"] == 4
    assert all(0 < norm < 10 for norm in Record.norms)
