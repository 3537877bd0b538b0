"""Writing files so that nobody ever sees half of one."""

import fcntl
import json
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO

from dragoman.errors import InputError


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary path beside `path`: the file written there takes its place; on an error `path` stays as it was."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.partial")
    temporary.unlink(missing_ok=True)  # a link of that name, in a stranger's folder, would be written through
    try:
        yield temporary
        os.replace(temporary, path)
    except OSError as error:
        error.filename = error.filename or str(path)  # a full disk names no file
        raise
    finally:
        with suppress(OSError):  # a clean-up that fails too must not hide the error
            temporary.unlink()


@contextmanager
def new_folder(path: Path) -> Iterator[Path]:
    """A temporary folder beside `path`, which must not be there yet, that becomes it; on an error nothing is left."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.partial")
    temporary.mkdir(parents=True)
    try:
        yield temporary
        os.rename(temporary, path)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def write_atomically(path: Path, write: Callable[[BinaryIO], object]) -> None:
    """Let `write` fill the file, whose folder is made if need be: all of it or, on any error, nothing."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as temporary, temporary.open("wb") as file:
        write(file)
        file.flush()
        os.fsync(file.fileno())


def write_bytes(path: Path, content: bytes) -> None:
    """All of `content`, or nothing."""
    write_atomically(path, lambda file: file.write(content))


def write_text(path: Path, content: str) -> None:
    """All of `content` in UTF-8, or nothing."""
    write_bytes(path, content.encode("utf-8"))


def write_json(path: Path, content: Any) -> None:
    """All of `content` as JSON for people to read, or nothing."""
    write_text(path, json.dumps(content, ensure_ascii=False, indent=1) + "\n")


def check_alone_in(folder: Path) -> None:
    """InputError if another process is in that folder, which need not be there."""
    if folder.is_dir():
        with alone_in(folder):
            pass


@contextmanager
def alone_in(folder: Path) -> Iterator[None]:
    """While it lasts no other process gets in; where the file system knows no locks, all do.

    InputError if another is there. Sweeps away what processes left half-written that were killed in it.
    """
    with locked(folder / ".lock", f"Another process trains in {folder}: let it end, or choose another `name=`."):
        sweep(folder)
        yield


@contextmanager
def locked(path: Path, refusal: str) -> Iterator[None]:
    """While it lasts this process alone holds that file, which is there as long; InputError if another one does."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as lock:
        try:
            fcntl.lockf(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)  # of this process alone: not of what it forks
            mine = path.exists() and os.path.samestat(os.fstat(lock.fileno()), path.stat())
        except (BlockingIOError, PermissionError) as error:
            raise InputError(refusal) from error
        except OSError:  # no locks here
            mine = True
        if not mine:  # removed by its last holder after it was opened here
            raise InputError(refusal)
        try:
            yield
        finally:
            path.unlink(missing_ok=True)


def sweep(folder: Path) -> None:
    """Remove what was half-written there, and in the folders of its weights, by processes that are no more."""
    for half in [*folder.glob(".*.partial"), *folder.glob("weights/.*.partial")]:
        if is_running(half.name.split(".")[-2]):
            continue
        if half.is_dir() and not half.is_symlink():
            shutil.rmtree(half, ignore_errors=True)
        else:
            half.unlink(missing_ok=True)


def is_running(number: str) -> bool:
    """Whether a process of this machine has that number."""
    try:
        os.kill(int(number), 0)
    except PermissionError:  # somebody else's
        return True
    except (OSError, ValueError, OverflowError):
        return False
    return True
