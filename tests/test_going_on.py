"""What a second start makes of a folder: when a run is finished, what it keeps, what it is scored by."""

import logging
from pathlib import Path

import pytest
import torch

from dragoman.errors import InputError
from dragoman.evaluation.evaluate import evaluate_run
from dragoman.training import precision
from dragoman.training.checkpoints import last_whole
from dragoman.training.guard import Guard
from dragoman.training.scoring import ScoreTranslations
from dragoman.training.train import train
from training_for_tests import (
    Accident,
    last,
    metrics,
    one_thread_and_a_cache,  # noqa: F401 (a fixture)
    tiny,
)

EARLY = ("callbacks=early_stopping", "callbacks.early_stopping.patience=2", "max_steps=50", "validate_every=1")


def score(folder: Path, **settings: object) -> None:
    """As `scripts/evaluate.py` does."""
    usual = {"source": None, "reference": None, "output": None, "search": None, "precision": "fp32", "moses": None}
    evaluate_run(str(folder), device="cpu", batch_tokens=256, **(usual | settings))


def test_a_run_that_was_scored_before_its_end_is_trained_to_its_end(tmp_path):
    with pytest.raises(Accident.Happened):
        train(tiny(raise_at=8), tmp_path)
    score(tmp_path)
    assert (tmp_path / "scores.json").exists()
    train(tiny(), tmp_path)
    assert last(tmp_path)["global_step"] == 12


def test_scores_by_another_search_or_precision_are_told_as_such(tmp_path, caplog):
    config = tiny("max_steps=3")
    train(config, tmp_path)
    with caplog.at_level(logging.WARNING, "dragoman"):
        train(tiny("max_steps=3"), tmp_path)
        assert not caplog.records
        score(tmp_path, search=config["search"] | {"length_extra": 3})
        train(tiny("max_steps=3"), tmp_path)
        score(tmp_path, precision="int8")
        train(tiny("max_steps=3"), tmp_path)
    search, precision = (record.getMessage() for record in caplog.records)
    assert "It was scored with other settings (search.length_extra: 3 there, 20 here" in search
    assert "precision: int8 there, fp32 here" in precision
    assert "precision" not in search


def test_scores_never_take_the_place_of_others(tmp_path):
    run, sides = tmp_path / "run", []
    train(tiny("max_steps=3"), run)
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        for side in ("en", "fr"):
            (tmp_path / folder / f"news.{side}").write_text(f"The hen of {folder}.\n")
        sides.append({"source": str(tmp_path / folder / "news.en"), "reference": str(tmp_path / folder / "news.fr")})
    score(run, **sides[0])
    score(run, **sides[0])
    before = (run / "news.en" / "scores.json").read_bytes()
    with pytest.raises(InputError, match=r"news.en holds the scores of .*a/news.en: give another folder as `output=`"):
        score(run, **sides[1])
    assert (run / "news.en" / "scores.json").read_bytes() == before
    with pytest.raises(InputError, match=r"source.txt is a file, .*: give a folder as `output=`"):
        score(run, source=str(run / "source.txt"), reference=str(run / "reference.txt"))
    score(run, **sides[1], output=tmp_path / "own")
    assert (tmp_path / "own" / "scores.json").exists()


def falling(monkeypatch: pytest.MonkeyPatch) -> None:
    """The best validation is the first: with a patience of 2 training stops at step 3."""

    def say(self, trainer, pl_module):
        pl_module.log("bleu", 10.0 - trainer.global_step, logger=False)

    monkeypatch.setattr(ScoreTranslations, "on_validation_epoch_end", say)


def test_a_training_that_stopped_early_stays_so(tmp_path, monkeypatch, caplog):
    falling(monkeypatch)
    train(tiny(*EARLY), tmp_path)
    assert last(tmp_path)["global_step"] == 3
    (tmp_path / "scores.json").unlink()  # killed before it was scored
    rows = len(metrics(tmp_path))
    train(tiny(*EARLY), tmp_path)
    assert last(tmp_path)["global_step"] == 3
    assert len(metrics(tmp_path)) == rows
    with caplog.at_level(logging.INFO, "dragoman"):
        train(tiny(*EARLY), tmp_path)
    assert "is finished; it stopped early" in caplog.text


def test_another_patience_is_taken(tmp_path, monkeypatch):
    falling(monkeypatch)
    with pytest.raises(Accident.Happened):
        train(tiny(*EARLY, raise_at=3), tmp_path)
    train(tiny(*EARLY, "callbacks.early_stopping.patience=4"), tmp_path)
    assert last(tmp_path)["global_step"] == 5


def test_a_run_keeps_its_number_format_on_another_machine(tmp_path, monkeypatch):
    asked = ("trainer.precision=auto", "max_steps=3")
    monkeypatch.setattr(precision, "cpu_prefers_bf16", lambda: True)
    with pytest.raises(Accident.Happened):
        train(tiny(*asked, "validate_every=1", raise_at=2), tmp_path)
    monkeypatch.setattr(precision, "cpu_prefers_bf16", lambda: False)
    config = tiny(*asked, "validate_every=1")
    train(config, tmp_path)
    assert config["trainer"]["precision"] == "bf16-mixed"
    assert last(tmp_path)["global_step"] == 3


def test_callbacks_and_loggers_may_be_switched_off_but_not_checkpoints(tmp_path):
    off = ("callbacks.guard=null", "callbacks.progress=null", "logger.csv=null", "max_steps=2", "validate_every=2")
    train(tiny(*off), tmp_path)
    assert last(tmp_path)["global_step"] == 2
    assert not (tmp_path / "metrics.csv").exists()
    with pytest.raises(InputError, match="`checkpoints` must stay"):
        train(tiny("callbacks.checkpoints=null"), tmp_path / "none")
    assert not (tmp_path / "none").exists()


def test_steps_that_were_left_out_are_not_forgotten_while_nobody_has_looked(tmp_path):
    """On a GPU flags wait to be looked at; a checkpoint in between counts them."""
    guard = Guard(tmp_path, drops=1)
    guard.recent = [(step, [], torch.tensor(step % 2 == 0)) for step in range(5)]
    again = Guard(tmp_path, drops=1)
    again.load_state_dict(guard.state_dict())
    with pytest.raises(InputError, match=r"3 steps were left out: .*`callbacks.guard.drops`, 1"):
        again.on_train_start(None, None)
    allowed = Guard(tmp_path, drops=3)
    allowed.load_state_dict(guard.state_dict())
    allowed.on_train_start(None, None)


def test_the_last_checkpoint_but_one_leaves_something_to_train(tmp_path):
    train(tiny("max_steps=4", "validate_every=2"), tmp_path)
    found = last_whole(tmp_path)
    assert found is not None
    assert (found.step, found.reaches(4), found.reaches(5)) == (4, True, False)
    (tmp_path / "last.ckpt").unlink()
    before = last_whole(tmp_path)
    assert before is not None
    assert not before.reaches(1)
