"""A corpus → the same without the training pairs that its cleaning rules reject; these are kept, with the reason.

What was screened once is kept under the hash of the texts, the rules and their code, and not screened again.
"""

import hashlib
import logging
import shutil
import unicodedata
from collections.abc import Iterator
from importlib.metadata import version
from itertools import chain
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import datasets
import numpy as np
from datasets import Dataset

from dragoman.errors import InputError
from dragoman.files import write_atomically
from dragoman.text import cleaning, copies, languages, screening
from dragoman.text.base import Corpus
from dragoman.text.cleaning import NoText
from dragoman.text.hashes import cache_folder, fingerprint_of
from dragoman.text.packing import pack
from dragoman.text.screening import Rule, Watch, make_rules, objections, screen
from dragoman.text.splits import SplitName, Splits, chosen, refuse_flaws, set_aside

log = logging.getLogger("dragoman")
QUARANTINE = "quarantine.tsv.gz"  # reason, origin, source, target
ESCAPED = ("\\", *map(chr, range(0x20)), *map(chr, range(0x7F, 0xA0)), "\u2028", "\u2029", "\ufeff")
ESCAPES = str.maketrans({one: repr(one)[1:-1] for one in ESCAPED})


class Cleaned(NamedTuple):
    """The splits without the column `origin`, and the file of what was rejected, if anything was."""

    splits: Splits
    quarantine: Path | None


def clean(corpus: Corpus, settings: dict[str, Any], watch: Watch) -> Cleaned:
    """The corpus under the rules that `settings` configures; InputError if no training pair passes."""
    rules = make_rules(settings)
    if not rules:
        return Cleaned(corpus.splits(), None)
    flawed: list[Dataset] = []
    tolerant = any(isinstance(rule, NoText) for rule in rules.values())
    digest = digest_of_rules(settings)
    digest.update(repr(corpus).encode("utf-8", "backslashreplace"))  # what is cut off, among other things

    def sift(name: SplitName, split: Dataset) -> Dataset:
        digest.update(fingerprint_of(split).encode())
        if name != "train" or not tolerant:
            return refuse_flaws(name, split)
        sound, aside = set_aside(split)
        flawed.append(aside)
        return sound

    splits = corpus.splits(sift)
    held_out = datasets.concatenate_datasets([splits.validation, splits.test])
    verdicts, quarantine = (cache_folder() / f"{digest.hexdigest()}.{name}" for name in ("verdicts.npy", QUARANTINE))
    rules_N = recalled(verdicts, len(splits.train)) if quarantine.is_file() else None
    if rules_N is None:
        rules_N = work_out(splits.train, held_out, flawed, rules, watch, (verdicts, quarantine))
    counts = np.bincount(rules_N, minlength=len(rules) + 1)
    by_rule = dict(zip(rules, counts[1:].tolist(), strict=True))
    by_rule |= {name: sum(map(len, flawed)) for name, rule in rules.items() if isinstance(rule, NoText)}
    report(by_rule, kept=int(counts[0]), quarantine=quarantine)
    train = (
        splits.train
        if counts[0] == len(rules_N)
        else chosen(splits.train, np.flatnonzero(rules_N == 0), quarantine.name)
    )
    texts = Splits(*(split.remove_columns("origin") for split in splits._replace(train=train)))
    return Cleaned(texts, quarantine if any(by_rule.values()) else None)


def hand_over(quarantine: Path, folder: Path) -> None:
    """A copy of what was rejected, for the run folder."""
    with quarantine.open("rb") as kept:
        write_atomically(folder / QUARANTINE, lambda file: shutil.copyfileobj(kept, file))


def work_out(
    train: Dataset, held_out: Dataset, flawed: list[Dataset], rules: dict[str, Rule], watch: Watch,
    files: tuple[Path, Path],
) -> np.ndarray:  # fmt: skip
    """Screen, and keep both files; the verdicts last, as they are what a later start looks for."""
    verdicts, quarantine = files
    try:
        verdict = screen(train, held_out, rules, watch)
        no_text = next((name for name, rule in rules.items() if isinstance(rule, NoText)), "")
        unread = ((f"{no_text}: {pair['flaw']}", pair) for part in flawed for pair in part)
        rows = chain(unread, objections(train, held_out, rules, verdict))
        write_atomically(quarantine, lambda file: write_rows(file, rows))
        write_atomically(verdicts, lambda file: np.save(file, verdict.rules_N))
    except OSError as error:
        raise InputError(
            f"What was screened cannot be kept in {cache_folder()} ({error.strerror or error}); make room there or set"
            " HF_DATASETS_CACHE to another folder."
        ) from error
    return verdict.rules_N


def write_rows(file: BinaryIO, rows: Iterator[tuple[str, dict[str, str]]]) -> None:
    """A line for each, by any program's law of lines: controls, line ends and backslashes escaped as Python does."""
    with pack(file, ".gz") as stream:
        for reason, pair in rows:
            cells = (reason, pair["origin"], pair["source"], pair["target"])
            stream.write(("\t".join(cell.translate(ESCAPES) for cell in cells) + "\n").encode("utf-8"))


def recalled(path: Path, count: int) -> np.ndarray | None:
    """The verdicts of an earlier start; None where there are none, or no sound ones."""
    try:
        rules_N = np.load(path)
    except (OSError, ValueError, EOFError):
        return None
    return rules_N if rules_N.shape == (count,) and rules_N.dtype == np.uint8 else None


def report(by_rule: dict[str, int], *, kept: int, quarantine: Path) -> None:
    """One line of the log, or, where nothing is left to train on, the error."""
    told = ", ".join(f"{name} {count:,}" for name, count in by_rule.items() if count)
    pairs = kept + sum(by_rule.values())
    if not kept:
        raise InputError(
            f"None of the {pairs:,} training pairs passes the cleaning rules (rejected by {told}): see {quarantine},"
            " and mend the corpus, or change `cleaning`."
        )
    log.info("cleaning: %s training pairs, %s kept%s", f"{pairs:,}", f"{kept:,}", f"; rejected by {told}" * bool(told))


def digest_of_rules(settings: dict[str, Any]) -> Any:
    """SHA-256 over the rules, their code and the libraries that they ask."""
    libraries = [version("ftfy"), version("py3langid"), unicodedata.unidata_version]
    digest = hashlib.sha256(repr((settings, libraries)).encode())
    for module in (cleaning, copies, languages, screening):
        digest.update(Path(str(module.__file__)).read_bytes())
    return digest
