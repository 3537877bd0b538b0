"""Weights on disk: tensors by name and a few facts, written atomically and read without trust in whoever wrote them."""

import pickletools
from pathlib import Path
from typing import Any
from zipfile import ZIP_STORED, ZipFile

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from dragoman.errors import InputError
from dragoman.tensors import FORMAT, check_format, judging, write_tensors

# All that a file of `write_weights` may call. torch's own list is longer: it has bytearray, which fills any memory.
CALLED = frozenset(
    {
        "collections OrderedDict",
        "torch._utils _rebuild_tensor_v2",
        *(f"torch {kind}Storage" for kind in ("Float", "Double", "Half", "BFloat16", "Long", "Int", "Bool")),
    }
)
TIED = 3  # names that share one tensor: the embeddings of both sides, and the output
CALLS = 50  # of torch's functions for each tensor that a model keeps: ours make some ten


def write_weights(path: Path, weights: dict[str, Tensor], **facts: float | str) -> None:
    """Weights and a few facts about them, atomically."""
    write_tensors(path, {"weights": weights, **facts})


def read_weights(path: Path) -> dict[str, Tensor]:
    """The weights in a file of `write_weights`, as tensors only: nothing in it is executed or unpacked.

    InputError if there is none, it is Damaged or of a newer version, OSError if it cannot be read or memory does not
    suffice for it.
    """
    if not path.is_file():
        raise InputError(f"{path.parent} holds no weights ({path.name}): has its training reached a validation yet?")
    with judging(path):
        _check_archive(path)
        # Mapped: a tensor that says it is longer than the file cannot be read beyond its end.
        content = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
        found, weights = content["format"], content["weights"]
        if type(found) is not int or not 0 < found < 1000:
            raise ValueError("its format is not a number")
        if found == FORMAT:
            _check_tensors(weights, path.stat().st_size)
    check_format(path, found)
    return weights


def _check_archive(path: Path) -> None:
    """ValueError for what `write_weights` writes none of: packed parts, others than were written, foreign calls."""
    with ZipFile(path) as archive:
        parts = archive.infolist()
        if any(part.compress_type != ZIP_STORED for part in parts):
            raise ValueError("it is compressed")
        if sum(part.file_size for part in parts) > path.stat().st_size:
            raise ValueError("its parts are larger than the whole")
        if broken := archive.testzip():
            raise ValueError(f"{broken} is not what was written")
        for part in parts:
            if part.filename.lower().endswith("data.pkl"):
                _check_calls(archive.read(part))


def _check_calls(pickled: bytes) -> None:
    for operation, argument, _ in pickletools.genops(pickled):
        if "GLOBAL" in operation.name and argument not in CALLED:
            raise ValueError(f"it calls {argument}")


def _check_tensors(weights: Any, size: int) -> None:
    """ValueError for tensors that would take more memory than the file: repeated, or the same one many times over."""
    for tensor in weights.values():
        if not isinstance(tensor, Tensor) or not tensor.is_contiguous():
            raise ValueError("it holds what is no plain tensor")
    if sum(tensor.nbytes for tensor in weights.values()) > TIED * size:
        raise ValueError("its tensors are larger than the whole")


class Sparing(TorchFunctionMode):
    """Stops whoever makes far more tensors than `tensors`: layers without end take no memory, but all the time."""

    def __init__(self, tensors: int) -> None:
        super().__init__()
        self.calls = CALLS * (tensors + 1)

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.calls -= 1
        if self.calls < 0:
            raise TypeError("more tensors than were written")
        return func(*args, **(kwargs or {}))
