"""Several processes train what one would, in one folder and with one voice; gloo on the CPU."""

import signal
import sys
import time
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

from dragoman.data.draws import Draws
from dragoman.data.sampler import EndlessBatches, Place, Position
from dragoman.training.scoring import in_turn
from dragoman.training.train import train
from training_for_tests import (
    TIMES,
    TRAINS,
    last,
    metrics,
    one_thread_and_a_cache,  # noqa: F401 (a fixture)
    start,
    tiny,
    wait_for,
    weights,
)

RUN = ("model.dropout=0", "max_steps=50", "validate_every=25", "validation.sentences=5")
TORCHRUN = [str(Path(sys.executable).with_name("torchrun")), "--nproc_per_node", "2"]


def farthest(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> float:
    return max((tensor - other[name]).abs().max().item() for name, tensor in one.items())


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of two processes, started as anybody would."""
    folder = tmp_path_factory.mktemp("two")
    process = start(folder, *RUN, "trainer.devices=2")
    assert process.wait(240) == 0, (folder / "log").read_text()
    return folder


def test_two_processes_give_the_weights_of_one_with_the_same_global_batch(tmp_path, two):
    train(tiny(*RUN, "trainer.accumulate_grad_batches=2"), tmp_path)
    ours, theirs = last(two / "run"), last(tmp_path)
    assert ours["global_step"] == theirs["global_step"] == 50
    assert farthest(ours["state_dict"], theirs["state_dict"]) <= 1e-5
    start_of_it = train_nothing(tmp_path / "start")
    assert farthest(ours["state_dict"], start_of_it) > 1e-2
    logs = [
        {(step, key): row[key] for step, row in metrics(one).items() for key in row if key not in TIMES}
        for one in (two / "run", tmp_path)
    ]
    assert logs[0] == pytest.approx(logs[1], rel=1e-4)
    assert len(logs[0]) > 50 * 3


def train_nothing(folder: Path) -> dict[str, torch.Tensor]:
    """The weights of a run without a learning rate worth the name."""
    train(tiny(*RUN, "optimizer.lr=1e-12", "max_steps=1"), folder)
    found: dict[str, torch.Tensor] = last(folder)["state_dict"]
    return found


def test_there_is_one_folder_and_one_voice(two):
    said = (two / "log").read_text()
    for line in ("learning the tokenizer", "training 12,032 parameters", "translating the test set", "BLEU "):
        assert sum(one.startswith(line) for one in said.splitlines()) == 1, line
    assert "sync_dist" not in said
    assert yaml.safe_load((two / "run" / "config.yaml").read_text())["trainer"]["devices"] == 2
    assert not list((two / "run").rglob(".*.partial"))
    assert len(last(two / "run")["TranslationData"]["since"]) == 2


def test_every_sentence_is_seen_once_an_epoch_by_all_processes_together():
    """Whatever their number: none is ever short of a batch, since the stream of batches has no end."""
    lengths_N2 = np.random.default_rng(1).integers(2, 20, (997, 2))
    draws = Draws([997], [997], 3)
    batches = EndlessBatches(lengths_N2, draws, batch_tokens=128, max_length=64)
    epoch = [tuple(batch) for batch in islice(batches, len(batches.epoch(0)))]
    assert sorted(row for batch in epoch for row in batch) == list(range(997))
    for world in (2, 3, 5):
        streams = [
            iter(
                EndlessBatches(
                    lengths_N2,
                    draws,
                    batch_tokens=128,
                    max_length=64,
                    position=Position(0, Place(0, 0, 0), rank, world),
                )
            )
            for rank in range(world)
        ]
        together = [tuple(next(stream)) for _ in range(-(-len(epoch) // world)) for stream in streams]
        assert together[: len(epoch)] == epoch


@pytest.mark.parametrize("world", [1, 2, 3, 7])
def test_shares_of_lines_come_back_in_turn(world):
    lines = [f"line {number}" for number in range(11)]
    assert in_turn([lines[rank::world] for rank in range(world)]) == lines


# --- Slower ones ---


@pytest.mark.slow
@pytest.mark.parametrize("data", ["default", "sampled"])
def test_two_processes_go_on_where_they_were_stopped(tmp_path, data):
    further = ("trainer.devices=2", "max_steps=400", "validate_every=100", "model.dropout=0.3", f"data={data}")
    for name in ("whole", "stopped"):
        (tmp_path / name).mkdir()
    assert start(tmp_path / "whole", *RUN, *further).wait(300) == 0
    process = start(tmp_path / "stopped", *RUN, *further)
    wait_for(tmp_path / "stopped", TRAINS)
    time.sleep(0.5)
    process.send_signal(signal.SIGTERM)
    assert process.wait(60) == 128 + signal.SIGTERM
    said = (tmp_path / "stopped" / "log").read_text()
    assert said.count("Stopped by SIGTERM at step") == 1
    assert "Traceback" not in said
    assert 0 < last(tmp_path / "stopped" / "run")["global_step"] < 400
    assert start(tmp_path / "stopped", *RUN, *further).wait(300) == 0
    ends = [last(tmp_path / name / "run") for name in ("whole", "stopped")]
    assert farthest(ends[0]["state_dict"], ends[1]["state_dict"]) == 0


@pytest.mark.slow
def test_a_model_that_is_spread_over_them_is_trained_the_same(tmp_path, two):
    """FSDP, which goes on from its own checkpoints, and from those of processes with a whole model each."""
    further = ("trainer=fsdp", "trainer.accelerator=cpu", "trainer.precision=32-true")
    assert start(tmp_path, *RUN, *further, "max_steps=25").wait(240) == 0
    assert last(tmp_path / "run")["global_step"] == 25
    assert start(tmp_path, *RUN, *further).wait(240) == 0
    said = (tmp_path / "log").read_text()
    assert "going on from step 25" in said
    assert "in-place" not in said
    ours, theirs = last(tmp_path / "run"), last(two / "run")
    assert farthest(ours["state_dict"], theirs["state_dict"]) <= 1e-5
    kept = [weights(folder / "run" / "best.ckpt") for folder in (tmp_path, two)]
    assert farthest(*kept) <= 1e-5


@pytest.mark.slow
def test_torchrun_starts_them_too(tmp_path, two):
    assert start(tmp_path, *RUN, "trainer.devices=2", by=TORCHRUN).wait(240) == 0
    assert farthest(last(tmp_path / "run")["state_dict"], last(two / "run")["state_dict"]) == 0


@pytest.mark.slow
def test_processes_that_the_trainer_does_not_know_of_are_refused(tmp_path):
    assert start(tmp_path, *RUN, by=TORCHRUN).wait(240) == 1
    said = (tmp_path / "log").read_text()
    assert said.count("2 processes were started for 1: set `trainer.devices`") == 1
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_what_the_first_process_is_refused_all_are(tmp_path):
    process = start(tmp_path, *RUN, "trainer.devices=2", "tokenizer.vocab_size=100000")
    assert process.wait(120) == 1
    said = (tmp_path / "log").read_text()
    assert said.count("is larger than this corpus allows") == 1
    assert "Traceback" not in said
