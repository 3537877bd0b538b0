"""Screening: every rule on every pair of a split, in one pass and with memory that does not grow with the texts.

Shapes: N pairs; M, H as in `copies.py`.
"""

import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, BinaryIO, NamedTuple

import numpy as np
from datasets import Dataset

from dragoman.build import build
from dragoman.errors import InputError
from dragoman.text.cleaning import NoText, PairRule
from dragoman.text.copies import FORMS, Found, Hashes, HeldOut, SplitRule, hashes_of
from dragoman.text.hashes import cache_folder

Rule = NoText | PairRule | SplitRule
Watch = Callable[[Iterable[Any], str, int], Iterable[Any]]  # the same items, their number and what is done, shown
BATCH = 10_000  # pairs that are texts in memory at once


def make_rules(settings: dict[str, Any]) -> dict[str, Rule]:
    """The rules that are switched on."""
    made = {name: make_rule(name, setting) for name, setting in settings.items()}
    return {name: rule for name, rule in made.items() if rule is not None}


def make_rule(name: str, setting: Any) -> Rule | None:
    """One rule, or none where it is switched off; InputError for a number that cannot be, and for what is no rule."""
    rule = build(setting, path=f"cleaning.{name}")
    if rule is not None and not isinstance(rule, Rule):
        raise InputError(
            f"`cleaning.{name}` is {setting!r}, which is no rule: set one of its keys (cleaning.length_ratio.most=3),"
            " or null to switch it off."
        )
    return rule


class Verdict(NamedTuple):
    """What becomes of each pair."""

    rules_N: np.ndarray  # 0 for those that stay, else the number of the rule that objected, from 1
    found: dict[int, Found]  # of the rules on the whole split, by number


def screen(train: Dataset, held_out: Dataset, rules: dict[str, Rule], watch: Watch) -> Verdict:
    """The first rule that objects to each pair; those on one pair come before those on the split."""
    numbered = list(enumerate(rules.values(), start=1))
    one_pair = [(number, rule) for number, rule in numbered if isinstance(rule, PairRule)]
    whole = [(number, rule) for number, rule in numbered if isinstance(rule, SplitRule)]
    rules_N = np.zeros(len(train), np.uint8)
    found: dict[int, Found] = {}
    with hash_files(rule for _, rule in whole) as files:
        for start, sources, targets in batches(train, "Screening", watch):
            for row, (source, target) in enumerate(zip(sources, targets, strict=True), start):
                rules_N[row] = next((n for n, rule in one_pair if rule.objection(source, target) is not None), 0)
            for form, file in files.items():
                file.write(hashes_of(sources, targets, form).tobytes())
        tables, held = mapped(files), {form: hashes_of_held_out(held_out, form) for form in files}
        for number, rule in whole:
            found[number] = rule.find(tables[rule.form], np.flatnonzero(rules_N == 0), held[rule.form])
            rules_N[found[number].rows_M] = number
    return Verdict(rules_N, found)


def objections(
    train: Dataset, held_out: Dataset, rules: dict[str, Rule], verdict: Verdict
) -> Iterator[tuple[str, dict[str, str]]]:
    """The reason and the pair of each that must go, in their order."""
    names = list(rules)
    for row in np.flatnonzero(verdict.rules_N):
        number, pair = int(verdict.rules_N[row]), train[int(row)]
        name, rule = names[number - 1], rules[names[number - 1]]
        if isinstance(rule, PairRule):
            reason = rule.objection(pair["source"], pair["target"])
        else:
            assert isinstance(rule, SplitRule)
            found = verdict.found[number]
            note = int(found.notes_M[np.searchsorted(found.rows_M, row)])
            reason = rule.reason(note, origins(train), origins(held_out))
        yield f"{name}: {reason}", pair


def origins(split: Dataset) -> Callable[[int], str]:
    """Row → where it stands."""
    return lambda row: split[row]["origin"]


def batches(split: Dataset, what: str, watch: Watch) -> Iterator[tuple[int, list[str], list[str]]]:
    """The number of the first row, and the two sides of some rows."""
    starts = range(0, len(split), BATCH)
    texts = split.select_columns(["source", "target"])
    for start in watch(starts, what, len(starts)):
        batch = texts[start : start + BATCH]
        yield start, batch["source"], batch["target"]


@contextmanager
def hash_files(rules: Iterable[SplitRule]) -> Iterator[dict[str, BinaryIO]]:
    """An empty file for the hashes in each form that the rules compare; without names, so that no accident leaves them.

    They are written row by row and not through memory: a full disk is then an error and not the end of the process.
    """
    folder = cache_folder()
    folder.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        forms = sorted({rule.form for rule in rules})
        yield {form: stack.enter_context(tempfile.TemporaryFile(dir=folder)) for form in forms}


def mapped(files: dict[str, BinaryIO]) -> dict[str, Hashes]:
    """What was written, on disk as it is."""
    tables = {}
    for form, file in files.items():
        file.flush()
        tables[form] = np.memmap(file, np.uint64, "r").reshape(-1, 3) if file.tell() else np.empty((0, 3), np.uint64)
    return tables


def hashes_of_held_out(split: Dataset, form: str) -> HeldOut:
    """Of the validation and the test split, one behind the other."""
    hashes, lengths = [np.empty((0, 3), np.uint64)], [np.empty((0, 2), np.int64)]
    for _, sources, targets in batches(split, "Reading what is held out", lambda items, what, total: items):
        hashes.append(hashes_of(sources, targets, form))
        sides = [[len(FORMS[form](text)) for text in texts] for texts in (sources, targets)]
        lengths.append(np.array(sides, np.int64).T)
    return HeldOut(np.concatenate(hashes), np.concatenate(lengths))
