"""Files of tensors: damage is told from what says nothing of a file, and no other file takes its place for that."""

import errno
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from conftest import Runs
from dragoman.errors import InputError
from dragoman.tensors import Damaged, read_tensors, write_tensors
from dragoman.training.checkpoints import last_whole
from dragoman.weights import read_weights, write_weights
from scripts_for_tests import call

READERS = {"last.ckpt": read_tensors, "best.ckpt": read_weights}
Reader = Callable[[Path], dict[str, Any]]


@pytest.fixture(params=READERS)
def file(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Path, Reader]:
    """A small file of each kind, and what reads it."""
    path = tmp_path / request.param
    if request.param == "last.ckpt":
        write_tensors(path, {"global_step": 7, "weights": {"a": torch.arange(3)}})
    else:
        write_weights(path, {"a": torch.arange(3)}, step=7)
    return path, READERS[request.param]


def failing(kind: type[Exception], *what: object) -> Callable[..., Any]:
    def fail(*_: object, **__: object) -> None:
        raise kind(*what)

    return fail


ELSEWHERE: dict[str, tuple[type[Exception], tuple[object, ...], int]] = {
    "may not be read": (PermissionError, (errno.EACCES, "Permission denied"), errno.EACCES),
    "the disk fails": (OSError, (errno.EIO, "Input/output error"), errno.EIO),
    "many open files": (OSError, (errno.EMFILE, "Too many open files"), errno.EMFILE),
    "Python's memory": (MemoryError, (), errno.ENOMEM),
    "torch's memory": (RuntimeError, ("DefaultCPUAllocator: can't allocate memory: you tried …",), errno.ENOMEM),
    "memory to map": (RuntimeError, ("unable to mmap 9 bytes from <x>: Cannot allocate memory (12)",), errno.ENOMEM),
}


@pytest.mark.parametrize("place", ["zipfile.ZipFile.testzip", "torch.load"])
@pytest.mark.parametrize("name", ELSEWHERE)
def test_what_says_nothing_of_the_file_is_no_damage_and_names_it(file, monkeypatch, name, place):
    (path, read), (kind, what, number) = file, ELSEWHERE[name]
    monkeypatch.setattr(place, failing(kind, *what))
    with pytest.raises(OSError, match=str(path)) as caught:
        read(path)
    assert caught.value.errno == number
    assert caught.value.filename == str(path)


def test_a_file_that_is_not_there_is_not_there(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"last\.ckpt"):
        read_tensors(tmp_path / "last.ckpt")
    with pytest.raises(InputError, match=r"holds no weights \(best\.ckpt\)") as caught:
        read_weights(tmp_path / "best.ckpt")
    assert not isinstance(caught.value, Damaged)


def test_whatever_byte_changes_it_is_damage_or_changes_nothing(file):
    """A directory that lies about lengths and places makes its readers fail in many ways: all of them are damage."""
    path, read = file
    whole, weights = path.read_bytes(), read(path).get("weights", read(path))
    damaged = 0
    for place in range(0, len(whole), 3):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 0x84]) + whole[place + 1 :])
        try:
            found = read(path)
            assert torch.equal(found.get("weights", found)["a"], weights["a"])
        except Damaged:
            damaged += 1
    assert damaged > 100


def test_an_older_checkpoint_takes_the_place_of_a_damaged_one_alone(tmp_path, monkeypatch):
    newest, older = tmp_path / "last.ckpt", tmp_path / "last-previous.ckpt"
    write_tensors(newest, {"global_step": 9, "callbacks": {}})
    write_tensors(older, {"global_step": 7, "callbacks": {}})
    with monkeypatch.context() as patch:
        patch.setattr("dragoman.tensors.ZipFile", failing(OSError, errno.EIO, "Input/output error"))
        with pytest.raises(OSError, match=r"Input/output error: '.*last\.ckpt'"):
            last_whole(tmp_path)
    assert last_whole(tmp_path) == (newest, 9, False)
    newest.write_bytes(newest.read_bytes()[:-9])
    assert last_whole(tmp_path) == (older, 7, False)


def test_too_little_memory_for_the_weights_is_one_sentence(trained: Runs, monkeypatch):
    monkeypatch.setattr("torch.load", failing(MemoryError))
    answer = call("translate", f"run={trained.first}", "text=The hen runs.")
    assert (answer.status, answer.out) == (1, "")
    assert answer.err == f"Cannot allocate memory: {trained.first / 'best.ckpt'}.\n"
