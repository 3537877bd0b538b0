"""A run that is stopped or killed, at whatever moment, and started again is the uninterrupted run, bit for bit."""

import os
import random
import signal
import time
from pathlib import Path

import pytest

from dragoman.errors import Stopped
from dragoman.training.train import train
from training_for_tests import (
    TRAINS,
    assert_same_end,
    last,
    one_thread_and_a_cache,  # noqa: F401 (a fixture)
    start,
    tiny,
    wait_for,
)

STEPS = 24
RUN = ("model.dropout=0.3", "schedule=cosine", "schedule.total_steps=24", "max_steps=24", "validate_every=4")
KINDS = {
    "stored": ("num_workers=0",),
    "stored, workers, saved at each step": ("num_workers=2", "callbacks.checkpoints.minutes=1e-9"),
    "sampled, accumulated": ("num_workers=0", "data=sampled", "trainer.accumulate_grad_batches=2"),
    "sampled, workers, accumulated, saved at each step": (
        *("num_workers=2", "data=sampled", "trainer.accumulate_grad_batches=2"),
        "callbacks.checkpoints.minutes=1e-9",
    ),
}
MOMENTS = ("batch", "optimizer", "step", "validation", "translation", "writing", "before a rename", "after a rename")


# --- Signals that are heeded ---


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("whole")
    train(tiny(*RUN), folder)
    return folder


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGUSR1])
@pytest.mark.parametrize(
    ("moment", "step", "saved"),
    [
        ("batch", 5, 6),
        ("optimizer", 9, 10),
        ("step", 10, 10),
        ("step", 12, 12),
        ("validation", 8, 8),
        ("translation", 16, 16),
    ],
)
def test_a_signal_saves_first_and_stops(tmp_path, whole, number, moment, step, saved):
    before = signal.getsignal(number)
    with pytest.raises(Stopped, match=f"Stopped by {number.name} at step {saved}, where the same command goes on"):
        train(tiny(*RUN, signalled={"number": int(number), "step": step, "moment": moment}), tmp_path)
    assert signal.getsignal(number) == before
    assert last(tmp_path)["global_step"] == saved
    train(tiny(*RUN), tmp_path)
    assert_same_end(whole, tmp_path)


def test_a_signal_at_the_last_validation_waits_for_its_end(tmp_path, whole):
    """There is no step left to go on with."""
    train(tiny(*RUN, signalled={"number": int(signal.SIGTERM), "step": STEPS, "moment": "validation"}), tmp_path)
    assert_same_end(whole, tmp_path)


# --- SIGKILL, which is not ---


def points(dice: random.Random, count: int) -> list[tuple[int, str]]:
    """Steps in their order, each with a moment."""
    steps = sorted(dice.sample(range(1, STEPS), count))
    return [(step, dice.choice(MOMENTS)) for step in steps]


@pytest.mark.slow
@pytest.mark.parametrize(("number", "kind"), list(enumerate(KINDS)))
def test_a_run_that_is_killed_again_and_again_is_the_uninterrupted_run(tmp_path, number, kind):
    """24 kills in all, each by SIGKILL between the first and the last optimizer step."""
    (tmp_path / "whole").mkdir()
    assert start(tmp_path / "whole", *RUN, *KINDS[kind]).wait(300) == 0
    (tmp_path / "killed").mkdir()
    killed = 0
    for step, moment in points(random.Random(number), 6):
        signalled = {"number": int(signal.SIGKILL), "step": step, "moment": f"'{moment}'"}
        more = ["+callbacks.signal._target_=training_for_tests.Signal"]
        more += [f"+callbacks.signal.{key}={value}" for key, value in signalled.items()]
        process = start(tmp_path / "killed", *RUN, *KINDS[kind], *more)
        assert process.wait(300) == -signal.SIGKILL, (step, moment)
        killed += 1
    assert killed == 6
    assert start(tmp_path / "killed", *RUN, *KINDS[kind]).wait(300) == 0
    assert_same_end(tmp_path / "whole" / "run", tmp_path / "killed" / "run")
    assert not list((tmp_path / "killed").rglob(".*.partial"))


def test_ctrl_c_reaches_the_whole_group_and_only_the_parent_heeds_it(tmp_path):
    endless = ("trainer.max_steps=100000", "validate_every=100000")
    process = start(tmp_path, *RUN, *KINDS["stored, workers, saved at each step"], *endless)
    log = tmp_path / "log"
    wait_for(tmp_path, TRAINS)
    time.sleep(1)
    os.killpg(process.pid, signal.SIGINT)
    assert process.wait(60) == 130
    said = log.read_text()
    assert "Traceback" not in said
    assert said.splitlines()[-1].startswith("Stopped by SIGINT at step ")
    assert last(tmp_path / "run")["global_step"] == int(said.split()[-7].replace(",", ""))
