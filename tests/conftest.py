"""Fixtures that several files share: two tiny runs, made once by the real training script."""

import os

# Before torch is loaded: its threads wait by spinning, and where others want the cores a test would take minutes.
os.environ.setdefault("OMP_NUM_THREADS", "1")

from pathlib import Path
from typing import NamedTuple

import datasets
import pytest

from scripts_for_tests import TINY, done, finish, start, write_corpus

# Minutes of one core each: whichever came last would leave the other worker idle.
FIRST = ("test_scripts", "test_bad_input", "test_readme", "test_training", "test_seeing")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest files first; `--dist loadfile --no-loadscope-reorder` hands them out in this order."""
    place = {name: number for number, name in enumerate(FIRST)}
    items.sort(key=lambda item: place.get(item.path.stem, len(place)))


class Runs(NamedTuple):
    """A folder with a corpus in `data`, the run folder of a finished training, and that of another seed."""

    folder: Path
    first: Path
    second: Path


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Runs:
    """Must be left as it is: copy a run before you hurt it."""
    folder = tmp_path_factory.mktemp("trained")
    data = write_corpus(folder / "data")
    runs = Runs(folder, folder / "runs" / "first", folder / "runs" / "second")
    processes = [
        start(
            "train",
            *TINY,
            f"corpus.folder={data}",
            f"name=n{seed}",
            f"run_dir={run}",
            f"seed={seed}",
            *steps,
            folder=folder,
        )
        for seed, run, steps in (
            (1, runs.first, ("max_steps=200", "validate_every=100")),
            (2, runs.second, ("max_steps=60", "validate_every=60")),
        )
    ]
    for process in processes:
        done(finish(process))
    return runs


@pytest.fixture(scope="session")
def trained_run(trained: Runs) -> Path:
    """A finished run."""
    return trained.first


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder to work in; the data sets of this process are kept beside it."""
    folder = tmp_path / "place"
    folder.mkdir()
    monkeypatch.chdir(folder)
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "data-sets")
    return folder
