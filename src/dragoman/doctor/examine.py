"""A corpus → what is wrong with it, reading every split once."""

import inspect
from typing import Any

import datasets
import numpy as np
from datasets import Dataset

from dragoman.doctor.tally import NO_TEXT, Report
from dragoman.doctor.visit import ROUND_TRIP, UNKNOWN, Visit
from dragoman.doctor.vocabulary import Vocabulary
from dragoman.text.base import Corpus
from dragoman.text.cleaning import NoText, PairRule
from dragoman.text.copies import SAME, HeldOut, Leaks, SplitRule
from dragoman.text.languages import UnknownLanguage
from dragoman.text.screening import Rule, Watch, hash_files, hashes_of_held_out, make_rule, mapped, origins
from dragoman.text.splits import SplitName, Splits, set_aside
from dragoman.text.tokenizer import Tokenizers

OF_TOKENIZERS = {
    UNKNOWN: "A side with characters for which the tokenizer has no piece: unknown, or spelt in bytes.",
    ROUND_TRIP: "A side that the tokenizer does not give back as it was, but for Unicode's normal form NFKC.",
}


def read(corpus: Corpus) -> tuple[Splits, dict[SplitName, Dataset]]:
    """The splits with `origin`, and the lines of each that are no text, with `flaw`."""
    flawed: dict[SplitName, Dataset] = {}

    def sift(name: SplitName, split: Dataset) -> Dataset:
        sound, flawed[name] = set_aside(split)
        return sound

    return corpus.splits(sift), flawed


def rules_of(settings: dict[str, Any]) -> tuple[dict[str, Rule], list[str]]:
    """The rules that are switched on, and a sentence for each that cannot judge these languages."""
    rules: dict[str, Rule] = {}
    notes = []
    for name, setting in settings.items():
        try:
            rule = make_rule(name, setting)
        except UnknownLanguage as error:
            notes.append(f"The rule {name} is left out: {error}")
        else:
            rules |= {name: rule} if rule is not None else {}
    return rules, notes


def examine(
    splits: Splits, flawed: dict[SplitName, Dataset], rules: dict[str, Rule], tokenizers: Tokenizers | None,
    *, limit: int, watch: Watch,
) -> Report:  # fmt: skip
    """All three splits; which held-out sentences occur in training is found while training is read."""
    report = Report(laws_of(rules) | (OF_TOKENIZERS if tokenizers else {}))
    one_pair = {name: rule for name, rule in rules.items() if isinstance(rule, PairRule)}
    whole = {name: rule for name, rule in rules.items() if isinstance(rule, SplitRule)}
    held_out = datasets.concatenate_datasets([splits.validation, splits.test])
    held = {form: hashes_of_held_out(held_out, form) for form in {rule.form for rule in whole.values()}}
    occurring: dict[str, np.ndarray] = {}
    of_training: dict[str, Vocabulary] = {}
    first = {"validation": 0, "test": len(splits.validation)}  # rows of `held_out`
    for name, split in splits._asdict().items():
        visit = Visit(split, report.laws, limit=limit)
        vocabularies = {side: Vocabulary(one) for side, one in tokenizers._asdict().items()} if tokenizers else {}
        of_training = of_training or vocabularies
        with hash_files(whole.values()) as files:
            visit.read(f"Examining {name}", one_pair, vocabularies, files, watch)
            tables = mapped(files)
            for rule_name, rule in whole.items():
                if not isinstance(rule, Leaks) or name == "train":
                    judge(visit, rule_name, rule, tables, held, held_out)
                if isinstance(rule, Leaks) and name == "train":
                    occurring[rule_name] = rule.occurring(tables[rule.form], held[rule.form])
        for rule_name, sides_H2 in occurring.items() if name in first else ():
            tell_leaks(visit, rule_name, sides_H2[first[name] : first[name] + len(split)])
        if part := flawed.get(name):  # type: ignore[call-overload]
            visit.add_flawed(part)
        report.splits[name] = visit.finish(vocabularies, of_training)
    report.pieces = {side: len(one.counts_V) for side, one in of_training.items()}
    report.pieces_in_use = {side: int((one.counts_V > 0).sum()) for side, one in of_training.items()}
    return report


def laws_of(rules: dict[str, Rule]) -> dict[str, str]:
    """What each rule objects to, with its numbers; lines that are not UTF-8 are told of in any case."""
    laws = {NO_TEXT: first_paragraph(NoText())}
    for name, rule in rules.items():
        numbers = [f"{key} {value}" for key, value in vars(rule).items() if isinstance(value, int | float | str)]
        laws.setdefault(name, " ".join([first_paragraph(rule), *(f"({one})" for one in [", ".join(numbers)] if one)]))
    return laws


def first_paragraph(rule: Rule) -> str:
    return " ".join(str(inspect.getdoc(type(rule))).split("\n\n")[0].split())


def judge(visit: Visit, name: str, rule: SplitRule, tables: Any, held: dict[str, HeldOut], held_out: Dataset) -> None:
    """A rule on the whole split."""
    found = rule.find(tables[rule.form], np.arange(len(visit.split)), held[rule.form])
    where = origins(visit.split), origins(held_out)
    visit.object(name, found.rows_M, lambda place: rule.reason(int(found.notes_M[place]), *where))


def tell_leaks(visit: Visit, name: str, sides_N2: np.ndarray) -> None:
    """Validation or test pairs a side of which occurs in training."""
    rows = np.flatnonzero(sides_N2.any(1))
    told = [SAME[int(sides @ (1, 2)) - 1] for sides in sides_N2]
    visit.object(name, rows, lambda place: f"its {told[rows[place]]} also in the training split")
