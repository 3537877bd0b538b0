"""One split while it is examined: every rule judges every pair, whatever the others say."""

from collections.abc import Callable, Iterable
from typing import Any, BinaryIO

import numpy as np

from dragoman.doctor.tally import NO_TEXT, Example, Finding, SplitReport
from dragoman.doctor.vocabulary import Vocabulary
from dragoman.text.cleaning import PairRule
from dragoman.text.copies import hashes_of
from dragoman.text.screening import Watch, batches

SIDES = ("source", "target")
UNKNOWN, ROUND_TRIP = "unknown_characters", "round_trip"


class Visit:
    """Fills the report of a split; `limit` is how many examples are kept of each finding."""

    def __init__(self, split: Any, laws: Iterable[str], *, limit: int) -> None:
        self.split = split
        self.limit = limit
        self.objected_N = np.zeros(len(split), bool)
        self.report = SplitReport(len(split), findings={law: Finding() for law in laws})

    def read(
        self, what: str, rules: dict[str, PairRule], vocabularies: dict[str, Vocabulary], files: dict[str, BinaryIO],
        watch: Watch,
    ) -> None:  # fmt: skip
        """The one pass over the texts, which also writes their hashes into the files."""
        for start, sources, targets in batches(self.split, what, watch):
            for side, lines in zip(SIDES, (sources, targets), strict=True):
                self._measure(side, lines, start, vocabularies.get(side))
            for row, pair in enumerate(zip(sources, targets, strict=True), start):
                for name, rule in rules.items():
                    if reason := rule.objection(*pair):
                        self.objected_N[row] = True
                        self._note(name, row, reason)
            for form, file in files.items():
                file.write(hashes_of(sources, targets, form).tobytes())

    def object(self, name: str, rows: np.ndarray, reason: Callable[[int], str]) -> None:
        """A rule on the whole split objects to these rows; the reason is asked for by its place among them."""
        self.objected_N[rows] = True
        for place, row in enumerate(rows[: self.limit]):
            self._note(name, int(row), reason(place))
        self.report.findings[name].count = len(rows)

    def add_flawed(self, flawed: Any) -> None:
        """Lines that are no text: they are no pairs either, so no row of the split is objected to."""
        first = flawed.select(range(min(self.limit, len(flawed))))
        examples = [Example(row["origin"], row["flaw"], row["source"], row["target"]) for row in first]
        self.report.findings[NO_TEXT] = Finding(len(flawed), examples)

    def finish(self, vocabularies: dict[str, Vocabulary], of_training: dict[str, Vocabulary]) -> SplitReport:
        """The report, once all have judged."""
        for side, vocabulary in vocabularies.items():
            self.report.sides[side].unseen = vocabulary.tokens_beyond(of_training[side])
        self.report.sound = int((~self.objected_N).sum())
        return self.report

    def _measure(self, side: str, lines: list[str], start: int, vocabulary: Vocabulary | None) -> None:
        report = self.report.sides[side]
        words = [len(line.split()) for line in lines]
        report.words += sum(words)
        report.characters += sum(map(len, lines))
        if vocabulary is None:
            report.add_lengths(words)
            return
        found = vocabulary.read(lines)
        report.add_lengths([one.tokens for one in found])
        report.tokens = (report.tokens or 0) + sum(one.tokens for one in found)
        report.unknown = (report.unknown or 0) + sum(one.unknown for one in found)
        for row, one in enumerate(found, start):
            if one.unknown:
                self._note(UNKNOWN, row, f"{side}: {one.unknown} of {one.tokens} tokens")
            if one.lost is not None:
                self._note(ROUND_TRIP, row, f"{side}: comes back as {one.lost!r}")

    def _note(self, name: str, row: int, reason: str) -> None:
        finding = self.report.findings[name]
        finding.count += 1
        if len(finding.examples) < self.limit:
            pair = self.split[row]
            finding.examples.append(Example(pair["origin"], reason, pair["source"], pair["target"]))
