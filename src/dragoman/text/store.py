"""The store: sentence pairs read once, then kept on disk by `datasets` under the hash of the bytes they came from.

A `Dataset` is memory-mapped, so a corpus may be larger than memory. The key is the content: a copy under another name
is not read again, a changed file always is. What fails half-way leaves nothing behind that a later start would
trust.
"""

import hashlib
import logging
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import datasets
from datasets import Dataset, Features, Value
from datasets.exceptions import DatasetGenerationError

from dragoman.errors import InputError
from dragoman.text import interchange, lines, packing, readers
from dragoman.text.hashes import content_hash
from dragoman.text.readers import Pair, Pairs, flaw_of

# Where a pair stands, and what keeps it from being one: null for all that is text, else its texts are escaped.
FEATURES = Features({name: Value("string") for name in ("source", "target", "origin", "flaw")})

WRITTEN = 50_000  # pairs that are written together: to open a file is to look for the beginning of each such part


def store(pairs: Callable[[], Pairs], key: str, subject: str) -> Dataset:
    """The pairs as a `Dataset` with the columns of `FEATURES`; `pairs` is called only if `key` is new.

    `subject` stands for the pairs in the error that tells that there are none.
    """

    def rows() -> Iterator[dict[str, str | None]]:
        pair = None
        for pair in pairs():
            yield _row(pair)
        # Here and not after, or `datasets` would keep the empty corpus.
        if pair is None:
            raise InputError(f"{subject} holds no sentence pair; give a file that does.")

    try:
        with quiet():
            return Dataset.from_generator(rows, features=FEATURES, fingerprint=key, writer_batch_size=WRITTEN)
    except DatasetGenerationError as error:
        if isinstance(error.__cause__, InputError):
            raise error.__cause__ from None
        if isinstance(error.__cause__, OSError):
            raise unusable_cache(error.__cause__) from error
        raise
    except (OSError, ValueError) as error:
        raise unusable_cache(error) from error


def _row(pair: Pair) -> dict[str, str | None]:
    flaws = [f"{side}: {flaw}" for side in ("source", "target") if (flaw := flaw_of(getattr(pair, side)))]
    # What has no UTF-8 form, a file's name among it, is kept as "\\xe9".
    sound = (text.encode("utf-8", lines.ESCAPED).decode("utf-8", "backslashreplace") for text in pair)
    return {**dict(zip(Pair._fields, sound, strict=True)), "flaw": "; ".join(flaws) or None}


def fingerprint(paths: Iterable[Path], *facts: object) -> str:
    """SHA-256 over the bytes of the files, in order, over `facts` (how they are read) and over the readers' code."""
    digest = hashlib.sha256(repr(facts).encode())
    for path in (*paths, *(Path(str(code.__file__)) for code in (lines, packing, readers, interchange))):
        digest.update(path.suffix.encode() + content_hash(path))
    return digest.hexdigest()


@contextmanager
def quiet() -> Iterator[None]:
    """`datasets` and the hub client without log lines and, unless a terminal shows them, without progress bars."""
    loggers = [logging.getLogger(name) for name in ("datasets", "huggingface_hub")]
    levels = [logger.level for logger in loggers]
    # Set, the variable is the user's own choice, and `datasets` warns whoever overrides it.
    unset = datasets.config.HF_DATASETS_DISABLE_PROGRESS_BARS is None
    hide = unset and not sys.stderr.isatty() and not datasets.are_progress_bars_disabled()
    for logger in loggers:
        logger.setLevel(logging.CRITICAL)
    if hide:
        datasets.disable_progress_bars()
    try:
        yield
    finally:
        if hide:
            datasets.enable_progress_bars()
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


def unusable_cache(error: Exception) -> InputError:
    """The error that tells where text could not be kept."""
    return InputError(
        f"The corpus cannot be kept in {datasets.config.HF_DATASETS_CACHE} ({error}); "
        "make room there, delete it, or set HF_DATASETS_CACHE to another folder."
    )
