"""What a file holds, as a hash: read once, then known again by path, size and times."""

import hashlib
import json
import os
import time
from contextlib import suppress
from pathlib import Path

import datasets
from datasets import Dataset

from dragoman.errors import InputError
from dragoman.files import write_text
from dragoman.text.lines import open_bytes

CACHE = "dragoman"  # our folder in that of `datasets`
SETTLED = 2_000_000_000  # nanoseconds: a file may be changed twice within the tick of its file system's clock


def cache_folder() -> Path:
    """Where tokenised text and hashes are kept; it may be removed at any time."""
    return Path(datasets.config.HF_DATASETS_CACHE) / CACHE


def fingerprint_of(text: Dataset) -> str:
    """What `datasets` knows a text by: the content of its files, and what was done to it since."""
    found: str = text._fingerprint
    return found


def content_hash(path: Path) -> bytes:
    """SHA-256 of the bytes of a file; InputError where it cannot be read.

    A file whose path, size, number and times are those of last time is not read again. One that was changed just now is
    read each time: its clock could not tell.
    """
    with open_bytes(path) as stream:
        state = os.fstat(stream.fileno())
        name = os.path.realpath(path)
        seen = [name, state.st_size, state.st_ino, state.st_mtime_ns, state.st_ctime_ns]
        note = cache_folder() / "hashes" / hashlib.sha256(os.fsencode(name)).hexdigest()
        with suppress(OSError, ValueError, TypeError, KeyError):  # no note, or none of ours: the file is read
            kept = json.loads(note.read_text("utf-8"))
            if kept["seen"] == seen:
                return bytes.fromhex(kept["sha256"])
        try:
            found = hashlib.file_digest(stream, "sha256").digest()
        except OSError as error:
            raise InputError(f"{path} cannot be read ({error.strerror or error}); give a file that can.") from error
    if time.time_ns() - max(state.st_mtime_ns, state.st_ctime_ns) > SETTLED:
        with suppress(OSError, UnicodeError):  # a note that cannot be kept costs only time
            write_text(note, json.dumps({"seen": seen, "sha256": found.hex()}))
    return found
