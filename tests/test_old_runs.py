"""A run folder of the first version opens in this one; one of a later version is refused in a sentence.

`old_run` is a run of 12 steps as the first version left it: it must never be made anew.
"""

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

from dragoman.errors import InputError
from dragoman.run import IDENTITY, Run
from dragoman.training.train import train
from dragoman.translator import Translator
from training_for_tests import last, one_thread_and_a_cache, tiny  # noqa: F401 (a fixture)

OLD = Path(__file__).parent / "old_run"


@pytest.fixture
def old(tmp_path: Path) -> Path:
    return Path(shutil.copytree(OLD, tmp_path / "old_run"))


def lines(name: str) -> list[str]:
    return (OLD / name).read_text("utf-8").splitlines()


def test_it_translates_as_it_did(old):
    assert Translator.load(old)(lines("source.txt")) == lines("hypotheses.txt")
    assert len(lines("hypotheses.txt")) == 4


def test_it_goes_on(old):
    go_on(old)
    assert last(old)["global_step"] == 15
    assert (old / "scores.json").exists()


def test_it_tells_its_scores_without_being_trained(old):
    found = train(same_command(old, "max_steps=12"), old)
    assert [one.name for one in found] == ["BLEU", "chrF2", "TER"]
    assert (old / "last.ckpt").read_bytes() == (OLD / "last.ckpt").read_bytes()


def go_on(folder: Path) -> None:
    train(same_command(folder, "max_steps=15"), folder)


def same_command(folder: Path, *overrides: str) -> dict[str, Any]:
    """What the command that began the run composes to today: keys that came later have their defaults."""
    old = Run(folder).config
    return tiny("model.dropout=0", *overrides) | {key: old[key] for key in IDENTITY if key in old}


@pytest.mark.parametrize(("name", "use"), [("best.ckpt", Translator.load), ("last.ckpt", go_on)])
def test_one_of_a_later_version_is_refused(old, name, use):
    torch.save(torch.load(old / name, weights_only=True) | {"format": 2}, old / name)
    with pytest.raises(InputError, match=f"{name} has format 2; this version of Dragoman reads format 1: update"):
        use(old)
