"""Files of tensors: whole or not at all, checked when they are read, and never more than data."""

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO
from zipfile import ZipFile

import torch

from dragoman.errors import InputError
from dragoman.files import write_atomically

FORMAT = 1  # a file of a newer one is refused
OF_CONTENT = (None, errno.EINVAL)  # data that cannot be unpacked; a directory that points before the beginning
NO_MEMORY = ("DefaultCPUAllocator", os.strerror(errno.ENOMEM))  # in torch's plain RuntimeErrors


class Damaged(InputError):
    """A file that is not what was written."""

    def __init__(self, path: Path) -> None:
        super().__init__(f"{path} is damaged or not a Dragoman checkpoint: copy it again, or train again.")


def write_tensors(path: Path, content: dict[str, Any]) -> None:
    """Tensors and plain values; torch keeps a CRC-32 of each record."""

    def fill(file: BinaryIO) -> None:
        try:
            torch.save({"format": FORMAT, **content}, file)
        except RuntimeError as error:  # of the archive, which cannot be ended where the disk is full
            raise error.__context__ if isinstance(error.__context__, OSError) else error from None

    write_atomically(path, fill)


def read_tensors(path: Path) -> dict[str, Any]:
    """What `write_tensors` wrote, on the CPU: nothing in it is executed.

    Damaged if a checksum does not hold or it is no such file, InputError if a newer version of Dragoman wrote it, and
    OSError if it is not there, cannot be read or memory does not suffice for it.
    """
    with judging(path):
        with ZipFile(path) as archive:
            if broken := archive.testzip():
                raise ValueError(f"{broken} is not what was written")
        content: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
        found = content.get("format", FORMAT)  # which the oldest resumable ones lack
    check_format(path, found)
    return content


@contextmanager
def judging(path: Path) -> Iterator[None]:
    """Tells what is wrong with the file, which is Damaged, from what is wrong around it, which is an OSError.

    The second says nothing of the file: a run must not go on from an older one, and write over it, because of a disk
    that fails, too many open files or too little memory.
    """
    try:
        yield
    except Exception as error:  # a damaged or foreign file can fail in as many ways as there are readers
        if out_of_memory(error):
            raise OSError(errno.ENOMEM, os.strerror(errno.ENOMEM), str(path)) from error
        if isinstance(error, OSError) and error.errno not in OF_CONTENT:
            error.filename = error.filename or str(path)  # a disk that fails names no file
            raise
        raise Damaged(path) from error


def out_of_memory(error: BaseException) -> bool:
    """Of a GPU, by a class of its own, or of the machine, by a plain RuntimeError."""
    kinds = (torch.OutOfMemoryError, MemoryError)
    return isinstance(error, kinds) or any(sign in str(error) for sign in NO_MEMORY)


def check_format(path: Path, found: object) -> None:
    """InputError for that of a later version."""
    if found != FORMAT:
        raise InputError(f"{path} has format {found}; this version of Dragoman reads format {FORMAT}: update Dragoman.")
