"""`data.batch_tokens: auto`: the largest that fits is found in few trials, and leaves but its number behind."""

from typing import Any

import pytest
import torch

from dragoman.errors import InputError
from dragoman.run import Run
from dragoman.training import budget
from dragoman.training.train import train
from training_for_tests import (
    assert_same_end,
    one_thread_and_a_cache,  # noqa: F401 (a fixture)
    tiny,
)


def memory(limit: int) -> tuple[Any, list[int]]:
    """A trial that holds so many tokens, and what was tried of it."""
    tried: list[int] = []

    def trial(tokens: int) -> None:
        tried.append(tokens)
        if tokens > limit:
            raise torch.OutOfMemoryError("CUDA out of memory.")

    return trial, tried


@pytest.mark.parametrize("limit", [1024, 1500, 4096, 5000, 25_000, 100_001, 262_143, 262_144, 10**9])
def test_the_largest_that_fits_is_found_less_a_margin(limit):
    trial, tried = memory(limit)
    found = budget.largest(trial, 100)
    holds = min(limit, budget.MOST)
    assert 0.9 * holds / 1.1 - 1 <= found <= 0.9 * holds
    assert len(tried) <= 14
    assert len(set(tried)) == len(tried), "nothing is tried twice"
    assert max(tried) <= budget.MOST


def test_what_holds_no_sentence_is_refused_and_other_errors_are_not_hidden():
    with pytest.raises(InputError, match=r"lower `data.max_length` \(700\)"):
        budget.largest(memory(1399)[0], 700)
    assert budget.largest(memory(1400)[0], 700) >= 700

    def broken(tokens: int) -> None:
        raise RuntimeError("something else")

    with pytest.raises(RuntimeError, match="something else"):
        budget.largest(broken, 100)


@pytest.mark.parametrize("accumulate", [1, 2])
def test_the_run_is_the_one_that_was_given_the_number(tmp_path, monkeypatch, accumulate):
    """Real steps of a real model, in a memory that is said to hold 2,000 tokens; then a start that goes on."""
    real, trials = budget.real_trial, []

    def limited(*of_what: Any) -> Any:
        inner, (said, _) = real(*of_what), memory(2000)

        def trial(tokens: int) -> None:
            inner(tokens)
            trials.append(torch.rand(()).item())
            said(tokens)

        return trial

    monkeypatch.setattr(budget, "real_trial", limited)
    monkeypatch.setattr(budget, "on_gpu", lambda accelerator: True)
    settings = ("model.dropout=0.1", "data.max_length=64", f"trainer.accumulate_grad_batches={accumulate}")
    train(tiny(*settings, "data.batch_tokens=auto", "max_steps=4"), tmp_path / "found")
    number = Run(tmp_path / "found").config["data"]["batch_tokens"]
    assert 1600 <= number <= 1800
    assert len(trials) > 3
    made = len(trials)
    train(tiny(*settings, "data.batch_tokens=auto", "max_steps=6"), tmp_path / "found")
    assert len(trials) == made, "searched again"
    for steps in (4, 6):
        train(tiny(*settings, f"data.batch_tokens={number}", f"max_steps={steps}"), tmp_path / "given")
    assert_same_end(tmp_path / "found", tmp_path / "given")


def test_the_worst_batches_fill_the_budget():
    for tokens, length in ((1000, 64), (1000, 8), (64, 64)):
        src_BS, tgt_BT = budget.worst_batch(tokens, length)
        assert src_BS.shape == (tokens // length, length)
        assert tgt_BT[:, 1:].shape == src_BS.shape


def test_without_a_gpu_a_number_must_be_given(tmp_path):
    with pytest.raises(InputError, match="measures the memory of one GPU: elsewhere give a number"):
        train(tiny("data.batch_tokens=auto"), tmp_path / "run")
    assert not (tmp_path / "run").exists()
